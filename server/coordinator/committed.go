package coordinator

import (
	"cmp"
	"slices"
	"time"

	"balsa/server/cluster"
	"balsa/server/group"
)

// CommittedFloor is the lowest offset of a partition that a group still needs.
type CommittedFloor struct {
	Topic     cluster.TopicID
	Partition int32
	Offset    int64
}

// Committed returns the floors of the given topics over the groups in the shards that are led
// here, and which shards those are, in order. A partition without a floor is one that none of these groups cares about. What is
// on its way does not count: a commit is known here when it is durable.
func (h *Host) Committed(topics []cluster.TopicID) (shards []int32, floors []CommittedFloor) {
	ids := make([][16]byte, len(topics))
	for i, id := range topics {
		ids[i] = id
	}
	now := time.Now()
	lowest := map[cluster.TopicPartition]int64{}
	for _, s := range h.all() {
		s.mu.Lock()
		if s.leader != nil {
			shards = append(shards, s.id)
			for _, f := range s.leader.Floors(now, ids) {
				keepLowest(lowest, f)
			}
		}
		s.mu.Unlock()
	}
	slices.Sort(shards)
	for p, offset := range lowest {
		floors = append(floors, CommittedFloor{p.Topic, p.Partition, offset})
	}
	slices.SortFunc(floors, func(a, b CommittedFloor) int {
		return cmp.Or(a.Topic.Compare(b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return shards, floors
}

func keepLowest(lowest map[cluster.TopicPartition]int64, f group.Floor) {
	p := cluster.TopicPartition{Topic: f.Topic, Partition: f.Partition}
	if known, ok := lowest[p]; !ok || f.Offset < known {
		lowest[p] = f.Offset
	}
}
