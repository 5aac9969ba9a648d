package txn

import (
	"cmp"
	"iter"
	"maps"
	"slices"
)

// State is a shard's durable state: transactions by transactional id. It changes only by Replay and Restore.
type State struct {
	transactions map[string]*stored
	// metadata is the highest Image.Version by which a partition of a transaction was known. A leader whose image is
	// older cannot tell a deleted topic from one that it has not heard of.
	metadata uint64
}

// stored is what is durable of one transactional id.
type stored struct {
	Transaction
	partitions map[Partition]struct{}
}

// NewState returns an empty state.
func NewState() *State { return &State{transactions: map[string]*stored{}} }

// Replay applies one record. It is a function of the state and the record alone. An error means that the record is not
// one of ours or of a later release; the state is unchanged then.
func (s *State) Replay(b []byte) error {
	r, err := decodeRecord(b)
	if err != nil {
		return err
	}
	r.apply(s)
	return nil
}

func (r transactionChanged) apply(s *State) {
	t := s.transactions[r.id]
	if t == nil {
		t = &stored{}
		s.transactions[r.id] = t
	}
	t.Transaction = r.transaction
	if !t.Status.open() {
		t.partitions = nil
	}
}

func (r partitionsAdded) apply(s *State) {
	s.metadata = max(s.metadata, r.metadata)
	t := s.transactions[r.id]
	if t == nil || !t.Status.open() {
		return
	}
	if t.partitions == nil {
		t.partitions = make(map[Partition]struct{}, len(r.partitions))
	}
	for _, p := range r.partitions {
		t.partitions[p] = struct{}{}
	}
}

func (r transactionDeleted) apply(s *State) { delete(s.transactions, r.id) }

// sortedPartitions returns a transaction's partitions in a fixed order.
func (t *stored) sortedPartitions() []Partition {
	return slices.SortedFunc(maps.Keys(t.partitions), func(a, b Partition) int {
		return cmp.Or(slices.Compare(a.Topic[:], b.Topic[:]), cmp.Compare(a.Partition, b.Partition))
	})
}

// sorted iterates over m in the order of its keys.
func sorted[K cmp.Ordered, V any](m map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
