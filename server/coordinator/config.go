package coordinator

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/group"
)

// Config says how a Host works.
type Config struct {
	Node  raft.NodeID
	Group group.Config
	// Image returns the cluster metadata: the topics, and with cluster.CoordinatorTopic the number of shards.
	Image func() *cluster.Image
	// CommitTimeout is offsets.commit.timeout.ms: how long a commit may wait for its entry before the client is told to
	// try again.
	CommitTimeout time.Duration
	Logger        *slog.Logger
}

// DefaultCommitTimeout is Kafka's default of offsets.commit.timeout.ms.
const DefaultCommitTimeout = 5 * time.Second

func (c Config) validate() error {
	errs := []error{c.Group.Validate()}
	if c.Image == nil || c.Logger == nil {
		errs = append(errs, errors.New("no Image or no Logger"))
	}
	if c.CommitTimeout <= 0 {
		errs = append(errs, fmt.Errorf("offsets.commit.timeout.ms must be positive, is %v", c.CommitTimeout))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("coordinator config: %w", err)
	}
	return nil
}

// topics shows an image as the group package wants it.
type topics struct{ image *cluster.Image }

func (t topics) ByName(name string) (id [16]byte, partitions int32, ok bool) {
	topic := t.image.TopicsByName[name]
	if topic == nil {
		return id, 0, false
	}
	return topic.ID, int32(len(topic.Partitions)), true
}

func (t topics) ByID(id [16]byte) (name string, partitions int32, ok bool) {
	topic := t.image.Topics[id]
	if topic == nil || topic.Name == "" {
		return "", 0, false
	}
	return topic.Name, int32(len(topic.Partitions)), true
}

func (t topics) Version() uint64 { return t.image.Version }
