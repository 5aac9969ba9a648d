package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/coordinator"
	"balsa/server/partition"
	"balsa/server/share"
)

const (
	// sharePatience is how long a request about share partitions follows their leaders when those move or do not answer.
	sharePatience = 2 * time.Second
	sharePause    = 20 * time.Millisecond
)

// shareStates reaches the share partitions of groups, which the leaders of the topics' partitions keep, wherever those are.
type shareStates struct {
	node       raft.NodeID
	partitions *partition.Manager
	image      func() *cluster.Image
	leader     func(topic cluster.TopicID, partition int32) raft.Leadership
	call       callFunc
	logger     *slog.Logger
}

var _ coordinator.ShareStates = (*shareStates)(nil)

// Initialize implements coordinator.ShareStates.
func (s *shareStates) Initialize(
	ctx context.Context, group string, epoch share.Epoch, partitions []cluster.TopicPartition,
) []error {
	return shareErrors(s.follow(ctx, shareRequest{op: shareInitialize, group: group, epoch: epoch, starts: withoutStart(partitions)}))
}

// Delete implements coordinator.ShareStates.
func (s *shareStates) Delete(
	ctx context.Context, group string, epoch share.Epoch, partitions []cluster.TopicPartition,
) []error {
	errs := shareErrors(s.follow(ctx, shareRequest{op: shareDelete, group: group, epoch: epoch, starts: withoutStart(partitions)}))
	for i, err := range errs {
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			errs[i] = nil
		}
	}
	return errs
}

// Alter implements coordinator.ShareStates.
func (s *shareStates) Alter(
	ctx context.Context, group string, epoch share.Epoch, starts []coordinator.ShareStart,
) []error {
	return shareErrors(s.follow(ctx, shareRequest{op: shareAlter, group: group, epoch: epoch, starts: starts}))
}

// Describe implements coordinator.ShareStates.
func (s *shareStates) Describe(
	ctx context.Context, group string, decided bool, partitions []cluster.TopicPartition,
) []coordinator.ShareState {
	op := shareDescribe
	if decided {
		op = shareDescribeDecided
	}
	states := s.follow(ctx, shareRequest{op: op, group: group, starts: withoutStart(partitions)})
	for i := range states {
		if errors.Is(states[i].Err, kerr.GroupIDNotFound) {
			states[i] = coordinator.ShareState{Start: -1, Lag: -1}
		}
	}
	return states
}

func withoutStart(partitions []cluster.TopicPartition) []coordinator.ShareStart {
	starts := make([]coordinator.ShareStart, len(partitions))
	for i, p := range partitions {
		starts[i].TopicPartition = p
	}
	return starts
}

func shareErrors(states []coordinator.ShareState) []error {
	errs := make([]error, len(states))
	for i := range states {
		errs[i] = states[i].Err
	}
	return errs
}

// follow asks the leaders, and asks again, for a while, where there is none or it has moved.
func (s *shareStates) follow(ctx context.Context, req shareRequest) []coordinator.ShareState {
	ctx, cancel := context.WithTimeout(ctx, sharePatience)
	defer cancel()
	states := make([]coordinator.ShareState, len(req.starts))
	left := make([]int, len(req.starts))
	for i := range left {
		left[i] = i
	}
	for {
		s.ask(ctx, req, left, states)
		var again []int
		for _, i := range left {
			if errors.Is(states[i].Err, kerr.NotLeaderForPartition) {
				again = append(again, i)
			}
		}
		if left = again; len(left) == 0 || !pause(ctx, sharePause) {
			return states
		}
	}
}

// pause waits, and says whether ctx still lasts.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ask makes one attempt at the partitions with the given indexes, all nodes at once.
func (s *shareStates) ask(ctx context.Context, req shareRequest, which []int, states []coordinator.ShareState) {
	image := s.image()
	byNode := map[raft.NodeID][]int{}
	for _, i := range which {
		p := req.starts[i]
		if _, exists := image.Partition(p.Topic, p.Partition); !exists {
			states[i] = coordinator.ShareState{Err: kerr.UnknownTopicOrPartition}
			continue
		}
		leader := s.leader(p.Topic, p.Partition).Leader
		if leader == raft.NoNode {
			states[i] = coordinator.ShareState{Err: kerr.NotLeaderForPartition}
			continue
		}
		byNode[leader] = append(byNode[leader], i)
	}
	var wg sync.WaitGroup
	for node, indexes := range byNode {
		wg.Go(func() {
			part := shareRequest{op: req.op, group: req.group, epoch: req.epoch}
			for _, i := range indexes {
				part.starts = append(part.starts, req.starts[i])
			}
			for k, state := range s.askNode(ctx, node, part) {
				states[indexes[k]] = state
			}
		})
	}
	wg.Wait()
}

func (s *shareStates) askNode(ctx context.Context, node raft.NodeID, req shareRequest) []coordinator.ShareState {
	if node == s.node {
		return s.do(ctx, req)
	}
	answer, err := s.call(ctx, node, shareStatesService, encodeShareRequest(req))
	if err == nil {
		var states []coordinator.ShareState
		if states, err = decodeShareStates(answer, len(req.starts)); err == nil {
			return states
		}
	}
	if !errors.Is(err, raft.ErrUnreachable) && ctx.Err() == nil {
		s.logger.Debug("asking for share partitions failed", "group", req.group, "node", node, "err", err)
	}
	states := make([]coordinator.ShareState, len(req.starts))
	for i := range states {
		states[i].Err = fmt.Errorf("%w: %w", kerr.NotLeaderForPartition, err)
	}
	return states
}

// serve answers another broker; its signature is raft.Service.
func (s *shareStates) serve(ctx context.Context, _ raft.NodeID, payload []byte) ([]byte, error) {
	req, err := decodeShareRequest(payload)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, sharePatience)
	defer cancel()
	return encodeShareStates(s.do(ctx, req)), nil
}

// do answers for what this node leads, the partitions side by side: each waits for its own disk.
func (s *shareStates) do(ctx context.Context, req shareRequest) []coordinator.ShareState {
	states := make([]coordinator.ShareState, len(req.starts))
	var wg sync.WaitGroup
	for i, start := range req.starts {
		p, err := s.partitions.Get(start.Topic, start.Partition)
		if err != nil {
			states[i].Err = err
			continue
		}
		wg.Go(func() { states[i] = doShare(ctx, p, &req, log.Offset(start.Offset)) })
	}
	wg.Wait()
	return states
}

func doShare(ctx context.Context, p *partition.Partition, req *shareRequest, start log.Offset) coordinator.ShareState {
	switch req.op {
	case shareInitialize:
		return coordinator.ShareState{Err: p.ShareInitialize(ctx, req.group, req.epoch)}
	case shareDelete:
		return coordinator.ShareState{Err: p.ShareDelete(ctx, req.group, req.epoch)}
	case shareAlter:
		return coordinator.ShareState{Err: p.ShareReset(ctx, req.group, req.epoch, start)}
	default: // to describe: decodeShareRequest lets nothing else pass
		ranges := 0
		if req.op == shareDescribeDecided {
			ranges = coordinator.MaxDecidedRanges
		}
		found, err := p.ShareState(req.group, ranges)
		return coordinator.ShareState{
			Start: int64(found.Start), LeaderEpoch: int32(found.Epoch), Lag: found.Lag,
			InFlight: found.InFlight, Delayed: found.Delayed, DeadLettering: found.DeadLettering,
			Decided: found.Decided, Err: err,
		}
	}
}
