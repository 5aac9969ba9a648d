package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"balsa/log/vfs"
	"balsa/raft"
	"balsa/server/cluster"
)

// leaderWait is how long a starting broker waits for its partitions to have leaders before it serves all the same: a
// cluster that is just forming has them within it, one that has lost its majority never.
const leaderWait = 5 * time.Second

// Run serves until ctx ends, then stops in order: leadership is handed over, clients get their answers, logs are closed.
// It returns nil after a clean stop, and releases everything in any case.
func (s *Server) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { s.followMetadata(background) })
	wg.Go(func() { s.controller.Run(background) })
	wg.Go(func() { s.manager.Run(background) })
	wg.Go(func() { s.manager.RunCleaner(background) })
	wg.Go(func() { s.leaders.announce(background, s.brokers, s.host.Call) })
	wg.Go(func() { s.balancer.run(background) })
	wg.Go(func() { s.disk.run(background) })
	wg.Go(func() { s.outages.run(background, s.brokers, s.host.Call) })
	wg.Go(func() { s.reassigner.run(background) })
	wg.Go(func() { s.members.run(background) })
	wg.Go(func() { s.queues.run(background) })
	wg.Go(func() { s.joins.run(background, func() bool { return s.isReady() && !s.metadata.Joining() }) })
	s.metadata.CampaignIfLeaderless()

	err := s.serve(ctx, background)

	s.logger.Info("stopping")
	grace, cancel := context.WithTimeout(background, s.config.ShutdownGrace)
	defer cancel()
	s.host.Drain()
	s.balancer.handOver(grace)
	if drainErr := s.listener.Shutdown(grace); drainErr != nil {
		s.logger.Warn("clients were cut off", "err", drainErr)
	}
	stop()
	wg.Wait()
	err = errors.Join(err, s.Close())
	s.logger.Info("stopped")
	return err
}

// serve answers clients until ctx ends.
func (s *Server) serve(ctx, background context.Context) error {
	starting, cancel := context.WithCancel(background)
	defer context.AfterFunc(ctx, cancel)()
	defer cancel()
	if err := s.controller.WaitRegistered(starting); err != nil {
		return nil //nolint:nilerr // told to stop before the cluster had a leader
	}
	// The image is current now: this start's registration is in it. The replicas may lag behind it.
	image := s.machine.Image()
	s.manager.Sync(image)
	if err := s.manager.RemoveOrphans(image); err != nil {
		s.logger.Warn("could not remove deleted replicas", "err", err)
	}
	if err := s.manager.ForgetDeleted(image); err != nil {
		s.logger.Warn("could not forget deleted replicas", "err", err)
	}
	if err := s.settleIn(); err != nil {
		return err
	}
	s.outages.update(starting, s.brokers, s.host.Call) // before clients take replicas that have to join for ones in sync
	s.leaders.ask(starting, s.brokers(), s.host.Call)
	s.awaitLeaders(starting)
	failed := make(chan error, 1)
	go func() { failed <- s.listener.Serve(s.kafka) }()
	close(s.ready)
	s.logger.Info("serving", "addr", s.Addr(), "node", s.node, "brokers", len(s.Image().Brokers))
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return fmt.Errorf("serve Kafka clients: %w", err)
	}
}

// settleIn ends a join: all that was assigned to this node before it came has been marked as to be joined.
func (s *Server) settleIn() error {
	if err := s.manager.Settle(); err != nil || !s.rejoining {
		return err
	}
	return joined(vfs.OS{}, s.config.DataDir, s.node)
}

func (s *Server) isReady() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}

// followMetadata keeps the replicas in step with the image.
func (s *Server) followMetadata(ctx context.Context) {
	before := cluster.NewImage()
	for {
		image, changed := s.machine.Watch()
		for _, b := range image.Brokers {
			s.host.Connect(b.ID)
		}
		if rate, err := strconv.ParseInt(s.resolver.BrokerValue(image, cluster.ConfigThrottledRate), 10, 64); err == nil {
			s.host.ThrottleLearners(rate)
		}
		s.manager.Sync(image)
		s.leaders.forget(before, image)
		before = image
		s.coordinator.TopicsDeleted()
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// awaitLeaders waits until every partition on this node has a leader that this node knows.
func (s *Server) awaitLeaders(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaderWait)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !s.allLed() {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *Server) allLed() bool {
	if s.Image().Topics[cluster.CoordinatorTopic] == nil {
		return false // the cluster is still being set up
	}
	if s.metadata.Joining() {
		return false // its vote on the metadata does not count yet
	}
	for id := range s.manager.Assigned() {
		if l := s.leaders.get(id); l.Leader == raft.NoNode || (l.Leader == s.node && !l.Ready) {
			return false
		}
	}
	return true
}

// brokers returns the ids of all registered brokers.
func (s *Server) brokers() []raft.NodeID {
	image := s.machine.Image()
	ids := make([]raft.NodeID, 0, len(image.Brokers))
	for id := range image.Brokers {
		ids = append(ids, id)
	}
	return ids
}
