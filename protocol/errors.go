package protocol

import (
	"context"
	"errors"
	"syscall"

	"github.com/twmb/franz-go/pkg/kerr"
)

// ErrorCode returns Kafka's code for err: that of the *kerr.Error it wraps, REQUEST_TIMED_OUT when a context ended,
// KAFKA_STORAGE_ERROR for a disk that is full or fails, 0 for nil, else UNKNOWN_SERVER_ERROR. Errors of packages that
// this one does not know are translated by their caller first.
func ErrorCode(err error) int16 {
	var known *kerr.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &known):
		return known.Code
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return kerr.RequestTimedOut.Code
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EIO), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EROFS):
		return kerr.KafkaStorageError.Code
	default:
		return kerr.UnknownServerError.Code
	}
}
