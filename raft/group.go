package raft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	hraft "github.com/hashicorp/raft"
	"golang.org/x/sync/semaphore"

	"balsa/log"
	"balsa/log/batch"
)

// inflightBytes bounds the record bytes that a group's leader has proposed and not settled.
const inflightBytes = 16 << 20

// GroupConfig says how to open a replica.
type GroupConfig struct {
	ID         GroupID
	Log        *log.Log
	Checkpoint log.Checkpoint // as log.Open returned it
	// Voters is the initial membership, the same on every node; the first is the preferred leader. Once the group has
	// saved a membership of its own, that one counts.
	Voters []NodeID
	// Joins says that the replica, if this node has nothing of it, is not one of those that found the group: it has no membership
	// of its own and no vote until a leader has admitted it. A group that was left (Host.Leave) is joined in any case.
	Joins   bool
	Machine StateMachine
	// Appended, if not nil, is told of each append to this replica's log: how many bytes of records it brought, which are not committed
	// yet. It is called in order, and must not block.
	Appended func(bytes int64)
	// NeedPayload makes Apply get whole batches, not headers only.
	NeedPayload bool
	// Disposable says that entries which the state machine's saved state covers may be deleted: coordinators, whose
	// state is what matters, as opposed to partitions, whose log is.
	Disposable bool
}

// Group is one replica of a Raft group. All methods are safe for concurrent use.
type Group struct {
	id     GroupID
	host   *Host
	logger *slog.Logger
	raft   *hraft.Raft
	trans  *groupTransport
	fsm    hraft.FSM
	// plog, state and snaps are nil for the metadata group.
	plog  *log.Log
	state *replicaState
	snaps *snapshotStore

	machine    StateMachine
	disposable bool
	joiner     joiner
	votes      hraft.StableStore // terms and votes, without the joiner's guard

	inflight  *semaphore.Weighted
	proposals completer

	gate         sync.RWMutex // read-held while a proposal is handed to the library
	transferring bool         // guarded by gate: leadership is being handed over
	closing      bool         // guarded by gate

	leadership atomic.Pointer[Leadership]
	failing    atomic.Int64 // until when (Unix nanoseconds) proposals are refused after a failed append

	checkpoint checkpointer
	closeOnce  sync.Once
	closeErr   error
}

// ID returns the group's id.
func (g *Group) ID() GroupID { return g.id }

// Host returns the node that this replica is on.
func (g *Group) Host() NodeID { return g.host.node }

// Leadership returns what this replica knows about the leader.
func (g *Group) Leadership() Leadership { return *g.leadership.Load() }

// Propose enqueues an entry. Proposals of one caller keep their order. For batch.KindData the payload is a whole
// batch.Batch (any bytes in the metadata group), which is stamped in place and must not be touched until Done; for other
// kinds it is what Entry.Payload will be. It does not wait for the disk, but blocks while too many bytes are in flight.
func (g *Group) Propose(kind batch.Kind, payload []byte) *Proposal {
	if kind == batch.KindData {
		return g.propose(payload, nil)
	}
	return g.propose(payload, []byte{byte(kind)})
}

// ProposeIn is Propose for what was decided as the leader of an epoch. A node may lose its leadership and win it again before
// who decides has noticed: then it does not know what was written in between, and what it decided must not be written.
// Such a proposal fails with ErrNotLeader. It is not for the metadata group.
func (g *Group) ProposeIn(epoch log.Epoch, kind batch.Kind, payload []byte) *Proposal {
	return g.propose(payload, decidedIn(epoch, kind))
}

// ProposeBehind is ProposeIn for what was decided about records that were just proposed: it is refused unless the log's next offset is
// end where it is written. Such a proposal fails with ErrNotLeader, too: something else is in the log than the leader had in mind.
func (g *Group) ProposeBehind(epoch log.Epoch, end log.Offset, kind batch.Kind, payload []byte) *Proposal {
	return g.propose(payload, decidedBehind(epoch, end, kind))
}

func (g *Group) propose(payload, extensions []byte) *Proposal {
	if until := g.failing.Load(); until != 0 && time.Now().UnixNano() < until {
		return failedProposal(fmt.Errorf("last append failed: %w", log.ErrFailed))
	}
	size := min(int64(len(payload))+1, inflightBytes)
	if err := g.inflight.Acquire(g.trans.ctx, size); err != nil {
		return failedProposal(ErrClosed)
	}
	g.gate.RLock()
	defer g.gate.RUnlock()
	if g.transferring || g.closing {
		g.inflight.Release(size)
		return failedProposal(ErrNotLeader)
	}
	l := hraft.Log{Data: payload, Extensions: extensions}
	p := &Proposal{done: make(chan struct{}), size: size, extensions: extensions, future: g.raft.ApplyLog(l, 0)}
	g.proposals.add(p)
	return p
}

// appendRetry is how long proposals are refused after an append failed: long enough for leadership, which the library gives
// up then, to settle where there is room; short enough to notice that space is back.
const appendRetry = time.Second

// appendFailed takes note of a failed append. A log that failed for good takes the replica out: a replica that cannot
// store entries must neither vote nor lead.
func (g *Group) appendFailed(err error) {
	g.failing.Store(time.Now().Add(appendRetry).UnixNano())
	if g.plog.Failed() == nil {
		g.logger.Error("append failed, nothing was written", "err", err)
		return
	}
	g.logger.Error("replica stops until the broker is restarted: its log failed", "err", err)
	g.host.running.Go(func() {
		// What was appended before the fsync failed can no longer commit. A leader finds that out with its next append, gives up
		// its leadership, and with it what is in flight.
		g.raft.Barrier(0)
		if err := g.Close(); err != nil {
			g.logger.Error("stopping the replica failed", "err", err)
		}
		g.host.events.tell(learned{group: g, stopped: true})
	})
}

// TransferLeadership hands leadership to another voter once it has caught up. Proposals fail with ErrNotLeader meanwhile,
// and what was in flight is settled before: otherwise the library could refuse one proposal and, should the transfer fail,
// take the next, and an idempotent producer's batches would leave a gap. ErrNotLeader when this node has no leadership to
// hand over.
func (g *Group) TransferLeadership(ctx context.Context, to NodeID) error {
	if _, voter := g.isMember(to); !voter {
		return fmt.Errorf("hand group %s to node %d: it has no vote", g.id, to)
	}
	g.gate.Lock()
	if g.transferring || g.raft.State() != hraft.Leader {
		g.gate.Unlock()
		return ErrNotLeader
	}
	g.transferring = true
	g.gate.Unlock()
	defer func() {
		g.gate.Lock()
		g.transferring = false
		g.gate.Unlock()
	}()
	if err := g.inflight.Acquire(ctx, inflightBytes); err != nil {
		return err
	}
	g.inflight.Release(inflightBytes)
	// The library gives up by itself after its election timeout; until then it refuses proposals, so the gate stays shut.
	return mapError(g.raft.LeadershipTransferToServer(hraft.ServerID(to.server()), hraft.ServerAddress(to.server())).Error())
}

// CaughtUp says whether another voter could take over the leadership at once: it has acknowledged nearly everything.
func (g *Group) CaughtUp(node NodeID) bool { return g.trans.caughtUp(node) }

// Campaign makes this replica stand for election at once, unless it leads, or could not because its disk hangs. It bypasses pre-vote, so
// call it only when the group is known to have no living leader.
func (g *Group) Campaign() {
	if g.raft.State() != hraft.Leader && !g.Joining() && !g.trans.store.stalled() {
		g.trans.campaign()
	}
}

// settleTimeout bounds the wait for proposals when a replica stops: a leader without a majority steps down, and so fails
// them, within its lease.
const settleTimeout = 3 * time.Second

// Close stops the replica. The log stays open: it belongs to who opened it.
func (g *Group) Close() error {
	g.closeOnce.Do(func() {
		g.settle()
		g.host.forget(g)
		g.trans.cancel()
		if err := g.raft.Shutdown().Error(); err != nil {
			g.closeErr = fmt.Errorf("stop raft group %s: %w", g.id, err)
		}
		if g.plog != nil && g.plog.Failed() == nil {
			g.closeErr = errors.Join(g.closeErr, g.Checkpoint())
		}
	})
	return g.closeErr
}

// settle refuses new proposals and waits for those in flight: the library never answers what it holds when it is shut down.
func (g *Group) settle() {
	g.gate.Lock()
	g.closing = true
	g.gate.Unlock()
	ctx, cancel := context.WithTimeout(g.trans.ctx, settleTimeout)
	defer cancel()
	if g.inflight.Acquire(ctx, inflightBytes) == nil {
		g.inflight.Release(inflightBytes)
	}
}

// Open starts a replica of a partition or coordinator group.
func (h *Host) Open(c GroupConfig) (*Group, error) {
	g := h.newGroup(c.ID, c.Machine)
	stable, err := h.stable.group(c.ID)
	if err != nil {
		return nil, err
	}
	if err := g.joiner.load(stable); err != nil {
		return nil, fmt.Errorf("open raft group %s: %w", c.ID, err)
	}
	if c.Checkpoint.State == nil && !g.Joining() {
		if stable.used() {
			return nil, fmt.Errorf("open raft group %s: %w", c.ID, ErrLostLog)
		}
		if c.Joins {
			if err := g.joiner.begin(); err != nil {
				return nil, fmt.Errorf("open raft group %s: %w", c.ID, err)
			}
		}
	}
	if g.Joining() {
		c.Voters = nil
	}
	store, err := g.prepare(c)
	if err != nil {
		return nil, fmt.Errorf("open raft group %s: %w", c.ID, err)
	}
	if c.Checkpoint.State == nil {
		// The membership must survive before anything is voted on.
		if err := g.Checkpoint(); err != nil {
			return nil, fmt.Errorf("open raft group %s: %w", c.ID, err)
		}
	}
	return g, h.startGroup(g, h.timing.config(false), store, stable, g.snaps)
}

func (h *Host) newGroup(id GroupID, machine StateMachine) *Group {
	g := &Group{
		id: id, host: h, logger: h.logger.With("group", id), machine: machine,
		inflight: semaphore.NewWeighted(inflightBytes),
	}
	g.proposals.release = g.inflight.Release
	g.leadership.Store(&Leadership{Leader: NoNode})
	return g
}

// prepare puts a group over its log, at the saved position.
func (g *Group) prepare(c GroupConfig) (*entryStore, error) {
	g.plog, g.disposable = c.Log, c.Disposable
	start := position{config: voterConfiguration(c.Voters), configIndex: 1}
	if len(c.Voters) == 0 {
		start.configIndex = 0 // joins: the library takes it for a server that knows no peers
	}
	if c.Checkpoint.State != nil {
		var err error
		if start, err = decodePosition(c.Checkpoint.State); err != nil {
			return nil, err
		}
	}
	store := &entryStore{
		plog: c.Log, logger: g.logger, failed: g.appendFailed, space: g.host.space,
		inParallel: g.leadsOthers, parallel: newParallelSync(c.Log, g.appendFailed), appended: c.Appended,
	}
	g.state = &replicaState{plog: c.Log, store: store, machine: c.Machine, needPayload: c.NeedPayload}
	if err := g.state.restore(start); err != nil {
		return nil, err
	}
	g.snaps = &snapshotStore{plog: c.Log, state: g.state, start: start, reset: g.resetTo}
	g.fsm = g.state
	return store, nil
}

// startGroup starts the library and makes the group known to the transport.
func (h *Host) startGroup(g *Group, conf *hraft.Config, logs hraft.LogStore, stable hraft.StableStore,
	snaps hraft.SnapshotStore,
) error {
	var store *entryStore
	if g.state != nil {
		store = g.state.store
	}
	g.trans = newGroupTransport(h, g.id, g.plog, store)
	g.votes = stable
	conf.LocalID = hraft.ServerID(h.node.server())
	conf.Logger = newHclog(g.logger)
	r, err := hraft.NewRaft(conf, g.fsm, logs, votingGuard{stable, &g.joiner}, snaps, g.trans)
	if err != nil {
		g.trans.cancel()
		return fmt.Errorf("start raft group %s: %w", g.id, err)
	}
	g.raft = r
	g.trans.started.Store(r)
	if g.snaps != nil {
		g.snaps.started.Store(true)
	}
	h.watch(g)
	if err := h.register(g); err != nil {
		return errors.Join(err, r.Shutdown().Error())
	}
	return nil
}
