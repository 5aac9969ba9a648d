package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/cmd/balsa/sharegroup"
)

type queueRedriveCmd struct {
	connection
	output
	letterFilter
	Name  string  `arg:"" help:"Queue whose dead letters to move back."`
	Limit int     `short:"n" placeholder:"N" help:"Move N at most."`
	Rate  float64 `placeholder:"N" help:"Move N a second at most."`
	Plan  bool    `help:"Only show which would be moved."`
}

// Help is shown below the flags.
func (c *queueRedriveCmd) Help() string {
	return `A dead letter is sent to where it was, as a new message without the headers that say why it died, and then acknowledged: if
this is interrupted a message may be there twice, but none is lost. Every group of a fan-out queue gets it again. Letters that
arrive meanwhile are left, so a message that dies again does not go round and round.

Examples:
  balsa queue redrive orders --reason expired --plan
  balsa queue redrive orders --match-key '^user-7' --rate 100`
}

const (
	// redriveLock is for how long a redrive holds letters: those that it leaves too, so that it comes to others. If it is
	// killed they are back that much later.
	redriveLock  = time.Minute
	redriveBatch = 500
	// redriveWait is how long it waits before it believes that nothing is left.
	redriveWait = 500 * time.Millisecond
)

// redriven is what was moved.
type redriven struct {
	Queue   string   `json:"queue"`
	From    []string `json:"dead_letter_topics"`
	Moved   int      `json:"moved"`
	Left    int      `json:"left"`      // looked at, and not chosen
	Held    int64    `json:"in_flight"` // in other hands, such as those of a redrive that was killed
	Failed  int      `json:"failed"`
	Seconds float64  `json:"seconds"`
}

// Run moves the letters of each topic that has some.
func (c *queueRedriveCmd) Run(ctx context.Context, std *streams) error {
	if c.Limit < 0 || c.Rate < 0 {
		return usagef("", "--limit and --rate must be positive")
	}
	match, err := c.matcher(c.Name)
	if err != nil {
		return err
	}
	q, err := c.queues(ctx, spread(), kgo.ProducerBatchMaxBytes(batchLimit(1<<20)), kgo.RecordDeliveryTimeout(30*time.Second), kgo.UnknownTopicRetries(2))
	if err != nil {
		return err
	}
	defer q.close()
	if c.Plan {
		return c.plan(ctx, std, q, match)
	}
	limited, cancel := q.limited(ctx)
	defer cancel()
	topics, err := q.letterTopics(limited, c.Name)
	if err != nil {
		return err
	}
	r := &redrive{
		queueRedriveCmd: c, std: std, q: q, match: match, started: time.Now(), pace: newPace(time.Now(), c.Rate),
		report: redriven{Queue: c.Name, From: topics},
	}
	for _, topic := range topics {
		err = errors.Join(err, r.move(ctx, topic))
	}
	return r.finish(err)
}

func (c *queueRedriveCmd) plan(ctx context.Context, std *streams, q *queueClient, match func(deadLetter) bool) error {
	letters, err := c.letters(ctx, q, c.Name, match)
	if err != nil {
		return err
	}
	if c.Limit > 0 {
		letters = letters[:min(len(letters), c.Limit)]
	}
	if c.json() {
		lines := []jsonLetter{}
		for _, letter := range letters {
			lines = append(lines, letter.json())
		}
		return printJSON(std.out, map[string]any{"queue": c.Name, "letters": lines})
	}
	if len(letters) > 0 {
		printLetters(std.out, letters)
	}
	fmt.Fprintf(std.err, "%s would be moved to %s\n", plural(int64(len(letters)), "dead letter"), c.Name)
	return nil
}

// redrive is one run of the command.
type redrive struct {
	*queueRedriveCmd
	std     *streams
	q       *queueClient
	match   func(deadLetter) bool
	started time.Time
	pace    pace
	report  redriven
	total   int64     // how many letters there were
	told    time.Time // when progress was last told
}

// move handles the letters that a topic has now.
func (r *redrive) move(ctx context.Context, topic string) error {
	limited, cancel := r.q.limited(ctx)
	defer cancel()
	if err := r.begin(limited, topic); err != nil {
		return err
	}
	there, err := r.q.undecided(limited, topic, topic)
	if err != nil {
		return err
	}
	member, err := r.q.member(ctx, sharegroup.Config{Topic: topic, Group: topic, Lock: redriveLock})
	if err != nil {
		return err
	}
	var left []sharegroup.Place // held until the end
	seen := map[sharegroup.Place]bool{}
	for err == nil && (r.Limit == 0 || r.report.Moved < r.Limit) {
		var messages []sharegroup.Message
		if messages, err = member.Receive(ctx, r.batch(), redriveWait); err != nil || len(messages) == 0 {
			break
		}
		var chosen []deadLetter
		for _, message := range messages {
			place := sharegroup.Place{Partition: message.Partition, Offset: message.Offset}
			letter := parseLetter(message.Record)
			switch {
			case seen[place]: // its lock has ended, so it came round again
				continue
			case there[message.Partition] != nil && message.Offset < there[message.Partition].end && r.chosen(letter, len(chosen)):
				chosen = append(chosen, letter)
			default:
				left = append(left, place)
			}
			seen[place] = true
		}
		err = r.send(ctx, member, chosen)
	}
	return errors.Join(err, r.giveBack(ctx, topic, member, left))
}

// begin makes sure that the topic has the group that redrives, and counts its letters.
func (r *redrive) begin(ctx context.Context, topic string) error {
	groups, err := sharegroup.Describe(ctx, r.q.kafka, topic)
	if err != nil {
		return err
	}
	if len(shareGroups(groups).of(topic)) == 0 {
		if err := r.q.subscribeDeadLetters(ctx, topic); err != nil {
			return err
		}
		if groups, err = sharegroup.Describe(ctx, r.q.kafka, topic); err != nil {
			return err
		}
	}
	stats := countStates(groups[topic][topic])
	r.total += max(0, stats.Waiting)
	return nil
}

// chosen says whether a letter is to be moved, besides others of its batch. One that does not say where from stays.
func (r *redrive) chosen(letter deadLetter, others int) bool {
	return (r.Limit == 0 || r.report.Moved+others < r.Limit) && letter.topic != "" && r.match(letter)
}

// batch is how many letters are taken at once: no more than are moved long before their lock ends, and none in vain if all
// that come are chosen.
func (r *redrive) batch() int {
	n := redriveBatch
	if r.Limit > 0 && r.letterFilter == (letterFilter{}) {
		n = min(n, r.Limit-r.report.Moved)
	}
	if r.Rate > 0 {
		n = min(n, max(1, int(r.Rate)))
	}
	return n
}

// send produces letters and acknowledges those that are stored. It gives back the others, and fails.
func (r *redrive) send(ctx context.Context, member *sharegroup.Member, letters []deadLetter) error {
	stored := make([]error, len(letters))
	whole := context.WithoutCancel(ctx) // an interrupt must not leave a letter sent and not acknowledged
	sent := 0
	for i, letter := range letters {
		r.pace.wait(ctx, int64(r.report.Moved+i))
		if ctx.Err() != nil {
			break
		}
		r.q.kafka.Produce(whole, letter.revived(), func(_ *kgo.Record, err error) { stored[i] = err })
		sent++
	}
	if err := r.q.kafka.Flush(whole); err != nil {
		return fmt.Errorf("wait for acknowledgements: %w", err)
	}
	var done, failed []sharegroup.Place
	var first error
	for i, letter := range letters {
		place := sharegroup.Place{Partition: letter.record.Partition, Offset: letter.record.Offset}
		switch {
		case i < sent && stored[i] == nil:
			done = append(done, place)
			continue
		case i < sent && first == nil:
			first = fmt.Errorf("send to %s: %w", letter.topic, stored[i])
		}
		failed = append(failed, place)
	}
	if errs := member.Acknowledge(whole, sharegroup.Accept, 0, done); len(errs) > 0 && first == nil {
		first = fmt.Errorf("%s moved, but not acknowledged, so they may be moved again: %w", plural(int64(len(errs)), "dead letter"), anyOf(errs))
	}
	member.Acknowledge(whole, sharegroup.Release, 0, failed)
	r.report.Moved += len(done)
	if first != nil {
		r.report.Failed += len(failed)
	}
	r.tell()
	return errors.Join(first, ctx.Err())
}

func anyOf(errs map[sharegroup.Place]error) error {
	for _, err := range errs {
		return err
	}
	return nil
}

// revived is the message as it was before it died: without the headers of its death, and without its delay, which is over.
func (l *deadLetter) revived() *kgo.Record {
	record := &kgo.Record{Topic: l.topic, Key: l.record.Key, Value: l.record.Value}
	for _, header := range l.record.Headers {
		if !strings.HasPrefix(header.Key, letterHeaders) && header.Key != deliverAtHeader && header.Key != delayHeader {
			record.Headers = append(record.Headers, header)
		}
	}
	return record
}

// giveBack ends the member, and leaves the letters that were not chosen to whoever looks at them next.
func (r *redrive) giveBack(ctx context.Context, topic string, member *sharegroup.Member, left []sharegroup.Place) error {
	whole := context.WithoutCancel(ctx)
	r.report.Left += len(left)
	_, err := member.Close(whole, 0)
	if errs := member.Acknowledge(whole, sharegroup.Release, 0, left); len(errs) > 0 && err == nil {
		err = fmt.Errorf("give back %s: %w", plural(int64(len(errs)), "dead letter"), notHeld(anyOf(errs)))
	}
	limited, cancel := r.q.limited(whole)
	defer cancel()
	if groups, describeErr := sharegroup.Describe(limited, r.q.kafka, topic); describeErr == nil {
		r.report.Held += max(0, countStates(groups[topic][topic]).InFlight)
	}
	return err
}

// tell says how far it is, at most once a second.
func (r *redrive) tell() {
	if r.json() || time.Since(r.told) < time.Second || time.Since(r.started) < time.Second {
		return
	}
	r.told = time.Now()
	fmt.Fprintf(r.std.err, "%6.1f s  %d of %s moved\n", time.Since(r.started).Seconds(), r.report.Moved, plural(r.total, "dead letter"))
}

func (r *redrive) finish(err error) error {
	r.report.Seconds = time.Since(r.started).Seconds()
	if r.json() {
		if printErr := printJSON(r.std.out, r.report); printErr != nil {
			return printErr
		}
		return err
	}
	fmt.Fprintf(r.std.err, "moved %s to %s in %.1f s", plural(int64(r.report.Moved), "dead letter"), r.Name, r.report.Seconds)
	if r.report.Left > 0 {
		fmt.Fprintf(r.std.err, ", left %d", r.report.Left)
	}
	if r.report.Held > 0 {
		fmt.Fprintf(r.std.err, ", %d in flight", r.report.Held)
	}
	fmt.Fprintln(r.std.err)
	return err
}
