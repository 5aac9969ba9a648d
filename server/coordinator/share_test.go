package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/protocol"
	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/group"
	"balsa/server/share"
)

// fakeShares is the partitions' leaders, all of them.
type fakeShares struct {
	mu      sync.Mutex
	starts  map[string]map[cluster.TopicPartition]int64
	silent  bool          // nobody answers
	err     error         // what everything comes to; nil: it is done
	working int           // calls under way
	epochs  []share.Epoch // of changes, in the order in which they came
	fenced  int64         // the number of a request that comes late
	most    int           // how many there were at once
}

func newFakeShares() *fakeShares {
	return &fakeShares{starts: map[string]map[cluster.TopicPartition]int64{}, fenced: -1}
}

// do does something for each partition, after a while.
func (f *fakeShares) do(ctx context.Context, group string, epoch share.Epoch, n int, one func(starts map[cluster.TopicPartition]int64, i int) error) []error {
	f.mu.Lock()
	f.working++
	if epoch != (share.Epoch{}) {
		f.epochs = append(f.epochs, epoch)
	}
	f.most = max(f.most, f.working)
	silent := f.silent
	f.mu.Unlock()
	var err error
	if silent {
		<-ctx.Done()
		err = ctx.Err()
	} else {
		time.Sleep(time.Millisecond)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.working--
	if f.starts[group] == nil {
		f.starts[group] = map[cluster.TopicPartition]int64{}
	}
	errs := make([]error, n)
	for i := range errs {
		if errs[i] = errors.Join(err, f.err); epoch.Number == f.fenced {
			errs[i] = kerr.FencedStateEpoch
		}
		if errs[i] == nil {
			errs[i] = one(f.starts[group], i)
		}
	}
	return errs
}

func (f *fakeShares) set(silent bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.silent, f.err = silent, err
}

// see looks at it.
func (f *fakeShares) see(look func(f *fakeShares)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	look(f)
}

func (f *fakeShares) Initialize(ctx context.Context, group string, epoch share.Epoch, partitions []cluster.TopicPartition) []error {
	return f.do(ctx, group, epoch, len(partitions), func(starts map[cluster.TopicPartition]int64, i int) error {
		if _, there := starts[partitions[i]]; !there {
			starts[partitions[i]] = 0
		}
		return nil
	})
}

func (f *fakeShares) Delete(ctx context.Context, group string, epoch share.Epoch, partitions []cluster.TopicPartition) []error {
	return f.do(ctx, group, epoch, len(partitions), func(starts map[cluster.TopicPartition]int64, i int) error {
		delete(starts, partitions[i])
		return nil
	})
}

func (f *fakeShares) Alter(ctx context.Context, group string, epoch share.Epoch, starts []ShareStart) []error {
	return f.do(ctx, group, epoch, len(starts), func(all map[cluster.TopicPartition]int64, i int) error {
		all[starts[i].TopicPartition] = starts[i].Offset
		return nil
	})
}

func (f *fakeShares) Describe(ctx context.Context, group string, decided bool, partitions []cluster.TopicPartition) []ShareState {
	states := make([]ShareState, len(partitions))
	errs := f.do(ctx, group, share.Epoch{}, len(partitions), func(starts map[cluster.TopicPartition]int64, i int) error {
		states[i] = ShareState{Start: -1}
		if start, there := starts[partitions[i]]; there {
			states[i] = ShareState{Start: start, LeaderEpoch: 3, Lag: 10, InFlight: 4, Delayed: 2, DeadLettering: 1}
			if decided {
				states[i].Decided = []share.Range{{First: 12, Last: 15}, {First: 20, Last: 20}}
			}
		}
		if partitions[i].Partition > 2 {
			return fmt.Errorf("describe: %w", kerr.UnknownTopicOrPartition)
		}
		return nil
	})
	for i, err := range errs {
		states[i].Err = err
	}
	return states
}

func shareHeartbeat(id, member string, epoch int32) *kmsg.ShareGroupHeartbeatRequest {
	req := kmsg.NewPtrShareGroupHeartbeatRequest()
	req.Version = 1
	req.GroupID, req.MemberID, req.MemberEpoch = id, member, epoch
	if epoch == 0 {
		req.SubscribedTopicNames = []string{"t"}
	}
	return req
}

// joinShare lets a member beat until it has partitions, and returns its epoch and what it has.
func (c *testCluster) joinShare(node raft.NodeID, id, member string) (epoch int32, partitions []int32) {
	c.t.Helper()
	for range 20 {
		resp := c.ask(node, shareHeartbeat(id, member, epoch)).(*kmsg.ShareGroupHeartbeatResponse)
		wantCode(c.t, "share heartbeat", resp.ErrorCode, nil)
		epoch = resp.MemberEpoch
		if resp.Assignment != nil && len(resp.Assignment.TopicPartitions) > 0 {
			return epoch, resp.Assignment.TopicPartitions[0].Partitions
		}
		time.Sleep(time.Duration(resp.HeartbeatIntervalMillis) * time.Millisecond)
	}
	c.t.Fatal("no partitions after 20 heartbeats")
	return 0, nil
}

func alterShareRequest(id string, start int64) *kmsg.AlterShareGroupOffsetsRequest {
	req := kmsg.NewPtrAlterShareGroupOffsetsRequest()
	req.GroupID = id
	p := kmsg.NewAlterShareGroupOffsetsRequestTopicPartition()
	p.StartOffset = start
	t := kmsg.NewAlterShareGroupOffsetsRequestTopic()
	t.Topic, t.Partitions = "t", []kmsg.AlterShareGroupOffsetsRequestTopicPartition{p}
	req.Topics = append(req.Topics, t)
	return req
}

func alteredCode(r kmsg.Response) int16 {
	resp := r.(*kmsg.AlterShareGroupOffsetsResponse)
	if resp.ErrorCode != 0 {
		return resp.ErrorCode
	}
	return resp.Topics[0].Partitions[0].ErrorCode
}

func deleteShareRequest(id string) *kmsg.DeleteShareGroupOffsetsRequest {
	req := kmsg.NewPtrDeleteShareGroupOffsetsRequest()
	req.GroupID = id
	t := kmsg.NewDeleteShareGroupOffsetsRequestTopic()
	t.Topic = "t"
	req.Topics = append(req.Topics, t)
	return req
}

// Requests about share partitions have rising epochs, whoever coordinates; one that another group's overtook is made again.
func TestShareEpochs(t *testing.T) {
	in(t, 3, 1, func(t *testing.T, c *testCluster) {
		c.shares.see(func(f *fakeShares) { f.fenced = 1 })
		began := time.Now()
		c.joinShare(1, "g", "m")
		if took := time.Since(began); took > 900*time.Millisecond {
			t.Errorf("joined after %v", took)
		}
		c.shards[0].elect(2, true)
		c.joinShare(2, "h", "m")
		c.shares.see(func(f *fakeShares) {
			for i, e := range f.epochs {
				if i > 0 && !f.epochs[i-1].Before(e) {
					t.Errorf("epoch %v comes after %v", e, f.epochs[i-1])
				}
			}
			if n := len(f.epochs); n < 3 || f.epochs[0].Term == f.epochs[n-1].Term {
				t.Errorf("epochs %v", f.epochs)
			}
		})
	})
}

func TestShareGroup(t *testing.T) {
	in(t, 3, 1, func(t *testing.T, c *testCluster) {
		began := time.Now()
		epoch, partitions := c.joinShare(1, "g", "m")
		if fmt.Sprint(partitions) != "[0 1 2]" || time.Since(began) > time.Second {
			t.Fatalf("partitions %v in epoch %d after %v", partitions, epoch, time.Since(began))
		}
		c.shards[0].elect(2, true)
		wantCode(t, "the old coordinator", c.ask(1, shareHeartbeat("g", "m", epoch)).(*kmsg.ShareGroupHeartbeatResponse).ErrorCode, kerr.NotCoordinator)
		wantCode(t, "the new coordinator", c.ask(2, shareHeartbeat("g", "m", epoch)).(*kmsg.ShareGroupHeartbeatResponse).ErrorCode, nil)

		describe := kmsg.NewPtrShareGroupDescribeRequest()
		describe.Version, describe.GroupIDs = 1, []string{"g", "none"}
		d := c.ask(2, describe).(*kmsg.ShareGroupDescribeResponse)
		if len(d.Groups) != 2 || d.Groups[0].GroupState != "Stable" || d.Groups[1].ErrorCode != kerr.GroupIDNotFound.Code {
			t.Errorf("described %+v", d.Groups)
		}
		wantCode(t, "leave", c.ask(2, shareHeartbeat("g", "m", -1)).(*kmsg.ShareGroupHeartbeatResponse).ErrorCode, nil)
		del := kmsg.NewPtrDeleteGroupsRequest()
		del.Version, del.Groups = 2, []string{"g"}
		wantCode(t, "delete", c.ask(2, del).(*kmsg.DeleteGroupsResponse).Groups[0].ErrorCode, nil)
		c.shares.see(func(f *fakeShares) {
			if len(f.starts["g"]) > 0 {
				t.Errorf("share partitions are left: %v", f.starts)
			}
		})
	})
}

// What a leader asked for, and has not heard of, the next one asks for again.
func TestShareTasksAcrossFailover(t *testing.T) {
	in(t, 2, 1, func(t *testing.T, c *testCluster) {
		c.shares.set(true, nil)
		resp := c.ask(1, shareHeartbeat("g", "m", 0)).(*kmsg.ShareGroupHeartbeatResponse)
		wantCode(t, "join", resp.ErrorCode, nil)
		altering := c.start(1, alterShareRequest("h", 5))
		time.Sleep(time.Second)
		c.shards[0].elect(2, true)
		wantCode(t, "alter", alteredCode(<-altering), kerr.NotCoordinator)
		synctest.Wait()
		c.shares.see(func(f *fakeShares) {
			if f.working != 1 {
				t.Errorf("%d calls under way, want the new leader's", f.working)
			}
		})
		c.shares.set(false, nil)
		time.Sleep(2 * c.hosts[1].config.shareTimeout())
		if epoch, partitions := c.joinShare(2, "g", "m"); len(partitions) != 3 {
			t.Errorf("partitions %v in epoch %d", partitions, epoch)
		}
	})
}

func TestShareOffsets(t *testing.T) {
	in(t, 1, 2, func(t *testing.T, c *testCluster) {
		wantCode(t, "alter", alteredCode(c.ask(1, alterShareRequest("g", 7))), nil)
		describe := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
		describe.Version = 1
		all := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
		all.GroupID = "g"
		some := all
		all.UnknownTags.Set(protocol.TagWantDecided, nil)
		some.Topics = []kmsg.DescribeShareGroupOffsetsRequestGroupTopic{{Topic: "t", Partitions: []int32{0, 1, 9}}, {Topic: "x", Partitions: []int32{0}}}
		none := all
		none.GroupID = "none"
		describe.Groups = []kmsg.DescribeShareGroupOffsetsRequestGroup{all, some, none}
		show := func() (s string) {
			for _, g := range c.ask(1, describe).(*kmsg.DescribeShareGroupOffsetsResponse).Groups {
				s += g.GroupID
				for _, t := range g.Topics {
					s += fmt.Sprint(" ", t.Topic)
					for _, p := range t.Partitions {
						s += fmt.Sprint(" ", p.Partition, ":", p.StartOffset, "/", p.LeaderEpoch, "/", p.Lag)
						for _, tag := range []uint32{protocol.TagInFlight, protocol.TagDelayed, protocol.TagDeadLettering} {
							if n, ok := protocol.CountTag(&p.UnknownTags, tag); ok {
								s += fmt.Sprint("/", n)
							}
						}
						if ranges := protocol.RangesTag(&p.UnknownTags, protocol.TagDecided); ranges != nil {
							s += fmt.Sprint("/", ranges)
						}
						if p.ErrorCode != 0 {
							s += " " + kerr.TypedErrorForCode(p.ErrorCode).Message
						}
					}
				}
				s += ". "
			}
			return s
		}
		if got, want := show(), "g t 0:7/3/10/4/2/1/[{12 15} {20 20}]. g t 0:7/3/10/4/2/1 1:-1/0/-1 9:-1/0/-1 x 0:-1/0/-1. none. "; got != want {
			t.Errorf("described\n%s, want\n%s", got, want)
		}
		c.shares.set(true, nil)
		if got, want := show(), "g t 0:-1/0/-1 REQUEST_TIMED_OUT. g t 0:-1/0/-1 REQUEST_TIMED_OUT 1:-1/0/-1 REQUEST_TIMED_OUT"+
			" 9:-1/0/-1 REQUEST_TIMED_OUT x 0:-1/0/-1. none. "; got != want {
			t.Errorf("described, with silent leaders\n%s, want\n%s", got, want)
		}
		wantCode(t, "alter, with silent leaders", alteredCode(c.ask(1, alterShareRequest("g", 8))), kerr.RequestTimedOut)
		c.shares.set(false, fmt.Errorf("alter: %w", kerr.NotLeaderForPartition))
		wantCode(t, "alter, with leaders that are none", alteredCode(c.ask(1, alterShareRequest("g", 8))), kerr.NotLeaderForPartition)
		c.shares.set(false, errors.New("broken"))
		deleted := c.ask(1, deleteShareRequest("g")).(*kmsg.DeleteShareGroupOffsetsResponse)
		wantCode(t, "delete, with broken leaders", deleted.Topics[0].ErrorCode, kerr.UnknownServerError)
		c.shares.set(false, nil)
		deleted = c.ask(1, deleteShareRequest("g")).(*kmsg.DeleteShareGroupOffsetsResponse)
		wantCode(t, "delete", deleted.Topics[0].ErrorCode, nil)
		c.shares.see(func(f *fakeShares) {
			if len(f.starts["g"]) > 0 {
				t.Errorf("share partitions are left: %v", f.starts)
			}
		})
	})
}

func TestShareTasksAreBounded(t *testing.T) {
	in(t, 1, 1, func(t *testing.T, c *testCluster) {
		c.shares.set(true, nil)
		for i := range 3 * maxShareTasks {
			resp := c.ask(1, shareHeartbeat(fmt.Sprint("g", i), "m", 0)).(*kmsg.ShareGroupHeartbeatResponse)
			wantCode(t, "join", resp.ErrorCode, nil)
		}
		synctest.Wait()
		c.shares.see(func(f *fakeShares) {
			if f.working != maxShareTasks {
				t.Errorf("%d calls under way, want %d", f.working, maxShareTasks)
			}
		})
		c.shares.set(false, nil)
		time.Sleep(4 * c.hosts[1].config.shareTimeout())
		c.shares.see(func(f *fakeShares) {
			if len(f.starts) != 3*maxShareTasks || f.most > maxShareTasks {
				t.Errorf("%d groups have share partitions, at most %d at once", len(f.starts), f.most)
			}
		})
		c.shares.set(true, nil) // closing does not wait for it
		c.start(1, alterShareRequest("new", 1))
		time.Sleep(time.Millisecond)
	})
}

func TestNoShareGroups(t *testing.T) {
	in(t, 1, 1, func(t *testing.T, c *testCluster) {
		c.hosts[1].config.Shares = nil
		resp := c.ask(1, shareHeartbeat("g", "m", 0)).(*kmsg.ShareGroupHeartbeatResponse)
		wantCode(t, "heartbeat", resp.ErrorCode, kerr.UnsupportedVersion)
	})
}

// A share group holds a topic's records from the first subscription on.
func TestCommittedOfShareGroup(t *testing.T) {
	in(t, 1, 1, func(t *testing.T, c *testCluster) {
		c.shares.set(true, nil)
		c.ask(1, shareHeartbeat("g", "m", 0))
		if _, floors := c.hosts[1].Committed([]cluster.TopicID{{9}}); len(floors) != 3 || floors[2].Offset != 0 {
			t.Errorf("floors %v", floors)
		}
		c.shares.set(false, nil)
		time.Sleep(2 * c.hosts[1].config.shareTimeout())
		c.joinShare(1, "g", "m")
		if _, floors := c.hosts[1].Committed([]cluster.TopicID{{9}}); len(floors) != 0 {
			t.Errorf("floors %v", floors)
		}
	})
}

// TestShareErrorResponses: what goes wrong before a shard decides is said where clients look for it.
func TestShareErrorResponses(t *testing.T) {
	in(t, 2, 1, func(t *testing.T, c *testCluster) {
		client := group.Client{ID: "c"}
		describe := kmsg.NewPtrShareGroupDescribeRequest()
		describe.Version, describe.GroupIDs = 1, []string{"g"}
		offsets := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
		offsets.Groups = []kmsg.DescribeShareGroupOffsetsRequestGroup{{GroupID: "g"}}
		want := kerr.NotCoordinator
		at := func(req kmsg.Request) kmsg.Response { return c.hosts[2].Handle(context.Background(), client, req) }
		wantCode(t, "heartbeat", at(shareHeartbeat("g", "m", 0)).(*kmsg.ShareGroupHeartbeatResponse).ErrorCode, want)
		wantCode(t, "describe", at(describe).(*kmsg.ShareGroupDescribeResponse).Groups[0].ErrorCode, want)
		wantCode(t, "describe offsets", at(offsets).(*kmsg.DescribeShareGroupOffsetsResponse).Groups[0].ErrorCode, want)
		wantCode(t, "alter", at(alterShareRequest("g", 1)).(*kmsg.AlterShareGroupOffsetsResponse).ErrorCode, want)
		wantCode(t, "delete", at(deleteShareRequest("g")).(*kmsg.DeleteShareGroupOffsetsResponse).ErrorCode, want)
	})
}
