//go:build queue

package queue

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/protocol"
	"balsa/test/harness"
)

var (
	spread   = flag.Int("spread", 100, "workers of TestSpread, on one partition")
	inFlight = flag.Int("in-flight", 100_000, "messages in flight at once in TestInFlight")
	waiting  = flag.Int("waiting", 1_000_000, "messages waiting in TestWaiting, at first")
	times    = flag.Int("waiting-times", 10, "times as many messages wait later")
)

// fill writes n messages of 100 bytes, evenly over the partitions.
func (s *suite) fill(n int) {
	s.Helper()
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(s.Brokers...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
	s.Must(err)
	defer cl.Close()
	value := make([]byte, 100)
	promise := kgo.AbortingFirstErrPromise(cl)
	for range n {
		cl.Produce(s.Context(), &kgo.Record{Value: value}, promise.Promise())
	}
	s.Must(promise.Err())
}

// member is a client in the group that holds what one poll brings.
func (s *suite) member(batch int) *kgo.Client {
	s.Helper()
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(s.Brokers...), kgo.ShareGroup(group), kgo.ConsumeTopics(topic), kgo.ShareMaxRecords(int32(batch)), kgo.ShareMaxRecordsStrict(),
		kgo.ConnIdleTimeout(10*time.Minute), // the end of a connection would end its locks
	)
	s.Must(err)
	s.Cleanup(cl.Close)
	return cl
}

// take polls until n messages have come, and accepts them.
func (s *suite) take(cl *kgo.Client, n int) {
	s.Helper()
	for ctx := s.Within(patience); n > 0; {
		fetches := cl.PollRecords(ctx, n)
		s.Must(fetches.Err())
		n -= fetches.NumRecords()
		cl.MarkAcks(kgo.AckAccept)
	}
	s.Must(cl.FlushAcks(s.Within(patience)))
}

// TestSpread has many workers on a queue of one partition: all must get work, and about as much.
func TestSpread(t *testing.T) {
	s := newSuite(t)
	s.createQueue(1)
	s.configureGroup()
	var got []*atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	defer working.Wait()
	defer stop()
	for range *spread {
		cl, n := s.member(10), &atomic.Int64{}
		got = append(got, n)
		working.Go(func() {
			for ctx.Err() == nil {
				fetches := cl.PollRecords(ctx, 10)
				// The work: 2 ms for each message.
				time.Sleep(2 * time.Millisecond * time.Duration(fetches.NumRecords()))
				n.Add(int64(fetches.NumRecords()))
			}
		})
	}
	const each = 200
	began := time.Now()
	s.fill(each * *spread)
	counts := func() (all []int64) {
		for _, n := range got {
			all = append(all, n.Load())
		}
		slices.Sort(all)
		return all
	}
	s.Eventually("work on all messages", patience, func(context.Context) error {
		sum := int64(0)
		for _, n := range counts() {
			sum += n
		}
		if sum < int64(each**spread) {
			return fmt.Errorf("%d of %d", sum, each**spread)
		}
		return nil
	})
	took, all := time.Since(began), counts()
	t.Logf("%d messages by %d workers on one partition in %v: least %d, median %d, most %d each", each**spread, *spread,
		took.Round(time.Millisecond), all[0], all[len(all)/2], all[len(all)-1])
	if all[0] == 0 {
		t.Errorf("workers without work: messages by worker %v", all)
	}
}

// TestInFlight holds many messages of one partition at once, in the hands of a hundred members, and acknowledges every second one
// before the others, so that neighbours are never in one state.
func TestInFlight(t *testing.T) {
	const members = 100
	s := newSuite(t)
	s.createQueue(1)
	s.configureGroup(fmt.Sprintf("share.partition.max.record.locks=%d", *inFlight), "share.record.lock.duration.ms=600000")
	s.fill(*inFlight)
	before := s.memory()
	var clients []*kgo.Client
	var held [][]*kgo.Record
	began := time.Now()
	// A client may have fetched twice for one poll; then fewer members hold everything.
	for range members {
		if s.acquired() == int64(*inFlight) {
			break
		}
		cl := s.member(*inFlight / members)
		fetches := cl.PollFetches(s.Within(patience))
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d members hold %d messages, the next gets none: %v", len(clients), s.acquired(), err)
		}
		clients, held = append(clients, cl), append(held, fetches.Records())
	}
	n := s.acquired()
	t.Logf("%d messages are in flight with %d members after %v; memory of the nodes: %v before, %v now (MiB)",
		n, len(clients), time.Since(began).Round(time.Millisecond), before, s.memory())
	if n != int64(*inFlight) {
		t.Errorf("%d messages are in flight, want %d", n, *inFlight)
	}
	offsets := map[int64]bool{}
	for _, r := range slices.Concat(held...) {
		if offsets[r.Offset] || r.DeliveryCount() != 1 {
			t.Errorf("offset %d is in flight twice", r.Offset)
		}
		offsets[r.Offset] = true
	}
	for _, odd := range []int64{1, 0} {
		s.acknowledgeHeld(clients, held, odd)
	}
	for _, cl := range clients {
		cl.Close() // gives back what it was not polled for
	}
	if rest := *inFlight - len(offsets); rest > 0 {
		s.take(s.member(1000), rest)
	}
	s.drained()
}

// acknowledgeHeld accepts what each member holds at odd, or even, offsets, all members at the same time.
func (s *suite) acknowledgeHeld(clients []*kgo.Client, held [][]*kgo.Record, odd int64) {
	s.Helper()
	began := time.Now()
	var acknowledging sync.WaitGroup
	for i, cl := range clients {
		acknowledging.Go(func() {
			for _, r := range held[i] {
				if r.Offset%2 == odd {
					r.Ack(kgo.AckAccept)
				}
			}
			if err := cl.FlushAcks(s.Context()); err != nil {
				s.Error(err)
			}
		})
	}
	acknowledging.Wait()
	s.Logf("half of them acknowledged in %v, %d are in flight; memory: %v MiB", time.Since(began).Round(time.Millisecond), s.acquired(), s.memory())
}

// acquired is how many messages are in flight, as balsa tells with the offsets of a share group.
func (s *suite) acquired() int64 {
	s.Helper()
	req := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	g := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
	g.GroupID = group
	req.Groups = append(req.Groups, g)
	resp, err := req.RequestWith(s.Within(patience), s.Client)
	s.Must(err)
	n := int64(0)
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				p.UnknownTags.Each(func(tag uint32, value []byte) {
					if tag == protocol.TagInFlight {
						n += int64(binary.BigEndian.Uint64(value))
					}
				})
			}
		}
	}
	return n
}

// TestWaiting compares the memory of nodes with few and with many messages waiting.
func TestWaiting(t *testing.T) {
	s := newSuite(t)
	s.createQueue(*partitions)
	s.configureGroup()
	s.fill(*waiting)
	few := s.settled()
	t.Logf("%d messages wait: memory of the nodes %v MiB", *waiting, few)
	s.fill(*waiting * (*times - 1))
	many := s.settled()
	t.Logf("%d messages wait: memory of the nodes %v MiB", *waiting**times, many)
	// The noise of a Go process that has just begun, and the sparse indexes of the segments.
	const tolerated = 16
	for i := range few {
		if many[i] > few[i]+tolerated {
			t.Errorf("node %d has %d MiB with %d messages waiting, %d MiB with %d", i+1, few[i], *waiting, many[i], *waiting**times)
		}
	}
}

// settled restarts the nodes, has the group work a little, and returns their memory then.
func (s *suite) settled() []int64 {
	s.Helper()
	for _, n := range s.Cluster.Nodes {
		s.Must(s.Cluster.Restart(s.Within(patience), n, 0))
	}
	cl := s.member(500)
	s.take(cl, 10_000)
	s.Must(cl.LeaveGroupContext(s.Within(patience)))
	return s.memory()
}

// memory is the resident memory of each node in MiB; of a cluster that is not ours, nothing.
func (s *suite) memory() []int64 {
	s.Helper()
	if s.Cluster == nil {
		return nil
	}
	var all []int64
	for _, pid := range s.Cluster.PIDs() {
		bytes, err := harness.Memory(pid)
		s.Must(err)
		all = append(all, bytes>>20)
	}
	return all
}
