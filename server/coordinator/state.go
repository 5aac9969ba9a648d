package coordinator

import (
	"errors"
	"fmt"
	"time"

	"balsa/internal/wire"
	"balsa/log"
	"balsa/log/batch"
	"balsa/server/group"
	"balsa/server/txn"
)

// state is a shard's durable state: that of its groups and that of its transactions, built from the same entries.
type state struct {
	group *group.State
	txn   *txn.State
}

func newState() *state { return &state{group: group.NewState(), txn: txn.NewState()} }

// An entry's first record is its head: in which epoch it was decided. Kinds of records are told apart by their first byte;
// this one is above all of group and txn.
const (
	recordEntryHead  = 255
	entryHeadVersion = 1
)

// errVoid is the outcome of an entry that was written in a later epoch than the one that it was decided in.
var errVoid = errors.New("the entry was decided in an earlier epoch than it was written in")

// buildEntry makes the entry with records that were decided in an epoch.
func buildEntry(decided log.Epoch, records [][]byte, now time.Time) batch.Batch {
	e := wire.Encoder{B: []byte{recordEntryHead, entryHeadVersion}}
	e.Uvarint(uint64(decided))
	values := make([][]byte, 0, 1+len(records))
	return batch.Build(append(append(values, e.B), records...), now.UnixMilli())
}

// apply replays the records of an entry that was written in an epoch. What was decided in an earlier epoch is void: the
// leader that decided it had lost its leadership and won it again without having noticed, so it did not know what was
// written in between. Entries of releases before heads count as they are.
func (s *state) apply(entry batch.Batch, written log.Epoch) error {
	values, err := entry.Values()
	if err != nil {
		return fmt.Errorf("read entry: %w", err)
	}
	if len(values) > 0 && len(values[0]) > 0 && values[0][0] == recordEntryHead {
		decided, err := decodeEntryHead(values[0])
		if err != nil {
			return err
		}
		if decided != written {
			return nil
		}
		values = values[1:]
	}
	for _, v := range values {
		if err := s.replay(v); err != nil {
			return err
		}
	}
	return nil
}

func (s *state) replay(record []byte) error {
	if len(record) > 0 && record[0] >= txn.FirstRecordKind {
		return s.txn.Replay(record)
	}
	return s.group.Replay(record)
}

func decodeEntryHead(b []byte) (log.Epoch, error) {
	d := wire.Decoder{B: b[1:]}
	if v := d.U8(); d.Err == nil && v != entryHeadVersion {
		return 0, fmt.Errorf("coordinator entry has version %d, this release reads %d", v, entryHeadVersion)
	}
	epoch := d.Uvarint()
	if err := d.End(); err != nil {
		return 0, fmt.Errorf("decode head of coordinator entry: %w", err)
	}
	return log.Epoch(epoch), nil
}

// snapshotVersion is the first byte of a shard's snapshot. Before there were transactions, a snapshot was that of the
// groups alone, whose own version is far below.
const snapshotVersion = 128

// snapshot returns both states as bytes: the version, the groups' snapshot with its length, the transactions'.
func (s *state) snapshot() []byte {
	e := wire.Encoder{B: []byte{snapshotVersion}}
	e.Bytes(s.group.Snapshot())
	e.Bytes(s.txn.Snapshot())
	return e.B
}

// restore replaces the state by that of a snapshot; nil is the empty state. After an error the state is unusable.
func (s *state) restore(snapshot []byte) error {
	if len(snapshot) == 0 || snapshot[0] < snapshotVersion {
		return errors.Join(s.group.Restore(snapshot), s.txn.Restore(nil))
	}
	d := wire.Decoder{B: snapshot}
	if v := d.U8(); v != snapshotVersion {
		return fmt.Errorf("coordinator snapshot has version %d, this release reads %d", v, snapshotVersion)
	}
	groups, transactions := d.Bytes(), d.Bytes()
	if err := d.End(); err != nil {
		return fmt.Errorf("restore coordinator snapshot: %w", err)
	}
	return errors.Join(s.group.Restore(groups), s.txn.Restore(transactions))
}
