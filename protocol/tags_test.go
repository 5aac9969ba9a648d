package protocol

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestMillisTag(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, 12 * time.Hour, math.MaxInt32 * time.Millisecond} {
		req := kmsg.NewPtrShareFetchRequest()
		req.Version = 2
		SetMillisTag(&req.UnknownTags, TagVisibility, d)
		back, err := DecodeRequest(RequestHeader{Key: 78, Version: 2}, req.AppendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		tags := &back.(*kmsg.ShareFetchRequest).UnknownTags
		if got, err := MillisTag(tags, TagVisibility); err != nil || got != d {
			t.Errorf("%v became %v, %v", d, got, err)
		}
		if got, err := MillisTag(tags, TagReleaseDelay); err != nil || got != 0 {
			t.Errorf("a tag that was not set is %v, %v", got, err)
		}
	}
	for _, bad := range [][]byte{nil, {0, 0, 1}, {0, 0, 0, 0, 1}, {0xff, 0xff, 0xff, 0xff}} {
		var tags kmsg.Tags
		tags.Set(TagRenewLock, bad)
		if got, err := MillisTag(&tags, TagRenewLock); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x is %v, %v", bad, got, err)
		}
	}
	var tags kmsg.Tags
	SetMillisTag(&tags, TagRenewLock, math.MaxInt64)
	if got, err := MillisTag(&tags, TagRenewLock); err != nil || got != math.MaxInt32*time.Millisecond {
		t.Errorf("the longest time became %v, %v", got, err)
	}
}

func TestCountTag(t *testing.T) {
	var tags kmsg.Tags
	SetCountTag(&tags, TagInFlight, 1<<40)
	tags.Set(TagDelayed, []byte{1})
	if n, ok := CountTag(&tags, TagInFlight); n != 1<<40 || !ok {
		t.Errorf("%d, %v", n, ok)
	}
	for _, tag := range []uint32{TagDelayed, TagDeadLettering} {
		if n, ok := CountTag(&tags, tag); n != 0 || ok {
			t.Errorf("tag %d: %d, %v", tag, n, ok)
		}
	}
}

func TestRangesTag(t *testing.T) {
	want := []OffsetRange{{0, 0}, {2, 1 << 40}, {1<<40 + 2, math.MaxInt64 - 1}}
	var tags kmsg.Tags
	SetRangesTag(&tags, TagDecided, want)
	if got := RangesTag(&tags, TagDecided); !slices.Equal(got, want) || !HasTag(&tags, TagDecided) || HasTag(&tags, TagDelayed) {
		t.Errorf("%v became %v", want, got)
	}
	for _, bad := range [][]byte{{1}, {1, 0}, {0x80}, append([]byte{5}, bytes.Repeat([]byte{0xff}, 9)...), {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}} {
		tags.Set(TagDecided, bad)
		if got := RangesTag(&tags, TagDecided); got != nil {
			t.Errorf("%x is %v", bad, got)
		}
	}
}
