package server

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/controller"
)

// topicCreator is the controller as handlers see it. It answers the creation of partitions only when they have leaders, so
// that a client's first request to a new topic does not have to be repeated.
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
	switch resp := resp.(type) {
	case *kmsg.CreateTopicsResponse:
		for i := range resp.Topics {
			if resp.Topics[i].ErrorCode == 0 {
				created = append(created, resp.Topics[i].Topic)
			}
		}
	case *kmsg.CreatePartitionsResponse:
		for i := range resp.Topics {
			if resp.Topics[i].ErrorCode == 0 {
				created = append(created, resp.Topics[i].Topic)
			}
		}
	}
	if len(created) > 0 {
		ctx, cancel := context.WithTimeout(ctx, electionWait)
		defer cancel()
		c.server.leaders.await(ctx, c.groups(created))
	}
	return resp, nil
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
