package server

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/controller"
)

// topicCreator is the controller as handlers see it. It answers the creation and deletion of topics, reassignments, changed configs and
// the removal of a broker only when all live brokers know of it, and the creation of partitions only when they have leaders: a client's next request, to
// whichever broker, does not have to be repeated.
type topicCreator struct {
	*controller.Controller
	server *Server
}

// electionWait bounds how long an answer is held back for elections: without a majority there is none.
const electionWait = 2 * time.Second

// Do implements handler.Controller.
func (c topicCreator) Do(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	resp, err := c.Controller.Do(ctx, req)
	if err != nil {
		return resp, err
	}
	var created []string
	spread := false
	switch resp := resp.(type) {
	case *kmsg.CreateTopicsResponse:
		for i := range resp.Topics {
			if resp.Topics[i].ErrorCode == 0 {
				created = append(created, resp.Topics[i].Topic)
			}
		}
	case *kmsg.DeleteTopicsResponse:
		for i := range resp.Topics {
			spread = spread || resp.Topics[i].ErrorCode == 0
		}
	case *kmsg.CreatePartitionsResponse:
		for i := range resp.Topics {
			if resp.Topics[i].ErrorCode == 0 {
				created = append(created, resp.Topics[i].Topic)
			}
		}
	case *kmsg.AlterPartitionAssignmentsResponse, *kmsg.UnregisterBrokerResponse, *kmsg.IncrementalAlterConfigsResponse,
		*kmsg.AlterConfigsResponse:
		spread = true // what failed costs as much, but rarely comes
	}
	if len(created) > 0 || spread {
		ctx, cancel := context.WithTimeout(ctx, electionWait)
		defer cancel()
		c.server.awaitEverywhere(ctx)
		c.server.leaders.await(ctx, c.groups(created))
	}
	return resp, nil
}

// metadataService is the number under which a broker answers once it has a version of the metadata.
const metadataService uint8 = 3

// awaitEverywhere returns when all live brokers have the metadata that this one has, or ctx ends.
func (s *Server) awaitEverywhere(ctx context.Context) {
	version := binary.BigEndian.AppendUint64(nil, s.Image().Version)
	var wg sync.WaitGroup
	for _, n := range s.brokers() {
		if n == s.node || !s.host.Alive(n) {
			continue
		}
		wg.Go(func() {
			if _, err := s.host.Call(ctx, n, metadataService, version); err != nil {
				s.logger.Debug("a broker does not have the new metadata yet", "node", n, "err", err)
			}
		})
	}
	wg.Wait()
}

// serveMetadata answers when this broker has the version asked for; its signature is raft.Service.
func (s *Server) serveMetadata(ctx context.Context, _ raft.NodeID, payload []byte) ([]byte, error) {
	if len(payload) != 8 {
		return nil, fmt.Errorf("metadata version of %d bytes", len(payload))
	}
	ctx, cancel := context.WithTimeout(ctx, electionWait)
	defer cancel()
	_, err := s.machine.WaitVersion(ctx, binary.BigEndian.Uint64(payload))
	return nil, err
}

// groups returns the Raft groups of topics; those that were only validated have none.
func (c topicCreator) groups(topics []string) []raft.GroupID {
	image := c.server.Image()
	var ids []raft.GroupID
	for _, name := range topics {
		t := image.TopicsByName[name]
		if t == nil {
			continue
		}
		for n := range t.Partitions {
			ids = append(ids, raft.GroupID{Topic: t.ID, Partition: int32(n)})
		}
	}
	return ids
}
