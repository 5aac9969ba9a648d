package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/test/queue"
)

// How often a worker does to a plain message, or itself, what it should not.
const (
	releases = 0.03   // of messages
	hangs    = 0.0005 // of messages: kept until their lock has ended, and accepted then
	renewals = 0.0005 // of messages: kept for longer than a lock lasts, with renewals
	deaths   = 0.001  // of rounds: the worker kills itself with what it holds
)

const (
	// clockError is how much earlier than computed a lock may end, because its times are in milliseconds.
	clockError = 20 * time.Millisecond
	// flushPatience is how long an acknowledgement may take.
	flushPatience = 20 * time.Second
)

type worker struct {
	config
	rng       *rand.Rand
	journal   *queue.Journal
	client    *kgo.Client
	exchanges *exchanges

	mu      sync.Mutex
	results map[int32]error // guarded by mu; by partition: the outcome of the acknowledgements that are under way
}

// intent is what the worker has decided about a record.
type intent struct {
	*kgo.Record
	event queue.Event
}

func newWorker(c config, brokers []string) (*worker, error) {
	w := &worker{config: c, rng: rand.New(rand.NewPCG(c.seed, uint64(os.Getpid()))), results: map[int32]error{}}
	var err error
	if w.journal, err = queue.CreateJournal(c.journal); err != nil {
		return nil, err
	}
	w.exchanges = &exchanges{journal: w.journal}
	opts := []kgo.Opt{
		kgo.SeedBrokers(brokers...),
		kgo.ShareGroup(c.group),
		kgo.ConsumeTopics(c.topic),
		kgo.ShareMaxRecords(int32(c.batch)),
		kgo.ShareAckCallback(w.acknowledged),
		kgo.WithHooks(w.exchanges),
		kgo.FetchMaxWait(500 * time.Millisecond), // how uncertain it is when a lock began
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.DialTimeout(time.Second),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelWarn, func() string { return time.Now().Format(time.TimeOnly) + " " })),
	}
	if c.strict {
		opts = append(opts, kgo.ShareMaxRecordsStrict())
	}
	if w.client, err = kgo.NewClient(opts...); err != nil {
		return nil, fmt.Errorf("start client: %w", err)
	}
	return w, nil
}

// round polls once and sees to all that comes.
func (w *worker) round(ctx context.Context) error {
	poll, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	fetches := w.client.PollRecords(poll, w.batch)
	for _, e := range fetches.Errors() {
		if !errors.Is(e.Err, context.Canceled) && !errors.Is(e.Err, context.DeadlineExceeded) {
			fmt.Fprintf(os.Stderr, "%s poll: %s/%d: %v\n", time.Now().Format(time.TimeOnly), e.Topic, e.Partition, e.Err)
		}
	}
	records := fetches.Records()
	if len(records) == 0 {
		return nil
	}
	kinds, err := w.note(records)
	if err != nil {
		return err
	}
	var now, hanging, renewing []intent
	for i, r := range records {
		switch in := w.decide(r, kinds[i]); {
		case kinds[i] == queue.Deadly:
			return die()
		case kinds[i] == queue.Hanging:
			hanging = append(hanging, in)
		case kinds[i] == queue.Plain && w.rng.Float64() < hangs:
			hanging = append(hanging, in)
		case kinds[i] == queue.Plain && w.rng.Float64() < renewals:
			renewing = append(renewing, in)
		default:
			now = append(now, in)
		}
	}
	if w.rng.Float64() < deaths {
		return die()
	}
	if err := w.acknowledge(now); err != nil {
		return err
	}
	if err := w.renew(ctx, renewing); err != nil {
		return err
	}
	return w.hang(ctx, hanging)
}

// die ends the worker as a crash would.
func die() error {
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill myself: %w", err)
	}
	select {} // until the signal arrives
}

// note writes into the journal what was delivered, and returns the messages' kinds.
func (w *worker) note(records []*kgo.Record) ([]queue.Kind, error) {
	kinds := make([]queue.Kind, len(records))
	entries := make([]queue.Entry, len(records))
	for i, r := range records {
		arrived := r.AcquisitionDeadline().Add(-w.lock)
		if arrived.After(time.Now()) {
			return nil, fmt.Errorf("a lock lasts until %v, longer than %v from now", r.AcquisitionDeadline(), w.lock)
		}
		e := queue.Entry{Event: queue.Got, At: arrived.UnixNano(), Place: placeOf(r), Count: r.DeliveryCount()}
		if sent := w.exchanges.sent(arrived); !sent.IsZero() {
			e.Sent, e.Until = sent.UnixNano(), sent.Add(w.lock-clockError).UnixNano()
		}
		if m, err := queue.ParseValue(r.Value); err == nil {
			e.Message, kinds[i] = &m, m.Kind
		}
		entries[i] = e
	}
	return kinds, w.journal.Write(entries...)
}

func placeOf(r *kgo.Record) queue.Place { return queue.Place{Partition: r.Partition, Offset: r.Offset} }

// decide says how the worker will give a record away.
func (w *worker) decide(r *kgo.Record, kind queue.Kind) intent {
	switch {
	case kind == queue.Rejected:
		return intent{r, queue.Reject}
	case kind == queue.Returned, kind == queue.Hanging:
		return intent{r, queue.Release}
	case w.rng.Float64() < releases:
		return intent{r, queue.Release}
	}
	return intent{r, queue.Accept}
}

// acknowledge carries out intents, and notes which of them were answered with success. It fails when no answer comes.
func (w *worker) acknowledge(intents []intent) error {
	if len(intents) == 0 {
		return nil
	}
	entries := make([]queue.Entry, len(intents))
	for i, in := range intents {
		entries[i] = queue.Entry{Event: in.event, At: time.Now().UnixNano(), Place: placeOf(in.Record)}
	}
	if err := w.journal.Write(entries...); err != nil {
		return err
	}
	statuses := map[queue.Event]kgo.AckStatus{queue.Accept: kgo.AckAccept, queue.Release: kgo.AckRelease, queue.Reject: kgo.AckReject}
	results, err := w.send(intents, func(in intent) kgo.AckStatus { return statuses[in.event] })
	if err != nil {
		return err
	}
	entries = entries[:0]
	for _, in := range intents {
		if err, answered := results[in.Partition]; answered && err == nil {
			entries = append(entries, queue.Entry{Event: queue.OK, At: time.Now().UnixNano(), Place: placeOf(in.Record)})
		}
	}
	return w.journal.Write(entries...)
}

// send sends acknowledgements and returns the outcome by partition: the first error of any.
func (w *worker) send(intents []intent, status func(intent) kgo.AckStatus) (map[int32]error, error) {
	w.mu.Lock()
	clear(w.results)
	w.mu.Unlock()
	for _, in := range intents {
		in.Ack(status(in))
	}
	// Not the caller's context: what was begun has an outcome, also when the worker is to stop.
	ctx, cancel := context.WithTimeout(context.Background(), flushPatience)
	defer cancel()
	if err := w.client.FlushAcks(ctx); err != nil {
		return nil, fmt.Errorf("acknowledge %d messages: %w", len(intents), err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.results), nil
}

// acknowledged is called by the client for each answer.
func (w *worker) acknowledged(_ *kgo.Client, results kgo.ShareAckResults) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range results {
		if before := w.results[r.Partition]; before == nil {
			w.results[r.Partition] = r.Err
		}
	}
}

// renew keeps records for longer than a lock lasts, and accepts them then.
func (w *worker) renew(ctx context.Context, intents []intent) error {
	if len(intents) == 0 {
		return nil
	}
	for range 2 {
		if !pause(ctx, w.lock*2/3) {
			break
		}
		sent := time.Now()
		results, err := w.send(intents, func(intent) kgo.AckStatus { return kgo.AckRenew })
		if err != nil {
			return err
		}
		var entries []queue.Entry
		for _, in := range intents {
			if err, answered := results[in.Partition]; answered && err == nil {
				entries = append(entries, queue.Entry{
					Event: queue.Renewed, At: time.Now().UnixNano(), Place: placeOf(in.Record),
					Sent: sent.UnixNano(), Until: sent.Add(w.lock - clockError).UnixNano(),
				})
			}
		}
		if err := w.journal.Write(entries...); err != nil {
			return err
		}
	}
	return w.acknowledge(intents)
}

// hang keeps records until their locks have ended, and then acknowledges them as if they had not.
func (w *worker) hang(ctx context.Context, intents []intent) error {
	if len(intents) == 0 {
		return nil
	}
	late := time.Duration(w.rng.Int64N(int64(w.lock / 2)))
	pause(ctx, time.Until(intents[0].AcquisitionDeadline())+late)
	return w.acknowledge(intents)
}

// pause sleeps, and says whether it did so to the end.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// leave gives up everything that the worker holds.
func (w *worker) leave() error {
	if err := w.journal.Write(queue.Entry{Event: queue.Lost, At: time.Now().UnixNano()}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushPatience)
	defer cancel()
	err := w.client.LeaveGroupContext(ctx)
	w.client.Close()
	if err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	return nil
}
