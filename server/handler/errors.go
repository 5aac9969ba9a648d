package handler

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/log/batch"
	"balsa/protocol"
	"balsa/raft"
)

// errorCode returns Kafka's code for an error of the packages below.
//
// A lost or closed group is NOT_LEADER_OR_FOLLOWER, never UNKNOWN_SERVER_ERROR: the client has to ask who leads now and
// retry with the same sequence number, whereas after an unknown error some start over with a new one and write twice.
func errorCode(err error) int16 {
	var known *kerr.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &known):
		return known.Code
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrClosed),
		errors.Is(err, log.ErrClosed):
		return kerr.NotLeaderForPartition.Code
	case errors.Is(err, log.ErrFailed), errors.Is(err, log.ErrCorrupt):
		return kerr.KafkaStorageError.Code
	case errors.Is(err, log.ErrOffsetOutOfRange):
		return kerr.OffsetOutOfRange.Code
	default:
		if e := batchError(err); e != nil {
			return e.Code
		}
		return protocol.ErrorCode(err)
	}
}

// batchError returns Kafka's error for what is wrong with a produced batch, nil for other errors.
func batchError(err error) *kerr.Error {
	switch {
	case errors.Is(err, batch.ErrTooLarge):
		return kerr.MessageTooLarge
	case errors.Is(err, batch.ErrInvalidTimestamp):
		return kerr.InvalidTimestamp
	case errors.Is(err, batch.ErrUnsupportedFormat):
		return kerr.UnsupportedForMessageFormat
	case errors.Is(err, batch.ErrUnsupportedCodec):
		return kerr.UnsupportedCompressionType
	case errors.Is(err, batch.ErrInvalidRecord):
		return kerr.InvalidRecord
	case errors.Is(err, batch.ErrCorrupt):
		return kerr.CorruptMessage
	}
	return nil
}

// errorMessage returns what a client's user should read about err; nil when the code says it all.
func errorMessage(err error) *string {
	var known *kerr.Error
	if err == nil || (errors.As(err, &known) && err == error(known)) { //nolint:errorlint // is it the bare error?
		return nil
	}
	s := err.Error()
	return &s
}
