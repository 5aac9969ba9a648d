package group

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestRandomCommands drives a shard with random requests, delays, commits and failovers, and checks after each step what
// must hold. The seed of a failure is in its test's name.
func TestRandomCommands(t *testing.T) {
	seeds := 300
	if testing.Short() {
		seeds = 50
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			runRandomCommands(t, rand.New(rand.NewPCG(uint64(seed), 1)), 400)
		})
	}
}

func FuzzCommands(f *testing.F) {
	f.Add(uint64(1), 50)
	f.Fuzz(func(t *testing.T, seed uint64, steps int) {
		runRandomCommands(t, rand.New(rand.NewPCG(seed, 2)), min(steps, 2000))
	})
}

// player is a client of the random run.
type player struct {
	name       string
	instance   *string
	member     string
	generation int32
	parked     *kmsg.Response // a join or sync on its way
}

type random struct {
	*harness
	rng     *rand.Rand
	players []*player
	parked  []*kmsg.Response // all answers ever awaited since the last failover
	acked   map[int32]int64  // the last acknowledged commit of each partition by group g0's simple committer
}

func runRandomCommands(t *testing.T, rng *rand.Rand, steps int) {
	r := &random{harness: newHarness(t), rng: rng, acked: map[int32]int64{}}
	r.config.MaxSize = 4
	r.config.InitialRebalanceDelay = time.Duration(rng.IntN(2)) * time.Second
	r.leader.env.Config = r.config
	for i := range 6 {
		p := &player{name: fmt.Sprint("p", i), generation: -1}
		if i >= 4 {
			p.instance = text(fmt.Sprint("i", i))
		}
		r.players = append(r.players, p)
	}
	for range steps {
		r.step()
		r.check()
	}
	// Left alone, everything ends: no request is parked for ever.
	r.hold = false
	r.settle()
	r.advance(time.Hour)
	for _, answer := range r.parked {
		if *answer == nil {
			t.Fatal("a request was never answered")
		}
	}
	for _, g := range r.leader.groups {
		if g.state != stateEmpty || len(g.members) > 0 {
			t.Fatalf("group %q is %v with %d members after an hour without heartbeats", g.id, g.state, len(g.members))
		}
	}
}

func (r *random) step() {
	p := r.players[r.rng.IntN(len(r.players))]
	switch n := r.rng.IntN(100); {
	case n < 25:
		r.join(p)
	case n < 45:
		r.sync(p)
	case n < 55:
		r.heartbeat(p)
	case n < 60:
		r.leave(p)
	case n < 70:
		r.commit(p)
	case n < 75:
		r.simpleCommit()
	case n < 87:
		r.advance(time.Duration(r.rng.IntN(6000)) * time.Millisecond)
	case n < 90:
		r.hold = true
	case n < 94:
		r.hold = false
		r.settle()
	case n < 96:
		if len(r.held) > 0 {
			r.commitOne()
			r.settle()
		}
	case n < 98:
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{"g"}
		r.await(r.send("admin", req))
	default:
		r.failover()
		for _, answer := range r.parked {
			if *answer == nil {
				r.t.Fatal("a failover left a request without an answer")
			}
		}
		r.parked = nil
	}
}

func (r *random) await(answer *kmsg.Response) *kmsg.Response {
	r.parked = append(r.parked, answer)
	return answer
}

// learn takes in what a parked request was answered.
func (p *player) learn() (busy bool) {
	if p.parked == nil {
		return false
	}
	if *p.parked == nil {
		return true
	}
	if resp, ok := (*p.parked).(*kmsg.JoinGroupResponse); ok {
		switch errorName(resp.ErrorCode) {
		case "ok":
			p.member, p.generation = resp.MemberID, resp.Generation
		case "MEMBER_ID_REQUIRED":
			p.member = resp.MemberID
		case "UNKNOWN_MEMBER_ID", "FENCED_INSTANCE_ID":
			p.member, p.generation = "", -1
		}
	}
	p.parked = nil
	return false
}

func (r *random) join(p *player) {
	if p.learn() && r.rng.IntN(4) > 0 {
		return // mostly patient
	}
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version = int16(r.rng.IntN(10))
	req.Group, req.MemberID = "g", p.member
	if p.instance != nil {
		req.Version = max(req.Version, 5)
		req.InstanceID = p.instance
		if r.rng.IntN(3) == 0 {
			req.MemberID = "" // restarted
		}
	}
	req.SessionTimeoutMillis = 6000 + r.rng.Int32N(10000)
	req.RebalanceTimeoutMillis = 5000 + r.rng.Int32N(20000)
	req.ProtocolType = "consumer"
	for _, name := range []string{"x", "y", "z"}[r.rng.IntN(2):] {
		rp := kmsg.NewJoinGroupRequestProtocol()
		rp.Name, rp.Metadata = name, subscription("t")
		req.Protocols = append(req.Protocols, rp)
	}
	p.parked = r.await(r.send(p.name, req))
}

func (r *random) sync(p *player) {
	if p.learn() && r.rng.IntN(4) > 0 {
		return
	}
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version = 4
	req.Group, req.MemberID, req.Generation, req.InstanceID = "g", p.member, p.generation, p.instance
	for _, other := range r.players {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = other.member, []byte(other.name)
		req.GroupAssignment = append(req.GroupAssignment, a)
	}
	p.parked = r.await(r.send(p.name, req))
}

func (r *random) heartbeat(p *player) {
	p.learn()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version = 4
	req.Group, req.MemberID, req.Generation, req.InstanceID = "g", p.member, p.generation, p.instance
	if answer := r.send(p.name, req); *answer == nil {
		r.t.Fatal("a heartbeat was parked")
	}
}

func (r *random) leave(p *player) {
	p.learn()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version = 5
	req.Group = "g"
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID, m.InstanceID = p.member, p.instance
	req.Members = append(req.Members, m)
	r.await(r.send(p.name, req))
}

func (r *random) commit(p *player) {
	p.learn()
	req := newCommit("g", r.rng.Int32N(3), r.rng.Int64N(1000))
	req.MemberID, req.Generation, req.InstanceID = p.member, p.generation, p.instance
	r.await(r.send(p.name, req))
}

func newCommit(group string, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version = 8
	req.Group, req.Generation = group, -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.Partitions = "t", []kmsg.OffsetCommitRequestTopicPartition{p}
	req.Topics = append(req.Topics, t)
	return req
}

// simpleCommit commits for a group without members, and remembers what was acknowledged.
func (r *random) simpleCommit() {
	partition, offset := r.rng.Int32N(3), r.rng.Int64N(1000)
	req := newCommit("g0", partition, offset)
	r.leader.Handle(r.now, Client{}, req, func(resp kmsg.Response) {
		if resp.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode == 0 {
			r.acked[partition] = offset
		}
	})
	r.settle()
}

// check is what holds at any time.
func (r *random) check() {
	for _, g := range r.leader.groups {
		r.checkGroup(g)
	}
	for partition, offset := range r.acked {
		if o, ok := r.state.groups["g0"].offset("t", partition); !ok || o.Offset != offset {
			r.t.Fatalf("committed offset %d of partition %d became %+v", offset, partition, o)
		}
	}
	restored := NewState()
	if err := restored.Restore(r.state.Snapshot()); err != nil || !bytes.Equal(restored.Snapshot(), r.state.Snapshot()) {
		r.t.Fatalf("snapshot does not restore to the same state (%v)", err)
	}
}

func (r *random) checkGroup(g *liveGroup) {
	fail := func(format string, args ...any) {
		r.t.Helper()
		r.t.Fatalf("group %q in %v: %s", g.id, g.state, fmt.Sprintf(format, args...))
	}
	if len(g.members) != len(g.byID) {
		fail("%d members, %d by id", len(g.members), len(g.byID))
	}
	if g.state == stateEmpty && len(g.members) > 0 || g.state > statePreparingRebalance && len(g.members) == 0 {
		fail("%d members", len(g.members))
	}
	if n := g.awaitingJoin(); n > int(r.config.MaxSize) {
		fail("%d members wait in a join, more than group.max.size", n)
	}
	if (g.leader == "") != (len(g.members) == 0) || g.leader != "" && g.byID[g.leader] == nil {
		fail("leader %q is not a member", g.leader)
	}
	static := 0
	for _, m := range g.members {
		if m.instanceID != nil {
			static++
			if g.static[*m.instanceID] != m.id {
				fail("instance %q is %q, not %q", *m.instanceID, g.static[*m.instanceID], m.id)
			}
		}
		if g.pending[m.id] != nil {
			fail("member %q is pending too", m.id)
		}
		// Somebody must notice when a member goes silent.
		if !m.session.Armed() && m.join == nil && m.sync == nil {
			fail("member %q has no session timer and waits for nothing", m.id)
		}
		if m.join != nil && g.state != statePreparingRebalance && !(g.state == stateStable && r.leader.writing[g.id] > 0) {
			fail("member %q waits in a join", m.id)
		}
		if m.sync != nil && g.state != stateCompletingRebalance {
			fail("member %q waits in a sync", m.id)
		}
		if g.state == stateStable && !m.supports(g.protocol) {
			fail("member %q does not support %q", m.id, g.protocol)
		}
	}
	if static != len(g.static) {
		fail("%d static members, %d instances", static, len(g.static))
	}
	for id := range g.pendingSync {
		if g.byID[id] == nil {
			fail("%q, not a member, is to sync", id)
		}
	}
	if g.state == statePreparingRebalance && !g.joinTimer.Armed() {
		fail("nothing ends the rebalance")
	}
	if g.state == stateCompletingRebalance && len(g.pendingSync) > 0 && !g.syncTimer.Armed() {
		fail("nothing ends the wait for syncs")
	}
}
