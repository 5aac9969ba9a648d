package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log"
	"balsa/log/batch"
	"balsa/log/vfs"
	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/config"
	"balsa/server/handler"
	"balsa/server/partition"
)

// fakeBroker is a broker with one topic, "t", of one partition, behind a real listener on loopback.
type fakeBroker struct {
	image    *cluster.Image
	file     vfs.File // what a fetch returns, all of it
	fileSize int64
	onWatch  func()
	unwatch  chan struct{} // a long poll ended
	released chan string   // members of share groups whose records were given back

	mu        sync.Mutex
	hold      bool
	held      []*fakeAppend
	started   int
	corrupted int // batches whose bytes changed before they were settled
}

var topicT = cluster.TopicID{1}

func newFakeBroker() *fakeBroker {
	b := &fakeBroker{image: cluster.NewImage(), unwatch: make(chan struct{}, 16), released: make(chan string, 16), onWatch: func() {}}
	b.image.Features = map[string]int16{cluster.FeatureShare: 1}
	t := &cluster.Topic{ID: topicT, Name: "t", Partitions: []cluster.Partition{{Replicas: []raft.NodeID{1}}}}
	b.image.Topics[topicT], b.image.TopicsByName["t"] = t, t
	b.image.Brokers[1] = cluster.Broker{ID: 1, Host: "localhost", Port: 9092}
	return b
}

func (b *fakeBroker) Image() *cluster.Image { return b.image }
func (b *fakeBroker) Leader(cluster.TopicID, int32) raft.Leadership {
	return raft.Leadership{Leader: 1, Epoch: 1, Ready: true}
}
func (b *fakeBroker) Alive(raft.NodeID) bool { return true }

func (*fakeBroker) InService(raft.NodeID, cluster.TopicID, int32) bool { return true }
func (b *fakeBroker) Controller() raft.NodeID                          { return 1 }
func (b *fakeBroker) Do(context.Context, kmsg.Request) (kmsg.Response, error) {
	return nil, errors.New("no controller")
}

func (b *fakeBroker) Handle(ctx context.Context, _ handler.Client, req kmsg.Request) kmsg.Response {
	if _, ok := req.(*kmsg.JoinGroupRequest); ok {
		b.onWatch()
		<-ctx.Done()
		b.unwatch <- struct{}{}
	}
	return req.ResponseKind()
}
func (b *fakeBroker) Shard(string) int32 { return 0 }

func (b *fakeBroker) Get(cluster.TopicID, int32) (handler.Replica, error) { return b, nil }
func (b *fakeBroker) NewWaiter(int64, bool) handler.Waiter                { return make(fakeWaiter) }

type fakeWaiter chan struct{}

func (w fakeWaiter) C() <-chan struct{}           { return w }
func (w fakeWaiter) Offer(partition.ShareAcquire) {}
func (w fakeWaiter) Withdraw()                    {}

func (b *fakeBroker) ShareHanded(handler.Waiter) handler.ShareAcquiring  { return nil }
func (b *fakeBroker) ShareReturn(string, string, handler.ShareAcquiring) {}

func (b *fakeBroker) Watch(handler.Waiter, log.Offset) { b.onWatch() }
func (b *fakeBroker) Unwatch(handler.Waiter)           { b.unwatch <- struct{}{} }

func (b *fakeBroker) Verify(batch.Header, bool) (*partition.Verification, error) { return nil, nil }
func (b *fakeBroker) Release(batch.Header, *partition.Verification)              {}
func (b *fakeBroker) MinInsyncReplicas() int                                     { return 1 }
func (b *fakeBroker) Producers() []partition.ProducerState                       { return nil }
func (b *fakeBroker) HasUpTo(raft.NodeID, log.Offset) bool                       { return false }

func (b *fakeBroker) Produce(batch batch.Batch, _ *partition.Verification) (handler.Append, error) {
	a := &fakeAppend{broker: b, batch: batch, sum: crc32.ChecksumIEEE(batch), done: make(chan struct{})}
	b.mu.Lock()
	defer b.mu.Unlock()
	a.base = b.started
	b.started++
	if b.hold {
		b.held = append(b.held, a)
	} else {
		a.settle()
	}
	return a, nil
}

// holding returns how many appends are held.
func (b *fakeBroker) holding() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.held)
}

// until waits for something that nothing signals; a test that waits in vain is ended by its timeout.
func until(is func() bool) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !is() {
		<-tick.C
	}
}

// letGo settles the held appends, and all later ones at once.
func (b *fakeBroker) letGo() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hold = false
	for _, a := range b.held {
		a.settle()
	}
	b.held = nil
}

type fakeAppend struct {
	broker *fakeBroker
	batch  batch.Batch
	sum    uint32
	base   int
	done   chan struct{}
}

// settle checks that the bytes are still those that were proposed: their buffer must not have been reused. The caller
// holds the broker's lock.
func (a *fakeAppend) settle() {
	if crc32.ChecksumIEEE(a.batch) != a.sum {
		a.broker.corrupted++
	}
	clear(a.batch) // nobody may look at them from here on
	close(a.done)
}

func (a *fakeAppend) Wait(ctx context.Context) (partition.Produced, error) {
	select {
	case <-a.done:
		return partition.Produced{BaseOffset: log.Offset(a.base), LogAppendTime: -1}, nil
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

func (b *fakeBroker) Fetch(partition.FetchArgs) (partition.Fetched, error) {
	f := partition.Fetched{DivergingEpoch: -1}
	if b.file != nil {
		// In two ranges, as if it spanned two segments.
		half := b.fileSize / 2
		f.Slice = log.Slice{Bytes: b.fileSize, Ranges: []log.Range{{File: b.file, Len: half}, {File: b.file, Pos: half, Len: b.fileSize - half}}}
	}
	return f, nil
}

func (b *fakeBroker) ShareAcquire(partition.ShareAcquire) (handler.ShareAcquiring, error) {
	return nil, nil
}

func (b *fakeBroker) ShareAcknowledge(partition.ShareAcknowledge) (handler.ShareChange, error) {
	return nil, kerr.InvalidRecordState
}
func (b *fakeBroker) ShareRelease(_, member string)             { b.released <- member }
func (b *fakeBroker) ShareWatch(handler.Waiter, string)         { b.onWatch() }
func (b *fakeBroker) ShareUnwatch(handler.Waiter, string, bool) { b.unwatch <- struct{}{} }

func (b *fakeBroker) ListOffset(int64, log.Epoch, bool) (log.TimestampedOffset, error) {
	return log.TimestampedOffset{}, nil
}

func (b *fakeBroker) EpochEnd(log.Epoch, log.Epoch) (log.Epoch, log.Offset, error) { return 0, 0, nil }

func (b *fakeBroker) DeleteRecords(context.Context, log.Offset) (log.Offset, error) {
	return 0, nil
}

func (b *fakeBroker) CommitTransactional(
	_ context.Context, _ handler.Client, req *kmsg.TxnOffsetCommitRequest, _ func(context.Context, int32) error,
) kmsg.Response {
	return req.ResponseKind()
}

func (b *fakeBroker) Size(cluster.TopicID, int32) (int64, bool) { return b.fileSize, true }

// serve opens a listener for b on loopback; it is shut down with the test.
func serve(t testing.TB, b *fakeBroker, change func(*ListenerConfig)) (*Listener, string, *logs) {
	t.Helper()
	c := DefaultListenerConfig()
	if change != nil {
		change(&c)
	}
	out := &logs{}
	defaults := config.Default()
	d := handler.NewDispatcher(&handler.Broker{
		Node: 1, Metadata: b, Controller: b, Coordinator: b, Partitions: b, FetchMaxBytes: 55 << 20, FetchSessions: 1000,
		ShareSessions: 1000, Configs: cluster.NewResolver(&defaults),
	})
	l, err := NewListener(c, d, slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- l.Serve(ln) }()
	t.Cleanup(func() {
		b.letGo()
		if err := l.Shutdown(context.Background()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		if l.Connections() != 0 {
			t.Errorf("%d connections left", l.Connections())
		}
	})
	return l, ln.Addr().String(), out
}

// logs collects log lines.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// client is a connection that speaks the protocol by hand.
type client struct {
	t *testing.T
	*net.TCPConn
}

func dial(t *testing.T, address string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	tcp, _ := nc.(*net.TCPConn)
	return &client{t, tcp}
}

func encode(req kmsg.Request, correlation int32) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, correlation)
}

func (c *client) send(correlation int32, req kmsg.Request) {
	c.t.Helper()
	if _, err := c.Write(encode(req, correlation)); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// receive reads one response: its correlation id, and what follows.
func (c *client) receive() (correlation int32, rest []byte) {
	c.t.Helper()
	correlation, rest, err := receive(c)
	if err != nil {
		c.t.Fatalf("receive: %v", err)
	}
	return correlation, rest
}

func receive(r io.Reader) (int32, []byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	rest := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	_, err := io.ReadFull(r, rest)
	return int32(binary.BigEndian.Uint32(head[4:])), rest, err
}

// ended waits until the broker has closed the connection.
func (c *client) ended() {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, net.ErrClosed) {
		c.t.Logf("the connection ended with %v", err) // a reset is as good
	}
}

func produceRequest(acks int16, size int) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, acks, 60_000
	rp := kmsg.NewProduceRequestTopicPartition()
	value := make([]byte, size)
	for i := range value {
		value[i] = byte(i)
	}
	rp.Records = batch.Build([][]byte{value}, 1)
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.Partitions = "t", []kmsg.ProduceRequestTopicPartition{rp}
	req.Topics = []kmsg.ProduceRequestTopic{rt}
	return req
}

func fetchRequest(maxWait int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MinBytes, req.MaxBytes, req.MaxWaitMillis = 4, -1, 1, 1<<30, maxWait
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.PartitionMaxBytes = 1 << 30
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.Partitions = "t", []kmsg.FetchRequestTopicPartition{rp}
	req.Topics = []kmsg.FetchRequestTopic{rt}
	return req
}

func shareFetchRequest(member string, maxWait int32) *kmsg.ShareFetchRequest {
	req := kmsg.NewPtrShareFetchRequest()
	req.Version, req.GroupID, req.MemberID, req.MaxWaitMillis = 2, kmsg.StringPtr("g"), &member, maxWait
	req.MinBytes, req.MaxRecords = 1, 500
	rt := kmsg.NewShareFetchRequestTopic()
	rt.TopicID, rt.Partitions = topicT, []kmsg.ShareFetchRequestTopicPartition{kmsg.NewShareFetchRequestTopicPartition()}
	req.Topics = []kmsg.ShareFetchRequestTopic{rt}
	return req
}

func versionsRequest() *kmsg.ApiVersionsRequest { return kmsg.NewPtrApiVersionsRequest() }
