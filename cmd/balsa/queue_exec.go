package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"time"

	"balsa/cmd/balsa/sharegroup"
)

const (
	maxParallel = 1000

	// While commands run, a look for more messages is short: their acknowledgements go over the same connections.
	workingLook = 250 * time.Millisecond
	idleLook    = 5 * time.Second
)

// worker runs a command for each message.
type worker struct {
	*queueReceiveCmd
	std    *streams
	member *sharegroup.Member
	ended  chan outcome
	free   int
	left   int // messages to begin; negative: no limit

	done, failed int
}

// outcome is how the work on one message ended: with its command's error, or that of its acknowledgement.
type outcome struct {
	message sharegroup.Message
	command error
	ack     error
}

// work handles messages until it is interrupted, or has handled as many as --max says, or none came for as long as --wait
// says. Commands that run are not stopped: their messages are waited for.
func (c *queueReceiveCmd) work(ctx context.Context, std *streams, member *sharegroup.Member) error {
	w := &worker{queueReceiveCmd: c, std: std, member: member, ended: make(chan outcome, c.Parallel), free: c.Parallel, left: -1}
	if c.Max != nil {
		w.left = *c.Max
	}
	err := w.run(ctx)
	w.drain(0)
	if _, closeErr := member.Close(context.WithoutCancel(ctx), 0); err == nil {
		err = closeErr
	}
	if !c.Quiet {
		fmt.Fprintf(std.err, "handled %s, %d failed\n", plural(int64(w.done+w.failed), "message"), w.failed)
	}
	switch {
	case err != nil && !errors.Is(err, context.Canceled):
		return err
	case w.done+w.failed == 0 && err == nil:
		return &commandError{err: fmt.Errorf("no message came within %s", roughly(c.Wait.duration())), code: exitNothing}
	}
	return nil
}

func (w *worker) run(ctx context.Context) error {
	quiet := time.Now() // since when there is nothing to do
	for w.left != 0 {
		w.drain(w.Parallel - 1)
		messages, err := w.look(ctx, quiet)
		if err != nil {
			return err
		}
		for _, message := range messages {
			w.begin(ctx, message)
		}
		switch {
		case w.free < w.Parallel:
			quiet = time.Now()
		case w.Wait != nil && time.Since(quiet) >= w.Wait.duration():
			return nil
		}
	}
	return nil
}

// look receives as many messages as there are hands free.
func (w *worker) look(ctx context.Context, quiet time.Time) ([]sharegroup.Message, error) {
	limit, wait := w.free, idleLook
	if w.left > 0 {
		limit = min(limit, w.left)
	}
	if w.Wait != nil {
		wait = min(wait, max(0, w.Wait.duration()-time.Since(quiet)))
	}
	if w.free < w.Parallel {
		wait = workingLook
	}
	for {
		messages, err := w.member.Receive(ctx, limit, wait)
		if err == nil || ctx.Err() != nil || !sharegroup.Temporary(err) {
			return messages, err
		}
		w.say("%s; trying again", oneLine(err)) // a worker waits for its brokers
	}
}

// drain takes in outcomes: those that are there, and more until no more than limit commands run.
func (w *worker) drain(limit int) {
	for w.free < w.Parallel {
		if w.Parallel-w.free <= limit && len(w.ended) == 0 {
			return
		}
		w.end(<-w.ended)
	}
}

func (w *worker) begin(ctx context.Context, message sharegroup.Message) {
	w.free--
	if w.left > 0 {
		w.left--
	}
	go func() { w.ended <- w.handle(context.WithoutCancel(ctx), message) }()
}

func (w *worker) end(o outcome) {
	w.free++
	what := fmt.Sprintf("message %s/%d@%d, delivery %d", o.message.Topic, o.message.Partition, o.message.Offset, o.message.Deliveries)
	switch {
	case o.ack != nil:
		w.say("%s: %v", what, notHeld(o.ack))
	case o.command != nil:
		w.say("%s: %v", what, o.command)
	}
	if o.ack != nil || o.command != nil {
		w.failed++
	} else {
		w.done++
	}
}

func (w *worker) say(format string, args ...any) {
	if !w.Quiet {
		fmt.Fprintf(w.std.err, format+"\n", args...)
	}
}

// handle runs the command and decides about the message.
func (w *worker) handle(ctx context.Context, message sharegroup.Message) outcome {
	o := outcome{message: message}
	command := exec.CommandContext(ctx, "sh", "-c", w.Exec)
	command.Env = append(os.Environ(), environment(message, w.member.Receipt(message))...)
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(message.Value), w.std.out, w.std.err
	command.WaitDelay = time.Second // for what the command leaves behind, which may hold its pipes for ever
	working, stop := context.WithCancel(ctx)
	extended := make(chan error, 1)
	go func() { extended <- w.extend(working, message) }()
	o.command = command.Run()
	stop()
	lost := <-extended
	kind, delay := sharegroup.Accept, time.Duration(0)
	if o.command != nil {
		kind, delay = sharegroup.Release, w.NackDelay.duration()
	}
	if o.ack = w.decide(ctx, message, kind, delay); o.ack == nil {
		return o
	}
	if lost != nil {
		o.ack = lost
	}
	return o
}

// extend keeps the message hidden from others until the context ends.
func (w *worker) extend(ctx context.Context, message sharegroup.Message) (lost error) {
	lock := w.Visibility.duration()
	if lock == 0 {
		lock = time.Until(message.LockedUntil)
	}
	ticker := time.NewTicker(max(lock/3, 100*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return lost
		case <-ticker.C:
		}
		// A failure is told when the command has ended; until then another attempt may do better.
		if err := w.decide(context.WithoutCancel(ctx), message, sharegroup.Renew, w.Visibility.duration()); err != nil {
			lost = err
		}
	}
}

func (w *worker) decide(ctx context.Context, message sharegroup.Message, kind sharegroup.Kind, span time.Duration) error {
	place := sharegroup.Place{Partition: message.Partition, Offset: message.Offset}
	return w.member.Acknowledge(ctx, kind, span, []sharegroup.Place{place})[place]
}

// environment tells a command what its message is. Not as BALSA_ variables: those are settings.
func environment(message sharegroup.Message, receipt sharegroup.Receipt) []string {
	return []string{
		"MESSAGE_RECEIPT=" + receipt.String(),
		"MESSAGE_DELIVERIES=" + strconv.Itoa(message.Deliveries),
		"MESSAGE_KEY=" + variable(message.Key),
		"MESSAGE_HEADERS=" + variable([]byte(headerList(message.Headers))),
		"MESSAGE_TIME=" + strconv.FormatInt(message.Timestamp.UnixMilli(), 10),
		"MESSAGE_TOPIC=" + receipt.Topic,
		"MESSAGE_PARTITION=" + strconv.Itoa(int(receipt.Partition)),
		"MESSAGE_OFFSET=" + strconv.FormatInt(receipt.Offset, 10),
		"MESSAGE_GROUP=" + receipt.Group,
	}
}

// variable is a text as it can be the value of a variable: it ends before the first byte that cannot be in one.
func variable(text []byte) string {
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	return string(text[:min(len(text), math.MaxInt16)])
}
