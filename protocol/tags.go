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
	// TagDecided is which records after the start offset nobody gets any more, see SetRangesTag: the first of them, when there are
	// many ranges. It is there if the group in the request has TagWantDecided, without a value.
	TagDecided     = 10003
	TagWantDecided = 10000
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

// HasTag says whether there is a tagged field.
func HasTag(tags *kmsg.Tags, tag uint32) (found bool) {
	tags.Each(func(t uint32, _ []byte) { found = found || t == tag })
	return found
}

// OffsetRange is the offsets from First to Last.
type OffsetRange struct{ First, Last int64 }

// SetRangesTag gives a response a tagged field of ranges that rise and do not touch: for each, the distance of its beginning from the end
// of the one before, or from 0, and its length, as uvarints.
func SetRangesTag(tags *kmsg.Tags, tag uint32, ranges []OffsetRange) {
	var value []byte
	next := int64(0)
	for _, r := range ranges {
		value = binary.AppendUvarint(value, uint64(r.First-next))
		next = r.Last + 1
		value = binary.AppendUvarint(value, uint64(next-r.First))
	}
	tags.Set(tag, value)
}

// RangesTag returns a tagged field of ranges; nil when there is none, or it is not well formed.
func RangesTag(tags *kmsg.Tags, tag uint32) (ranges []OffsetRange) {
	tags.Each(func(t uint32, value []byte) {
		if t == tag {
			ranges = decodeRanges(value)
		}
	})
	return ranges
}

func decodeRanges(b []byte) (ranges []OffsetRange) {
	next := int64(0)
	for len(b) > 0 {
		distance, n := binary.Uvarint(b)
		if n <= 0 {
			return nil
		}
		length, m := binary.Uvarint(b[n:])
		if m <= 0 || length == 0 || distance > uint64(math.MaxInt64-next) || length > uint64(math.MaxInt64-next)-distance {
			return nil
		}
		first := next + int64(distance)
		next = first + int64(length)
		ranges = append(ranges, OffsetRange{first, next - 1})
		b = b[n+m:]
	}
	return ranges
}
