package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type queueDeadLettersCmd struct {
	connection
	letterFilter
	Name   string `arg:"" help:"Queue whose dead letters to list."`
	Max    int    `short:"n" default:"100" placeholder:"N" help:"Show the oldest N (default ${default})."`
	Output string `short:"o" enum:"table,json" default:"table" help:"table, or json: one object per line."`
}

// Help is shown below the flags.
func (c *queueDeadLettersCmd) Help() string {
	return `Reasons are: rejected, delivery count limit reached, expired. Dead letters are in a queue of their own, with the same
commands: receive and acknowledge those that are to go for good. ` + "`balsa queue redrive`" + ` moves them back.`
}

// letterFilter is embedded by the commands that choose among dead letters.
type letterFilter struct {
	Reason   string `placeholder:"TEXT" help:"Only those with this in their reason."`
	MatchKey string `placeholder:"REGEXP" help:"Only those whose key matches."`
	Group    string `short:"g" placeholder:"NAME" help:"Only those that this group gave up."`
}

// Headers of a dead letter (KIP-1191); the last one is balsa's.
const (
	letterHeaders    = "__dlq."
	letterTopic      = letterHeaders + "errors.topic"
	letterPartition  = letterHeaders + "errors.partition"
	letterOffset     = letterHeaders + "errors.offset"
	letterGroup      = letterHeaders + "errors.group"
	letterDeliveries = letterHeaders + "errors.delivery.count"
	letterReason     = letterHeaders + "errors.message"
	letterTime       = letterHeaders + "errors.timestamp" // milliseconds since 1970, in decimal digits
)

// deadLetter is a record of a dead-letter topic, with what its headers say. Numbers that are not there are -1.
type deadLetter struct {
	record     *kgo.Record
	topic      string
	partition  int64
	offset     int64
	group      string
	deliveries int64
	reason     string
	at         time.Time
}

func parseLetter(record *kgo.Record) deadLetter {
	l := deadLetter{record: record, partition: -1, offset: -1, deliveries: -1, at: record.Timestamp}
	for _, header := range record.Headers {
		value := string(header.Value)
		switch header.Key {
		case letterTopic:
			l.topic = value
		case letterPartition:
			l.partition = letterNumber(value)
		case letterOffset:
			l.offset = letterNumber(value)
		case letterGroup:
			l.group = value
		case letterDeliveries:
			l.deliveries = letterNumber(value)
		case letterReason:
			l.reason = value
		case letterTime:
			if ms := letterNumber(value); ms >= 0 {
				l.at = time.UnixMilli(ms)
			}
		}
	}
	return l
}

func letterNumber(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// matcher returns what the filter lets through of the dead letters of a queue. A queue's own letters are what the headers say;
// of a dead-letter topic that is named itself, all are.
func (f *letterFilter) matcher(queue string) (func(deadLetter) bool, error) {
	key, err := regexp.Compile(f.MatchKey)
	if err != nil {
		return nil, usagef("write a regular expression, such as ^user-", "--match-key: %w", err)
	}
	return func(l deadLetter) bool {
		return (l.topic == queue || l.record.Topic == queue) && strings.Contains(l.reason, f.Reason) &&
			(f.Group == "" || l.group == f.Group) && key.Match(l.record.Key)
	}, nil
}

// letterTopics returns where the dead letters of a queue are.
func (q *queueClient) letterTopics(ctx context.Context, queue string) ([]string, error) {
	if _, err := q.topic(ctx, queue); err != nil {
		return nil, err
	}
	groups, err := q.shareGroups(ctx)
	if err != nil {
		return nil, err
	}
	var all []string
	for group := range groups {
		all = append(all, group)
	}
	topics, err := q.deadLetterTopics(ctx, all...)
	if err != nil {
		return nil, err
	}
	if own := distinct(topics, groups.of(queue)); len(own) > 0 {
		return own, nil
	}
	for _, topic := range topics {
		if topic == queue { // which holds the letters of others
			return []string{queue}, nil
		}
	}
	return nil, failf("`balsa queue create "+queue+" --if-not-exists --dead-letters` has it keep them from now on",
		"queue %s keeps no dead letters", queue)
}

// Run prints the dead letters that are still there, the oldest first.
func (c *queueDeadLettersCmd) Run(ctx context.Context, std *streams) error {
	if c.Max < 1 || c.Max > maxReceive {
		return usagef("", "--max must be 1 to %d", maxReceive)
	}
	match, err := c.matcher(c.Name)
	if err != nil {
		return err
	}
	q, err := c.queues(ctx)
	if err != nil {
		return err
	}
	defer q.close()
	letters, err := c.letters(ctx, q, c.Name, match)
	if err != nil {
		return err
	}
	letters = letters[:min(len(letters), c.Max)]
	if c.Output == "json" {
		for _, letter := range letters {
			if err := printLine(std.out, letter.json()); err != nil {
				return fmt.Errorf("write output: %w", err)
			}
		}
		return nil
	}
	if len(letters) == 0 {
		fmt.Fprintln(std.err, "no dead letters")
		return nil
	}
	printLetters(std.out, letters)
	return nil
}

// letters reads all dead letters of a queue that match, topic by topic.
func (c *connection) letters(ctx context.Context, q *queueClient, queue string, match func(deadLetter) bool) ([]deadLetter, error) {
	limited, cancel := q.limited(ctx)
	defer cancel()
	topics, err := q.letterTopics(limited, queue)
	if err != nil {
		return nil, err
	}
	var letters []deadLetter
	for _, topic := range topics {
		records, err := c.peek(ctx, q, topic, topic, maxLetters)
		if err != nil {
			return nil, err
		}
		for _, record := range records {
			if letter := parseLetter(record); match(letter) {
				letters = append(letters, letter)
			}
		}
	}
	return letters, nil
}

// maxLetters is how many dead letters of a topic are looked at to list them.
const maxLetters = 100_000

func printLetters(w io.Writer, letters []deadLetter) {
	g := newGrid("died", "from", "group", "deliveries", "reason", "key", "value")
	for _, l := range letters {
		from := fmt.Sprintf("%s/%s@%s", l.topic, count(l.partition), count(l.offset))
		g.add(clock(l.at), from, l.group, count(l.deliveries), l.reason, short(l.record.Key), short(l.record.Value))
	}
	g.print(w)
}

// jsonLetter is one line of --output json: the record, and what it was.
type jsonLetter struct {
	From       jsonPlace `json:"from"`
	Group      string    `json:"group"`
	Deliveries int64     `json:"deliveries"`
	Reason     string    `json:"reason"`
	Died       int64     `json:"died"` // milliseconds since the epoch
	jsonRecord
}

type jsonPlace struct {
	Topic     string `json:"topic"`
	Partition int64  `json:"partition"`
	Offset    int64  `json:"offset"`
}

func (l *deadLetter) json() jsonLetter {
	return jsonLetter{
		From: jsonPlace{l.topic, l.partition, l.offset}, Group: l.group, Deliveries: l.deliveries, Reason: l.reason,
		Died: l.at.UnixMilli(), jsonRecord: newJSONRecord(l.record),
	}
}
