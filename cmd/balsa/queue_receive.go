package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/cmd/balsa/sharegroup"
)

type queueReceiveCmd struct {
	connection
	Name       string  `arg:"" help:"Queue to receive from."`
	Group      string  `short:"g" placeholder:"NAME" help:"Group to receive for (default: the one with the queue's name)."`
	Max        *int    `short:"n" placeholder:"N" help:"Receive up to N messages (default 1; with --exec without limit)."`
	Wait       *period `short:"w" placeholder:"DURATION" help:"Wait that long for the first message (default 20s; with --exec, end when none comes for that long)."`
	Visibility period  `placeholder:"DURATION" help:"Hide the messages from others for that long (default: as the queue was created)."`
	Ack        bool    `help:"Acknowledge the messages once they are printed."`
	Format     string  `short:"f" placeholder:"FORMAT" help:"How to print a message, see above (default: a table)."`
	Output     string  `short:"o" enum:"table,json" default:"table" help:"table, or json: one object per line."`
	Exec       string  `short:"x" placeholder:"COMMAND" help:"Run a shell command for each message, see above."`
	Parallel   int     `default:"1" placeholder:"N" help:"With --exec: run up to N commands at once."`
	NackDelay  period  `placeholder:"DURATION" help:"With --exec: deliver a message again that much later when its command failed."`
	Quiet      bool    `short:"q" help:"With --exec: do not tell which commands failed, and no summary."`
}

// Help is shown below the flags.
func (c *queueReceiveCmd) Help() string {
	return `Whoever received a message has to acknowledge it, by its receipt and before the visibility timeout ends; else it is
delivered again, also when this process has ended. The exit code is 0 when messages were received and 4 when none came.

Formats are those of ` + "`balsa consume`" + `, with %r receipt and %d number of deliveries.

With --exec the value of each message is the standard input of the command, and the environment has MESSAGE_RECEIPT,
MESSAGE_DELIVERIES, MESSAGE_KEY, MESSAGE_HEADERS, MESSAGE_TIME, MESSAGE_TOPIC, MESSAGE_PARTITION, MESSAGE_OFFSET and
MESSAGE_GROUP. When the command succeeds its message is acknowledged, else it is given back. It stays hidden from others for
as long as the command runs.

Examples:
  receipt=$(balsa queue receive jobs --format %r) && do-it && balsa queue ack $receipt
  balsa queue receive jobs --max 10 --visibility 10m --output json
  balsa queue receive thumbnails --exec 'convert - -resize 200 "$MESSAGE_KEY"' --parallel 4`
}

const (
	defaultWait = 20 * time.Second
	maxReceive  = 10_000
)

// Run receives once, or works until it is interrupted.
func (c *queueReceiveCmd) Run(ctx context.Context, std *streams) error {
	if err := c.check(); err != nil {
		return err
	}
	var member *sharegroup.Member // is there before anything is printed
	print, err := c.printer(func(message sharegroup.Message) string { return member.Receipt(message).String() })
	if err != nil {
		return err
	}
	q, err := c.queues(ctx)
	if err != nil {
		return err
	}
	defer q.close()
	member, err = c.join(ctx, q)
	if err != nil {
		return err
	}
	if c.Exec != "" {
		return c.work(ctx, std, member)
	}
	messages, err := c.receive(ctx, member)
	if err != nil {
		return err
	}
	if err := print(std.out, messages); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	if !c.Ack {
		return nil
	}
	return c.acknowledge(ctx, member, messages)
}

func (c *queueReceiveCmd) check() error {
	if c.Group == "" {
		c.Group = c.Name
	}
	switch {
	case c.Max != nil && (*c.Max < 1 || *c.Max > maxReceive && c.Exec == ""):
		return usagef("", "--max must be 1 to %d", maxReceive)
	case c.Exec == "" && (c.Parallel != 1 || c.NackDelay != 0 || c.Quiet):
		return usagef("", "--parallel, --nack-delay and --quiet need --exec")
	case c.Exec != "" && (c.Ack || c.Format != "" || c.Output == "json"):
		return usagef("the command gets the messages", "--exec excludes --ack, --format and --output")
	case c.Parallel < 1 || c.Parallel > maxParallel:
		return usagef("", "--parallel must be 1 to %d", maxParallel)
	case c.Format != "" && c.Output == "json":
		return usagef("", "--format and --output json exclude each other")
	}
	return nil
}

func (c *queueReceiveCmd) join(ctx context.Context, q *queueClient) (*sharegroup.Member, error) {
	member, err := q.member(ctx, sharegroup.Config{Topic: c.Name, Group: c.Group, Lock: c.Visibility.duration()})
	if err != nil {
		return nil, err
	}
	ctx, cancel := q.limited(ctx)
	defer cancel()
	return member, q.reads(ctx, c.Group, c.Name)
}

// receive waits for messages. None is exitNothing.
func (c *queueReceiveCmd) receive(ctx context.Context, member *sharegroup.Member) ([]sharegroup.Message, error) {
	limit, wait := 1, defaultWait
	if c.Max != nil {
		limit = *c.Max
	}
	if c.Wait != nil {
		wait = c.Wait.duration()
	}
	messages, err := member.Receive(ctx, limit, wait)
	if err != nil {
		return nil, err
	}
	if more, err := member.Close(context.WithoutCancel(ctx), limit-len(messages)); err == nil {
		messages = append(messages, more...)
	} // else what is not returned is delivered again after its timeout
	if len(messages) == 0 {
		return nil, &commandError{err: fmt.Errorf("no message came within %s", roughly(wait)), code: exitNothing}
	}
	return messages, nil
}

func (c *queueReceiveCmd) acknowledge(ctx context.Context, member *sharegroup.Member, messages []sharegroup.Message) error {
	var places []sharegroup.Place
	for _, message := range messages {
		places = append(places, sharegroup.Place{Partition: message.Partition, Offset: message.Offset})
	}
	// Not interrupted: what is printed is done.
	failed := member.Acknowledge(context.WithoutCancel(ctx), sharegroup.Accept, 0, places)
	for _, err := range failed {
		return failf("they are delivered again", "%s not acknowledged: %w", plural(int64(len(failed)), "message"), notHeld(err))
	}
	return nil
}

// messagePrinter prints what was received.
type messagePrinter func(w io.Writer, messages []sharegroup.Message) error

func (c *queueReceiveCmd) printer(receipt func(sharegroup.Message) string) (messagePrinter, error) {
	switch {
	case c.Output == "json":
		return func(w io.Writer, messages []sharegroup.Message) error { return printMessagesJSON(w, messages, receipt) }, nil
	case c.Format == "":
		return func(w io.Writer, messages []sharegroup.Message) error { return printMessages(w, messages, receipt) }, nil
	}
	var current sharegroup.Message
	parts, err := parseFormat(c.Format, "balsa queue receive", func(letter byte) formatPart {
		switch letter {
		case 'r':
			return func(*kgo.Record) []byte { return []byte(receipt(current)) }
		case 'd':
			return func(*kgo.Record) []byte { return strconv.AppendInt(nil, int64(current.Deliveries), 10) }
		}
		return verb(letter)
	})
	if err != nil {
		return nil, err
	}
	return func(w io.Writer, messages []sharegroup.Message) error {
		out := bufio.NewWriter(w)
		for _, current = range messages {
			if err := printParts(out, parts, current.Record); err != nil {
				return err
			}
		}
		return out.Flush()
	}, nil
}

func printMessages(w io.Writer, messages []sharegroup.Message, receipt func(sharegroup.Message) string) error {
	g := newGrid("receipt", "deliveries", "key", "value")
	for _, message := range messages {
		g.add(receipt(message), message.Deliveries, cell(message.Key), cell(message.Value))
	}
	g.print(w)
	return nil
}

// jsonMessage is one line of --output json.
type jsonMessage struct {
	Receipt     string `json:"receipt"`
	Deliveries  int    `json:"deliveries"`
	LockedUntil int64  `json:"locked_until"` // milliseconds since the epoch
	jsonRecord
}

func printMessagesJSON(w io.Writer, messages []sharegroup.Message, receipt func(sharegroup.Message) string) error {
	for _, message := range messages {
		line := jsonMessage{receipt(message), message.Deliveries, message.LockedUntil.UnixMilli(), newJSONRecord(message.Record)}
		if err := printLine(w, line); err != nil {
			return err
		}
	}
	return nil
}

// cell is a key or a value in a table: on one line, quoted if it would not be.
func cell(b []byte) string {
	text := string(b)
	switch {
	case b == nil:
		return "-"
	case !utf8.ValidString(text), strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return strconv.Quote(text)
	}
	return text
}
