package protocol

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Tagged fields that Kafka does not have: who does not know them skips them. Numbers are far from those that Kafka gives out. A
// number means something in one place of one message only.
const (
	// TagVisibility, of a ShareFetch request, is how long what it acquires is locked, instead of the group's
	// share.record.lock.duration.ms: int32, in ms.
	TagVisibility = 10000

	// TagRenewLock, of a ShareAcknowledge request, is how long renewed records are locked from now on: int32, in ms.
	TagRenewLock = 10000
	// TagReleaseDelay, of a ShareAcknowledge request, is how long released records are not delivered: int32, in ms.
	TagReleaseDelay = 10001

	// TagInFlight, TagDelayed and TagDeadLettering, of a partition in a DescribeShareGroupOffsets response, are how many
	// records are acquired, not to be delivered yet, and on their way to the dead-letter topic: int64.
	TagInFlight      = 10000
	TagDelayed       = 10001
	TagDeadLettering = 10002
)

// SetMillisTag gives a request a tagged field of milliseconds. d is at most 24 days.
func SetMillisTag(tags *kmsg.Tags, tag uint32, d time.Duration) {
	tags.Set(tag, binary.BigEndian.AppendUint32(nil, uint32(min(d.Milliseconds(), math.MaxInt32))))
}

// MillisTag returns a tagged field of milliseconds, 0 when there is none. Any other length than 4, and a negative number, is
// ErrMalformed.
func MillisTag(tags *kmsg.Tags, tag uint32) (d time.Duration, err error) {
	tags.Each(func(t uint32, value []byte) {
		if t != tag {
			return
		}
		if len(value) != 4 || value[0]&0x80 != 0 {
			err = fmt.Errorf("%w: tag %d is %x, not milliseconds", ErrMalformed, tag, value)
			return
		}
		d = time.Duration(binary.BigEndian.Uint32(value)) * time.Millisecond
	})
	return d, err
}

// SetCountTag gives a response a tagged field that is a count.
func SetCountTag(tags *kmsg.Tags, tag uint32, n int64) {
	tags.Set(tag, binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// CountTag returns a tagged field that is a count; ok is false when there is none.
func CountTag(tags *kmsg.Tags, tag uint32) (n int64, ok bool) {
	tags.Each(func(t uint32, value []byte) {
		if t == tag && len(value) == 8 {
			n, ok = int64(binary.BigEndian.Uint64(value)), true
		}
	})
	return n, ok
}
