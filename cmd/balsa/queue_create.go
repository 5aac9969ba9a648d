package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/twmb/franz-go/pkg/kerr"
)

type queueCreateCmd struct {
	connection
	output
	Name          string       `arg:"" help:"Name of the queue, which is that of its topic and its first group."`
	Partitions    int32        `short:"p" default:"-1" help:"Number of partitions (default: the broker's num.partitions)."`
	Replicas      int16        `short:"r" default:"-1" help:"Replicas of each partition (default: the broker's choice)."`
	Group         []string     `short:"g" placeholder:"NAME" help:"Group that gets every message; several make a fan-out queue (default: one with the queue's name)."`
	Visibility    period       `placeholder:"DURATION" help:"How long a received message is hidden from others (default: the broker's, 30s)."`
	MaxDeliveries int          `placeholder:"N" help:"How often a message is delivered before it is given up (default: the broker's, 5)."`
	DeadLetters   optionalName `help:"Keep messages that are given up, in NAME.dead or, with --dead-letters=TOPIC, in another topic."`
	Ordered       bool         `help:"Deliver messages with the same key in order, one at a time."`
	MaxInFlight   int          `placeholder:"N" help:"How many messages of a partition can be in flight (default: the broker's)."`
	TTL           period       `name:"ttl" placeholder:"DURATION" help:"How long a message waits at most, such as 12h or 7d (default: without limit)."`
	IfNotExists   bool         `help:"Succeed if the queue is already there. Its groups are set up and configured all the same."`
}

// Help is shown below the flags.
func (c *queueCreateCmd) Help() string {
	return `Examples:
  balsa queue create jobs --dead-letters --visibility 5m
  balsa queue create orders --group billing --group shipping --group search --ttl 7d`
}

// optionalName is a flag that may have a name: --dead-letters, --dead-letters=NAME.
type optionalName struct {
	set  bool
	name string
}

// Decode takes the value that is attached to the flag, if there is one.
func (o *optionalName) Decode(ctx *kong.DecodeContext) error {
	o.set = true
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		return ctx.Scan.PopValueInto("name", &o.name)
	}
	return nil
}

// IsBool lets the flag stand alone.
func (o *optionalName) IsBool() bool { return true }

type createdQueue struct {
	Name        string   `json:"name"`
	Partitions  int32    `json:"partitions"`
	Replicas    int16    `json:"replicas"`
	Existed     bool     `json:"existed,omitempty"`
	Groups      []string `json:"groups"`
	DeadLetters string   `json:"dead_letters,omitempty"`
}

// Run makes the dead-letter topic first, so that no message is given up without one.
func (c *queueCreateCmd) Run(ctx context.Context, std *streams) error {
	deadLetters, err := c.check()
	if err != nil {
		return err
	}
	q, err := c.queues(ctx)
	if err != nil {
		return err
	}
	defer q.close()
	ctx, cancel := q.limited(ctx)
	defer cancel()
	created := createdQueue{Name: c.Name, Groups: c.Group, DeadLetters: deadLetters}
	if deadLetters != "" {
		if _, err := c.createTopic(ctx, q, deadLetters, ackPolicy, true); err != nil {
			return err
		}
		if err := q.subscribeDeadLetters(ctx, deadLetters); err != nil {
			return err
		}
	}
	if created, err = c.createQueue(ctx, q, created); err != nil {
		return err
	}
	for _, group := range c.Group {
		if err := q.subscribe(ctx, c.Name, group, c.groupConfigs(deadLetters)); err != nil {
			return unfinished(err)
		}
	}
	if c.json() {
		return printJSON(std.out, created)
	}
	c.print(std, created)
	return nil
}

// check completes the flags, and returns the name of the dead-letter topic, or "".
func (c *queueCreateCmd) check() (deadLetters string, err error) {
	if c.DeadLetters.set {
		if deadLetters = c.DeadLetters.name; deadLetters == "" {
			deadLetters = c.Name + ".dead"
		}
	}
	if len(c.Group) == 0 {
		c.Group = []string{c.Name}
	}
	switch {
	case c.Partitions == 0 || c.Partitions < -1 || c.Replicas == 0 || c.Replicas < -1:
		err = usagef("", "--partitions and --replicas must be at least 1")
	case c.MaxDeliveries < 0 || c.MaxInFlight < 0:
		err = usagef("", "--max-deliveries and --max-in-flight must be at least 1")
	case deadLetters == c.Name:
		err = usagef("", "a queue cannot hold its own dead letters")
	}
	return deadLetters, err
}

// unfinished is the error of a queue that is there, but not as it was to be.
func unfinished(err error) error {
	return failf("run this again with --if-not-exists, which goes on where it stopped", "%w", err)
}

func (c *queueCreateCmd) createQueue(ctx context.Context, q *queueClient, created createdQueue) (createdQueue, error) {
	policy := ackPolicy
	if c.TTL > 0 {
		policy += ",delete"
	}
	topic, err := c.createTopic(ctx, q, c.Name, policy, c.IfNotExists)
	if err != nil {
		return created, err
	}
	created.Existed, created.Partitions, created.Replicas = topic.Existed, topic.Partitions, topic.Replicas
	if !topic.Existed {
		return created, nil
	}
	detail, err := q.queue(ctx, c.Name)
	if err != nil {
		return created, err
	}
	created.Partitions = int32(len(detail.Partitions))
	for _, p := range detail.Partitions {
		created.Replicas = max(created.Replicas, int16(len(p.Replicas)))
	}
	return created, nil
}

// createTopic creates one topic. One that exists, where that is fine, is left as it is.
func (c *queueCreateCmd) createTopic(ctx context.Context, q *queueClient, name, policy string, mayExist bool) (createdTopic, error) {
	configs := map[string]*string{cleanupPolicy: &policy}
	if strings.Contains(policy, "delete") {
		ttl := c.TTL.millis()
		configs[retentionMs] = &ttl
	}
	responses, err := q.CreateTopics(ctx, c.Partitions, c.Replicas, configs, name)
	if err != nil {
		return createdTopic{}, err
	}
	response := responses[name]
	topic := createdTopic{Name: name, Partitions: response.NumPartitions, Replicas: response.ReplicationFactor}
	switch err := withMessage(response.Err, response.ErrMessage); {
	case mayExist && errors.Is(err, kerr.TopicAlreadyExists):
		topic.Existed = true
	case errors.Is(err, kerr.TopicAlreadyExists):
		return topic, failf("`--if-not-exists` makes this a success, and sets up its groups", "create queue %s: %w", name, err)
	case err != nil:
		return topic, fmt.Errorf("create queue %s: %w", name, err)
	}
	return topic, nil
}

// groupConfigs are those that the flags ask for. What they do not mention is the broker's to choose.
func (c *queueCreateCmd) groupConfigs(deadLetters string) map[string]string {
	configs := map[string]string{}
	if c.Visibility > 0 {
		configs[shareLockMs] = c.Visibility.millis()
	}
	if c.MaxDeliveries > 0 {
		configs[shareDeliveryLimit] = strconv.Itoa(c.MaxDeliveries)
	}
	if c.MaxInFlight > 0 {
		configs[shareMaxLocks] = strconv.Itoa(c.MaxInFlight)
	}
	if c.Ordered {
		configs[shareOrdering] = "key"
	}
	if deadLetters != "" {
		configs[deadLetterTopic] = deadLetters
	}
	return configs
}

func (c *queueCreateCmd) print(std *streams, created createdQueue) {
	what := "created queue " + created.Name
	if created.Existed {
		what = "queue " + created.Name + " already exists"
	}
	fmt.Fprintf(std.out, "%s: %s, %s each", what,
		plural(int64(created.Partitions), "partition"), plural(int64(created.Replicas), "replica"))
	if len(created.Groups) > 1 || created.Groups[0] != created.Name {
		fmt.Fprintf(std.out, ", for %s", strings.Join(created.Groups, ", "))
	}
	if created.DeadLetters != "" {
		fmt.Fprintf(std.out, ", dead letters in %s", created.DeadLetters)
	}
	fmt.Fprintln(std.out)
	if created.DeadLetters == "" {
		fmt.Fprintln(std.err, "without --dead-letters a message is gone after its last delivery")
	}
}
