package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/coordinator"
	"balsa/server/handler"
	"balsa/server/partition"
	"balsa/server/txn"
)

// markedCluster is nodes that take markers, and what the sender knows of who leads what.
type markedCluster struct {
	mu      sync.Mutex
	image   *cluster.Image
	leaders map[cluster.TopicPartition]raft.NodeID // what the sender believes
	really  map[cluster.TopicPartition]raft.NodeID
	down    map[raft.NodeID]bool
	answer  func(m handler.TransactionMarker) *kerr.Error
	written map[cluster.TopicPartition]int
	calls   int
	largest int
}

func newMarkedCluster(partitions int) *markedCluster {
	c := &markedCluster{
		image:   &cluster.Image{Version: 5, Topics: map[cluster.TopicID]*cluster.Topic{}},
		leaders: map[cluster.TopicPartition]raft.NodeID{}, really: map[cluster.TopicPartition]raft.NodeID{},
		down: map[raft.NodeID]bool{}, written: map[cluster.TopicPartition]int{},
	}
	topic := &cluster.Topic{ID: cluster.TopicID{1}, Name: "t", Partitions: make([]cluster.Partition, partitions)}
	c.image.Topics[topic.ID] = topic
	for p := range int32(partitions) {
		tp := cluster.TopicPartition{Topic: topic.ID, Partition: p}
		c.leaders[tp] = raft.NodeID(1 + p%3)
		c.really[tp] = c.leaders[tp]
	}
	return c
}

func (c *markedCluster) leader(topic cluster.TopicID, p int32) raft.Leadership {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, known := c.leaders[cluster.TopicPartition{Topic: topic, Partition: p}]; known {
		return raft.Leadership{Leader: n, Epoch: 1}
	}
	return raft.Leadership{Leader: raft.NoNode}
}

func (c *markedCluster) currentImage() *cluster.Image {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.image
}

func (c *markedCluster) call(_ context.Context, to raft.NodeID, service uint8, payload []byte) ([]byte, error) {
	if service != markersService {
		return nil, errors.New("another service")
	}
	batch, err := decodeMarkers(payload)
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	c.largest = max(c.largest, len(batch))
	if c.down[to] {
		return nil, raft.ErrUnreachable
	}
	codes := make([]int16, len(batch))
	for i, m := range batch {
		switch {
		case c.really[m.Partition] != to:
			codes[i] = kerr.NotLeaderForPartition.Code
		case c.answer != nil && c.answer(m) != nil:
			codes[i] = c.answer(m).Code
		default:
			c.written[m.Partition]++
		}
	}
	return encodeCodes(codes), nil
}

// count is how often a partition's marker was written.
func (c *markedCluster) count(p cluster.TopicPartition) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.written[p]
}

// change changes what the sender meets.
func (c *markedCluster) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *markedCluster) sender() *markers {
	return newMarkers(c.currentImage, c.leader, c.call, slog.New(slog.DiscardHandler))
}

func completion(id int64, metadata uint64, partitions ...cluster.TopicPartition) txn.Completion {
	c := txn.Completion{TransactionalID: fmt.Sprint("tx", id), ProducerID: id, Epoch: 3, CoordinatorEpoch: 9, Commit: true, Version: 2, Metadata: metadata}
	for _, p := range partitions {
		c.Partitions = append(c.Partitions, txn.Partition{Topic: p.Topic, Partition: p.Partition})
	}
	return c
}

func tp(p int32) cluster.TopicPartition {
	return cluster.TopicPartition{Topic: cluster.TopicID{1}, Partition: p}
}

func TestMarkersFollowPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMarkedCluster(9)
		m := c.sender()
		defer m.close()
		delete(c.leaders, tp(1))                                  // nobody knows
		c.really[tp(2)] = 1                                       // moved
		c.down[3] = true                                          // and 5 and 8 are down with their node
		gone := cluster.TopicPartition{Topic: cluster.TopicID{7}} // deleted
		grown := tp(9)                                            // of a topic that this node has not heard all about
		var done atomic.Int32
		m.complete(context.Background(), completion(1, 6, tp(0), tp(1), tp(2), tp(5), gone, grown), func() { done.Add(1) })
		time.Sleep(30 * time.Second)
		if c.count(tp(0)) != 1 || done.Load() != 0 {
			t.Fatalf("written %d, %d, %d, %d; done %d", c.count(tp(0)), c.count(tp(1)), c.count(tp(2)), c.count(tp(5)), done.Load())
		}
		c.change(func() {
			c.leaders[tp(1)], c.really[tp(1)] = 2, 2
			c.leaders[tp(2)] = 1
			c.down[3] = false
		})
		time.Sleep(2 * time.Second)
		if c.count(tp(1)) != 1 || c.count(tp(2)) != 1 || c.count(tp(5)) != 1 || done.Load() != 0 {
			t.Fatalf("written %d, %d, %d, %d; done %d", c.count(tp(0)), c.count(tp(1)), c.count(tp(2)), c.count(tp(5)), done.Load())
		}
		c.change(func() {
			next := *c.image
			next.Version = 6 // what is not in it now, is no more
			c.image = &next
		})
		time.Sleep(time.Second)
		if done.Load() != 1 {
			t.Fatalf("done %d times", done.Load())
		}
	})
}

func TestMarkersThatAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMarkedCluster(3)
		m := c.sender()
		defer m.close()
		fenced := true
		c.answer = func(m handler.TransactionMarker) *kerr.Error {
			switch {
			case m.Partition == tp(0):
				return kerr.InvalidProducerEpoch // something later is there
			case m.Partition == tp(1) && fenced:
				return kerr.TransactionCoordinatorFenced
			}
			return nil
		}
		var done atomic.Int32
		m.complete(context.Background(), completion(1, 0, tp(0), tp(1), tp(2)), func() { done.Add(1) })
		time.Sleep(time.Minute)
		if done.Load() != 0 {
			t.Fatal("done although a partition refuses its marker")
		}
		c.change(func() {
			fenced = false
		})
		time.Sleep(time.Second)
		if done.Load() != 1 || c.count(tp(2)) != 1 {
			t.Errorf("done %d times, written %d times", done.Load(), c.count(tp(2)))
		}
	})
}

// A leader that is none any more gives up; so does a node that stops.
func TestMarkersGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMarkedCluster(3)
		m := c.sender()
		c.down[1], c.down[2] = true, true
		ctx, cancel := context.WithCancel(context.Background())
		never := func() { t.Error("done") }
		m.complete(ctx, completion(1, 0, tp(0)), never)
		m.complete(context.Background(), completion(2, 0, tp(1)), never)
		time.Sleep(time.Second)
		cancel()
		time.Sleep(time.Second)
		c.change(func() {
			c.down[1] = false
		})
		time.Sleep(time.Second)
		if n := c.count(tp(0)) + c.count(tp(1)); n != 0 {
			t.Errorf("%d were written", n)
		}
		m.close()
		m.complete(context.Background(), completion(3, 0), func() {}) // nothing to write, nobody to tell
	})
}

// What comes while a node is busy goes together.
func TestMarkersAreBatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newMarkedCluster(3)
		m := c.sender()
		defer m.close()
		const transactions = 5000
		var done atomic.Int32
		for i := range int64(transactions) {
			m.complete(context.Background(), completion(i, 0, tp(0), tp(1), tp(2)), func() { done.Add(1) })
		}
		m.complete(context.Background(), completion(-1, 0), func() { done.Add(1) })
		time.Sleep(time.Second)
		if done.Load() != transactions+1 {
			t.Errorf("%d of %d are done", done.Load(), transactions+1)
		}
		c.change(func() {
			if c.calls > 100 || c.largest > maxMarkers {
				t.Errorf("%d calls, of up to %d markers", c.calls, c.largest)
			}
		})
	})
}

func TestMarkerCodec(t *testing.T) {
	batch := []handler.TransactionMarker{
		{Partition: tp(7), Marker: partition.Marker{ProducerID: 1 << 40, ProducerEpoch: 32767, CoordinatorEpoch: 1 << 30, Commit: true, TransactionVersion: 2}},
		{Partition: cluster.TopicPartition{Topic: cluster.CoordinatorTopic, Partition: 15}, Marker: partition.Marker{ProducerEpoch: -1}},
	}
	read, err := decodeMarkers(encodeMarkers(batch))
	if err != nil || !reflect.DeepEqual(read, batch) {
		t.Errorf("%+v, %v", read, err)
	}
	codes, err := decodeCodes(encodeCodes([]int16{0, 47, -1}), 3)
	if err != nil || !reflect.DeepEqual(codes, []int16{0, 47, -1}) {
		t.Errorf("%v, %v", codes, err)
	}
	if _, err := decodeCodes(encodeCodes([]int16{0}), 2); err == nil {
		t.Error("one answer to two")
	}
	req := coordinator.AddPartitions{
		TransactionalID: "tx", ProducerID: 5, Epoch: 3, Partitions: []cluster.TopicPartition{tp(1), tp(2)}, VerifyOnly: true,
		Version: 2, Metadata: 99,
	}
	got, err := decodeAddPartitions(encodeAddPartitions(req))
	if err != nil || !reflect.DeepEqual(got, req) {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzMarkerCodec(f *testing.F) {
	f.Add(encodeMarkers([]handler.TransactionMarker{{Partition: tp(1)}}))
	f.Add(encodeCodes([]int16{1, 2}))
	f.Add(encodeAddPartitions(coordinator.AddPartitions{TransactionalID: "t", Partitions: []cluster.TopicPartition{tp(1)}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeMarkers(b); err == nil {
			if again, err := decodeMarkers(encodeMarkers(m)); err != nil || !reflect.DeepEqual(again, m) {
				t.Errorf("%x reads %+v, then %+v, %v", b, m, again, err)
			}
		}
		if a, err := decodeAddPartitions(b); err == nil {
			if e := encodeAddPartitions(a); len(e) == 0 || !bytes.Equal(e, encodeAddPartitions(a)) {
				t.Errorf("%+v", a)
			}
		}
		_, _ = decodeCodes(b, 1)
	})
}

func TestMarkerError(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int16
	}{
		{nil, 0},
		{raft.ErrNotLeader, kerr.NotLeaderForPartition.Code},
		{fmt.Errorf("shard 3: %w", kerr.CoordinatorLoadInProgress), kerr.NotLeaderForPartition.Code},
		{fmt.Errorf("partition: %w", kerr.InvalidProducerEpoch), kerr.InvalidProducerEpoch.Code},
	} {
		if got := wireCode(markerError(test.err)); got != test.want {
			t.Errorf("%v is %d, want %d", test.err, got, test.want)
		}
	}
	if got := wireCode(errors.New("other")); got != kerr.UnknownServerError.Code {
		t.Errorf("another error is %d", got)
	}
}
