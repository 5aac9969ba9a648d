package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/cmd/balsa/sharegroup"
)

// receiptsCmd is embedded by the commands that decide about messages that were received.
type receiptsCmd struct {
	connection
	output
	Receipts []string `arg:"" name:"receipt" help:"Receipts of messages, or - to read them from standard input: the first word of each line."`
	Quiet    bool     `short:"q" help:"No summary."`
}

// verdict is what such a command does.
type verdict struct {
	kind sharegroup.Kind
	span time.Duration // of a renewed lock or a delay; 0: none
	past string        // "acknowledged"
}

// decidedMessages is the summary of such a command.
type decidedMessages struct {
	Done   int             `json:"done"`
	Failed []failedReceipt `json:"failed"`
}

type failedReceipt struct {
	Receipt   string `json:"receipt"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Error     string `json:"error"`
	err       error
}

const notHeldHint = "it is delivered again, or done; `balsa queue receive --visibility` and `balsa queue extend` give more time"

// notHeld says in the words of queues what a broker answers for a message that the receipt's holder has no lock on.
func notHeld(err error) error {
	if errors.Is(err, kerr.InvalidRecordState) {
		return lockLost{}
	}
	return err
}

type lockLost struct{}

func (lockLost) Error() string {
	return "its visibility timeout has ended, or it was decided about before (INVALID_RECORD_STATE)"
}

func (lockLost) Unwrap() error { return kerr.InvalidRecordState }

// decide carries out the verdict for every receipt, whatever becomes of the others.
func (c *receiptsCmd) decide(ctx context.Context, std *streams, v verdict) error {
	receipts, err := c.parse(std.in)
	if err != nil {
		return err
	}
	q, err := c.queues(ctx)
	if err != nil {
		return err
	}
	defer q.close()
	summary := decidedMessages{Failed: []failedReceipt{}}
	for _, held := range byHolder(receipts) {
		failed := q.decide(ctx, v, held)
		summary.Done += len(held) - len(failed)
		summary.Failed = append(summary.Failed, failed...)
	}
	if c.json() {
		if err := printJSON(std.out, summary); err != nil {
			return err
		}
	} else if !c.Quiet && summary.Done > 0 {
		fmt.Fprintf(std.err, "%s %s\n", v.past, plural(int64(summary.Done), "message"))
	}
	return summary.err(std, v.past)
}

// parse reads all receipts before anything is done, so that a mistake in the last leaves nothing half done.
func (c *receiptsCmd) parse(in io.Reader) ([]sharegroup.Receipt, error) {
	words := slices.Clone(c.Receipts)
	if i := slices.Index(words, "-"); i >= 0 {
		words = slices.Delete(words, i, i+1)
		scanner := bufio.NewScanner(in)
		for scanner.Scan() {
			if fields := strings.Fields(scanner.Text()); len(fields) > 0 {
				words = append(words, fields[0])
			}
		}
		if err := scanner.Err(); err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
	}
	var receipts []sharegroup.Receipt
	seen := map[sharegroup.Receipt]bool{}
	for _, word := range words {
		receipt, err := sharegroup.ParseReceipt(word)
		if err != nil {
			hint, _ := explain(err)
			return nil, usagef(hint, "%q is %w", word, err)
		}
		if !seen[receipt] {
			receipts, seen[receipt] = append(receipts, receipt), true
		}
	}
	return receipts, nil
}

// byHolder splits receipts by who holds the messages, where.
func byHolder(receipts []sharegroup.Receipt) [][]sharegroup.Receipt {
	order := func(a, b sharegroup.Receipt) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Member, b.Member))
	}
	slices.SortStableFunc(receipts, order)
	var groups [][]sharegroup.Receipt
	for i, receipt := range receipts {
		if i == 0 || order(receipts[i-1], receipt) != 0 {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], receipt)
	}
	return groups
}

// decide carries out the verdict for receipts of one holder, and returns where it failed.
func (q *queueClient) decide(ctx context.Context, v verdict, receipts []sharegroup.Receipt) []failedReceipt {
	fail := func(receipt sharegroup.Receipt, err error) failedReceipt {
		err = notHeld(err)
		return failedReceipt{receipt.String(), receipt.Topic, receipt.Partition, receipt.Offset, oneLine(err), err}
	}
	first := receipts[0]
	member, err := q.member(ctx, sharegroup.Config{Topic: first.Topic, Group: first.Group, ID: first.Member})
	var places []sharegroup.Place
	var failed []failedReceipt
	for _, receipt := range receipts {
		if err != nil {
			failed = append(failed, fail(receipt, err))
		}
		places = append(places, sharegroup.Place{Partition: receipt.Partition, Offset: receipt.Offset})
	}
	if err != nil {
		return failed
	}
	errs := member.Acknowledge(ctx, v.kind, v.span, places)
	for i, receipt := range receipts {
		if err, ok := errs[places[i]]; ok {
			failed = append(failed, fail(receipt, err))
		}
	}
	return failed
}

// err lists the failures for a person, and is nil if there are none.
func (d *decidedMessages) err(std *streams, past string) error {
	if len(d.Failed) == 0 {
		return nil
	}
	first := d.Failed[0]
	hint, _ := explain(first.err)
	if errors.Is(first.err, kerr.InvalidRecordState) {
		hint = notHeldHint
	}
	if len(d.Failed) == 1 {
		return failf(hint, "message %s/%d@%d not %s: %w", first.Topic, first.Partition, first.Offset, past, first.err)
	}
	for _, failed := range d.Failed {
		fmt.Fprintf(std.err, "message %s/%d@%d: %s\n", failed.Topic, failed.Partition, failed.Offset, failed.Error)
	}
	return failf(hint, "%d messages not %s", len(d.Failed), past)
}
