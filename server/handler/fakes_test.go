package handler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/bytepool"
	"balsa/log"
	"balsa/log/batch"
	"balsa/protocol"
	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/config"
	"balsa/server/partition"
)

// world is a cluster of three brokers as the handlers of broker 1 see it. Topic "t" has two partitions, led here; topic
// "far" has one, led by broker 2; broker 3 is dead and leads "lost".
type world struct {
	t          testing.TB
	broker     *Broker
	image      *cluster.Image
	leaders    map[replicaKey]raft.Leadership
	dead       map[raft.NodeID]bool
	aside      map[raft.NodeID]bool // brokers that live, with replicas that take no part
	control    func(req kmsg.Request) (kmsg.Response, error)
	producerID func() (int64, error)
	markers    []TransactionMarker
	replicas   map[replicaKey]*fakeReplica
	elected    []cluster.TopicPartition
	quorum     QuorumState
	quorumErr  error
	dispatcher *Dispatcher
	session    *Session

	correlation int32
}

type replicaKey struct {
	topic     cluster.TopicID
	partition int32
}

var (
	idT    = cluster.TopicID{1}
	idFar  = cluster.TopicID{2}
	idLost = cluster.TopicID{3}
)

func newWorld(t testing.TB) *world {
	w := &world{
		t: t, image: cluster.NewImage(), leaders: make(map[replicaKey]raft.Leadership),
		dead: map[raft.NodeID]bool{3: true}, replicas: make(map[replicaKey]*fakeReplica),
		control: func(kmsg.Request) (kmsg.Response, error) { return nil, errors.New("no controller") },
	}
	next := int64(999)
	w.producerID = func() (int64, error) { next++; return next, nil }
	w.image.ClusterID = "cluster"
	w.image.Features = map[string]int16{cluster.FeatureShare: 1}
	for id := raft.NodeID(1); id <= 3; id++ {
		w.image.Brokers[id] = cluster.Broker{ID: id, Host: fmt.Sprintf("b%d", id), Port: 9090 + int32(id), Rack: "r1"}
	}
	w.addTopic("t", idT, 2, 1)
	w.addTopic("far", idFar, 1, 2)
	w.addTopic("lost", idLost, 1, 3)
	shards := &cluster.Topic{ID: cluster.CoordinatorTopic, Name: cluster.OffsetsTopic, Partitions: make([]cluster.Partition, 16)}
	for i := range shards.Partitions {
		shards.Partitions[i].Replicas = []raft.NodeID{2, 1}
	}
	w.image.Topics[cluster.CoordinatorTopic], w.image.TopicsByName[cluster.OffsetsTopic] = shards, shards
	w.leaders[replicaKey{cluster.CoordinatorTopic, 7}] = raft.Leadership{Leader: 2, Epoch: 4}
	w.broker = &Broker{
		Node: 1, Metadata: w, Controller: w, Coordinator: w, ProducerIDs: w, Markers: w, Partitions: w,
		Elections: w, Quorum: w, LogDir: "/data",
		DiskUsage:     func() (int64, int64, error) { return 1000, 400, nil },
		FetchMaxBytes: 55 << 20, FetchSessions: 1000,
	}
	c := config.Default()
	w.broker.Configs, w.broker.ShareSessions = cluster.NewResolver(&c), 1000
	w.dispatcher = NewDispatcher(w.broker)
	w.session = w.dispatcher.NewSession("/127.0.0.1")
	return w
}

func (w *world) addTopic(name string, id cluster.TopicID, partitions int32, leader raft.NodeID) {
	topic := &cluster.Topic{ID: id, Name: name}
	for p := range partitions {
		topic.Partitions = append(topic.Partitions, cluster.Partition{Replicas: []raft.NodeID{leader, 1 + leader%3}})
		key := replicaKey{id, p}
		w.leaders[key] = raft.Leadership{Leader: leader, Epoch: 5}
		if leader == 1 {
			w.replicas[key] = &fakeReplica{waiters: make(map[*fakeWaiter]bool)}
		}
	}
	w.image.Topics[id], w.image.TopicsByName[name] = topic, topic
}

func (w *world) Image() *cluster.Image { return w.image }

func (w *world) Leader(topic cluster.TopicID, p int32) raft.Leadership {
	if l, ok := w.leaders[replicaKey{topic, p}]; ok {
		return l
	}
	return raft.Leadership{Leader: raft.NoNode}
}

func (w *world) Alive(node raft.NodeID) bool { return !w.dead[node] }

func (w *world) InService(node raft.NodeID, _ cluster.TopicID, _ int32) bool {
	return !w.dead[node] && !w.aside[node]
}
func (w *world) Controller() raft.NodeID { return 2 }

func (w *world) Do(_ context.Context, req kmsg.Request) (kmsg.Response, error) { return w.control(req) }

func (w *world) Next(context.Context) (int64, error) { return w.producerID() }

func (w *world) WriteMarkers(_ context.Context, markers []TransactionMarker) []error {
	errs := make([]error, len(markers))
	for i, m := range markers {
		if _, err := w.Get(m.Partition.Topic, m.Partition.Partition); err != nil {
			errs[i] = err
			continue
		}
		w.markers = append(w.markers, m)
	}
	return errs
}

func (w *world) Handle(_ context.Context, _ Client, req kmsg.Request) kmsg.Response {
	return req.ResponseKind()
}

func (w *world) CommitTransactional(
	ctx context.Context, _ Client, req *kmsg.TxnOffsetCommitRequest, verify func(ctx context.Context, shard int32) error,
) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
	for range req.Topics {
		t := kmsg.NewTxnOffsetCommitResponseTopic()
		p := kmsg.NewTxnOffsetCommitResponseTopicPartition()
		p.ErrorCode = errorCode(verify(ctx, w.Shard(req.Group)))
		t.Partitions = append(t.Partitions, p)
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (w *world) ElectPreferred(_ context.Context, partitions []cluster.TopicPartition) []error {
	w.elected = append(w.elected, partitions...)
	return make([]error, len(partitions))
}

func (w *world) DescribeQuorum(context.Context) (QuorumState, error) { return w.quorum, w.quorumErr }

func (w *world) Shard(string) int32 { return 7 }

func (w *world) NewWaiter(minBytes int64, _ bool) Waiter {
	return &fakeWaiter{c: make(chan struct{}, 1), need: minBytes}
}

func (w *world) Get(topic cluster.TopicID, p int32) (Replica, error) {
	if r := w.replicas[replicaKey{topic, p}]; r != nil {
		return r, nil
	}
	return nil, kerr.NotLeaderForPartition
}

func (w *world) replica(topic cluster.TopicID, p int32) *fakeReplica {
	w.t.Helper()
	r := w.replicas[replicaKey{topic, p}]
	if r == nil {
		w.t.Fatalf("no replica %v/%d", topic, p)
	}
	return r
}

// start sends a request through frame, header and dispatch.
func (w *world) start(waiting context.Context, req kmsg.Request) *Pending {
	w.t.Helper()
	w.correlation++
	raw := kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, w.correlation)
	frame, err := protocol.NewFrameReader(bytes.NewReader(raw), new(bytepool.Pool), 100<<20).Next()
	if err != nil {
		w.t.Fatalf("frame: %v", err)
	}
	p, err := w.session.Start(waiting, frame)
	if err != nil {
		w.t.Fatalf("start %s v%d: %v", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return p
}

// answer is the response as a client decodes it from the wire; nil when none is sent.
func (w *world) answer(p *Pending, req kmsg.Request) kmsg.Response {
	w.t.Helper()
	reply := p.Finish(context.Background())
	defer p.Release()
	defer reply.Release()
	if reply.Close != nil {
		w.t.Fatalf("connection closed: %v", reply.Close)
	}
	raw := encoded(w.t, p, &reply)
	if raw == nil {
		return nil
	}
	resp := req.ResponseKind()
	body := raw[8:]
	if resp.IsFlexible() && resp.Key() != int16(kmsg.ApiVersions) {
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		w.t.Fatalf("decode %s v%d: %v", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	again := protocol.AppendResponse(nil, p.Header.CorrelationID, resp)
	if !bytes.Equal(again, raw) {
		w.t.Fatalf("%s v%d: bytes left over or lost:\n%x\n%x", kmsg.NameForKey(req.Key()), req.GetVersion(), raw, again)
	}
	return resp
}

func encoded(t testing.TB, p *Pending, reply *Reply) []byte {
	t.Helper()
	if reply.Message != nil {
		return protocol.AppendResponse(nil, p.Header.CorrelationID, reply.Message)
	}
	var raw []byte
	from := 0
	for i, cut := range reply.Cuts {
		raw = append(raw, reply.Frame[from:cut]...)
		for _, r := range reply.Records[i].Ranges {
			b := make([]byte, r.Len)
			if _, err := r.File.ReadAt(b, r.Pos); err != nil && !errors.Is(err, io.EOF) {
				t.Fatalf("read records: %v", err)
			}
			raw = append(raw, b...)
		}
		from = cut
	}
	return append(raw, reply.Frame[from:]...)
}

// ask sends a request and returns its answer.
func ask[R kmsg.Response](w *world, req kmsg.Request) R {
	w.t.Helper()
	resp := w.answer(w.start(context.Background(), req), req)
	r, ok := resp.(R)
	if !ok {
		w.t.Fatalf("%s answered with %T", kmsg.NameForKey(req.Key()), resp)
	}
	return r
}

// fakeReplica is a partition in memory that commits when told to.
type fakeReplica struct {
	mu         sync.Mutex
	batches    []batch.Batch
	end        log.Offset
	start      log.Offset
	produceErr error
	fetchErr   error
	diverging  log.Epoch  // answered when > 0
	hold       bool       // appends stay unsettled
	behind     log.Offset // of the other replicas
	fetches    []partition.FetchArgs
	listed     log.TimestampedOffset
	listErr    error
	deleteErr  error
	minInsync  int
	txnOpen    bool
	epochBump  bool
	verifying  *partition.Verification // given out and not released
	producers  []partition.ProducerState
	waiters    map[*fakeWaiter]bool
	shares     fakeShares
}

func (r *fakeReplica) Verify(_ batch.Header, epochBump bool) (*partition.Verification, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.txnOpen {
		return nil, nil
	}
	r.verifying, r.epochBump = new(partition.Verification), epochBump
	return r.verifying, nil
}

func (r *fakeReplica) Release(_ batch.Header, v *partition.Verification) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v == r.verifying {
		r.verifying = nil
	}
}

func (r *fakeReplica) MinInsyncReplicas() int { return r.minInsync }

func (r *fakeReplica) HasUpTo(_ raft.NodeID, o log.Offset) bool { return o <= r.end-r.behind }

func (r *fakeReplica) Producers() []partition.ProducerState { return r.producers }

func (r *fakeReplica) Produce(b batch.Batch, v *partition.Verification) (Append, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.produceErr != nil {
		return nil, r.produceErr
	}
	if v != r.verifying {
		return nil, kerr.InvalidTxnState
	}
	if _, err := batch.ParseHeader(b); err != nil {
		return nil, kerr.CorruptMessage
	}
	a := &fakeAppend{base: r.end, done: make(chan struct{})}
	r.add(bytes.Clone(b))
	if !r.hold {
		close(a.done)
	}
	return a, nil
}

// add commits a batch, stamped with its base offset. The caller holds mu.
func (r *fakeReplica) add(b batch.Batch) {
	b.Stamp(r.end, 5)
	r.batches = append(r.batches, b)
	r.end += log.Offset(b.Header().Count)
	for w := range r.waiters {
		w.grew(len(b))
	}
	for w := range r.shares.waiters {
		w.grew(len(b))
	}
}

func (r *fakeReplica) commit(b batch.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(b)
}

func (r *fakeReplica) Fetch(a partition.FetchArgs) (partition.Fetched, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fetches = append(r.fetches, a)
	f := partition.Fetched{HighWatermark: r.end, LastStableOffset: r.end, LogStartOffset: r.start, DivergingEpoch: -1}
	switch {
	case r.fetchErr != nil:
		return f, r.fetchErr
	case r.diverging > 0:
		f.DivergingEpoch, f.DivergingEnd = r.diverging, 2
		return f, nil
	case a.Offset < r.start || a.Offset > r.end:
		return f, kerr.OffsetOutOfRange
	}
	var data []byte
	at := log.Offset(0)
	for _, b := range r.batches {
		next := at + log.Offset(b.Header().Count)
		if next > a.Offset {
			if len(data)+len(b) > a.MaxBytes && (len(data) > 0 || !a.MinOne) {
				break
			}
			data = append(data, b...)
		}
		at = next
	}
	if len(data) > 0 {
		f.Slice = log.Slice{
			Ranges: []log.Range{{File: bytes.NewReader(data), Len: int64(len(data))}}, Bytes: int64(len(data)),
		}
	}
	return f, nil
}

func (r *fakeReplica) Watch(w Waiter, known log.Offset) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fw, _ := w.(*fakeWaiter)
	r.waiters[fw] = true
	if r.end != known {
		fw.wake()
	}
}

func (r *fakeReplica) Unwatch(w Waiter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fw, _ := w.(*fakeWaiter)
	delete(r.waiters, fw)
}

func (r *fakeReplica) watching() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiters)
}

func (r *fakeReplica) ListOffset(int64, log.Epoch, bool) (log.TimestampedOffset, error) {
	return r.listed, r.listErr
}

func (r *fakeReplica) EpochEnd(_, e log.Epoch) (log.Epoch, log.Offset, error) {
	return e, r.end, r.listErr
}

func (r *fakeReplica) DeleteRecords(_ context.Context, before log.Offset) (log.Offset, error) {
	return before, r.deleteErr
}

func (w *world) Size(topic cluster.TopicID, p int32) (int64, bool) {
	return 123, w.replicas[replicaKey{topic, p}] != nil
}

type fakeAppend struct {
	base log.Offset
	done chan struct{}
	err  error
}

func (a *fakeAppend) Wait(ctx context.Context) (partition.Produced, error) {
	select {
	case <-a.done:
		return partition.Produced{BaseOffset: a.base, LogAppendTime: -1, LogStartOffset: 0}, a.err
	case <-ctx.Done():
		return partition.Produced{}, kerr.RequestTimedOut
	}
}

func (a *fakeAppend) Settled() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

type fakeWaiter struct {
	c      chan struct{}
	need   int64
	mu     sync.Mutex
	offer  *partition.ShareAcquire // while it is open
	handed *fakeAcquiring
}

func (w *fakeWaiter) C() <-chan struct{} { return w.c }

func (w *fakeWaiter) Offer(a partition.ShareAcquire) { w.setOffer(&a) }
func (w *fakeWaiter) Withdraw()                      { w.setOffer(nil) }

func (w *fakeWaiter) setOffer(a *partition.ShareAcquire) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.offer = a
}

func (w *fakeWaiter) grew(bytes int) {
	if w.need -= int64(bytes); w.need <= 0 {
		w.wake()
	}
}

func (w *fakeWaiter) wake() {
	select {
	case w.c <- struct{}{}:
	default:
	}
}

// records returns a batch of n records.
func records(n int) batch.Batch {
	values := make([][]byte, n)
	for i := range values {
		values[i] = []byte("value")
	}
	return batch.Build(values, 1000)
}
