//go:build queue

package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// nearNothing is what a replica of an empty queue may have on disk: a segment of its own history of decisions.
const nearNothing = 64 << 10

// emptied waits until the queue's partitions have next to nothing on any node, and checks that a restart of all leaves it so.
func (s *suite) emptied(written int64) {
	s.Helper()
	near := int64(*partitions) * nearNothing
	if written < 10*near {
		s.Errorf("%d bytes are too few to tell whether they were deleted", written)
	}
	var use map[int32]int64
	empty := func(context.Context) error {
		use = s.diskUse(topic)
		if most := slices.Max(slices.Collect(maps.Values(use))); most > near {
			return fmt.Errorf("bytes on disk by node: %v, want %d at most", use, near)
		}
		return nil
	}
	s.Eventually("give disk space back", patience, empty)
	s.Logf("of %d MiB the nodes have %v bytes on disk", written>>20, use)
	for _, kill := range []bool{true, false} {
		for _, n := range s.Cluster.Nodes {
			if kill {
				s.Must(n.Kill())
			} else {
				s.Must(n.Stop(patience))
			}
		}
		s.Must(s.Cluster.Start(s.Within(patience)))
		s.drained()
		s.nothingLeft()
		s.Eventually("have no more on disk than before the restart", patience, empty)
	}
	s.Logf("after restarts: %v bytes", use)
}

// nothingLeft joins the group once more and must get nothing.
func (s *suite) nothingLeft() {
	s.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Brokers...), kgo.ShareGroup(group), kgo.ConsumeTopics(topic))
	s.Must(err)
	defer cl.Close()
	fetches := cl.PollFetches(s.Within(2 * time.Second))
	for _, r := range fetches.Records() {
		s.Errorf("after a restart, partition %d offset %d is delivered again, delivery %d", r.Partition, r.Offset, r.DeliveryCount())
	}
}
