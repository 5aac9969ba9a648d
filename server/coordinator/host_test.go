package coordinator

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/group"
)

// in runs f with a cluster in synctest's time.
func in(t *testing.T, nodes, shards int, f func(t *testing.T, c *testCluster)) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, nodes, shards)
		defer c.close()
		f(t, c)
	})
}

func wantCode(t *testing.T, what string, got int16, want *kerr.Error) {
	t.Helper()
	code := int16(0)
	if want != nil {
		code = want.Code
	}
	if got != code {
		t.Fatalf("%s: error %v, want %v", what, kerr.ErrorForCode(got), want)
	}
}

// stable makes a group of two members and returns what they were told.
func (c *testCluster) stable(node raft.NodeID, id string) (leader, follower *kmsg.JoinGroupResponse) {
	c.t.Helper()
	first, second := c.start(node, joinRequest(id, "")), c.start(node, joinRequest(id, ""))
	a, b := (<-first).(*kmsg.JoinGroupResponse), (<-second).(*kmsg.JoinGroupResponse)
	if a.Generation != b.Generation { // the first came alone
		again := c.start(node, joinRequest(id, a.MemberID))
		a = (<-again).(*kmsg.JoinGroupResponse)
	}
	if a.LeaderID != a.MemberID {
		a, b = b, a
	}
	waiting := c.start(node, syncRequest(id, b))
	synctest.Wait()
	got := c.ask(node, syncRequest(id, a, a.MemberID, b.MemberID)).(*kmsg.SyncGroupResponse)
	if string(got.MemberAssignment) != "of "+a.MemberID {
		c.t.Fatalf("leader synced with %q, error %d", got.MemberAssignment, got.ErrorCode)
	}
	if got := (<-waiting).(*kmsg.SyncGroupResponse); string(got.MemberAssignment) != "of "+b.MemberID {
		c.t.Fatalf("follower synced with %q, error %d", got.MemberAssignment, got.ErrorCode)
	}
	return a, b
}

func TestGroupOnReplicatedShard(t *testing.T) {
	in(t, 3, 1, func(t *testing.T, c *testCluster) {
		a, b := c.stable(1, "g")
		wantCode(t, "heartbeat", c.ask(1, heartbeatRequest("g", a)).(*kmsg.HeartbeatResponse).ErrorCode, nil)
		wantCode(t, "follower's heartbeat", c.ask(1, heartbeatRequest("g", b)).(*kmsg.HeartbeatResponse).ErrorCode, nil)
		for node := raft.NodeID(2); node <= 3; node++ {
			wantCode(t, "heartbeat elsewhere", c.ask(node, heartbeatRequest("g", a)).(*kmsg.HeartbeatResponse).ErrorCode, kerr.NotCoordinator)
		}
		first := c.shards[0].machines[0].Snapshot()
		for i, m := range c.shards[0].machines {
			if !bytes.Equal(m.Snapshot(), first) {
				t.Errorf("replica %d has another state", i)
			}
		}
	})
}

func TestCommitsShareEntries(t *testing.T) {
	in(t, 1, 1, func(t *testing.T, c *testCluster) {
		const commits = 2000
		var wg sync.WaitGroup
		for i := range commits {
			wg.Go(func() {
				if code := commitCode(c.ask(1, commitRequest(fmt.Sprint("g", i), int64(i)))); code != 0 {
					t.Errorf("commit %d: error %d", i, code)
				}
			})
		}
		wg.Wait()
		// Many are queued while the first maxInFlight entries are on their way.
		if n := len(c.shards[0].entries); n > commits/10 {
			t.Errorf("%d commits took %d entries", commits, n)
		}
		for i := range commits {
			resp := c.ask(1, fetchRequest(8, fmt.Sprint("g", i))).(*kmsg.OffsetFetchResponse)
			if got := resp.Groups[0].Topics[0].Partitions[0].Offset; got != int64(i) {
				t.Fatalf("group g%d has offset %d", i, got)
			}
		}
	})
}

func TestCommitIsDurableBeforeTheAnswer(t *testing.T) {
	in(t, 1, 1, func(t *testing.T, c *testCluster) {
		c.shards[0].delay = 2 * time.Second
		began := time.Now()
		wantCode(t, "commit", commitCode(c.ask(1, commitRequest("g", 5))), nil)
		if took := time.Since(began); took < 2*time.Second {
			t.Errorf("answered after %v, before the entry was committed", took)
		}
	})
}

func TestCommitTimeout(t *testing.T) {
	in(t, 1, 1, func(t *testing.T, c *testCluster) {
		c.shards[0].delay = time.Minute
		began := time.Now()
		wantCode(t, "commit", commitCode(c.ask(1, commitRequest("g", 5))), kerr.CoordinatorNotAvailable)
		if took := time.Since(began); took != DefaultCommitTimeout {
			t.Errorf("answered after %v", took)
		}
		time.Sleep(time.Minute)
		resp := c.ask(1, fetchRequest(8, "g")).(*kmsg.OffsetFetchResponse)
		if got := resp.Groups[0].Topics[0].Partitions[0].Offset; got != 5 {
			t.Errorf("offset %d; a late commit still counts", got)
		}
	})
}

func TestFailover(t *testing.T) {
	in(t, 2, 1, func(t *testing.T, c *testCluster) {
		a, b := c.stable(1, "g")
		wantCode(t, "commit", commitCode(c.ask(1, commitRequest("simple", 7))), nil)
		time.Sleep(9 * time.Second) // nearly a session
		joining := c.start(1, joinRequest("g", ""))
		synctest.Wait()

		c.shards[0].elect(2, false)
		wantCode(t, "parked join", (<-joining).(*kmsg.JoinGroupResponse).ErrorCode, kerr.NotCoordinator)
		wantCode(t, "heartbeat to the old leader", c.ask(1, heartbeatRequest("g", a)).(*kmsg.HeartbeatResponse).ErrorCode, kerr.NotCoordinator)
		wantCode(t, "heartbeat to the new leader", c.ask(2, heartbeatRequest("g", a)).(*kmsg.HeartbeatResponse).ErrorCode, nil)
		time.Sleep(9900 * time.Millisecond)
		wantCode(t, "full session after failover", c.ask(2, heartbeatRequest("g", b)).(*kmsg.HeartbeatResponse).ErrorCode, nil)
		time.Sleep(200 * time.Millisecond)
		wantCode(t, "the other's session ended", c.ask(2, heartbeatRequest("g", a)).(*kmsg.HeartbeatResponse).ErrorCode, kerr.UnknownMemberID)
		wantCode(t, "rebalance", c.ask(2, heartbeatRequest("g", b)).(*kmsg.HeartbeatResponse).ErrorCode, kerr.RebalanceInProgress)
		resp := c.ask(2, fetchRequest(8, "simple")).(*kmsg.OffsetFetchResponse)
		if got := resp.Groups[0].Topics[0].Partitions[0].Offset; got != 7 {
			t.Errorf("committed offset is %d after failover", got)
		}
	})
}

// What was in flight when leadership moved may have been committed or not; the old leader says so in both cases, and the new
// one has what was committed.
func TestFailoverWithWritesInFlight(t *testing.T) {
	for _, kept := range []bool{false, true} {
		t.Run(fmt.Sprint("kept=", kept), func(t *testing.T) {
			in(t, 2, 1, func(t *testing.T, c *testCluster) {
				a, b := c.stable(1, "g")
				rejoined := c.start(1, joinRequest("g", a.MemberID))
				synctest.Wait()
				b = c.ask(1, joinRequest("g", b.MemberID)).(*kmsg.JoinGroupResponse)
				a = (<-rejoined).(*kmsg.JoinGroupResponse)

				c.shards[0].delay = time.Hour
				syncing := c.start(1, syncRequest("g", a, a.MemberID, b.MemberID))
				following := c.start(1, syncRequest("g", b))
				committing := c.start(1, commitRequest("simple", 7))
				synctest.Wait()
				c.shards[0].elect(2, kept)
				if kept {
					wantCode(t, "sync", (<-syncing).(*kmsg.SyncGroupResponse).ErrorCode, nil)
					wantCode(t, "follower's sync", (<-following).(*kmsg.SyncGroupResponse).ErrorCode, nil)
					wantCode(t, "commit", commitCode(<-committing), nil)
				} else {
					wantCode(t, "sync", (<-syncing).(*kmsg.SyncGroupResponse).ErrorCode, kerr.NotCoordinator)
					wantCode(t, "follower's sync", (<-following).(*kmsg.SyncGroupResponse).ErrorCode, kerr.NotCoordinator)
					wantCode(t, "commit", commitCode(<-committing), kerr.NotCoordinator)
				}
				c.shards[0].delay = time.Millisecond
				want := map[bool]*kerr.Error{false: kerr.IllegalGeneration}[kept]
				wantCode(t, "heartbeat", c.ask(2, heartbeatRequest("g", a)).(*kmsg.HeartbeatResponse).ErrorCode, want)
			})
		})
	}
}

// A proposal that is refused while this node goes on leading (a leadership transfer that came to nothing, a disk that was full)
// leaves the shard as what is durable, and serving.
func TestRefusedWrite(t *testing.T) {
	in(t, 1, 1, func(t *testing.T, c *testCluster) {
		a, b := c.stable(1, "g")
		c.shards[0].setRefuse(raft.ErrNotLeader)
		wantCode(t, "commit", commitCode(c.ask(1, commitRequest("simple", 7))), kerr.NotCoordinator)
		wantCode(t, "a refused commit disturbs nobody", c.ask(1, heartbeatRequest("g", a)).(*kmsg.HeartbeatResponse).ErrorCode, nil)

		rejoined := c.start(1, joinRequest("g", a.MemberID))
		synctest.Wait()
		b2 := c.ask(1, joinRequest("g", b.MemberID)).(*kmsg.JoinGroupResponse)
		a2 := (<-rejoined).(*kmsg.JoinGroupResponse)
		following := c.start(1, syncRequest("g", b2))
		synctest.Wait()
		wantCode(t, "sync", c.ask(1, syncRequest("g", a2, a.MemberID)).(*kmsg.SyncGroupResponse).ErrorCode, kerr.NotCoordinator)
		wantCode(t, "follower's sync", (<-following).(*kmsg.SyncGroupResponse).ErrorCode, kerr.NotCoordinator)
		c.shards[0].setRefuse(nil)
		time.Sleep(retryLead)
		synctest.Wait()
		wantCode(t, "new generation", c.ask(1, heartbeatRequest("g", a2)).(*kmsg.HeartbeatResponse).ErrorCode, kerr.IllegalGeneration)
		wantCode(t, "old generation", c.ask(1, heartbeatRequest("g", a)).(*kmsg.HeartbeatResponse).ErrorCode, nil)
		wantCode(t, "commit", commitCode(c.ask(1, commitRequest("simple", 7))), nil)
	})
}

func TestLoading(t *testing.T) {
	in(t, 1, 1, func(t *testing.T, c *testCluster) {
		join := c.ask(1, joinRequest("g", "")).(*kmsg.JoinGroupResponse)
		c.shards[0].machines[0].LeadershipChanged(raft.Leadership{Leader: 1, Epoch: 9})
		wantCode(t, "join", c.ask(1, joinRequest("g", "")).(*kmsg.JoinGroupResponse).ErrorCode, kerr.CoordinatorLoadInProgress)
		wantCode(t, "commit", commitCode(c.ask(1, commitRequest("g", 1))), kerr.CoordinatorLoadInProgress)
		wantCode(t, "heartbeat", c.ask(1, heartbeatRequest("g", join)).(*kmsg.HeartbeatResponse).ErrorCode, nil)
		list := c.ask(1, kmsg.NewPtrListGroupsRequest()).(*kmsg.ListGroupsResponse)
		wantCode(t, "list", list.ErrorCode, kerr.CoordinatorLoadInProgress)
	})
}

func TestDisconnectedClientStaysInItsGroup(t *testing.T) {
	in(t, 1, 1, func(t *testing.T, c *testCluster) {
		a, _ := c.stable(1, "g")
		ctx, cancel := context.WithCancel(context.Background())
		gone := make(chan kmsg.Response, 1)
		go func() { gone <- c.hosts[1].Handle(ctx, group.Client{}, joinRequest("g", "")) }()
		synctest.Wait()
		cancel()
		<-gone
		describe := kmsg.NewPtrDescribeGroupsRequest()
		describe.Groups = []string{"g"}
		if got := c.ask(1, describe).(*kmsg.DescribeGroupsResponse).Groups[0]; len(got.Members) != 3 || got.State != "PreparingRebalance" {
			t.Errorf("group is %s with %d members", got.State, len(got.Members))
		}
		wantCode(t, "heartbeat", c.ask(1, heartbeatRequest("g", a)).(*kmsg.HeartbeatResponse).ErrorCode, kerr.RebalanceInProgress)
	})
}

func TestDetachedShard(t *testing.T) {
	in(t, 1, 2, func(t *testing.T, c *testCluster) {
		parked := c.start(1, joinRequest("g", ""))
		<-parked
		member := joinRequest("g", "")
		waiting := c.start(1, member)
		synctest.Wait()
		c.hosts[1].Detach(c.hosts[1].Shard("g"))
		wantCode(t, "parked join", (<-waiting).(*kmsg.JoinGroupResponse).ErrorCode, kerr.NotCoordinator)
		wantCode(t, "join", c.ask(1, joinRequest("g", "")).(*kmsg.JoinGroupResponse).ErrorCode, kerr.NotCoordinator)
	})
}

func TestNoShardsYet(t *testing.T) {
	in(t, 1, 1, func(t *testing.T, c *testCluster) {
		clear(c.image.Topics)
		if n := c.hosts[1].Shard("g"); n != -1 {
			t.Errorf("shard %d", n)
		}
		wantCode(t, "join", c.ask(1, joinRequest("g", "")).(*kmsg.JoinGroupResponse).ErrorCode, kerr.CoordinatorNotAvailable)
	})
}

func TestShardsArePartOfTheFormat(t *testing.T) {
	for key, want := range map[string]int32{"": 5, "g": 6, "my-group": 13, "größe": 10} {
		if got := shardOf(key, 16); got != want {
			t.Errorf("shardOf(%q, 16) = %d, want %d", key, got, want)
		}
	}
}
