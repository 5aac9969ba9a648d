package share

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// everything is a change with every state.
var everything = Change{Start: 5, Runs: []Run{
	{First: 7, Last: 8, State: Available, DeliveryCount: 2},
	{First: 9, Last: 9, State: Available, Until: 1_700_000_000_000},
	{First: 10, Last: 12, State: Acquired, DeliveryCount: 1, Member: "alice", Until: 1_700_000_000_050},
	{First: 13, Last: 13, State: Acquired, DeliveryCount: 1, Member: "bob", Until: 1_700_000_000_040},
	{First: 14, Last: 300, State: Acknowledged},
	{First: 301, Last: 301, State: Acquired, DeliveryCount: 3, Member: "alice", Until: 1_700_000_000_040},
	{First: 302, Last: 303, State: Archiving, DeliveryCount: 5, Reason: DeliveryLimit},
	{First: 304, Last: 304, State: Archived},
	{First: 6, Last: 6, State: Archiving, Reason: Expired},
}}

// What a release has written, all later ones read. See codec.go for the layout.
func TestGolden(t *testing.T) {
	const change = `
		01 00 05 09
		04 01 00 02
		00 00 80 00 80 a0 ab fe f9 62
		00 02 01 01 64 00 05 616c696365
		00 00 01 01 13 01 03 626f62
		00 9e02 02
		00 00 01 03 00 00
		00 01 03 05 01
		00 00 04
		d504 00 03 00 02`
	if got, want := everything.AppendTo([]byte{}), unhex(t, change); !bytes.Equal(got, want) {
		t.Errorf("change\ngot  %x\nwant %x", got, want)
	}
	decoded, err := DecodeChange(unhex(t, change))
	if err != nil || fmt.Sprint(decoded) != fmt.Sprint(everything) {
		t.Errorf("change: %+v, %v", decoded, err)
	}

	const snapshot = `
		02 06 08 0a 06 09
		00 00 03 00 02
		00 01 00 02
		00 00 80 00 80 a0 ab fe f9 62
		00 02 01 01 64 00 05 616c696365
		00 00 01 01 13 01 03 626f62
		00 9e02 02
		00 00 01 03 00 00
		00 01 03 05 01
		00 00 04`
	p := New(5)
	p.SetEpoch(Epoch{Shard: 3, Term: 4, Number: 5})
	p.Apply(Change{Runs: []Run{{First: 5, Last: 6, State: Archived}}})
	p.Apply(everything)
	p.Apply(Change{Reset: true, Start: 6})
	p.Apply(everything)
	if got, want := p.AppendTo([]byte{}), unhex(t, snapshot); !bytes.Equal(got, want) {
		t.Errorf("snapshot\ngot  %x\nwant %x", got, want)
	}
	restored, rest, err := Decode(unhex(t, snapshot+"ff"))
	if err != nil || !bytes.Equal(rest, []byte{0xff}) || !slices.Equal(slices.Collect(restored.Runs(0)), slices.Collect(p.Runs(0))) ||
		restored.Epoch() != p.Epoch() || restored.Clone().Epoch() != p.Epoch() {
		t.Errorf("snapshot: %+v, %x, %v", restored, rest, err)
	}
	if old, _, err := Decode(unhex(t, "01 06 00")); err != nil || old.Start() != 6 || old.Epoch() != (Epoch{}) {
		t.Errorf("snapshot of version 1: %+v, %v", old, err)
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecodeRefuses(t *testing.T) {
	changes := map[string]string{
		"nothing":                 "",
		"a version of the future": "02 00 05 00",
		"unknown flags":           "01 02 05 00",
		"too few runs":            "01 00 05 02 00 00 04",
		"too many runs":           "01 00 05 01 00 00 04 00 00 04",
		"more runs than bytes":    "01 00 05 ffffffff0f 00 00 04",
		"an unknown state":        "01 00 05 01 00 00 05",
		"a delayed archived":      "01 00 05 01 00 00 84",
		"a delay that is over":    "01 00 05 01 00 00 80 00 00",
		"an unknown reason":       "01 00 05 01 00 00 03 00 03",
		"a delivery count":        "01 00 05 01 00 00 00 808002",
		"a member out of turn":    "01 00 05 01 00 00 01 00 00 01 0161",
		"a negative offset":       "01 00 05 01 0b 00 04",
		"an offset out of range":  "01 00 05 01 feffffffffffffff7f 00 04",
		"a length out of range":   "01 00 05 01 00 ffffffffffffffffff01 04",
		"a start out of range":    "01 00 ffffffffffffffffff01 00",
	}
	for name, text := range changes {
		if c, err := DecodeChange(unhex(t, text)); err == nil {
			t.Errorf("change with %s: %+v", name, c)
		}
	}
	snapshots := map[string]string{
		"nothing":                 "",
		"a version of the future": "03 00 00 00 05 00",
		"a gap":                   "01 05 01 02 00 03 00 00",
		"an overlap":              "01 05 02 00 02 00 00 01 00 00 00",
		"a decided start":         "01 05 01 00 00 04",
		"alike neighbours":        "01 05 02 00 00 00 01 00 00 00 01",
		"too few runs":            "01 05 02 00 00 00 01",
	}
	for name, text := range snapshots {
		if p, _, err := Decode(unhex(t, text)); err == nil {
			t.Errorf("snapshot with %s: %+v", name, slices.Collect(p.Runs(0)))
		}
	}
	// Both refuse every shorter form of what they accept.
	whole := everything.AppendTo(nil)
	for n := range whole {
		if c, err := DecodeChange(whole[:n]); err == nil {
			t.Errorf("%d of %d bytes: %+v", n, len(whole), c)
		}
	}
}

func FuzzDecodeChange(f *testing.F) {
	f.Add(everything.AppendTo(nil))
	f.Add(Change{Reset: true, Start: 3}.AppendTo(nil))
	f.Add(Change{Runs: []Run{{First: maxOffset, Last: maxOffset, State: Acknowledged}, {Last: math.MaxInt32}}}.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeChange(b)
		if err != nil {
			return
		}
		if cap(c.Runs)*runBytes > len(b) {
			t.Fatalf("%d runs for %d bytes", cap(c.Runs), len(b))
		}
		again, err := DecodeChange(c.AppendTo(nil))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(c) {
			t.Fatalf("%+v became %+v, %v", c, again, err)
		}
		p := New(10)
		p.Apply(Change{Runs: []Run{{First: 10, Last: 20}, {First: 21, Last: 30, State: Acquired, Member: "m"}}})
		p.index = newIndex(p) // as in a Leader
		for range 2 {
			p.Apply(c)
			if err := p.verify(); err != nil {
				t.Fatalf("after %+v: %v", c, err)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	p := New(5)
	p.Apply(everything)
	f.Add(p.AppendTo(nil))
	f.Add(New(0).AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, rest, err := Decode(b)
		if err != nil {
			return
		}
		if err := p.verify(); err != nil {
			t.Fatal(err)
		}
		if p.runs.Len()*runBytes > len(b) || !bytes.HasSuffix(b, rest) {
			t.Fatalf("%d runs and %d more bytes of %d", p.runs.Len(), len(rest), len(b))
		}
		again, rest, err := Decode(p.AppendTo(nil))
		if err != nil || len(rest) > 0 || again.start != p.start || again.end != p.end ||
			!slices.Equal(slices.Collect(again.Runs(0)), slices.Collect(p.Runs(0))) {
			t.Fatalf("%+v became %+v, %v", slices.Collect(p.Runs(0)), again, err)
		}
	})
}
