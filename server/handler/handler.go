// Package handler answers Kafka requests: one file per API, all of them listed in table.go. A handler gets a decoded
// kmsg request and returns a kmsg response; only Produce, Fetch and ShareFetch deal in bytes, because theirs are not copied.
package handler

import (
	"context"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/group"
	"balsa/server/partition"
	"balsa/server/quota"
)

// Metadata is what handlers read about the cluster.
type Metadata interface {
	Image() *cluster.Image
	// Leader returns who leads a partition and in which epoch, as far as this node knows (NoNode when unknown).
	Leader(topic cluster.TopicID, partition int32) raft.Leadership
	Alive(node raft.NodeID) bool
	// InService says whether a broker is alive and its replica of a partition takes part.
	InService(node raft.NodeID, topic cluster.TopicID, partition int32) bool
	Controller() raft.NodeID // NoNode when unknown
}

// Controller runs controller requests (create topics, configs, producer ids...): here, when this node leads the metadata
// group, else on the node that does. It returns after the change is applied to this node's Image.
type Controller interface {
	// Do takes a kmsg request that the controller serves and returns its response.
	Do(ctx context.Context, req kmsg.Request) (kmsg.Response, error)
}

// Coordinator answers requests about groups and transactional ids whose shard this node leads, else with NOT_COORDINATOR.
type Coordinator interface {
	// Handle answers one of the APIs of group or transaction coordinators. client describes who asks. ctx ends when the
	// client has gone.
	Handle(ctx context.Context, client Client, req kmsg.Request) kmsg.Response
	// CommitTransactional answers TxnOffsetCommit. verify asks the transaction's coordinator whether the shard's part in the
	// transaction is known to it, or makes it known; it is not asked while that is certain. Its error is or wraps a
	// *kerr.Error.
	CommitTransactional(ctx context.Context, client Client, req *kmsg.TxnOffsetCommitRequest,
		verify func(ctx context.Context, shard int32) error) kmsg.Response
	// Shard returns which coordinator shard (partition of cluster.CoordinatorTopic) owns a group or transactional id.
	Shard(key string) int32
}

// Transactions reaches the transaction coordinators for the handlers of the requests that take part in a transaction on the
// side of its partitions and groups (Produce, TxnOffsetCommit): wherever a coordinator is.
type Transactions interface {
	// AddPartitions adds partitions to a producer's ongoing transaction and starts it if need be (KIP-890, transaction
	// version 2), or with verifyOnly checks that they are in it. It returns when that is durable, with one error per
	// partition, in their order: nil, or an error that is or wraps a *kerr.Error. CONCURRENT_TRANSACTIONS,
	// COORDINATOR_NOT_AVAILABLE and COORDINATOR_LOAD_IN_PROGRESS are for the client to try again. Safe for concurrent use.
	AddPartitions(ctx context.Context, transactionalID string, producerID int64, epoch int16,
		partitions []cluster.TopicPartition, verifyOnly bool) []error
}

// Elections moves leaderships.
type Elections interface {
	// ElectPreferred hands the leadership of partitions, the coordinator shards' included, over to their first replicas, and returns one
	// error per partition, in their order: nil, or one that is or wraps a *kerr.Error.
	ElectPreferred(ctx context.Context, partitions []cluster.TopicPartition) []error
}

// Quorum knows the Raft group of the metadata.
type Quorum interface {
	// DescribeQuorum returns what the leader of the metadata group knows, wherever it is; an error that wraps a *kerr.Error when it
	// cannot be asked.
	DescribeQuorum(ctx context.Context) (QuorumState, error)
}

// QuorumState is the state of the metadata group as its leader sees it.
type QuorumState struct {
	Leader        raft.NodeID
	Epoch         int32
	HighWatermark int64 // the index after the last committed entry
	Members       []QuorumMember
}

// QuorumMember is one member of the metadata group.
type QuorumMember struct {
	Node   raft.NodeID
	Voter  bool
	LogEnd int64 // the index after the last entry that it is known to have; -1: not known
	// LastFetch is when it last acknowledged something, LastCaughtUp when it last had all that the leader had, in ms since 1970;
	// -1: not known.
	LastFetch, LastCaughtUp int64
}

// ProducerIDs hands out producer ids: see controller.ProducerIDs.
type ProducerIDs interface {
	// Next returns an id that nobody ever had, or an error that is or wraps a *kerr.Error, unless ctx ended.
	Next(ctx context.Context) (int64, error)
}

// Client says who sent a request: its client.id and its address.
type Client = group.Client

// Broker is what the handlers need; server wires it. It must not be changed once a Dispatcher uses it.
type Broker struct {
	Node         raft.NodeID
	Metadata     Metadata
	Controller   Controller
	Coordinator  Coordinator
	ProducerIDs  ProducerIDs
	Transactions Transactions
	Elections    Elections
	Quorum       Quorum
	Markers      Markers
	Partitions   Partitions        // LocalPartitions(manager)
	Configs      *cluster.Resolver // for DescribeConfigs
	AutoCreate   bool              // auto.create.topics.enable
	LogDir       string            // log.dirs, for DescribeLogDirs
	// FetchMaxBytes bounds the records of one fetch whatever the client asks for (fetch.max.bytes), except that a first
	// batch that is larger goes out whole (KIP-74).
	FetchMaxBytes int
	// RackAware is replica.selector.class=RackAwareReplicaSelector (KIP-392): consumers that tell their rack are sent to a replica
	// there, and this broker's followers serve them.
	RackAware     bool
	FetchSessions int // max.incremental.fetch.session.cache.slots; 0: clients do without sessions
	ShareSessions int // group.share.max.share.sessions
	// ShareMemory bounds what share fetches hold in memory; nil: nothing does.
	ShareMemory *partition.ShareMemory
	// DiskUsage returns the size of the file system of LogDir and the bytes that can still be written there. May be nil.
	DiskUsage func() (total, usable int64, err error)

	// LogLevel is the level of the broker's log, for DescribeConfigs and IncrementalAlterConfigs of its loggers. Nil: it has none that
	// could be changed.
	LogLevel *slog.LevelVar

	sessions *fetchSessions // set by NewDispatcher
	shares   *shareSessions // set by NewDispatcher
	limiter  *quota.Limiter // set by NewDispatcher
}
