package share

import (
	"fmt"
	"math"

	"balsa/internal/wire"
)

// Versions of what is on disk. A release that changes a layout counts its version up and keeps reading the old.
const (
	changeVersion   = 1
	snapshotVersion = 2 // 1 had no Epoch
)

// Both layouts are a version and a few fields, then runs. A run is: varint of the distance from the end of the run before (or
// of Start), uvarint of its length minus one, a byte of State and flags, then what the State has. Times are varints of the
// distance to the time before, since many are near each other. A member is a uvarint of its place among the members so far; one
// place further means a new one, which follows.
const (
	flagDelayed = 0x80 // an Available run has a time
	runBytes    = 3    // the least that a run takes
	maxOffset   = math.MaxInt64 >> 1
)

// AppendTo appends the encoded Change.
func (c Change) AppendTo(b []byte) []byte {
	e := runEncoder{Encoder: wire.Encoder{B: b}, next: c.Start}
	e.U8(changeVersion)
	var reset byte
	if c.Reset {
		reset = 1
	}
	e.U8(reset)
	e.Uvarint(uint64(c.Start))
	e.Uvarint(uint64(len(c.Runs)))
	for _, r := range c.Runs {
		e.run(r)
	}
	return e.B
}

// DecodeChange reads any bytes without panicking. Versions, states and fields that this release does not know are errors: a
// Change must not be applied in part.
func DecodeChange(b []byte) (Change, error) {
	d := runDecoder{Decoder: wire.Decoder{B: b}}
	if v := d.U8(); d.Err == nil && v != changeVersion {
		return Change{}, fmt.Errorf("share change has version %d, this release reads %d", v, changeVersion)
	}
	var c Change
	reset := d.U8()
	c.Reset = reset == 1
	if reset > 1 {
		d.Fail(fmt.Errorf("unknown flags %#x", reset))
	}
	c.Start = d.offset()
	d.next = c.Start
	c.Runs = d.runs()
	if err := d.End(); err != nil {
		return Change{}, fmt.Errorf("decode share change: %w", err)
	}
	return c, nil
}

// AppendTo appends a snapshot. Equal partitions give equal bytes.
func (p *Partition) AppendTo(b []byte) []byte {
	e := runEncoder{Encoder: wire.Encoder{B: b}, next: p.start}
	e.U8(snapshotVersion)
	p.epoch.AppendTo(&e.Encoder)
	e.Uvarint(uint64(p.start))
	e.Uvarint(uint64(p.runs.Len()))
	for r := range p.Runs(p.start) {
		e.run(r)
	}
	return e.B
}

// Decode reads a snapshot and returns what follows it. It reads any bytes without panicking.
func Decode(b []byte) (p *Partition, rest []byte, err error) {
	d := runDecoder{Decoder: wire.Decoder{B: b}}
	v := d.U8()
	if d.Err == nil && (v == 0 || v > snapshotVersion) {
		return nil, nil, fmt.Errorf("share partition snapshot has version %d, this release reads %d", v, snapshotVersion)
	}
	var epoch Epoch
	if v > 1 {
		epoch = DecodeEpoch(&d.Decoder)
	}
	p = New(d.offset())
	p.epoch = epoch
	d.next = p.start
	var before Run
	for i, r := range d.runs() {
		switch {
		case r.First != p.end:
			d.Fail(fmt.Errorf("a run begins at %d, not at %d", r.First, p.end))
		case i == 0 && r.State.Decided(), i > 0 && r.like(before):
			d.Fail(fmt.Errorf("the run at %d should not be there", r.First))
		}
		p.insert(r)
		p.end, before = r.Last+1, r
	}
	if d.Err != nil {
		return nil, nil, fmt.Errorf("decode share partition snapshot: %w", d.Err)
	}
	return p, d.B, nil
}

// runEncoder knows what the runs before have in common with the next.
type runEncoder struct {
	wire.Encoder
	next    Offset
	time    int64
	members map[string]uint64
}

func (e *runEncoder) run(r Run) {
	e.Varint(int64(r.First - e.next))
	e.Uvarint(uint64(r.Last - r.First))
	e.next = r.Last + 1
	switch r.State {
	case Available:
		flags := byte(Available)
		if r.Until != 0 {
			flags |= flagDelayed
		}
		e.U8(flags)
		e.Uvarint(uint64(r.DeliveryCount))
		if r.Until != 0 {
			e.until(r.Until)
		}
	case Acquired:
		e.U8(byte(Acquired))
		e.Uvarint(uint64(r.DeliveryCount))
		e.until(r.Until)
		e.member(r.Member)
	case Archiving:
		e.U8(byte(Archiving))
		e.Uvarint(uint64(r.DeliveryCount))
		e.U8(byte(r.Reason))
	default:
		e.U8(byte(r.State))
	}
}

func (e *runEncoder) until(t int64) {
	e.Varint(t - e.time)
	e.time = t
}

func (e *runEncoder) member(name string) {
	place, known := e.members[name]
	if known {
		e.Uvarint(place)
		return
	}
	if e.members == nil {
		e.members = map[string]uint64{}
	}
	place = uint64(len(e.members))
	e.members[name] = place
	e.Uvarint(place)
	e.Str(name)
}

// runDecoder is the counterpart of runEncoder.
type runDecoder struct {
	wire.Decoder
	next    Offset
	time    int64
	members []string
}

func (d *runDecoder) runs() []Run {
	n := d.Count(runBytes)
	runs := make([]Run, 0, n)
	for range n {
		r := d.run()
		if d.Err != nil {
			return nil
		}
		runs = append(runs, r)
	}
	return runs
}

func (d *runDecoder) run() Run {
	// Sums of two such numbers cannot overflow.
	first := int64(d.next) + d.within(d.Varint(), -maxOffset)
	last := d.within(first, 0) + d.within(int64(min(d.Uvarint(), math.MaxInt64)), 0)
	r := Run{First: Offset(first), Last: Offset(d.within(last, 0))}
	d.next = r.Last + 1
	flags := d.U8()
	r.State = State(flags &^ flagDelayed)
	switch {
	case r.State > Archived, flags&flagDelayed != 0 && r.State != Available:
		d.Fail(fmt.Errorf("unknown state %#x", flags))
	case r.State == Available:
		r.DeliveryCount = d.count()
		if flags&flagDelayed != 0 {
			if r.Until = d.until(); r.Until <= 0 {
				d.Fail(fmt.Errorf("a delay until %d", r.Until))
			}
		}
	case r.State == Acquired:
		r.DeliveryCount, r.Until, r.Member = d.count(), d.until(), d.member()
	case r.State == Archiving:
		r.DeliveryCount, r.Reason = d.count(), Reason(d.U8())
		if r.Reason > Expired {
			d.Fail(fmt.Errorf("unknown reason %d", r.Reason))
		}
	}
	return r
}

func (d *runDecoder) offset() Offset {
	return Offset(d.within(int64(min(d.Uvarint(), math.MaxInt64)), 0))
}

// within fails for what is no offset, nor the distance of two.
func (d *runDecoder) within(v, least int64) int64 {
	if v < least || v > maxOffset {
		d.Fail(fmt.Errorf("offset %d is out of range", v))
		return 0
	}
	return v
}

func (d *runDecoder) count() int16 {
	v := d.Uvarint()
	if v > math.MaxInt16 {
		d.Fail(fmt.Errorf("delivery count %d does not fit in 16 bits", v))
		return 0
	}
	return int16(v)
}

func (d *runDecoder) until() int64 {
	d.time += d.Varint()
	return d.time
}

func (d *runDecoder) member() string {
	place := d.Uvarint()
	switch {
	case place < uint64(len(d.members)):
		return d.members[place]
	case place > uint64(len(d.members)):
		d.Fail(fmt.Errorf("there is no member %d", place))
		return ""
	}
	name := d.Str()
	d.members = append(d.members, name)
	return name
}
