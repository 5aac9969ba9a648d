package controller

import (
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
)

// producerIDsLow is how many ids are left of a block when the next one is asked for: a tenth of a block, as in Kafka.
const producerIDsLow = 100

// ProducerIDs hands out producer ids from blocks that the controller gives to this broker: each id once in the life of the
// cluster. What is left of a block when the process ends is lost: there are enough. All methods are safe for concurrent use.
type ProducerIDs struct {
	node raft.NodeID
	do   func(ctx context.Context, req kmsg.Request) (kmsg.Response, error)

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	at, end  int64 // the block: [at, end)
	ahead    block // the next one; empty when there is none
	fetching *fetching
}

type block struct{ start, end int64 }

// fetching is one attempt to get a block.
type fetching struct {
	done chan struct{}
	err  error // set before done is closed
}

// NewProducerIDs returns a source of ids; do is Controller.Do. Close releases it.
func NewProducerIDs(node raft.NodeID, do func(ctx context.Context, req kmsg.Request) (kmsg.Response, error)) *ProducerIDs {
	p := &ProducerIDs{node: node, do: do}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Close gives up what is being asked for, and waits for it to end.
func (p *ProducerIDs) Close() {
	p.cancel()
	p.wg.Wait()
}

// Take returns an unused id without waiting; ok is false when none is at hand. One is being fetched then.
func (p *ProducerIDs) Take() (id int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.take()
}

// Next returns an unused id. COORDINATOR_LOAD_IN_PROGRESS, which clients retry, when the controller cannot be asked now.
func (p *ProducerIDs) Next(ctx context.Context) (int64, error) {
	for {
		p.mu.Lock()
		id, ok := p.take()
		f := p.fetching
		p.mu.Unlock()
		if ok {
			return id, nil
		}
		if err := f.wait(ctx); err != nil {
			return 0, err
		}
	}
}

// Await returns when Take will find an id, unless others take all there are, or when ctx ends or the attempt to get some
// fails.
func (p *ProducerIDs) Await(ctx context.Context) {
	p.mu.Lock()
	p.refill()
	left, f := p.left(), p.fetching
	p.mu.Unlock()
	if left == 0 {
		_ = f.wait(ctx) // whoever takes an id finds out
	}
}

func (f *fetching) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("wait for a block of producer ids: %w", ctx.Err())
	}
}

func (p *ProducerIDs) left() int64 { return p.end - p.at + p.ahead.end - p.ahead.start }

// take is Take; without an id it leaves p.fetching set. The caller holds p.mu.
func (p *ProducerIDs) take() (int64, bool) {
	p.refill()
	if p.at == p.end {
		p.at, p.end, p.ahead = p.ahead.start, p.ahead.end, block{}
	}
	if p.at == p.end {
		return 0, false
	}
	p.at++
	return p.at - 1, true
}

// refill fetches a block when few ids are left, unless that is under way. The caller holds p.mu.
func (p *ProducerIDs) refill() {
	if p.fetching != nil || p.ahead != (block{}) || p.left() > producerIDsLow {
		return
	}
	f := &fetching{done: make(chan struct{})}
	p.fetching = f
	p.wg.Go(func() {
		b, err := p.fetch()
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case err != nil:
		case p.at == p.end:
			p.at, p.end = b.start, b.end
		default:
			p.ahead = b // nothing was ahead when it was asked for
		}
		p.fetching, f.err = nil, err
		close(f.done)
	})
}

func (p *ProducerIDs) fetch() (block, error) {
	req := kmsg.NewPtrAllocateProducerIDsRequest()
	req.BrokerID, req.BrokerEpoch = int32(p.node), -1
	r, err := p.do(p.ctx, req)
	if err != nil {
		return block{}, fmt.Errorf("allocate a block of producer ids: %w: %w", err, kerr.CoordinatorLoadInProgress)
	}
	resp, ok := r.(*kmsg.AllocateProducerIDsResponse)
	if !ok || resp.ErrorCode != 0 || resp.ProducerIDLen <= 0 {
		return block{}, fmt.Errorf("allocate a block of producer ids: %w", kerr.CoordinatorLoadInProgress)
	}
	return block{resp.ProducerIDStart, resp.ProducerIDStart + int64(resp.ProducerIDLen)}, nil
}
