package partition

import (
	"reflect"
	"testing"

	"balsa/internal/wire"
	"balsa/server/share"
)

func TestShareEntryCodec(t *testing.T) {
	for _, e := range []shareEntry{
		{op: shareInitialised, group: "g", start: 1 << 40},
		{op: shareReset, group: "", start: 0},
		{op: shareDeleted, group: "g"},
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
	for _, b := range [][]byte{nil, {shareEntryVersion + 1, 1, 0, 0}, {shareEntryVersion, 9, 0}, {shareEntryVersion, 3, 0, 0}} {
		if e, err := decodeShareEntry(b); err == nil {
			t.Errorf("%x reads as %+v", b, e)
		}
	}
}

// Version 3 of the machine's state knew no share groups.
func TestMachineRestoresVersion3(t *testing.T) {
	f := newQueue(t, nil, nil)
	f.enqueue(value("a"), value("b"), value("c"))
	f.want("acquired", f.receive("m", 2), "a/1", "b/1")
	m := f.partition().machine
	state := m.Snapshot()
	if err := m.Restore(state); err != nil || m.shares[group].End() != 2 || m.shares[group].Counts().Acquired != 2 {
		t.Fatalf("%+v, %v", m.shares[group], err)
	}
	end := len(state) - len(m.producers.appendTo(nil))
	old := append([]byte{3}, state[1:end-len(m.shares.appendTo(nil))]...)
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
	f.Add(shareStates{"g": share.New(5)}.appendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := decodeShareEntry(b); err == nil {
			if again, err := decodeShareEntry(e.encode()); err != nil || !reflect.DeepEqual(again, e) {
				t.Errorf("%+v reads as %+v, %v", e, again, err)
			}
		}
		d := wire.Decoder{B: b}
		_, _ = decodeShareStates(&d)
	})
}
