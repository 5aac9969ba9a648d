package group

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"
)

// goldenRecords are records as they are on disk. They must decode for ever; never change a line, only add.
var goldenRecords = []struct {
	name string
	hex  string
	want record
}{
	{
		"offset committed", "01010167017402" + "00000000000000000000000000000007" + "d209" + "06" + "046d657461" + "80a0d5edee66" + "01" + "09",
		offsetCommitted{"g", "t", 1, Offset{
			TopicID: [16]byte{15: 7}, Offset: 617, LeaderEpoch: 3, Metadata: "meta", CommitTime: 1767225600000, ExpireTime: noTime,
		}, 9},
	},
	{"offset deleted", "0201016701740a", offsetDeleted{"g", "t", 5}},
	{
		"group stored", "030101670408636f6e73756d65720572616e676503612d31" + "80a0d5edee66" + "01" +
			"03612d31" + "0369" + "31" + "0161" + "0a2f3132372e302e302e31" + "c0a907" + "a09c01" + "027362" + "0161",
		groupStored{"g", Membership{
			Generation: 2, ProtocolType: "consumer", Protocol: "range", Leader: "a-1", StateTime: 1767225600000,
			Members: []Member{{
				ID: "a-1", InstanceID: text("i1"), ClientID: "a", ClientHost: "/127.0.0.1",
				RebalanceTimeout: 60000, SessionTimeout: 10000, Subscription: []byte("sb"), Assignment: []byte("a"),
			}},
		}},
	},
	{"empty group stored", "0301016706000000" + "01" + "00", groupStored{"g", Membership{Generation: 3, StateTime: noTime}}},
	{"group deleted", "04010167", groupDeleted{"g"}},
	{
		"offset pending", "05018e3e06" + "0167017402" + "00000000000000000000000000000007" + "d209" + "06" + "046d657461" + "80a0d5edee66" + "01" + "09",
		offsetPending{3975, 3, offsetCommitted{"g", "t", 1, Offset{
			TopicID: [16]byte{15: 7}, Offset: 617, LeaderEpoch: 3, Metadata: "meta", CommitTime: 1767225600000, ExpireTime: noTime,
		}, 9}},
	},
	{"transaction ended", "06018e3e08040180a0d5edee66", transactionEnded{3975, 4, 2, true, 1767225600000}},
	{"producer forgotten", "07018e3e", producerForgotten{3975}},
}

func text(s string) *string { return &s }

func TestRecordGolden(t *testing.T) {
	for _, g := range goldenRecords {
		t.Run(g.name, func(t *testing.T) {
			if got := hex.EncodeToString(encodeRecord(g.want)); got != g.hex {
				t.Errorf("encoded\n got %s\nwant %s", got, g.hex)
			}
			b, err := hex.DecodeString(g.hex)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeRecord(b)
			if err != nil || !reflect.DeepEqual(got, g.want) {
				t.Errorf("decoded\n got %+v, %v\nwant %+v", got, err, g.want)
			}
			for n := range b {
				if r, err := decodeRecord(b[:n]); err == nil {
					t.Errorf("the first %d of %d bytes decoded to %+v", n, len(b), r)
				}
			}
			if _, err := decodeRecord(append(b, 0)); err == nil {
				t.Error("a byte too many was accepted")
			}
		})
	}
}

func TestRecordRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":           {},
		"unknown kind":      {99, recordVersion},
		"later version":     {byte(recordGroupDeleted), recordVersion + 1, 1, 'g'},
		"kind zero":         {0, recordVersion},
		"a lying count":     {byte(recordGroupStored), recordVersion, 1, 'g', 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xf},
		"a lying length":    {byte(recordGroupDeleted), recordVersion, 0xff, 0xff, 0xff, 0xff, 0xf, 'g'},
		"an endless varint": {byte(recordGroupDeleted), recordVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewState()
			if err := s.Replay(b); err == nil {
				t.Error("accepted")
			}
			if !bytes.Equal(s.Snapshot(), NewState().Snapshot()) {
				t.Error("a refused record changed the state")
			}
		})
	}
}

func FuzzRecord(f *testing.F) {
	for _, g := range goldenRecords {
		f.Add(encodeRecord(g.want))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b)
		if err != nil {
			return
		}
		// Varints have several encodings; what was read must be written and read as the same.
		again, err := decodeRecord(encodeRecord(r))
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("read %+v, after encoding %+v (%v)", r, again, err)
		}
		s := NewState()
		r.apply(s)
		restored := NewState()
		if err := restored.Restore(s.Snapshot()); err != nil {
			t.Fatalf("restore: %v", err)
		}
		if !bytes.Equal(restored.Snapshot(), s.Snapshot()) {
			t.Fatal("restored state differs")
		}
	})
}

func FuzzSnapshot(f *testing.F) {
	s := NewState()
	for _, g := range goldenRecords[:3] {
		g.want.apply(s)
	}
	f.Add(s.Snapshot())
	f.Add(NewState().Snapshot())
	f.Fuzz(func(t *testing.T, b []byte) {
		s := NewState()
		before := s.Snapshot()
		if err := s.Restore(b); err != nil {
			if !bytes.Equal(s.Snapshot(), before) {
				t.Fatal("a refused snapshot changed the state")
			}
			return
		}
		again := NewState()
		if err := again.Restore(s.Snapshot()); err != nil || !bytes.Equal(again.Snapshot(), s.Snapshot()) {
			t.Fatalf("a snapshot of a restored state restores to another (%v)", err)
		}
	})
}

func FuzzSubscription(f *testing.F) {
	f.Add(subscription("t", "u"))
	f.Add(subscription())
	f.Add([]byte{0, 1, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 1, 't'})
	f.Fuzz(func(t *testing.T, b []byte) {
		topics, err := parseSubscription(b)
		if err == nil && len(topics) > len(b)/2 {
			t.Fatalf("%d topics in %d bytes", len(topics), len(b))
		}
	})
}

func TestSubscription(t *testing.T) {
	got, err := parseSubscription(subscription("t", "uvw", ""))
	if err != nil || !reflect.DeepEqual(got, []string{"t", "uvw", ""}) {
		t.Errorf("got %q, %v", got, err)
	}
	for _, b := range [][]byte{nil, {0}, {0xff, 0xff, 0, 0, 0, 0}, {0, 0, 0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 0, 0, 1, 0, 9, 'x'}} {
		if got, err := parseSubscription(b); err == nil {
			t.Errorf("%x was read as %q", b, got)
		}
	}
}
