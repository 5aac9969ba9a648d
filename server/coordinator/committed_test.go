package coordinator

import (
	"fmt"
	"testing"

	"balsa/raft"
	"balsa/server/cluster"
)

func TestCommitted(t *testing.T) {
	in(t, 2, 3, func(t *testing.T, c *testCluster) {
		c.shards[2].elect(2, true)
		lowest := map[int32]int64{}
		for i := range 20 {
			id := fmt.Sprint("group-", i)
			shard := c.hosts[1].Shard(id)
			node := c.shards[shard].leadership().Leader
			offset := int64(100 - i)
			wantCode(t, "commit", commitCode(c.ask(node, commitRequest(id, offset))), nil)
			lowest[shard] = offset // the last is the lowest
		}
		topics := []cluster.TopicID{{9}, {8}}
		for node, want := range map[raft.NodeID]string{
			1: fmt.Sprintf("[0 1] [{%v 0 %d}]", topics[0], min(lowest[0], lowest[1])),
			2: fmt.Sprintf("[2] [{%v 0 %d}]", topics[0], lowest[2]),
		} {
			shards, floors := c.hosts[node].Committed(topics)
			if got := fmt.Sprint(shards, floors); got != want {
				t.Errorf("node %d: %s, want %s", node, got, want)
			}
		}
	})
}
