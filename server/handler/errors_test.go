package handler

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/log/batch"
	"balsa/raft"
)

func TestErrorCodes(t *testing.T) {
	for want, errs := range map[*kerr.Error][]error{
		kerr.MessageTooLarge:             {batch.ErrTooLarge},
		kerr.CorruptMessage:              {batch.ErrCorrupt},
		kerr.InvalidRecord:               {batch.ErrInvalidRecord},
		kerr.InvalidTimestamp:            {batch.ErrInvalidTimestamp},
		kerr.UnsupportedForMessageFormat: {batch.ErrUnsupportedFormat},
		kerr.UnsupportedCompressionType:  {batch.ErrUnsupportedCodec},
		kerr.NotLeaderForPartition:       {raft.ErrNotLeader, raft.ErrLeadershipLost, raft.ErrClosed, log.ErrClosed},
		kerr.KafkaStorageError:           {log.ErrFailed, log.ErrCorrupt},
		kerr.OffsetOutOfRange:            {log.ErrOffsetOutOfRange, kerr.OffsetOutOfRange},
		kerr.UnknownServerError:          {errors.New("a surprise")},
	} {
		for _, err := range errs {
			if got := errorCode(fmt.Errorf("wrapped: %w", err)); got != want.Code {
				t.Errorf("%v: code %d, want %d (%s)", err, got, want.Code, want.Message)
			}
		}
	}
}
