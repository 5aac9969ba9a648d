package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/term"
)

type queueSendCmd struct {
	connection
	output
	Name         string   `arg:"" help:"Queue to send to."`
	Messages     []string `arg:"" optional:"" name:"message" help:"Messages (default: one for each line of standard input)."`
	Key          string   `short:"k" help:"Key for all messages; an ordered queue delivers those with the same key in order."`
	KeySeparator string   `short:"K" placeholder:"SEP" help:"Split each message at the first SEP into key and value."`
	Header       []string `short:"H" sep:"none" placeholder:"NAME=VALUE" help:"Header for all messages, may be repeated."`
	Delay        period   `xor:"when" placeholder:"DURATION" help:"Deliver the messages that much later, up to 12h."`
	At           string   `xor:"when" placeholder:"TIME" help:"Deliver the messages at a time: RFC 3339, a date, or milliseconds since 1970."`
	Quiet        bool     `short:"q" help:"No summary."`
}

// Help is shown below the flags.
func (c *queueSendCmd) Help() string {
	return `Examples:
  balsa queue send jobs "resize cat.png" "resize dog.png"
  balsa queue send mails --delay 15m <reminders.txt
  balsa queue send payments --key-separator : alice:10 bob:7

The exit code is 0 only if every message was acknowledged: then it is on the disks of a majority of its replicas.`
}

// Headers of a message that is to be delivered later.
const (
	deliverAtHeader = "balsa.deliver.at" // milliseconds since 1970, in decimal digits
	delayHeader     = "balsa.delay.ms"   // from the record's timestamp on
)

// maxDelay is how far ahead brokers honour a delivery time.
const maxDelay = 12 * time.Hour

// Run sends the messages and waits for the acknowledgements.
func (c *queueSendCmd) Run(ctx context.Context, std *streams) error {
	headers, err := parseHeaders(c.Header)
	if err != nil {
		return err
	}
	if c.Key != "" && c.KeySeparator != "" {
		return usagef("", "--key and --key-separator exclude each other")
	}
	later, err := c.when(time.Now())
	if err != nil {
		return err
	}
	// It is a topic that is written to, so the command that writes to topics does it.
	produce := &produceCmd{
		connection: c.connection, output: c.output, Topic: c.Name, Key: c.Key, KeySeparator: c.KeySeparator, Partition: -1, Compression: "none", Acks: "all",
		Idempotent: true, Linger: time.Millisecond, MaxRecord: 1 << 20, DeliveryLimit: 30 * time.Second, Quiet: c.Quiet,
	}
	options, err := produce.options()
	if err != nil {
		return err
	}
	q, err := c.queues(ctx, append(options, spread())...)
	if err != nil {
		return err
	}
	defer q.close()
	if err := c.check(ctx, q, later != nil); err != nil {
		return err
	}
	tally := newTally()
	sendErr := c.send(ctx, q.kafka, std, produce, append(headers, later...), tally)
	flushCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), produce.DeliveryLimit+c.Timeout)
	defer cancel()
	if err := q.kafka.Flush(flushCtx); err != nil {
		sendErr = errors.Join(sendErr, fmt.Errorf("wait for acknowledgements: %w", err))
	}
	return c.finish(std, produce, tally, sendErr)
}

// spread has messages without a key go to all partitions in turns, where the default would fill a batch for one of them: their
// leaders share the work, and nothing is gained by larger batches in the hands of one command.
func spread() kgo.Opt { return kgo.RecordPartitioner(kgo.UniformBytesPartitioner(1, false, true, nil)) }

// when returns the header that says when the messages are to be delivered, or none.
func (c *queueSendCmd) when(now time.Time) ([]kgo.RecordHeader, error) {
	const tooFar = "a message can be held back for 12h at most"
	if c.Delay.duration() > maxDelay {
		return nil, usagef(tooFar, "--delay is too long")
	}
	if c.Delay > 0 {
		return []kgo.RecordHeader{{Key: delayHeader, Value: []byte(c.Delay.millis())}}, nil
	}
	if c.At == "" {
		return nil, nil
	}
	at, err := parseTime(c.At, now)
	if err != nil {
		return nil, usagef("write RFC 3339 such as 2026-01-31T08:00:00Z, or --delay 5m", "--at %s is not a time", c.At)
	}
	if at.Sub(now) > maxDelay {
		return nil, usagef(tooFar, "--at is too far ahead")
	}
	return []kgo.RecordHeader{{Key: deliverAtHeader, Value: strconv.AppendInt(nil, at.UnixMilli(), 10)}}, nil
}

// check keeps a typo from making a topic, and a delay from being ignored: only queues have it.
func (c *queueSendCmd) check(ctx context.Context, q *queueClient, delayed bool) error {
	ctx, cancel := q.limited(ctx)
	defer cancel()
	if delayed {
		_, err := q.queue(ctx, c.Name)
		return err
	}
	_, err := q.topic(ctx, c.Name)
	return err
}

func (c *queueSendCmd) send(ctx context.Context, client *kgo.Client, std *streams, produce *produceCmd, headers []kgo.RecordHeader, tally *tally) error {
	if len(c.Messages) == 0 {
		if file, ok := std.in.(*os.File); ok && term.IsTerminal(int(file.Fd())) && !c.Quiet {
			fmt.Fprintln(std.err, "type one message per line; Ctrl-D ends")
		}
		if err := produce.send(ctx, client, std.in, headers, tally); err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
		return nil
	}
	for i, message := range c.Messages {
		record, err := produce.record(i+1, []byte(message))
		if err != nil {
			return err
		}
		record.Headers = headers
		client.Produce(context.WithoutCancel(ctx), record, tally.done)
	}
	return nil
}

// finish prints the summary in the words of queues.
func (c *queueSendCmd) finish(std *streams, produce *produceCmd, tally *tally, sendErr error) error {
	if !c.json() && !c.Quiet {
		summary := tally.summary(c.Name)
		fmt.Fprintf(std.err, "sent %s to %s\n", plural(summary.Records, "message"), c.Name)
	}
	produce.Quiet = true
	return produce.finish(std, tally, sendErr)
}
