//go:build queue

package queue

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	workers     = flag.Int("workers", 50, "worker processes")
	kills       = flag.Int("kills", 50, "nodes to kill")
	messages    = flag.Int64("messages", 100_000, "messages to write at least; the producers go on until all faults have happened")
	rate        = flag.Int("rate", 1000, "messages a second")
	partitions  = flag.Int("partitions", 6, "of the queue")
	limit       = flag.Int("limit", 5, "share.delivery.count.limit")
	lockFlag    = flag.Duration("lock", 4*time.Second, "share.record.lock.duration.ms; less than the 5.5 s after which franz-go gives a fetch up")
	deadLetters = flag.Bool("dead-letters", true, "the cluster has dead-letter topics")
)

// lockTime is how long a lock lasts.
var lockTime time.Duration

// TestChaos is the proof.
func TestChaos(t *testing.T) {
	lockTime = *lockFlag
	s := newSuite(t)
	s.createQueue(*partitions, "segment.bytes=1048576")
	configs := []string{
		fmt.Sprintf("share.record.lock.duration.ms=%d", lockTime.Milliseconds()), fmt.Sprintf("share.delivery.count.limit=%d", *limit),
	}
	if s.Cluster != nil {
		// With its default, 45 s, partitions would often be given to the dead alone. Kafka does not allow less.
		configs = append(configs, "share.session.timeout.ms=8000", "share.heartbeat.interval.ms=1000")
	}
	if *deadLetters {
		s.CreateTopic(deadTopic, 3, *replicas)
		configs = append(configs, "errors.deadletterqueue.topic.name="+deadTopic)
	}
	s.configureGroup(configs...)
	c := NewChecker(int32(*limit), *deadLetters)
	f := s.hire(*workers, c)
	p := s.startProducers(4, *rate)
	started := time.Now()
	faulting, killed := s.killNodes()
	s.work(f, p, faulting, "under faults")
	if err := killed.err; err != nil {
		t.Fatal(err)
	}
	for _, at := range killed.at {
		c.NodeKilled(at)
	}
	f.count["node killed"] = len(killed.at)
	s.finish(p, c)
	written := p.bytes
	t.Logf("%d messages, %d MiB, in %v under %v", p.count(), written>>20, time.Since(started).Round(time.Second), f.count)
	s.drain(f)
	f.dismiss()
	if *deadLetters {
		s.readDeadLetters(c)
	}
	s.verify(f, c.Finish())
	if s.Cluster != nil {
		s.emptied(written)
	}
}

// work lets the workers work and disturbs them until the faults are over and enough is written.
func (s *suite) work(f *staff, p *producers, faulting <-chan struct{}, what string) {
	s.Helper()
	disturbance, report := time.Now(), time.Now()
	progress := pacer{since: time.Now()}
	for over := false; !over || p.count() < *messages; time.Sleep(50 * time.Millisecond) {
		f.attend()
		select {
		case <-faulting:
			over = true
		default:
		}
		if time.Now().After(disturbance) {
			f.disturb()
			// Each worker lives for about a minute.
			disturbance = time.Now().Add(time.Duration(s.Rand.Int64N(int64(2*time.Minute) / int64(len(f.slots)))))
		}
		if time.Now().After(report) {
			s.Logf("%s: %d written, %d accepted, faults %v", what, p.count(), f.checker.Accepted(), f.count)
			report = time.Now().Add(10 * time.Second)
		}
		s.Must(progress.observe(f.checker.Accepted()))
	}
}

// drain lets the workers finish in peace.
func (s *suite) drain(f *staff) {
	s.Helper()
	progress := pacer{since: time.Now()}
	for last := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		f.attend()
		ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
		open, err := s.open(ctx)
		cancel()
		if err == nil && open == 0 {
			return
		}
		if time.Since(last) > 5*time.Second {
			s.Logf("in peace: %d messages are open (%v), %d accepted", open, err, f.checker.Accepted())
			last = time.Now()
		}
		// What is left may be poison, which nobody accepts: it is progress that less is open.
		s.Must(progress.observe(f.checker.Accepted() - open))
	}
}

// pacer fails when nothing gets on for too long.
type pacer struct {
	best  int64
	since time.Time
}

func (p *pacer) observe(done int64) error {
	switch {
	case done != p.best:
		p.best, p.since = done, time.Now()
	case time.Since(p.since) > patience:
		return fmt.Errorf("no progress for %v", patience)
	}
	return nil
}

// nodeKills are the node faults. They belong to the goroutine that causes them until it is done.
type nodeKills struct {
	at  []int64 // before each kill
	err error
}

// killNodes kills one node after the other and starts it again. The channel is closed when that is done.
func (s *suite) killNodes() (<-chan struct{}, *nodeKills) {
	done, killed := make(chan struct{}), &nodeKills{}
	if s.Cluster == nil {
		close(done)
		return done, killed
	}
	rng := rand.New(rand.NewPCG(*seed, 1))
	go func() {
		defer close(done)
		for range *kills {
			time.Sleep(time.Duration(rng.Int64N(int64(3 * time.Second))))
			n := s.Cluster.Nodes[rng.IntN(len(s.Cluster.Nodes))]
			killed.at = append(killed.at, time.Now().UnixNano())
			ctx, cancel := context.WithTimeout(s.Context(), patience)
			killed.err = s.Cluster.Restart(ctx, n, time.Duration(rng.Int64N(int64(2*time.Second))))
			cancel()
			if killed.err != nil {
				return
			}
		}
	}()
	return done, killed
}

// readDeadLetters gives the dead-letter topic to the checker.
func (s *suite) readDeadLetters(c *Checker) {
	s.Helper()
	s.Must(s.Read(s.Within(patience), deadTopic, func(r *kgo.Record) {
		l, err := parseDeadLetter(r)
		if err != nil {
			s.Errorf("dead letter %d/%d: %v", r.Partition, r.Offset, err)
			return
		}
		c.DeadLetter(l)
	}))
}

// parseDeadLetter reads the headers of KIP-1191.
func parseDeadLetter(r *kgo.Record) (DeadLetter, error) {
	headers := map[string]string{}
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	const prefix = "__dlq.errors."
	number := func(name string) (n int64, err error) { return strconv.ParseInt(headers[prefix+name], 10, 64) }
	partition, err1 := number("partition")
	offset, err2 := number("offset")
	count, err3 := number("delivery.count")
	m, err4 := ParseValue(r.Value)
	err := errors.Join(err1, err2, err3, err4)
	if headers[prefix+"topic"] != topic || headers[prefix+"group"] != group {
		err = errors.Join(err, errors.New("of another topic or group"))
	}
	if err != nil {
		return DeadLetter{}, fmt.Errorf("%w; headers %q", err, headers)
	}
	return DeadLetter{Place{int32(partition), offset}, m, int32(count), headers[prefix+"message"]}, nil
}

// verify fails on any broken promise, and when a fault that was to be survived did not happen.
func (s *suite) verify(f *staff, r *Report) {
	s.Helper()
	s.Logf("%v", r)
	s.Must(r.Err())
	happened := map[string]int64{
		"acceptances": r.Accepted, "redeliveries": r.Redeliveries, "ended locks": r.Expired, "renewals": r.Renewals,
		"workers that were killed": int64(f.count["worker killed"]), "workers that were paused": int64(f.count["worker paused"]),
		"workers that died": int64(f.count["worker died"]),
	}
	if *deadLetters {
		for k := Plain + 1; k < kindCount; k++ {
			happened["dead letters: "+k.String()] = r.Buried[k]
		}
	}
	for what, n := range happened {
		if n == 0 {
			s.Errorf("no %s: the test proves nothing", what)
		}
	}
	if s.Cluster != nil && f.count["node killed"] < *kills {
		s.Errorf("%d nodes were killed, want %d", f.count["node killed"], *kills)
	}
}
