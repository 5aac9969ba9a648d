package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// send produces each line of input. It returns when the input or the context ends; records may still be in flight.
func (c *produceCmd) send(ctx context.Context, client *kgo.Client, input io.Reader, headers []kgo.RecordHeader, tally *tally) error {
	lines := readLines(ctx, input, c.MaxRecord)
	number := 0
	for {
		var next line
		var more bool
		select {
		case <-ctx.Done():
			return ctx.Err()
		case next, more = <-lines:
		}
		if !more {
			return nil
		}
		if next.err != nil {
			return next.err
		}
		number++
		record, err := c.record(number, next.text)
		if err != nil {
			return err
		}
		record.Headers = headers
		// Not ctx: cancelling it would abandon records that were already handed over.
		client.Produce(context.WithoutCancel(ctx), record, tally.done)
	}
}

// record makes a record of the line of that number.
func (c *produceCmd) record(number int, text []byte) (*kgo.Record, error) {
	record := &kgo.Record{Value: text, Partition: max(c.Partition, 0)}
	switch {
	case c.KeySeparator != "":
		key, value, found := bytes.Cut(text, []byte(c.KeySeparator))
		if !found {
			return nil, fmt.Errorf("line %d has no key separator %q", number, c.KeySeparator)
		}
		record.Key, record.Value = key, value
	case c.Key != "":
		record.Key = []byte(c.Key)
	}
	return record, nil
}

// line is one line of the input, or what ended it.
type line struct {
	text []byte
	err  error
}

// readLines reads in a goroutine of its own, because a read from a terminal cannot be interrupted by a context. The
// goroutine ends with the input, or with the process.
func readLines(ctx context.Context, input io.Reader, limit int) <-chan line {
	lines := make(chan line, 1024)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(input)
		scanner.Buffer(make([]byte, 0, min(limit+3, 64<<10)), limit+3) // the line, its end, and one to see that it is too long
		scanner.Split(bufio.ScanLines)
		tooLong := fmt.Errorf("a line is longer than %d bytes, see --max-record", limit)
		for scanner.Scan() {
			if len(scanner.Bytes()) > limit {
				lines <- line{err: tooLong}
				return
			}
			select {
			case lines <- line{text: bytes.Clone(scanner.Bytes())}:
			case <-ctx.Done():
				return
			}
		}
		err := scanner.Err()
		if errors.Is(err, bufio.ErrTooLong) {
			err = tooLong
		}
		if err != nil {
			lines <- line{err: err}
		}
	}()
	return lines
}

// tally counts the outcome of records.
type tally struct {
	start time.Time

	mu         sync.Mutex // guards all below
	records    int64
	bytes      int64
	failed     int64
	first      error
	partitions map[int32]offsetRange
}

// offsetRange is what one partition received from this process.
type offsetRange struct {
	First   int64 `json:"first_offset"`
	Last    int64 `json:"last_offset"`
	Records int64 `json:"records"`
}

func newTally() *tally { return &tally{start: time.Now(), partitions: map[int32]offsetRange{}} }

// done is the promise of every record.
func (t *tally) done(record *kgo.Record, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.failed++
		if t.first == nil {
			t.first = err
		}
		return
	}
	t.records++
	t.bytes += int64(len(record.Key) + len(record.Value))
	seen, ok := t.partitions[record.Partition]
	if !ok {
		seen.First = record.Offset
	}
	seen.Last = record.Offset
	seen.Records++
	t.partitions[record.Partition] = seen
}

func (t *tally) firstError() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.first
}

type produceSummary struct {
	Topic      string                `json:"topic"`
	Records    int64                 `json:"records"` // acknowledged
	Bytes      int64                 `json:"bytes"`   // keys and values of the acknowledged
	Failed     int64                 `json:"failed"`
	Seconds    float64               `json:"seconds"`
	Partitions map[int32]offsetRange `json:"partitions"`
}

func (t *tally) summary(topic string) produceSummary {
	t.mu.Lock()
	defer t.mu.Unlock()
	return produceSummary{
		Topic: topic, Records: t.records, Bytes: t.bytes, Failed: t.failed,
		Seconds: time.Since(t.start).Seconds(), Partitions: t.partitions,
	}
}
