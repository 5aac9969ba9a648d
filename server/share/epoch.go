package share

import (
	"fmt"

	"balsa/internal/wire"
)

// Epoch orders the requests that make, replace and delete a group's share partitions: one that comes late must not undo what a later one
// did. The shard of the group's coordinator gives each of its requests another one, and its Raft term grows from one coordinator to the
// next, so it grows for each group whoever coordinates, also when the group is deleted and comes again. (Kafka: the state epoch.)
type Epoch struct {
	Shard  int32
	Term   int64
	Number int64 // of the request in that term
}

// Before says whether e is an earlier request of the same shard. Those of different shards have no order.
func (e Epoch) Before(o Epoch) bool {
	return e.Shard == o.Shard && (e.Term < o.Term || e.Term == o.Term && e.Number < o.Number)
}

func (e Epoch) String() string { return fmt.Sprintf("%d.%d of shard %d", e.Term, e.Number, e.Shard) }

// AppendTo appends e to an encoding.
func (e Epoch) AppendTo(w *wire.Encoder) {
	w.Varint(int64(e.Shard))
	w.Varint(e.Term)
	w.Varint(e.Number)
}

// DecodeEpoch reads what AppendTo wrote.
func DecodeEpoch(d *wire.Decoder) Epoch {
	return Epoch{Shard: d.I32(), Term: d.Varint(), Number: d.Varint()}
}
