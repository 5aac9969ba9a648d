package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consumeLoop polls and prints.
type consumeLoop struct {
	client   *kgo.Client
	out      *bufio.Writer
	print    func(*bufio.Writer, *kgo.Record) error
	progress *progress
	group    bool
	follow   bool
	left     int64 // records still to print; negative: no limit
}

// pollPause bounds how long the loop waits before it looks whether it is done. Only for reading to the end: without
// new records nothing else would wake it when a rebalance changes what there is to read.
const pollPause = 200 * time.Millisecond

func (l *consumeLoop) run(ctx context.Context) error {
	for {
		if !l.follow && l.progress.done() {
			return nil
		}
		if l.left == 0 {
			return nil
		}
		batch := 10_000
		if l.left > 0 {
			batch = int(min(l.left, int64(batch)))
		}
		fetches := l.poll(ctx, batch)
		err := l.handle(ctx, fetches)
		if l.group {
			l.client.AllowRebalance()
		}
		if err != nil {
			return err
		}
		if err := l.out.Flush(); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
	}
}

func (l *consumeLoop) poll(ctx context.Context, batch int) kgo.Fetches {
	if l.follow {
		return l.client.PollRecords(ctx, batch)
	}
	ctx, cancel := context.WithTimeout(ctx, pollPause)
	defer cancel()
	return l.client.PollRecords(ctx, batch)
}

func (l *consumeLoop) handle(ctx context.Context, fetches kgo.Fetches) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var failed error
	fetches.EachError(func(topic string, partition int32, err error) {
		if failed == nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			failed = fmt.Errorf("read %s/%d: %w", topic, partition, err)
		}
	})
	if failed != nil {
		return failed
	}
	for records := fetches.RecordIter(); !records.Done(); {
		record := records.Next()
		// What was produced after the start is not printed when reading to the end, or two runs over a topic that is
		// being written would never agree on where the end is.
		if within := l.progress.advance(record); within && !record.Attrs.IsControl() {
			if err := l.print(l.out, record); err != nil {
				return fmt.Errorf("write output: %w", err)
			}
			if l.left > 0 {
				l.left--
			}
		} else if !within {
			continue
		}
		if l.group {
			l.client.MarkCommitRecords(record)
		}
	}
	return nil
}

// progress knows how far each partition has been read and where its end is. With a group, partitions come and go.
type progress struct {
	mu     sync.Mutex // guards all below; callbacks of the group run in their own goroutine
	ends   map[string]map[int32]int64
	next   map[string]map[int32]int64 // of the partitions that this process reads; -1 until known
	joined bool
}

func newProgress() *progress { return &progress{next: map[string]map[int32]int64{}} }

func (p *progress) setEnds(ends kadm.ListedOffsets) {
	p.ends = map[string]map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if p.ends[end.Topic] == nil {
			p.ends[end.Topic] = map[int32]int64{}
		}
		p.ends[end.Topic][end.Partition] = end.Offset
	})
}

func (p *progress) assign(topic string, partition int32, at int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.joined = true
	if p.next[topic] == nil {
		p.next[topic] = map[int32]int64{}
	}
	p.next[topic][partition] = at
}

// assigned is the callback of the group: it asks where the group stands, since a partition that is already read to its
// end delivers no record that would say so.
func (p *progress) assigned(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
	if p.ends == nil {
		return
	}
	group, _ := client.OptValue(kgo.ConsumerGroup).(string)
	committed, err := kadm.NewClient(client).FetchOffsets(ctx, group)
	p.mu.Lock()
	p.joined = true
	p.mu.Unlock()
	for topic, list := range partitions {
		for _, partition := range list {
			at := int64(-1)
			if commit, ok := committed.Lookup(topic, partition); err == nil && ok && commit.Err == nil {
				at = commit.At
			}
			p.assign(topic, partition, at)
		}
	}
}

func (p *progress) lost(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for topic, list := range partitions {
		for _, partition := range list {
			delete(p.next[topic], partition)
		}
	}
}

// advance notes that the record was seen and says whether it lies before the end.
func (p *progress) advance(record *kgo.Record) bool {
	if p.ends == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if partitions, ok := p.next[record.Topic]; ok {
		partitions[record.Partition] = record.Offset + 1
	}
	return record.Offset < p.ends[record.Topic][record.Partition]
}

// done says whether every partition of this process is read to its end.
func (p *progress) done() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.joined {
		return false
	}
	for topic, partitions := range p.next {
		for partition, next := range partitions {
			end := p.ends[topic][partition]
			if end > 0 && next < end {
				return false
			}
		}
	}
	return true
}
