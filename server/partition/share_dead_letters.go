package partition

import (
	"context"
	"errors"
	"strconv"
	"time"

	"balsa/log"
	"balsa/log/batch"
	"balsa/server/cluster"
	"balsa/server/share"
)

// Headers of a dead letter (KIP-1191), before those of the record itself.
const (
	deadLetterTopicHeader     = "__dlq.errors.topic"
	deadLetterPartitionHeader = "__dlq.errors.partition"
	deadLetterOffsetHeader    = "__dlq.errors.offset"
	deadLetterGroupHeader     = "__dlq.errors.group"
	deadLetterCountHeader     = "__dlq.errors.delivery.count"
	deadLetterMessageHeader   = "__dlq.errors.message"
	deadLetterTimeHeader      = "__dlq.errors.timestamp" // ms since 1970; ours
)

const (
	// deadLettersAtOnce is how many records are written to a dead-letter topic together.
	deadLettersAtOnce = 100
	// deadLetterBytes is after how many bytes they are written although there are fewer. All that are written together are written
	// again when that fails.
	deadLetterBytes = 1 << 20
	// deadLetterPause is how long to wait after a failure.
	deadLetterPause = time.Second
)

// DeadLetters writes dead letters to a topic, wherever its partitions' leaders are.
type DeadLetters interface {
	// WriteDeadLetters returns when the records are committed, or with an error and how many of the first are. from says where they
	// come from, so that those of one partition stay in order.
	WriteDeadLetters(ctx context.Context, topic string, from cluster.TopicPartition, records []batch.Record) (written int, err error)
}

// bury starts to write dead letters, if any are due and nobody does. The caller holds p.shares.mu.
func (p *Partition) bury(g *shareGroup) {
	if g.burying || g.leader.Counts().Archiving == 0 || p.life.Err() != nil {
		return
	}
	g.burying = true
	p.background.Go(func() { p.buryAll(g) })
}

// buryAll writes a group's dead letters until there are none left or this node no longer leads. Each is written before its
// record is archived: what is in between when the leader dies is written again. A record that was given up before it is committed has to
// wait: it may never be, and is not read before.
func (p *Partition) buryAll(g *shareGroup) {
	for {
		runs, config, ok := p.toBury(g)
		if !ok {
			return
		}
		w := burial{p: p, group: g.id, config: config}
		runs, err := w.records(runs)
		if err == nil && len(w.letters) > 0 && config.DeadLetterTopic != "" {
			var written int
			if written, err = p.letters.WriteDeadLetters(p.life, config.DeadLetterTopic, p.TopicPartition(), w.letters); err != nil {
				p.buried(g, w.before(runs, written)) // not to be written again
			}
		}
		if err != nil {
			p.logger.Warn("dead letters cannot be written yet", "group", g.id, "topic", p.Topic, "partition", p.ID.Partition,
				"dead-letter topic", config.DeadLetterTopic, "err", err)
			if !sleep(p.life, deadLetterPause) {
				return
			}
			continue
		}
		p.buried(g, runs)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// toBury returns the records whose dead letters are due; ok is false when this is over.
func (p *Partition) toBury(g *shareGroup) (runs []share.Run, config cluster.ShareConfig, ok bool) {
	s := &p.shares
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups[g.id] == g {
		if _, err := p.share(g.id); err == nil {
			runs = runsBelow(g.leader.Archiving(deadLettersAtOnce), p.highWatermark())
		}
	}
	if len(runs) == 0 || p.life.Err() != nil {
		g.burying = false
		return nil, cluster.ShareConfig{}, false
	}
	return runs, g.config, true
}

// runsBelow returns the parts of runs, which ascend, that lie below an offset.
func runsBelow(runs []share.Run, end log.Offset) []share.Run {
	for i := range runs {
		if runs[i].First >= end {
			return runs[:i]
		}
		runs[i].Last = min(runs[i].Last, end-1)
	}
	return runs
}

// buried archives records whose dead letters are written.
func (p *Partition) buried(g *shareGroup, runs []share.Run) {
	if len(runs) == 0 {
		return
	}
	s := &p.shares
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups[g.id] != g {
		return
	}
	if _, err := p.share(g.id); err == nil {
		p.changed(g, g.leader.DeadLettersWritten(runs))
		p.wakeShareIfAny(g) // there may be room again
	}
}

// burial makes the dead letters of a group's records.
type burial struct {
	p       *Partition
	group   string
	config  cluster.ShareConfig
	letters []batch.Record
	offsets []log.Offset // of the records that letters are of
	bytes   int          // of letters
}

// before returns the part of runs to which the first letters belong.
func (w *burial) before(runs []share.Run, letters int) []share.Run {
	if letters == 0 {
		return nil
	}
	last := w.offsets[letters-1]
	for i := range runs {
		if runs[i].Last >= last {
			runs[i].Last = last
			return runs[:i+1]
		}
	}
	return runs
}

// full says whether these letters should be written before there are more.
func (w *burial) full() bool { return w.bytes >= deadLetterBytes }

// records adds the letters of runs, until there are enough, and returns the runs as far as it got. Records that are gone, trimmed or
// compacted away, have none.
func (w *burial) records(runs []share.Run) ([]share.Run, error) {
	for i := range runs {
		run := &runs[i]
		for at := run.First; at <= run.Last; {
			next, err := w.read(run, at)
			if err != nil {
				return nil, err
			}
			if next <= at {
				break
			}
			if at = next; w.full() {
				run.Last = min(run.Last, at-1)
				return runs[:i+1], nil
			}
		}
	}
	return runs, nil
}

// read adds the letters of a piece of the log, and returns the offset after it; what it was given when nothing is there.
func (w *burial) read(run *share.Run, at log.Offset) (next log.Offset, err error) {
	p := w.p
	slice, err := p.plog.Read(at, p.highWatermark(), firstShareRead, true) // the run may end within a batch
	if errors.Is(err, log.ErrOffsetOutOfRange) {
		return at, nil
	}
	if err != nil {
		return at, readError(err)
	}
	data, err := slice.AppendTo(nil)
	next = slice.NextOffset
	slice.Release()
	if err != nil {
		return at, readError(err)
	}
	var aborted []log.AbortedTxn
	if w.config.ReadCommitted {
		if aborted, err = p.plog.AbortedTxns(at, next); err != nil {
			return at, readError(err)
		}
	}
	for len(data) > 0 && !w.full() {
		h, err := batch.ParseHeader(data)
		if err != nil {
			return at, readError(err)
		}
		b := batch.Batch(data[:h.Length])
		data, next = data[h.Length:], h.NextOffset()
		if h.IsControl() || isAborted(&h, aborted) {
			continue
		}
		if next, err = w.batch(b, run, at); err != nil {
			return at, readError(err)
		}
	}
	return next, nil
}

// batch adds the letters of the run's records in b, from offset at on, until there are enough. It returns the offset after them.
func (w *burial) batch(b batch.Batch, run *share.Run, at log.Offset) (next log.Offset, err error) {
	r := b.Records(batch.DefaultMaxInflate)
	defer r.Close()
	for r.Next() {
		rec := r.Record()
		if rec.Offset < at || rec.Offset > run.Last {
			continue
		}
		letter := w.p.deadLetter(&rec, run, w.group, w.config.DeadLetterCopies)
		w.letters, w.offsets = append(w.letters, letter), append(w.offsets, rec.Offset)
		w.bytes += letterSize(&letter)
		if w.full() {
			return rec.Offset + 1, nil
		}
	}
	return b.Header().NextOffset(), r.Err()
}

func letterSize(r *batch.Record) int {
	size := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value)
	}
	return size
}

// deadLetter copies rec, whose memory is reused.
func (p *Partition) deadLetter(rec *batch.Record, run *share.Run, group string, whole bool) batch.Record {
	now := p.now().UnixMilli()
	header := func(key, value string) batch.RecordHeader {
		return batch.RecordHeader{Key: []byte(key), Value: []byte(value)}
	}
	letter := batch.Record{Timestamp: now, Headers: []batch.RecordHeader{
		header(deadLetterTopicHeader, p.Topic),
		header(deadLetterPartitionHeader, strconv.Itoa(int(p.ID.Partition))),
		header(deadLetterOffsetHeader, strconv.FormatInt(int64(rec.Offset), 10)),
		header(deadLetterGroupHeader, group),
		header(deadLetterCountHeader, strconv.Itoa(int(run.DeliveryCount))),
		header(deadLetterMessageHeader, run.Reason.String()),
		header(deadLetterTimeHeader, strconv.FormatInt(now, 10)),
	}}
	if !whole {
		return letter
	}
	letter.Key, letter.Value = clone(rec.Key), clone(rec.Value)
	for _, h := range rec.Headers {
		letter.Headers = append(letter.Headers, batch.RecordHeader{Key: clone(h.Key), Value: clone(h.Value)})
	}
	return letter
}

// clone keeps nil, which is null, apart from empty.
func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}
