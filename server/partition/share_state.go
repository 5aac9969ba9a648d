package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"balsa/internal/invariant"
	"balsa/internal/wire"
	"balsa/log"
	"balsa/raft"
	"balsa/server/share"
)

// shareOp says what a share entry does to the state of one group.
type shareOp uint8

// Their values are on disk.
const (
	shareInitialised shareOp = iota + 1 // the group gets a state if it has none; it has this epoch
	shareReset                          // it gets one that begins at another offset
	shareDeleted                        // it loses it
	shareChanged                        // records change their state
	shareSnapshot                       // it gets the one that is in the entry: see snapshotShares
)

// shareEntry is the payload of batch.KindShare: a leader's decision about one share group's state of this partition.
type shareEntry struct {
	op     shareOp
	group  string
	epoch  share.Epoch      // shareInitialised, shareReset, shareDeleted
	start  log.Offset       // shareInitialised, shareReset
	change share.Change     // shareChanged
	state  *share.Partition // shareSnapshot
}

// shareEntryVersion 1 had no epochs. Entries that are no coordinator's still have it.
const shareEntryVersion = 2

func (o shareOp) ofCoordinator() bool {
	return o == shareInitialised || o == shareReset || o == shareDeleted
}

func (e *shareEntry) encode() []byte {
	w := wire.Encoder{}
	if e.op.ofCoordinator() {
		w.U8(shareEntryVersion)
	} else {
		w.U8(1)
	}
	w.U8(byte(e.op))
	w.Str(e.group)
	if e.op.ofCoordinator() {
		e.epoch.AppendTo(&w)
	}
	switch e.op {
	case shareInitialised, shareReset:
		w.Varint(int64(e.start))
	case shareChanged:
		w.B = e.change.AppendTo(w.B)
	case shareSnapshot:
		w.B = e.state.AppendTo(w.B)
	case shareDeleted:
	}
	return w.B
}

var errShareEntry = errors.New("malformed share entry")

func decodeShareEntry(b []byte) (shareEntry, error) {
	e, d, err := decodeShareHeader(b)
	if err != nil {
		return shareEntry{}, err
	}
	switch e.op {
	case shareInitialised, shareReset:
		e.start = log.Offset(d.Varint())
		if e.start < 0 {
			d.Fail(fmt.Errorf("start offset %d", e.start))
		}
	case shareChanged:
		if e.change, err = share.DecodeChange(d.B); err != nil {
			return shareEntry{}, fmt.Errorf("%w: %w", errShareEntry, err)
		}
		d.B = nil
	case shareSnapshot:
		if e.state, d.B, err = share.Decode(d.B); err != nil {
			return shareEntry{}, fmt.Errorf("%w: %w", errShareEntry, err)
		}
	case shareDeleted:
	default:
		d.Fail(fmt.Errorf("operation %d", e.op))
	}
	if err := d.End(); err != nil {
		return shareEntry{}, fmt.Errorf("%w: %w", errShareEntry, err)
	}
	return e, nil
}

// decodeShareHeader takes the operation, the group and the epoch off an entry; the rest is the operation's.
func decodeShareHeader(b []byte) (shareEntry, wire.Decoder, error) {
	d := wire.Decoder{B: b}
	version := d.U8()
	e := shareEntry{op: shareOp(d.U8()), group: d.Str()}
	if d.Err == nil && (version == 0 || version > shareEntryVersion || version > 1 && !e.op.ofCoordinator()) {
		return shareEntry{}, d, fmt.Errorf("%w: version %d", errShareEntry, version)
	}
	if version > 1 {
		e.epoch = share.DecodeEpoch(&d)
	}
	if d.Err != nil {
		return shareEntry{}, d, fmt.Errorf("%w: %w", errShareEntry, d.Err)
	}
	return e, d, nil
}

// shareStates is the replicated state of the partition's share groups, by their ids.
type shareStates map[string]*share.Partition

// applyShare takes a committed share entry. The caller holds m.mu.
func (m *machine) applyShare(raw raft.Entry) {
	e, err := decodeShareEntry(raw.Payload)
	invariant.Check(err == nil, "share entry %d: %v", raw.Index, err)
	s := m.shares[e.group]
	switch e.op {
	case shareInitialised:
		if s == nil {
			m.makeShare(e)
		} else {
			s.SetEpoch(e.epoch)
		}
	case shareReset:
		m.makeShare(e)
	case shareDeleted:
		delete(m.shares, e.group)
		m.shareFloors.raise(e.epoch)
	case shareChanged:
		if s != nil { // else it was decided while the deletion was on its way
			s.Apply(e.change)
		}
	case shareSnapshot:
		// Where the entries before it were applied this changes nothing; where compaction removed them it makes up for them.
		e.state.AdvanceStart(m.p.logStartOffset())
		m.shares[e.group] = e.state
	}
	m.countShare(&e, len(raw.Payload))
}

// makeShare gives a group a state without history. The caller holds m.mu.
func (m *machine) makeShare(e shareEntry) {
	s := share.New(max(e.start, m.p.logStartOffset()))
	s.SetEpoch(e.epoch)
	m.shares[e.group] = s
}

// trimShares forgets what lies below the log start. The caller holds m.mu.
func (m *machine) trimShares(start log.Offset) {
	for _, s := range m.shares {
		s.AdvanceStart(start)
	}
}

func (s shareStates) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	for _, group := range slices.Sorted(maps.Keys(s)) {
		b = binary.AppendUvarint(b, uint64(len(group)))
		b = append(b, group...)
		b = s[group].AppendTo(b)
	}
	return b
}

func decodeShareStates(d *wire.Decoder) (shareStates, error) {
	const least = 2
	states := shareStates{}
	for range d.Count(least) {
		group := d.Str()
		if d.Err != nil {
			break
		}
		s, rest, err := share.Decode(d.B)
		if err != nil {
			return nil, fmt.Errorf("state of share group %q: %w", group, err)
		}
		states[group], d.B = s, rest
	}
	return states, d.Err
}
