package server

import (
	"errors"
	"reflect"
	"testing"

	"balsa/server/handler"
)

func TestQuorumCodec(t *testing.T) {
	want := handler.QuorumState{Leader: 3, Epoch: 9, HighWatermark: 1 << 40, Members: []handler.QuorumMember{
		{Node: 3, Voter: true, LogEnd: 1<<40 + 1, LastFetch: 1795457933812, LastCaughtUp: 1795457933812},
		{Node: 300, LogEnd: -1, LastFetch: -1, LastCaughtUp: -1},
	}}
	b := encodeQuorum(want)
	got, err := decodeQuorum(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for i := range b {
		if _, err := decodeQuorum(b[:i]); !errors.Is(err, errQuorum) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
	if _, err := decodeQuorum(append(b, 0)); !errors.Is(err, errQuorum) {
		t.Errorf("with a byte more: %v", err)
	}
}

func FuzzDecodeQuorum(f *testing.F) {
	f.Add(encodeQuorum(handler.QuorumState{Leader: 1, Members: []handler.QuorumMember{{Node: 1, Voter: true}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeQuorum(b)
		if err != nil {
			return
		}
		if again, err := decodeQuorum(encodeQuorum(s)); err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%+v became %+v, %v", s, again, err)
		}
	})
}
