//go:build crash

package crash

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/log"
	"balsa/log/batch"
	"balsa/test/harness"
	"balsa/test/load"
)

const (
	compactTopic   = "compacted"
	keysOfProducer = 60
	// deleteEvery is how often a key is deleted: each write of this number deletes it.
	deleteEvery = 7
)

// keyWriter writes to its own keys of one partition: each write has the next number, which is in its header and value.
type keyWriter struct {
	partition int32
	name      string

	mu      sync.Mutex
	count   int            // of all writes
	written map[string]int // the last number of each key
	acked   map[string]int
}

func deletes(n int) bool { return n%deleteEvery == 0 }

func (w *keyWriter) write(p *load.Producer, rng *rand.Rand) {
	w.mu.Lock()
	w.count++
	// Now and then a key is left alone for good, some of them deleted: so that tombstones go.
	key := fmt.Sprintf("%s-%d", w.name, w.count/20+rng.IntN(keysOfProducer))
	w.written[key]++
	n := w.written[key]
	w.mu.Unlock()
	r := &kgo.Record{
		Topic: compactTopic, Partition: w.partition, Key: []byte(key),
		Headers: []kgo.RecordHeader{{Key: "n", Value: []byte(strconv.Itoa(n))}},
	}
	if !deletes(n) {
		r.Value = fmt.Appendf(nil, "%d %s", n, strings.Repeat("x", rng.IntN(500)))
	}
	p.Produce("key "+key, r, func(*kgo.Record) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.acked[key] = max(w.acked[key], n)
	})
}

// known returns what was acknowledged so far.
func (w *keyWriter) known() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.acked)
}

// judge says what is wrong with what a reader from offset 0 knows in the end, who began when `acked` was acknowledged: a write that
// was acknowledged is gone, or an older one came back.
func (w *keyWriter) judge(seen, acked map[string]int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for key, n := range acked {
		got, ok := seen[key]
		deleted := w.written[key]/deleteEvery*deleteEvery >= n // at n or later, so that a tombstone may have come and gone
		if ok && got < n || !ok && !deleted {
			errs = append(errs, fmt.Errorf("key %s: write %d was acknowledged of %d; a reader from offset 0 knows %d (%v)",
				key, n, w.written[key], got, ok))
		}
	}
	return errors.Join(errs...)
}

// compactSuite is a cluster whose compaction runs all the time, slowly.
type compactSuite struct {
	*suite
	writers []*keyWriter
	writing *load.Load
}

func newCompactSuite(t *testing.T) *compactSuite {
	s := &compactSuite{suite: newSuite(t, *nodes, func(o *harness.Options) {
		o.Flags = append(o.Flags, "--log-cleaner-backoff=50ms", "--log-cleaner-io-max-bytes-per-second=1500000", "--log-cleaner-dedupe-buffer=1048576")
	})}
	s.CreateTopic(compactTopic, *partitions, min(3, *nodes),
		"cleanup.policy=compact", "min.cleanable.dirty.ratio=0.01", "internal.segment.bytes=100000", "delete.retention.ms=500")
	for p := range int32(*partitions) {
		s.writers = append(s.writers, &keyWriter{partition: p, name: fmt.Sprintf("p%d", p), written: map[string]int{}, acked: map[string]int{}})
	}
	var err error
	s.writing, err = load.Start(s.Context(), load.Config{
		Brokers: s.Brokers, Producers: *partitions, Rate: float64(*rate),
		Options: []kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(2 * time.Millisecond)},
		Writer: func(p *load.Producer) func() {
			rng := rand.New(rand.NewPCG(*seed, uint64(p.ID)))
			return func() { s.writers[p.ID].write(p, rng) }
		},
	})
	s.Must(err)
	s.Cleanup(s.writing.Close)
	return s
}

// readAll reads partitions from offset 0 to their ends, as any consumer does, and judges them.
func (s *compactSuite) readAll() error {
	acked, seen := make([]map[string]int, len(s.writers)), make([]map[string]int, len(s.writers))
	for p, w := range s.writers {
		acked[p], seen[p] = w.known(), map[string]int{}
	}
	var wrong error // the first
	next := make([]int64, len(s.writers))
	err := s.Read(s.Within(patience), compactTopic, func(r *kgo.Record) {
		err := note(seen[r.Partition], string(r.Key), string(r.Headers[0].Value), r.Value)
		if r.Offset < next[r.Partition] {
			err = fmt.Errorf("it comes after offset %d", next[r.Partition]-1)
		}
		if err != nil && wrong == nil {
			wrong = fmt.Errorf("partition %d, offset %d: %w", r.Partition, r.Offset, err)
		}
		next[r.Partition] = r.Offset + 1
	})
	if err := errors.Join(err, wrong); err != nil {
		return err
	}
	var errs []error
	for p, w := range s.writers {
		errs = append(errs, w.judge(seen[p], acked[p]))
	}
	return errors.Join(errs...)
}

// note takes a record; writes of a key come in order.
func note(seen map[string]int, key, header string, value []byte) error {
	n, err := strconv.Atoi(header)
	if err != nil {
		return err
	}
	if n <= seen[key] {
		return fmt.Errorf("key %s: write %d after write %d", key, n, seen[key])
	}
	if deletes(n) != (value == nil) || value != nil && !bytes.HasPrefix(value, fmt.Appendf(nil, "%d ", n)) {
		return fmt.Errorf("key %s: write %d has the value %q", key, n, value)
	}
	seen[key] = n
	return nil
}

// readReplica reads what is on a stopped node's disk of a partition. It returns how far that was compacted, and of how many keys
// not even a tombstone is left.
func (s *compactSuite) readReplica(dir string, w *keyWriter) (cleaned log.Offset, gone int, err error) {
	l, _, err := log.Open(dir, log.Options{})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	seen := map[string]int{}
	for at := l.FirstOffset(); at < l.NextOffset(); {
		slice, err := l.Read(at, l.NextOffset(), 1<<20, true)
		if err != nil {
			return 0, 0, err
		}
		raw, err := slice.AppendTo(nil)
		slice.Release()
		if err != nil || slice.NextOffset == at {
			return 0, 0, fmt.Errorf("%s: a read at offset %d of %d ends there: %w", dir, at, l.NextOffset(), err)
		}
		for at = slice.NextOffset; len(raw) > 0; {
			h, err := batch.ParseHeader(raw)
			if err != nil || !batch.Batch(raw[:h.Length]).CheckCRC() {
				return 0, 0, fmt.Errorf("%s: batch at %d: %w", dir, h.BaseOffset, err)
			}
			for r := batch.Batch(raw[:h.Length]).Records(batch.MaxLen); r.Next(); {
				rec := r.Record()
				if err := note(seen, string(rec.Key), string(rec.Headers[0].Value), rec.Value); err != nil {
					return 0, 0, fmt.Errorf("%s, offset %d: %w", dir, rec.Offset, err)
				}
			}
			raw = raw[h.Length:]
		}
	}
	return l.CleanedTo(), len(w.known()) - len(seen), w.judge(seen, w.known())
}

// replicas returns the directories of a node's replicas of the topic, by partition.
func (s *compactSuite) replicas(n *harness.Node) map[int32]string {
	s.Helper()
	ctx := s.Within(patience)
	topics, err := s.Admin.ListTopics(ctx, compactTopic)
	s.Must(err)
	id := topics[compactTopic].ID
	dirs := map[int32]string{}
	for p := range int32(*partitions) {
		dir := filepath.Join(n.DataDir, "logs", fmt.Sprintf("%x-%d", id[:], p))
		if _, err := os.Stat(dir); err == nil {
			dirs[p] = dir
		}
	}
	return dirs
}

// unfinished counts the replicas of a killed node that were being compacted: beside a segment there is one that replaces it.
func unfinished(dirs map[int32]string) (n int) {
	for _, dir := range dirs {
		names, _ := filepath.Glob(filepath.Join(dir, "*.log"))
		places := map[string]int{}
		for _, name := range names {
			place, _, _ := strings.Cut(filepath.Base(name), ".")
			places[place]++
		}
		for _, k := range places {
			if k > 1 {
				n++
				break
			}
		}
	}
	return n
}

// awaitCompaction waits until a replica is being compacted, for a while.
func awaitCompaction(dirs map[int32]string) {
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if unfinished(dirs) > 0 {
			return
		}
	}
}

// TestKillDuringCompaction kills nodes with SIGKILL, one or all of them, while their logs are being compacted under load. Whatever
// the moment, a reader from offset 0 finds the latest value of each key and never one that was superseded or deleted; and so
// does a reader of each replica's disk in the end.
func TestKillDuringCompaction(t *testing.T) {
	s := newCompactSuite(t)
	dirs := map[int32]map[int32]string{}
	for _, n := range s.Cluster.Nodes {
		dirs[n.ID] = s.replicas(n)
	}
	interrupted := 0
	for round := range *rounds {
		s.pause(2 * time.Second)
		victims := []*harness.Node{s.Cluster.Nodes[s.Rand.IntN(len(s.Cluster.Nodes))]}
		if round%5 == 4 {
			victims = s.Cluster.Nodes
		}
		if s.Rand.IntN(4) > 0 {
			awaitCompaction(dirs[victims[0].ID])
		}
		for _, n := range victims {
			s.Must(n.Kill())
			interrupted += unfinished(dirs[n.ID])
		}
		if len(victims) == 1 {
			s.pause(2 * time.Second) // so that it has to catch up, through gaps
		}
		s.Must(s.Cluster.Restore(s.Within(patience), victims...))
		if err := s.readAll(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	if err := s.writing.Stop(s.Within(patience)); err != nil {
		t.Errorf("producers: %v", err)
	}
	s.Must(s.readAll())
	time.Sleep(3 * time.Second) // followers learn what is committed when nothing follows it
	for _, n := range s.Cluster.Nodes {
		s.Must(n.Kill())
	}
	total, absent := 0, 0
	for _, n := range s.Cluster.Nodes {
		for p, dir := range dirs[n.ID] {
			cleaned, gone, err := s.readReplica(dir, s.writers[p])
			if err != nil {
				t.Fatalf("%s, partition %d: %v", n.Name, p, err)
			}
			if cleaned == 0 {
				t.Errorf("%s, partition %d was never compacted", n.Name, p)
			}
			total += int(cleaned)
			absent += gone
		}
	}
	if absent == 0 {
		t.Error("no tombstone was ever removed")
	}
	if interrupted == 0 {
		t.Error("no kill met a compaction: the test proves nothing")
	}
	written := 0
	for _, w := range s.writers {
		for _, key := range slices.Collect(maps.Values(w.written)) {
			written += key
		}
	}
	t.Logf("%d writes, %d compactions interrupted by kills, %d offsets compacted and %d tombstones gone on all replicas", written, interrupted, total, absent)
}
