package raft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	hraft "github.com/hashicorp/raft"

	"balsa/log"
)

const (
	// requestBytes bounds the record bytes of one append request; a longer run of entries goes as several.
	requestBytes = 1 << 20
	// linkPatience is how long an append waits for a broken link to come back before it fails. The library backs off for up
	// to 10 s after failures; waiting here instead, replication resumes the moment the peer is back.
	linkPatience = 30 * time.Second
	// electionPatience bounds the wait for a vote.
	electionPatience = 5 * time.Second
)

// groupTransport is one group's hraft.Transport over the links that all groups share.
type groupTransport struct {
	host     *Host
	group    GroupID
	plog     *log.Log    // nil for the metadata group
	store    *entryStore // nil for the metadata group
	requests chan hraft.RPC
	started  atomic.Pointer[hraft.Raft] // nil until the library has started
	ctx      context.Context            // ends with the group
	cancel   context.CancelFunc

	mu        sync.Mutex
	followers map[NodeID]*followerState
}

// followerState is what the leader's transport remembers about a follower, so as not to ask again.
type followerState struct {
	// The last append, if it was acknowledged, and the life of the link that it went over: a follower that restarted has
	// to be told again what is committed.
	acked                             bool
	ackSession                        *session
	term, prevIndex, prevTerm, commit uint64
	ackedAt, caughtUpAt               time.Time
	// The last acknowledged heartbeat, likewise.
	beatSession *session
	beatTerm    uint64
	beatAt      time.Time
}

func newGroupTransport(h *Host, id GroupID, plog *log.Log, store *entryStore) *groupTransport {
	t := &groupTransport{
		host: h, group: id, plog: plog, store: store, requests: make(chan hraft.RPC, 16), followers: map[NodeID]*followerState{},
	}
	t.ctx, t.cancel = context.WithCancel(h.ctx)
	return t
}

// Consumer returns the channel of requests of other nodes.
func (t *groupTransport) Consumer() <-chan hraft.RPC { return t.requests }

// LocalAddr returns this node's address, which is its id.
func (t *groupTransport) LocalAddr() hraft.ServerAddress {
	return hraft.ServerAddress(t.host.node.server())
}

// AppendEntriesPipeline declines: the library's pipeline sends one request per trigger and measured slower.
func (t *groupTransport) AppendEntriesPipeline(hraft.ServerID, hraft.ServerAddress) (hraft.AppendPipeline, error) {
	return nil, hraft.ErrPipelineReplicationNotSupported
}

// EncodePeer returns a peer's address as bytes.
func (t *groupTransport) EncodePeer(_ hraft.ServerID, a hraft.ServerAddress) []byte { return []byte(a) }

// DecodePeer is the inverse of EncodePeer.
func (t *groupTransport) DecodePeer(b []byte) hraft.ServerAddress { return hraft.ServerAddress(b) }

// SetHeartbeatHandler declines the library's fast path; see heartbeat.
func (t *groupTransport) SetHeartbeatHandler(func(hraft.RPC)) {}

// errStalled makes a leader whose disk hangs fall silent, so that its followers elect another.
var errStalled = errors.New("this replica's disk does not answer")

// AppendEntries replicates entries, or announces the leader.
func (t *groupTransport) AppendEntries(id hraft.ServerID, _ hraft.ServerAddress, req *hraft.AppendEntriesRequest,
	resp *hraft.AppendEntriesResponse,
) error {
	node := parseNode(string(id))
	p := t.host.peer(node)
	if p == nil {
		return fmt.Errorf("%w: node %d", ErrUnreachable, node)
	}
	if t.store.stalled() && len(req.Entries) == 0 {
		return errStalled
	}
	if len(req.Entries) == 0 && req.PrevLogEntry == 0 && req.LeaderCommitIndex == 0 {
		return t.sendHeartbeat(p, req, resp)
	}
	s := p.current()
	if s == nil {
		ctx, cancel := context.WithTimeout(t.ctx, linkPatience)
		var err error
		s, err = p.await(ctx)
		cancel()
		if err != nil {
			return err
		}
	}
	if len(req.Entries) == 0 && t.alreadyAcked(node, s, req, resp) {
		return nil
	}
	if err := t.sendEntries(s, node, req, resp); err != nil {
		return err
	}
	if err := t.awaitDurable(req, resp); err != nil {
		return err
	}
	t.remember(node, s, req, resp)
	return t.disregard(node, req, resp)
}

// awaitDurable returns when the entries of a request that is acknowledged are durable here as far as they must be, see parallelSync.
func (t *groupTransport) awaitDurable(req *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse) error {
	n := len(req.Entries)
	if n == 0 || !resp.Success || t.store == nil {
		return nil
	}
	if err := t.store.parallel.wait(t.ctx, req.Entries[n-1].Index); err != nil {
		return fmt.Errorf("make entries durable here: %w", err)
	}
	return nil
}

// errRemoved answers for a node that is no member any more.
var errRemoved = errors.New("the node was removed from the group")

// disregard withholds a later term that a removed node tells of: it may stand for election as often as it likes, if nobody could
// tell it that it was removed, and must not depose the leader with it, which the library's last attempt to reach it would.
func (t *groupTransport) disregard(node NodeID, req *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse) error {
	r := t.started.Load()
	if resp.Term <= req.Term || r == nil {
		return nil
	}
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if parseNode(string(s.ID)) == node {
			return nil
		}
	}
	return errRemoved
}

// sendHeartbeat announces the leader. The library asks ten times per heartbeat timeout; a few are enough, so a call that
// comes too early waits here until it is due. (What a late return costs, a contact that looks fresher than it is, matters
// only to hraft's VerifyLeader, which nothing here uses.)
func (t *groupTransport) sendHeartbeat(p *peer, req *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse) error {
	s := p.current()
	if s == nil {
		return ErrUnreachable
	}
	t.mu.Lock()
	f := t.follower(p.node)
	var due time.Time // at once
	if f.beatSession == s && f.beatTerm == req.Term {
		due = f.beatAt.Add(t.host.timing.beatEvery())
	}
	t.mu.Unlock()
	answer, err := p.beats.send(t.ctx, s, t.group, req.Term, due)
	if err != nil {
		return err
	}
	*resp = answer
	if answer.Success {
		t.mu.Lock()
		f.beatSession, f.beatTerm, f.beatAt = s, req.Term, time.Now()
		t.mu.Unlock()
	}
	return t.disregard(p.node, req, resp)
}

func (t *groupTransport) follower(n NodeID) *followerState {
	f := t.followers[n]
	if f == nil {
		f = &followerState{}
		t.followers[n] = f
	}
	return f
}

// alreadyAcked answers an empty append that tells the follower nothing new: the library sends one every CommitTimeout.
func (t *groupTransport) alreadyAcked(n NodeID, s *session, req *hraft.AppendEntriesRequest,
	resp *hraft.AppendEntriesResponse,
) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.follower(n)
	if !f.acked || f.ackSession != s || f.term != req.Term || f.prevIndex != req.PrevLogEntry ||
		f.prevTerm != req.PrevLogTerm || f.commit != min(req.LeaderCommitIndex, req.PrevLogEntry) {
		return false
	}
	*resp = hraft.AppendEntriesResponse{RPCHeader: rpcHeader(n), Term: req.Term, LastLog: req.PrevLogEntry, Success: true}
	return true
}

func (t *groupTransport) remember(n NodeID, s *session, req *hraft.AppendEntriesRequest,
	resp *hraft.AppendEntriesResponse,
) {
	last, lastTerm := req.PrevLogEntry, req.PrevLogTerm
	if k := len(req.Entries); k > 0 {
		last, lastTerm = req.Entries[k-1].Index, req.Entries[k-1].Term
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.follower(n)
	f.ackSession, f.acked = s, resp.Success
	if now := time.Now(); resp.Success {
		f.ackedAt = now
		if last >= t.lastIndex() {
			f.caughtUpAt = now
		}
	}
	f.term, f.prevIndex, f.prevTerm, f.commit = req.Term, last, lastTerm, min(req.LeaderCommitIndex, last)
}

// RequestVote asks for a vote.
func (t *groupTransport) RequestVote(id hraft.ServerID, _ hraft.ServerAddress, req *hraft.RequestVoteRequest,
	resp *hraft.RequestVoteResponse,
) error {
	v := vote{term: req.Term, lastIndex: req.LastLogIndex, lastTerm: req.LastLogTerm, transfer: req.LeadershipTransfer}
	node := parseNode(string(id))
	answer, err := t.elect(node, frameVote, v)
	*resp = hraft.RequestVoteResponse{RPCHeader: rpcHeader(node), Term: answer.term, Granted: answer.transfer}
	return err
}

// RequestPreVote asks whether a vote would be granted (hraft.WithPreVote).
func (t *groupTransport) RequestPreVote(id hraft.ServerID, _ hraft.ServerAddress, req *hraft.RequestPreVoteRequest,
	resp *hraft.RequestPreVoteResponse,
) error {
	v := vote{term: req.Term, lastIndex: req.LastLogIndex, lastTerm: req.LastLogTerm}
	node := parseNode(string(id))
	answer, err := t.elect(node, framePreVote, v)
	*resp = hraft.RequestPreVoteResponse{RPCHeader: rpcHeader(node), Term: answer.term, Granted: answer.transfer}
	return err
}

// TimeoutNow tells the target to stand for election: the last step of a leadership transfer.
func (t *groupTransport) TimeoutNow(id hraft.ServerID, _ hraft.ServerAddress, _ *hraft.TimeoutNowRequest,
	resp *hraft.TimeoutNowResponse,
) error {
	node := parseNode(string(id))
	_, err := t.elect(node, frameTimeoutNow, vote{})
	*resp = hraft.TimeoutNowResponse{RPCHeader: rpcHeader(node)}
	return err
}

func (t *groupTransport) elect(node NodeID, typ frameType, v vote) (vote, error) {
	if typ != frameTimeoutNow && t.store.stalled() {
		return vote{}, errStalled // it would fall silent as the leader, while others could lead
	}
	p := t.host.peer(node)
	if p == nil {
		return vote{}, fmt.Errorf("%w: node %d", ErrUnreachable, node)
	}
	ctx, cancel := context.WithTimeout(t.ctx, electionPatience)
	defer cancel()
	v.group = t.group
	answer, err := p.request(ctx, classControl, typ, v.appendTo(nil))
	if err != nil {
		return vote{}, err
	}
	if typ == frameTimeoutNow {
		return vote{}, nil
	}
	r := &reader{b: answer}
	got := r.vote()
	return got, r.err
}

// InstallSnapshot ships the position at the log start.
func (t *groupTransport) InstallSnapshot(id hraft.ServerID, _ hraft.ServerAddress, req *hraft.InstallSnapshotRequest,
	resp *hraft.InstallSnapshotResponse, data io.Reader,
) error {
	node := parseNode(string(id))
	p := t.host.peer(node)
	if p == nil {
		return fmt.Errorf("%w: node %d", ErrUnreachable, node)
	}
	snapshot, err := io.ReadAll(data)
	if err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	if len(snapshot) > maxFrame/2 {
		return errors.New("state machine too large to ship")
	}
	body := append(encodeSnapshotRequest(nil, t.group, req), snapshot...)
	answer, err := p.request(t.ctx, dataClass(t.group), frameSnapshot, body)
	if err != nil {
		return err
	}
	r := &reader{b: answer}
	a := r.appendResponse(node)
	*resp = hraft.InstallSnapshotResponse{RPCHeader: rpcHeader(node), Term: a.Term, Success: a.Success}
	return r.err
}

// heartbeat hands a leader's heartbeat to the library's main loop. The library offers a fast path that runs beside the
// loop (SetHeartbeatHandler), but it sets the term without regard to a vote that the loop grants meanwhile, so that a
// voter's term could go backwards. A loop that is too busy for a heartbeat does not answer.
func (t *groupTransport) heartbeat(from NodeID, term uint64, answer chan<- hraft.RPCResponse) {
	select {
	case t.requests <- hraft.RPC{
		Command:  &hraft.AppendEntriesRequest{RPCHeader: rpcHeader(from), Term: term},
		RespChan: answer,
	}:
	default:
	}
}

// campaign makes the library stand for election at once, as a leadership transfer does.
func (t *groupTransport) campaign() {
	select {
	case t.requests <- hraft.RPC{Command: &hraft.TimeoutNowRequest{RPCHeader: rpcHeader(t.host.node)}, RespChan: make(chan hraft.RPCResponse, 1)}:
	default: // so many requests wait that a leader must be there
	}
}

// lastIndex is the last entry of this replica's log; 0 before it has started.
func (t *groupTransport) lastIndex() uint64 {
	if t.plog != nil {
		return uint64(t.plog.LastIndex())
	}
	if r := t.started.Load(); r != nil {
		return r.LastIndex()
	}
	return 0
}

// caughtUp says whether node acknowledged nearly everything, over a link that is up.
func (t *groupTransport) caughtUp(node NodeID) bool {
	p := t.host.peer(node)
	if p == nil {
		return false
	}
	s := p.current()
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.follower(node)
	return s != nil && f.acked && f.ackSession == s && f.prevIndex+transferLag >= t.lastIndex()
}

// progress fills in what is known of a follower.
func (t *groupTransport) progress(into *Progress, last uint64, now time.Time) {
	var s *session
	if p := t.host.peer(into.Node); p != nil {
		s = p.current()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.follower(into.Node)
	if f.acked {
		into.Match = log.Index(f.prevIndex)
	}
	into.LastContact, into.LastCaughtUp = f.ackedAt, f.caughtUpAt
	if f.beatAt.After(into.LastContact) {
		into.LastContact = f.beatAt
	}
	if f.acked && s != nil && f.ackSession == s && f.prevIndex >= last {
		into.LastContact, into.LastCaughtUp = now, now
	}
}

// forget drops what is remembered of a follower whose membership begins or ends.
func (t *groupTransport) forget(node NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.followers, node)
}

// transferLag is how many entries a follower may lack to be given the leadership: what a busy leader has in flight.
const transferLag = 1024
