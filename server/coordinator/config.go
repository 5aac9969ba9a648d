package coordinator

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"time"

	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/group"
	"balsa/server/txn"
)

// Config says how a Host works.
type Config struct {
	Node  raft.NodeID
	Group group.Config
	Txn   txn.Config
	// Image returns the cluster metadata: the topics, and with cluster.CoordinatorTopic the number of shards.
	Image func() *cluster.Image
	// Resolver finds the defaults of group configs that can change while the broker runs; nil: those of Group count.
	Resolver *cluster.Resolver
	// CommitTimeout is offsets.commit.timeout.ms: how long a commit may wait for its entry before the client is told to
	// try again.
	CommitTimeout time.Duration
	ProducerIDs   ProducerIDs
	// Complete writes the markers of a decided transaction, and calls done when each of its partitions has one or is gone.
	// It goes on trying until ctx ends, which is when this node no longer leads the shard. It neither blocks nor calls
	// done before it returns; done may be called on any goroutine, also after ctx has ended.
	Complete func(ctx context.Context, c txn.Completion, done func())
	// Shares reaches the share partitions of share groups. Nil: there are no share groups, and requests about them are answered
	// with UNSUPPORTED_VERSION.
	Shares ShareStates
	Logger *slog.Logger
}

// ProducerIDs is what a coordinator uses of *controller.ProducerIDs.
type ProducerIDs interface {
	Take() (id int64, ok bool)
	Await(ctx context.Context)
}

// DefaultCommitTimeout is Kafka's default of offsets.commit.timeout.ms.
const DefaultCommitTimeout = 5 * time.Second

func (c Config) validate() error {
	errs := []error{c.Group.Validate(), c.Txn.Validate()}
	if c.Image == nil || c.ProducerIDs == nil || c.Complete == nil || c.Logger == nil {
		errs = append(errs, errors.New("no Image, no ProducerIDs, no Complete or no Logger"))
	}
	if c.CommitTimeout <= 0 {
		errs = append(errs, fmt.Errorf("offsets.commit.timeout.ms must be positive, is %v", c.CommitTimeout))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("coordinator config: %w", err)
	}
	return nil
}

// environments makes what the leaders of all shards get.
func (c Config) environments() environments {
	var expiration func() time.Duration
	if c.Resolver != nil {
		expiration = func() time.Duration { return c.Resolver.ProducerIDExpiry(c.Image()) }
	}
	return environments{
		group: group.Environment{
			Config: c.Group,
			Topics: func() group.Topics { return topics{c.Image()} },

			ProducerIDExpiration: expiration,
			GroupConfig: func(group, name string) (string, bool) {
				if c.Resolver != nil {
					return c.Resolver.GroupValue(c.Image(), group, name), true
				}
				value, ok := c.Image().GroupConfigs[group][name]
				return value, ok
			},
			NewID:  newUUID,
			Logger: c.Logger,
		},
		txn: txn.Environment{
			Config:             c.Txn,
			ProducerID:         c.ProducerIDs.Take,
			TopicName:          func(id [16]byte) (string, bool) { return topicName(c.Image(), id) },
			TransactionVersion: func() int8 { return int8(c.Image().Feature(cluster.FeatureTransaction)) },
			Logger:             c.Logger,
		},
	}
}

// topicName returns the name of a topic as partitions of a transaction are shown.
func topicName(image *cluster.Image, id cluster.TopicID) (string, bool) {
	t := image.Topics[id]
	if t == nil {
		return "", false
	}
	return t.Name, true
}

// topics shows an image as the group package wants it, with the ids that clients know.
type topics struct{ image *cluster.Image }

func (t topics) ByName(name string) (id [16]byte, partitions int32, ok bool) {
	topic := t.image.TopicsByName[name]
	if topic == nil {
		return id, 0, false
	}
	return topic.ClientID(), int32(len(topic.Partitions)), true
}

func (t topics) ByID(id [16]byte) (name string, partitions int32, ok bool) {
	topic := t.image.TopicByClientID(id)
	if topic == nil {
		return "", 0, false
	}
	return topic.Name, int32(len(topic.Partitions)), true
}

func (t topics) Names() iter.Seq[string] { return maps.Keys(t.image.TopicsByName) }

func (t topics) Version() uint64 { return t.image.Version }
