package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/handler"
	"balsa/server/partition"
	"balsa/server/txn"
)

const (
	// markersInFlight is how many requests with markers may be on their way to one node.
	markersInFlight = 4
	// maxMarkers bounds the markers in one request.
	maxMarkers = 4096
	// markersCallTimeout bounds one request: a node that cannot write answers late or never, and partitions move.
	markersCallTimeout = 5 * time.Second
	// A marker that could not be written is tried again after markerPause, the next time after twice as long, up to
	// maxMarkerPause.
	markerPause    = 10 * time.Millisecond
	maxMarkerPause = 500 * time.Millisecond
	// markerPatience is how long a marker may take before the log tells, and how often it does.
	markerPatience = 10 * time.Second
)

// markers writes the markers of decided transactions to the leaders of their partitions, wherever those are. It never gives
// up: a transaction whose outcome is decided must end everywhere.
type markers struct {
	image  func() *cluster.Image
	leader func(topic cluster.TopicID, partition int32) raft.Leadership
	call   callFunc
	logger *slog.Logger

	ctx    context.Context // ends with close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	lanes map[raft.NodeID]*lane
}

// lane is what waits for one node.
type lane struct {
	queue    []*pendingMarker
	inFlight int
}

// ending is one transaction's completion.
type ending struct {
	ctx      context.Context // of the leader that coordinates it
	id       string
	metadata uint64
	left     atomic.Int64
	done     func()
}

// pendingMarker is one marker on its way.
type pendingMarker struct {
	handler.TransactionMarker
	ending *ending
	pause  time.Duration
	since  time.Time
	told   time.Time
}

func newMarkers(
	image func() *cluster.Image, leader func(cluster.TopicID, int32) raft.Leadership, call callFunc, logger *slog.Logger,
) *markers {
	m := &markers{image: image, leader: leader, call: call, logger: logger, lanes: map[raft.NodeID]*lane{}}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// close gives everything up. The coordinator must be closed before, so that nothing new comes.
func (m *markers) close() {
	m.cancel()
	m.wg.Wait()
}

// complete writes a transaction's markers; see coordinator.Config.Complete.
func (m *markers) complete(ctx context.Context, c txn.Completion, done func()) {
	e := &ending{ctx: ctx, id: c.TransactionalID, metadata: c.Metadata, done: done}
	e.left.Store(int64(len(c.Partitions)))
	now := time.Now()
	pending := make([]*pendingMarker, len(c.Partitions))
	for i, p := range c.Partitions {
		pending[i] = &pendingMarker{
			TransactionMarker: handler.TransactionMarker{
				Partition: cluster.TopicPartition{Topic: p.Topic, Partition: p.Partition},
				Marker: partition.Marker{
					ProducerID: c.ProducerID, ProducerEpoch: c.Epoch, CoordinatorEpoch: c.CoordinatorEpoch,
					Commit: c.Commit, TransactionVersion: c.Version,
				},
			},
			ending: e, since: now, told: now,
		}
	}
	m.wg.Go(func() {
		if len(pending) == 0 {
			done()
		}
		m.route(pending)
	})
}

// route gives markers to the lanes of the nodes that lead their partitions. A partition that is gone needs none; one whose
// leader is not known has to wait.
func (m *markers) route(pending []*pendingMarker) {
	if m.ctx.Err() != nil {
		return
	}
	image := m.image()
	var later []*pendingMarker
	for _, p := range pending {
		if p.ending.ctx.Err() != nil {
			continue
		}
		tp := p.Partition
		if _, exists := image.Partition(tp.Topic, tp.Partition); !exists {
			if image.Version >= p.ending.metadata {
				p.ending.written()
			} else {
				later = append(later, p) // this node has not heard of the topic yet
			}
			continue
		}
		if leader := m.leader(tp.Topic, tp.Partition).Leader; leader != raft.NoNode {
			m.push(leader, p)
		} else {
			later = append(later, p)
		}
	}
	m.later(later)
}

// written takes note that one more partition needs nothing any more.
func (e *ending) written() {
	if e.left.Add(-1) == 0 {
		e.done()
	}
}

// later routes markers again after a pause.
func (m *markers) later(pending []*pendingMarker) {
	if len(pending) == 0 {
		return
	}
	pause := maxMarkerPause
	now := time.Now()
	for _, p := range pending {
		p.pause = min(max(2*p.pause, markerPause), maxMarkerPause)
		pause = min(pause, p.pause)
		if now.Sub(p.told) >= markerPatience {
			p.told = now
			m.logger.Warn("a transaction marker cannot be written yet", "transactionalId", p.ending.id,
				"partition", p.Partition, "producerId", p.ProducerID, "since", p.since)
		}
	}
	m.wg.Go(func() {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-timer.C:
			m.route(pending)
		case <-m.ctx.Done():
		}
	})
}

// push queues a marker for a node.
func (m *markers) push(node raft.NodeID, p *pendingMarker) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.lanes[node]
	if l == nil {
		l = &lane{}
		m.lanes[node] = l
	}
	l.queue = append(l.queue, p)
	if l.inFlight < markersInFlight {
		l.inFlight++
		m.wg.Go(func() { m.drain(node, l) })
	}
}

// drain sends what is queued for a node. What comes while a request is on its way goes together with the next.
func (m *markers) drain(node raft.NodeID, l *lane) {
	for {
		m.mu.Lock()
		n := min(len(l.queue), maxMarkers)
		pending := l.queue[:n:n]
		l.queue = l.queue[n:]
		if n == 0 {
			l.queue = nil
			l.inFlight--
		}
		m.mu.Unlock()
		if n == 0 {
			return
		}
		m.send(node, pending)
	}
}

// send writes markers to a node and deals with its answer.
func (m *markers) send(node raft.NodeID, pending []*pendingMarker) {
	batch := make([]handler.TransactionMarker, len(pending))
	for i, p := range pending {
		batch[i] = p.TransactionMarker
	}
	ctx, cancel := context.WithTimeout(m.ctx, markersCallTimeout)
	defer cancel()
	var codes []int16
	answer, err := m.call(ctx, node, markersService, encodeMarkers(batch))
	if err == nil {
		codes, err = decodeCodes(answer, len(pending))
	}
	if err != nil {
		if m.ctx.Err() == nil && !errors.Is(err, raft.ErrUnreachable) {
			m.logger.Debug("sending transaction markers failed", "to", node, "count", len(pending), "err", err)
		}
		m.later(pending)
		return
	}
	var again []*pendingMarker
	for i, p := range pending {
		switch codes[i] {
		case 0:
			p.ending.written()
		case kerr.InvalidProducerEpoch.Code:
			// Nothing is open there that this marker could end: the partition knows a later epoch of the producer.
			m.logger.Info("a transaction marker came late", "transactionalId", p.ending.id, "partition", p.Partition,
				"producerId", p.ProducerID, "epoch", p.ProducerEpoch)
			p.ending.written()
		default:
			// The partition has moved, or cannot be written; also TRANSACTION_COORDINATOR_FENCED, after which this
			// node is to learn soon that it coordinates no longer.
			again = append(again, p)
		}
	}
	m.later(again)
}
