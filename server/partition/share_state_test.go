package partition

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"balsa/internal/wire"
	"balsa/log"
	"balsa/server/share"
)

func TestShareEntryCodec(t *testing.T) {
	for _, e := range []shareEntry{
		{op: shareInitialised, group: "g", epoch: share.Epoch{Shard: 1, Term: 2, Number: 3}, start: 1 << 40},
		{op: shareReset, group: "", start: 0},
		{op: shareDeleted, group: "g", epoch: share.Epoch{Shard: 40, Term: 1 << 31, Number: 1 << 40}},
		{op: shareChanged, group: "g", change: share.Change{Runs: []share.Run{
			{First: 3, Last: 9, State: share.Acquired, DeliveryCount: 2, Member: "m", Until: 1_700_000_000_000},
			{First: 10, Last: 10, State: share.Acknowledged},
		}}},
	} {
		got, err := decodeShareEntry(e.encode())
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%+v reads as %+v, %v", e, got, err)
		}
	}
	e := shareEntry{op: shareSnapshot, group: "g", state: someShares()}
	got, err := decodeShareEntry(e.encode())
	if err != nil || got.op != e.op || got.group != "g" || !bytes.Equal(got.state.AppendTo(nil), e.state.AppendTo(nil)) {
		t.Errorf("%+v reads as %+v, %v", e, got, err)
	}
	if _, err := decodeShareEntry(append(e.encode(), 0)); err == nil {
		t.Error("what follows a snapshot is passed over")
	}
	for _, b := range [][]byte{nil, {shareEntryVersion + 1, 1, 0, 0}, {1, 9, 0}, {1, 3, 0, 0}, {shareEntryVersion, 4, 0, 0, 0}, {shareEntryVersion, 3, 0, 0, 0}} {
		if e, err := decodeShareEntry(b); err == nil {
			t.Errorf("%x reads as %+v", b, e)
		}
	}
}

func someShares() *share.Partition {
	p := share.New(3)
	p.Apply(share.Change{Runs: []share.Run{
		{First: 3, Last: 9, State: share.Acquired, DeliveryCount: 2, Member: "m", Until: 1_700_000_000_000},
		{First: 10, Last: 10, State: share.Acknowledged},
		{First: 11, Last: 40, State: share.Available, DeliveryCount: 1},
	}})
	return p
}

// The bytes are in the log of every replica, and must be read by every later version.
func TestShareEntryGolden(t *testing.T) {
	epoch := share.Epoch{Shard: 1, Term: 2, Number: 3}
	for want, e := range map[string]shareEntry{
		"0201016702040606":       {op: shareInitialised, group: "g", epoch: epoch, start: 3},
		"0202016702040606":       {op: shareReset, group: "g", epoch: epoch, start: 3},
		"02030167020406":         {op: shareDeleted, group: "g", epoch: epoch},
		"0104016701000001060002": {op: shareChanged, group: "g", change: share.Change{Runs: []share.Run{{First: 3, Last: 3, State: share.Acknowledged}}}},
		"010501670200000003030006010280a0abfef96200016d000002001d0001": {op: shareSnapshot, group: "g", state: someShares()},
	} {
		if got := hex.EncodeToString(e.encode()); got != want {
			t.Errorf("%+v is %s, want %s", e, got, want)
		}
	}
}

// What compaction learns of an entry is what applying it does.
func TestReadShareEntry(t *testing.T) {
	for _, tc := range []struct {
		e    shareEntry
		want log.ShareEntry
	}{
		{shareEntry{op: shareInitialised, group: "g"}, log.ShareEntry{Group: "g"}},
		{shareEntry{op: shareChanged, group: "g"}, log.ShareEntry{Group: "g"}},
		{shareEntry{op: shareReset, group: "h"}, log.ShareEntry{Group: "h", Replaces: true}},
		{shareEntry{op: shareSnapshot, group: "h", state: share.New(0)}, log.ShareEntry{Group: "h", Replaces: true}},
		{shareEntry{op: shareDeleted, group: ""}, log.ShareEntry{Replaces: true, Deletes: true}},
	} {
		if got, ok := readShareEntry(tc.e.encode()); !ok || got != tc.want {
			t.Errorf("%+v: %+v, %v", tc.e, got, ok)
		}
	}
	for _, b := range [][]byte{nil, {shareEntryVersion}, {shareEntryVersion + 1, byte(shareReset), 1, 'g'}, {shareEntryVersion, 99, 1, 'g'}} {
		if got, ok := readShareEntry(b); ok {
			t.Errorf("%x is %+v", b, got)
		}
	}
}

// Version 1 of share entries had no epoch.
func TestShareEntryVersion1(t *testing.T) {
	if e, err := decodeShareEntry([]byte{1, byte(shareReset), 1, 'g', 14}); err != nil || e.group != "g" || e.start != 7 || e.epoch != (share.Epoch{}) {
		t.Errorf("%+v, %v", e, err)
	}
}

// Version 3 of the machine's state knew no share groups, version 4 no deletions of them.
func TestMachineRestoresOldVersions(t *testing.T) {
	f := newQueue(t, nil, nil)
	f.enqueue(value("a"), value("b"), value("c"))
	f.want("acquired", f.receive("m", 2), "a/1", "b/1")
	m := f.partition().machine
	state := m.Snapshot()
	if err := m.Restore(state); err != nil || m.shares[group].End() != 2 || m.shares[group].Counts().Acquired != 2 {
		t.Fatalf("%+v, %v", m.shares[group], err)
	}
	end := len(state) - len(m.producers.appendTo(nil))
	floors := len(m.shareFloors.appendTo(nil))
	old := append([]byte{4}, state[1:end-floors]...)
	if err := m.Restore(append(old, state[end:]...)); err != nil || m.shares[group].End() != 2 || len(m.shareFloors) != 0 {
		t.Fatalf("version 4: %+v, %v", m.shares[group], err)
	}
	old = append([]byte{3}, state[1:end-len(m.shares.appendTo(nil))-floors]...)
	if err := m.Restore(append(old, state[end:]...)); err != nil || len(m.shares) != 0 || m.p.highWatermark() != 3 {
		t.Fatalf("%+v, %v, high watermark %d", m.shares, err, m.p.highWatermark())
	}
	if err := m.Restore(state[:end-1]); err == nil {
		t.Error("a state that ends early was restored")
	}
}

func FuzzDecodeShareEntry(f *testing.F) {
	f.Add((&shareEntry{op: shareInitialised, group: "g", start: 7}).encode())
	f.Add((&shareEntry{op: shareChanged, group: "g", change: share.Change{Runs: []share.Run{{First: 1, Last: 2}}}}).encode())
	f.Add((&shareEntry{op: shareSnapshot, group: "g", state: someShares()}).encode())
	f.Add(shareStates{"g": share.New(5)}.appendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := decodeShareEntry(b); err == nil {
			if again, err := decodeShareEntry(e.encode()); err != nil || !bytes.Equal(again.encode(), e.encode()) {
				t.Errorf("%+v reads as %+v, %v", e, again, err)
			}
		}
		d := wire.Decoder{B: b}
		_, _ = decodeShareStates(&d)
	})
}
