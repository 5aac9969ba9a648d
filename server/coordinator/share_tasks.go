package coordinator

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/internal/invariant"
	"balsa/server/cluster"
	"balsa/server/group"
	"balsa/server/share"
)

// maxShareTasks bounds how many tasks of a shard the partitions' leaders are asked for at once. A task is one group's.
const maxShareTasks = 16

// startShareTasks has what waits done, as far as there is room. Each is done by a goroutine of its own, which ends when this node
// no longer leads the shard; close waits for it.
func (s *shard) startShareTasks() {
	for len(s.shareTasks) > 0 && s.sharing < maxShareTasks {
		t, leader, leading := s.shareTasks[0], s.leader, s.leading
		s.shareTasks = s.shareTasks[1:]
		s.sharing++
		epoch := s.nextShareEpoch()
		s.sharers.Go(func() {
			errs := s.config.perform(leading, epoch, t)
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.leader == leader && slices.Contains(errs, kerr.FencedStateEpoch) { // what was asked for about another group overtook it
				epoch = s.nextShareEpoch()
				s.mu.Unlock()
				errs = s.config.perform(leading, epoch, t)
				s.mu.Lock()
			}
			s.sharing--
			if s.leader == leader {
				leader.ShareTaskDone(time.Now(), t, errs)
				s.decided()
			}
			s.startShareTasks()
		})
	}
}

// nextShareEpoch returns the epoch of the next request. The caller holds s.mu and leads.
func (s *shard) nextShareEpoch() share.Epoch {
	s.shareRequests++
	return share.Epoch{Shard: s.id, Term: s.epoch, Number: s.shareRequests}
}

// shareTimeout bounds one try of what is asked of partitions' leaders, so that who waits for it hears what is the matter before
// offsets.commit.timeout.ms is over.
func (c Config) shareTimeout() time.Duration { return c.CommitTimeout / 2 }

// perform tries once to do what a task says.
func (c Config) perform(ctx context.Context, epoch share.Epoch, t *group.ShareTask) []*kerr.Error {
	ctx, cancel := context.WithTimeout(ctx, c.shareTimeout())
	defer cancel()
	partitions := make([]cluster.TopicPartition, len(t.Partitions))
	for i, p := range t.Partitions {
		partitions[i] = cluster.TopicPartition{Topic: p.Topic, Partition: p.Partition}
	}
	var errs []error
	switch t.Kind {
	case group.InitializeShare:
		errs = c.Shares.Initialize(ctx, t.Group, epoch, partitions)
	case group.DeleteShare:
		errs = c.Shares.Delete(ctx, t.Group, epoch, partitions)
	case group.AlterShare:
		starts := make([]ShareStart, len(partitions))
		for i, p := range partitions {
			starts[i] = ShareStart{p, t.Starts[i]}
		}
		errs = c.Shares.Alter(ctx, t.Group, epoch, starts)
	}
	invariant.Check(len(errs) == len(partitions), "%d answers for %d share partitions", len(errs), len(partitions))
	coded := make([]*kerr.Error, len(errs))
	for i, err := range errs {
		coded[i] = shareError(err)
	}
	return coded
}

// shareError returns what clients are told of an error from a partition's leader.
func shareError(err error) *kerr.Error {
	var known *kerr.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return kerr.RequestTimedOut
	}
	return kerr.UnknownServerError
}
