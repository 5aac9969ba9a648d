package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	randv2 "math/rand/v2"
	"net"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log/vfs"
	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/config"
	"balsa/server/controller"
	"balsa/server/coordinator"
	"balsa/server/group"
	"balsa/server/handler"
	"balsa/server/network"
	"balsa/server/partition"
	"balsa/server/txn"
)

// Server is one broker. Make it with New, run it with Run; a Server runs once.
type Server struct {
	config config.Config
	logger *slog.Logger
	node   raft.NodeID

	lock     io.Closer // of the data directory
	kafka    net.Listener
	host     *raft.Host
	machine  *cluster.Machine
	metadata *raft.Metadata
	resolver *cluster.Resolver

	controller  *controller.Controller
	coordinator *coordinator.Host
	manager     *partition.Manager
	listener    *network.Listener
	leaders     *leaderTable
	producerIDs *controller.ProducerIDs
	markers     *markers
	balancer    *balancer
	elections   *elections
	quorum      *quorum
	disk        *diskGuard
	outages     *outages
	reassigner  *reassigner
	joins       *joins
	members     *metadataMembers
	queues      *queues
	rejoining   bool // the data directory is new, in a cluster that may know this node

	ready chan struct{}
}

// New opens a broker's data directory and its sockets, so that what is wrong with them shows at once. A Server that is not
// Run must be Closed. Listen addresses may have port 0; see Addr.
func New(c config.Config, logger *slog.Logger) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		config: c, logger: logger, node: raft.NodeID(c.NodeID), machine: cluster.NewMachine(),
		resolver: cluster.NewResolver(&c), leaders: newLeaderTable(raft.NodeID(c.NodeID), logger),
		disk: &diskGuard{dir: c.DataDir, logger: logger}, ready: make(chan struct{}),
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// metadataDir is the metadata group's directory in the data directory.
const metadataDir = "metadata"

func (s *Server) open() error {
	fs := vfs.OS{}
	metadata := filepath.Join(s.config.DataDir, metadataDir)
	if err := fs.MkdirAll(metadata); err != nil {
		return fmt.Errorf("create data directory: %w", err)
	}
	lock, err := fs.Lock(filepath.Join(s.config.DataDir, "lock"))
	if err != nil {
		return fmt.Errorf("lock data directory %s: %w", s.config.DataDir, err)
	}
	s.lock = lock
	s.rejoining, err = claimDataDir(fs, s.config.DataDir, s.node, s.config.Join != "", func() error {
		return mayFound(s.node, s.otherPeers())
	})
	if err != nil {
		return err
	}
	if s.kafka, err = net.Listen("tcp", s.config.Listen); err != nil {
		return fmt.Errorf("listen for Kafka clients: %w", err)
	}
	if err := s.openHost(); err != nil {
		return err
	}
	s.producerIDs = controller.NewProducerIDs(s.node, func(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
		return s.controller.Do(ctx, req)
	})
	s.markers = newMarkers(s.machine.Image, s.Leader, s.host.Call, s.logger)
	if err := s.openReplicas(fs); err != nil {
		return err
	}
	s.host.Handle(partition.CleanedService, s.manager.ServeCleaned)
	s.host.Handle(markersService, s.markerWriter().serve)
	s.host.Handle(transactionsService, s.transactions().serve)
	s.host.Handle(floorsService, s.queues.serve)
	s.outages = newOutages(s.node, s.manager.OutOfService, s.logger)
	s.host.Handle(outagesService, s.outages.serve)
	if err := s.openMetadata(metadata); err != nil {
		return err
	}
	s.balancer = &balancer{
		node: s.node, host: s.host, groups: s.manager.Groups, image: s.machine.Image, logger: s.logger,
		notBefore: map[raft.GroupID]time.Time{},
	}
	s.elections = &elections{
		node: s.node, image: s.machine.Image, leader: s.leaders.get, balancer: s.balancer, call: s.host.Call,
	}
	s.host.Handle(electionsService, s.elections.serve)
	s.quorum = &quorum{node: s.node, group: s.metadata, call: s.host.Call}
	s.host.Handle(quorumService, s.quorum.serve)
	s.reassigner = newReassigner(s.node, s.logger)
	s.reassigner.groups, s.reassigner.image = s.manager.Groups, s.machine.Image
	s.reassigner.outages, s.reassigner.tell = s.outages, s.controller.Do
	return s.openListener()
}

// openReplicas makes what holds this node's replicas: the coordinators' and the partitions'.
func (s *Server) openReplicas(fs vfs.FS) error {
	syncer := raft.NewSyncer(syncConcurrency)
	shares := &shareStates{node: s.node, image: s.machine.Image, leader: s.Leader, call: s.host.Call, logger: s.logger}
	letters := &deadLetters{
		node: s.node, image: s.machine.Image, leader: s.Leader, call: s.host.Call, logger: s.logger,
		create: func(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
			return topicCreator{s.controller, s}.Do(ctx, req)
		},
	}
	var err error
	s.coordinator, err = coordinator.New(coordinator.Config{
		Node: s.node, Group: groupConfig(s.config.Groups, s.config.Log), Image: s.machine.Image, Resolver: s.resolver,
		Txn: transactionConfig(s.config.Transactions), ProducerIDs: s.producerIDs, Complete: s.markers.complete,
		Shares: shares, CommitTimeout: coordinator.DefaultCommitTimeout, Logger: s.logger,
	})
	if err != nil {
		return err
	}
	s.manager, err = partition.NewManager(partition.ManagerConfig{
		Node: s.node, Dir: s.config.DataDir, FS: fs, Syncer: syncer, Host: s.host, Resolver: s.resolver,
		Shards: s.coordinator, DeadLetters: letters, Logger: s.logger, Now: time.Now, RetentionCheck: s.config.RetentionCheck,
		Rejoining: s.rejoining, QueueSegmentBytes: s.disk.queueSegment(), OnLeadership: s.leaders.changed,
	})
	if err != nil {
		return err
	}
	shares.partitions, letters.partitions = s.manager, s.manager
	s.queues = &queues{
		node: s.node, partitions: s.manager, committed: s.coordinator.Committed, image: s.machine.Image, brokers: s.brokers, call: s.host.Call,
		logger: s.logger,
	}
	s.host.SetRepairer(s.manager)
	s.host.Handle(shareStatesService, shares.serve)
	s.host.Handle(deadLettersService, letters.serve)
	return nil
}

// shareMemory bounds the bytes of records that share fetches hold in memory on this node.
const shareMemory = 256 << 20

// syncConcurrency is how many fsyncs a node has under way at most: enough that a file system can merge their journal
// commits, few enough not to make hundreds of threads.
var syncConcurrency = max(32, 8*runtime.NumCPU())

func (s *Server) openMetadata(dir string) error {
	var members []raft.NodeID
	for _, id := range s.config.Brokers() {
		members = append(members, raft.NodeID(id))
	}
	if s.rejoining || len(s.config.Peers) == 0 && s.config.Join != "" {
		members = nil
	}
	m, err := s.host.OpenMetadata(dir, members, s.machine)
	if err != nil {
		return err
	}
	s.metadata = m
	broker, err := s.registration()
	if err != nil {
		return err
	}
	seed, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return fmt.Errorf("seed the placement: %w", err)
	}
	random := randv2.New(randv2.NewPCG(seed.Uint64(), uint64(s.node)))
	s.controller = controller.New(controller.Options{
		Broker: broker, Machine: s.machine, Decider: cluster.NewDecider(&s.config, s.host.Alive, random),
		Propose: controller.FromGroup(m.Group), Call: s.host.Call, Nonce: randv2.Uint64, Logger: s.logger,
	})
	s.host.Handle(controller.Service, s.controller.Serve)
	s.host.Handle(joinService, s.joins.serve)
	s.members = &metadataMembers{
		node: s.node, group: m.Group, image: s.machine.Image, recent: s.joins.recent, alive: s.host.Alive, logger: s.logger,
	}
	for _, p := range s.config.Peers {
		s.members.first = append(s.members.first, raft.NodeID(p.ID))
	}
	return nil
}

// registration is what this broker tells the cluster about itself.
func (s *Server) registration() (cluster.Broker, error) {
	host, port, err := s.advertised()
	if err != nil {
		return cluster.Broker{}, err
	}
	b := cluster.Broker{
		ID: s.node, Host: host, Port: port, PeerAddress: s.config.PeerAddress(), Rack: s.config.Rack,
	}
	if _, err := rand.Read(b.Incarnation[:]); err != nil {
		return cluster.Broker{}, fmt.Errorf("make an incarnation: %w", err)
	}
	return b, nil
}

// advertised is what clients are told to connect to. Where only the port was left to the system, it is filled in.
func (s *Server) advertised() (string, int32, error) {
	host, port, err := net.SplitHostPort(s.config.Advertised())
	if err != nil {
		return "", 0, fmt.Errorf("advertised address: %w", err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("advertised address: port %q: %w", port, err)
	}
	if n == 0 {
		if a, ok := s.kafka.Addr().(*net.TCPAddr); ok {
			n = uint64(a.Port)
		}
	}
	if host == "" {
		host = "localhost"
	}
	return host, int32(n), nil
}

func (s *Server) openListener() error {
	dispatcher := handler.NewDispatcher(&handler.Broker{
		Node: s.node, Metadata: s, Controller: topicCreator{s.controller, s}, Coordinator: s.coordinator,
		Elections: s.elections, Quorum: s.quorum,
		ProducerIDs: s.producerIDs, Transactions: s.transactions(), Markers: s.markerWriter(),
		Partitions: handler.LocalPartitions(s.manager), Configs: s.resolver, AutoCreate: s.config.AutoCreate,
		LogLevel: s.logLevel(), LogDir: s.config.DataDir, DiskUsage: s.disk.usage,
		FetchMaxBytes: int(s.config.FetchMaxBytes), ShareMemory: partition.NewShareMemory(shareMemory), FetchSessions: s.config.FetchSessionCacheSize,
		ShareSessions: s.config.MaxShareSessions,
		RackAware:     s.config.ReplicaSelector == config.RackAwareReplicaSelector,
	})
	c := network.DefaultListenerConfig()
	c.MaxConnections, c.MaxRequestBytes = s.config.MaxConnections, int(s.config.MaxRequestBytes)
	c.MaxConnectionsPerIP, c.QueuedMaxBytes = s.config.MaxConnectionsPerIP, s.config.QueuedMaxBytes
	c.IdleTimeout, c.MaxInFlightRequests = s.config.ConnectionsMaxIdle, s.config.MaxInFlight
	c.Limits = s.connectionLimits
	var err error
	s.listener, err = network.NewListener(c, dispatcher, s.logger)
	return err
}

func groupConfig(c config.Groups, l config.Log) group.Config {
	g := group.DefaultConfig()
	g.ProducerIDExpiration = l.ProducerIDExpiry
	g.InitialRebalanceDelay = c.InitialRebalanceDelay
	g.MinSessionTimeout, g.MaxSessionTimeout = c.MinSessionTimeout, c.MaxSessionTimeout
	g.MaxSize, g.OffsetsRetention = int32(c.MaxGroupSize), c.OffsetsRetention
	g.OffsetMetadataMaxBytes = c.OffsetMetadataMax
	g.ConsumerSessionTimeout, g.ConsumerHeartbeatInterval = c.ConsumerSession, c.ConsumerHeartbeat
	g.ConsumerMaxSize, g.ConsumerMigration = int32(c.ConsumerMaxSize), migrationPolicy(c.ConsumerMigration)
	g.ShareMaxSize = int32(c.ShareMaxSize)
	return g
}

func migrationPolicy(name string) group.MigrationPolicy {
	switch strings.ToLower(name) {
	case "upgrade":
		return group.MigrateUpgrade
	case "downgrade":
		return group.MigrateDowngrade
	case "disabled":
		return group.MigrateNever
	}
	return group.MigrateBoth
}

func transactionConfig(c config.Transactions) txn.Config {
	t := txn.DefaultConfig()
	t.MaxTimeout, t.IDExpiration = c.MaxTransactionTimeout, c.TransactionalIDExpiry
	return t
}

func (s *Server) markerWriter() markerWriter {
	return markerWriter{partitions: s.manager, shards: s.coordinator}
}

func (s *Server) transactions() *transactions {
	return &transactions{
		node: s.node, coordinator: s.coordinator, image: s.machine.Image, leader: s.Leader, call: s.host.Call, logger: s.logger,
	}
}

// Addr returns the address that Kafka clients reach this broker at, host:port.
func (s *Server) Addr() string {
	host, port, err := s.advertised()
	if err != nil {
		return s.kafka.Addr().String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// Ready is closed when the broker serves.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Image returns the cluster's metadata (handler.Metadata).
func (s *Server) Image() *cluster.Image { return s.machine.Image() }

// Leader returns who leads a partition, as far as this broker knows (handler.Metadata).
func (s *Server) Leader(topic cluster.TopicID, p int32) raft.Leadership {
	return s.leaders.get(raft.GroupID{Topic: topic, Partition: p})
}

// Alive says whether a broker answers (handler.Metadata).
func (s *Server) Alive(node raft.NodeID) bool { return s.host.Alive(node) }

// InService says whether a broker answers and its replica of a partition takes part (handler.Metadata).
func (s *Server) InService(node raft.NodeID, topic cluster.TopicID, p int32) bool {
	return s.host.Alive(node) && !s.outages.has(node, raft.GroupID{Topic: topic, Partition: p})
}

// Controller returns the leader of the metadata (handler.Metadata).
func (s *Server) Controller() raft.NodeID { return s.metadata.Leadership().Leader }

// Close releases what New opened, without Run.
func (s *Server) Close() error {
	var errs error
	if s.coordinator != nil {
		s.coordinator.Close()
	}
	if s.markers != nil {
		s.markers.close()
	}
	if s.producerIDs != nil {
		s.producerIDs.Close()
	}
	if s.manager != nil {
		errs = errors.Join(errs, s.manager.Close())
	}
	if s.metadata != nil {
		errs = errors.Join(errs, s.metadata.Close())
	}
	if s.host != nil {
		errs = errors.Join(errs, s.host.Close())
	}
	if s.kafka != nil {
		if err := s.kafka.Close(); !errors.Is(err, net.ErrClosed) {
			errs = errors.Join(errs, err)
		}
	}
	if s.lock != nil {
		errs = errors.Join(errs, s.lock.Close())
	}
	return errs
}
