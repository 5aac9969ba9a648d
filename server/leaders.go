package server

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"time"

	"balsa/log"
	"balsa/raft"
	"balsa/server/cluster"
)

// leadersService is the number under which brokers tell each other which groups they lead.
const leadersService uint8 = 2

// callFunc is raft.Host.Call.
type callFunc func(ctx context.Context, to raft.NodeID, service uint8, payload []byte) ([]byte, error)

const (
	// announceDelay gathers leadership changes that come together into one message.
	announceDelay = 10 * time.Millisecond
	// announceAll is how often a broker repeats all that it leads, for those who missed a change.
	announceAll     = 10 * time.Second
	announceTimeout = 2 * time.Second
)

// leaderTable is what this broker knows about who leads which group: from its own replicas, and from what the
// other brokers announce. A later epoch always wins, so the order of news does not matter.
type leaderTable struct {
	node   raft.NodeID
	logger *slog.Logger

	mu      sync.RWMutex
	leaders map[raft.GroupID]raft.Leadership
	news    map[raft.GroupID]log.Epoch // led by this node and not announced yet
	wake    chan struct{}
	learned chan struct{} // closed and replaced whenever a leader becomes known
}

func newLeaderTable(node raft.NodeID, logger *slog.Logger) *leaderTable {
	return &leaderTable{
		node: node, logger: logger, leaders: map[raft.GroupID]raft.Leadership{}, news: map[raft.GroupID]log.Epoch{},
		wake: make(chan struct{}, 1), learned: make(chan struct{}),
	}
}

// changed takes a local replica's news. It does not block.
func (t *leaderTable) changed(id raft.GroupID, l raft.Leadership) {
	t.mu.Lock()
	t.learn(id, l)
	announce := l.Leader == t.node && l.Ready
	if announce {
		t.news[id] = l.Epoch
	}
	t.mu.Unlock()
	if announce {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// learn keeps the newest; within an epoch a known leader stays known, because it cannot change.
func (t *leaderTable) learn(id raft.GroupID, l raft.Leadership) {
	old, ok := t.leaders[id]
	if ok && (l.Epoch < old.Epoch || l.Epoch == old.Epoch && l.Leader == raft.NoNode) {
		return
	}
	t.leaders[id] = l
	if l.Leader != raft.NoNode {
		close(t.learned)
		t.learned = make(chan struct{})
	}
}

// await returns when the leaders of all groups are known, or ctx ends.
func (t *leaderTable) await(ctx context.Context, groups []raft.GroupID) {
	for _, id := range groups {
		for {
			t.mu.RLock()
			l, known := t.leaders[id]
			learned := t.learned
			t.mu.RUnlock()
			if known && l.Leader != raft.NoNode && (l.Leader != t.node || l.Ready) {
				break
			}
			select {
			case <-learned:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (t *leaderTable) get(id raft.GroupID) raft.Leadership {
	t.mu.RLock()
	defer t.mu.RUnlock()
	l, ok := t.leaders[id]
	if !ok {
		return raft.Leadership{Leader: raft.NoNode}
	}
	return l
}

// forget drops the groups of topics that were deleted between two images. What neither has stays: news of a topic may come
// before the image that has it.
func (t *leaderTable) forget(before, after *cluster.Image) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.leaders {
		if before.Topics[id.Topic] != nil && after.Topics[id.Topic] == nil {
			delete(t.leaders, id)
		}
	}
}

// led returns all that this node leads.
func (t *leaderTable) led() map[raft.GroupID]log.Epoch {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := map[raft.GroupID]log.Epoch{}
	for id, l := range t.leaders {
		if l.Leader == t.node && l.Ready {
			all[id] = l.Epoch
		}
	}
	return all
}

// announce tells the other brokers, as long as ctx lasts. call is raft.Host.Call.
func (t *leaderTable) announce(ctx context.Context, brokers func() []raft.NodeID,
	call callFunc,
) {
	repeat := time.NewTicker(announceAll)
	defer repeat.Stop()
	for {
		var news map[raft.GroupID]log.Epoch
		select {
		case <-ctx.Done():
			return
		case <-repeat.C:
			news = t.led()
		case <-t.wake:
			select {
			case <-ctx.Done():
				return
			case <-time.After(announceDelay):
			}
			t.mu.Lock()
			news, t.news = t.news, map[raft.GroupID]log.Epoch{}
			t.mu.Unlock()
		}
		if len(news) == 0 {
			continue
		}
		message := encodeLeaders(news)
		var wg sync.WaitGroup
		for _, n := range brokers() {
			if n == t.node {
				continue
			}
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, announceTimeout)
				defer cancel()
				if _, err := call(ctx, n, leadersService, message); err != nil && !errors.Is(err, raft.ErrUnreachable) {
					t.logger.Debug("announcing leaders failed", "to", n, "err", err)
				}
			})
		}
		wg.Wait()
	}
}

// ask learns from the other brokers what they lead: a broker that just started missed their announcements.
func (t *leaderTable) ask(ctx context.Context, brokers []raft.NodeID,
	call callFunc,
) {
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, n := range brokers {
		if n == t.node {
			continue
		}
		wg.Go(func() {
			answer, err := call(ctx, n, leadersService, encodeLeaders(nil))
			if err == nil {
				_, err = t.serve(ctx, n, answer)
			}
			if err != nil && !errors.Is(err, raft.ErrUnreachable) {
				t.logger.Debug("asking for leaders failed", "of", n, "err", err)
			}
		})
	}
	wg.Wait()
}

// serve takes another broker's announcement and answers with what this one leads; its signature is raft.Service.
func (t *leaderTable) serve(_ context.Context, from raft.NodeID, message []byte) ([]byte, error) {
	led, err := decodeLeaders(message)
	if err != nil {
		return nil, err
	}
	if len(led) == 0 {
		return encodeLeaders(t.led()), nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, epoch := range led {
		t.learn(id, raft.Leadership{Leader: from, Epoch: epoch, Ready: true})
	}
	return nil, nil
}

// An announcement is a version byte (1), then for each group its topic id, partition and epoch, big endian.
const (
	leadersVersion = 1
	leaderLen      = 16 + 4 + 4
)

var errLeaders = errors.New("malformed announcement of leaders")

func encodeLeaders(led map[raft.GroupID]log.Epoch) []byte {
	b := make([]byte, 1, 1+len(led)*leaderLen)
	b[0] = leadersVersion
	for id, epoch := range led {
		b = append(b, id.Topic[:]...)
		b = binary.BigEndian.AppendUint32(b, uint32(id.Partition))
		b = binary.BigEndian.AppendUint32(b, uint32(epoch))
	}
	return b
}

func decodeLeaders(b []byte) (map[raft.GroupID]log.Epoch, error) {
	if len(b) == 0 || b[0] != leadersVersion || (len(b)-1)%leaderLen != 0 {
		return nil, errLeaders
	}
	led := make(map[raft.GroupID]log.Epoch, len(b)/leaderLen)
	for b = b[1:]; len(b) > 0; b = b[leaderLen:] {
		id := raft.GroupID{Partition: int32(binary.BigEndian.Uint32(b[16:]))}
		copy(id.Topic[:], b)
		led[id] = log.Epoch(binary.BigEndian.Uint32(b[20:]))
	}
	return led, nil
}
