package partition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"balsa/log"
	"balsa/log/batch"
	"balsa/server/cluster"
	"balsa/server/share"
)

// countingBox takes dead letters and notes how many bytes came at once.
type countingBox struct {
	mu     sync.Mutex
	sizes  []int
	values []string
	most   int // how many are taken at once, before an attempt fails; 0: all
}

func (l *countingBox) WriteDeadLetters(_ context.Context, _ string, _ cluster.TopicPartition, rs []batch.Record) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := 0
	for i, r := range rs {
		if l.most > 0 && i == l.most {
			return i, errors.New("no more for now")
		}
		size += len(r.Value)
		l.values = append(l.values, string(r.Value[:1])+fmt.Sprint(len(r.Value)))
	}
	l.sizes = append(l.sizes, size)
	return len(rs), nil
}

// What is written at once is bounded in bytes: it has to succeed in one attempt, and to fit into memory.
func TestShareLargeDeadLetters(t *testing.T) {
	box := &countingBox{}
	f := newQueue(t, nil, map[string]string{"errors.deadletterqueue.topic.name": "dead"})
	f.partition().letters = box
	const n, size = 20, 300_000
	var together []batch.Record
	for range n / 2 {
		f.enqueue(value(strings.Repeat("x", size)))
		together = append(together, batch.Record{Value: []byte(strings.Repeat("y", size/10)), Timestamp: f.clock().UnixMilli()})
	}
	b, err := batch.BuildRecords(together, batch.BuildOptions{})
	f.must(err)
	_, err = f.produce(b)
	f.must(err)
	a, err := f.partition().ShareAcquire(ShareAcquire{Group: group, Member: "m", MaxRecords: n, MaxBytes: 10 << 20, MinOne: true})
	f.must(err)
	_, err = a.Wait(t.Context())
	f.must(err)
	f.must(f.acknowledge("m", share.Reject, 0, n-1))
	f.wantStart(n)
	box.mu.Lock()
	defer box.mu.Unlock()
	if len(box.values) != n || slices.Max(box.sizes) > deadLetterBytes+size {
		t.Errorf("%d letters of %d, in attempts of %v bytes", len(box.values), n, box.sizes)
	}
}

// What was written before an attempt failed is not written again.
func TestShareDeadLettersInPart(t *testing.T) {
	box := &countingBox{most: 2}
	f := newQueue(t, nil, map[string]string{"errors.deadletterqueue.topic.name": "dead"})
	f.partition().letters = box
	f.enqueue(value("a"), value("b"), value("c"), value("d"), value("e"))
	f.receive("m", 5)
	f.must(f.acknowledge("m", share.Accept, 1, 1))
	c, err := f.partition().ShareAcknowledge(ShareAcknowledge{
		Group: group, Member: "m", Acks: []share.Ack{
			{First: 0, Last: 0, Types: []share.AckType{share.Reject}}, {First: 2, Last: 4, Types: []share.AckType{share.Reject}},
		},
	})
	f.must(err)
	f.must(c.Wait(t.Context()))
	f.wantStart(5)
	box.mu.Lock()
	defer box.mu.Unlock()
	f.want("dead letters", box.values, "a1", "c1", "d1", "e1")
}

// A group that reads what is committed has no dead letters of what is not.
func TestShareExpiresNothingAborted(t *testing.T) {
	box := &countingBox{}
	f := newQueue(t, map[string]string{"cleanup.policy": "ack,delete", "retention.ms": "60000"},
		map[string]string{"errors.deadletterqueue.topic.name": "dead", "share.isolation.level": "read_committed"})
	f.partition().letters = box
	f.mustSend(transactional(t, 7, 0, 0, "aborted"))
	f.mustMark(Marker{ProducerID: 7, ProducerEpoch: 0})
	f.mustSend(transactional(t, 8, 0, 0, "committed"))
	f.mustMark(Marker{ProducerID: 8, ProducerEpoch: 0, Commit: true})
	f.mustSend(transactional(t, 9, 0, 0, "open"))
	f.advance(2 * time.Minute)
	f.partition().ExpireQueue()
	f.wantStart(4)
	f.partition().ExpireQueue()
	f.wantLogStart(4)
	f.mustMark(Marker{ProducerID: 9, ProducerEpoch: 0})
	f.advance(2 * time.Minute)
	f.partition().ExpireQueue()
	f.wantStart(log.Offset(6))
	box.mu.Lock()
	defer box.mu.Unlock()
	f.want("dead letters", box.values, "c9")
}
