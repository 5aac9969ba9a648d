package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/cmd/balsa/sharegroup"
)

type queueCmd struct {
	Create      queueCreateCmd      `cmd:"" help:"Create a queue, with its groups and dead letters."`
	List        queueListCmd        `cmd:"" help:"List queues."`
	Send        queueSendCmd        `cmd:"" help:"Send messages, now or to be delivered later."`
	Receive     queueReceiveCmd     `cmd:"" help:"Receive messages with their receipts, or run a command for each."`
	Ack         queueAckCmd         `cmd:"" help:"Acknowledge messages: they are done."`
	Nack        queueNackCmd        `cmd:"" help:"Give messages back, or up."`
	Extend      queueExtendCmd      `cmd:"" help:"Keep messages hidden from others for longer."`
	Peek        queuePeekCmd        `cmd:"" help:"Show messages without receiving them."`
	Purge       queuePurgeCmd       `cmd:"" help:"Delete all messages; shows how many unless --execute."`
	Stats       queueStatsCmd       `cmd:"" help:"Show how many messages wait, are in flight, delayed or dead."`
	DeadLetters queueDeadLettersCmd `cmd:"" help:"List the dead letters of a queue."`
	Redrive     queueRedriveCmd     `cmd:"" help:"Move dead letters back to their queue."`
	Delete      queueDeleteCmd      `cmd:"" help:"Delete a queue with its groups."`
}

// Configs of topics and groups that make a queue what it is. Those that Kafka does not have are balsa's.
const (
	cleanupPolicy = "cleanup.policy"
	retentionMs   = "retention.ms"
	ackPolicy     = "ack" // of cleanup.policy: records are deleted when all groups have acknowledged them

	shareAutoOffsetReset = "share.auto.offset.reset"
	shareLockMs          = "share.record.lock.duration.ms"
	shareDeliveryLimit   = "share.delivery.count.limit"
	shareMaxLocks        = "share.partition.max.record.locks"
	shareOrdering        = "share.ordering"
	deadLetterTopic      = "errors.deadletterqueue.topic.name"
)

// queueClient is a client of a cluster that serves share groups.
type queueClient struct {
	*kadm.Client
	kafka   *kgo.Client
	timeout time.Duration
}

func (c *connection) queues(ctx context.Context, opts ...kgo.Opt) (*queueClient, error) {
	kafka, err := c.dial(ctx, opts...)
	if err != nil {
		return nil, err
	}
	q := &queueClient{Client: kadm.NewClient(kafka), kafka: kafka, timeout: c.Timeout}
	q.SetTimeoutMillis(int32(min(c.Timeout, day).Milliseconds()))
	if err := sharegroup.Supported(ctx, kafka); err != nil {
		kafka.Close()
		return nil, err
	}
	return q, nil
}

func (q *queueClient) close() { q.kafka.Close() }

// limited bounds what belongs to one answer.
func (q *queueClient) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, q.timeout+time.Second)
}

// member returns a member of a group of a queue.
func (q *queueClient) member(ctx context.Context, config sharegroup.Config) (*sharegroup.Member, error) {
	ctx, cancel := q.limited(ctx)
	defer cancel()
	if _, err := q.topic(ctx, config.Topic); err != nil {
		return nil, err
	}
	config.Client, config.Patience = q.kafka, q.timeout
	return sharegroup.New(ctx, config)
}

// configs returns the values of the configs named, of each resource that exists.
func (q *queueClient) configs(ctx context.Context, kind kmsg.ConfigResourceType, names []string, wanted ...string) (map[string]map[string]string, error) {
	values := make(map[string]map[string]string, len(names))
	if len(names) == 0 {
		return values, nil
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range names {
		resource := kmsg.NewDescribeConfigsRequestResource()
		resource.ResourceType, resource.ResourceName, resource.ConfigNames = kind, name, wanted
		req.Resources = append(req.Resources, resource)
	}
	resp, err := req.RequestWith(ctx, q.kafka)
	if err != nil {
		return nil, err
	}
	for _, resource := range resp.Resources {
		if resource.ErrorCode != 0 {
			continue
		}
		values[resource.ResourceName] = map[string]string{}
		for _, config := range resource.Configs {
			if config.Value != nil {
				values[resource.ResourceName][config.Name] = *config.Value
			}
		}
	}
	return values, nil
}

// policies returns the cleanup policy of each topic.
func (q *queueClient) policies(ctx context.Context, topics ...string) (map[string]string, error) {
	configs, err := q.configs(ctx, kmsg.ConfigResourceTypeTopic, topics, cleanupPolicy)
	if err != nil {
		return nil, err
	}
	policies := make(map[string]string, len(configs))
	for topic, config := range configs {
		policies[topic] = config[cleanupPolicy]
	}
	return policies, nil
}

// isQueue says whether a topic with this cleanup policy is a queue.
func isQueue(policy string) bool {
	return slices.ContainsFunc(strings.Split(policy, ","), func(item string) bool { return strings.TrimSpace(item) == ackPolicy })
}

// topic returns a topic that exists. Messages can be received from any.
func (q *queueClient) topic(ctx context.Context, name string) (kadm.TopicDetail, error) {
	details, err := q.ListTopicsWithInternal(ctx, name)
	if err != nil {
		return kadm.TopicDetail{}, err
	}
	detail, ok := details[name]
	if !ok || errors.Is(detail.Err, kerr.UnknownTopicOrPartition) {
		return detail, unknownTopic(ctx, q.Client, "queue", name)
	}
	if detail.Err != nil && len(detail.Partitions) == 0 {
		return detail, failf("", "queue %s: %w", name, detail.Err)
	}
	return detail, nil
}

// queue returns the topic of a queue, and fails if it is another kind of topic.
func (q *queueClient) queue(ctx context.Context, name string) (kadm.TopicDetail, error) {
	detail, err := q.topic(ctx, name)
	if err != nil {
		return detail, err
	}
	policies, err := q.policies(ctx, name)
	if err != nil {
		return detail, err
	}
	if !isQueue(policies[name]) {
		return detail, failf("`balsa topic alter "+name+" --config cleanup.policy=ack` makes it one",
			"topic %s is not a queue: its cleanup.policy is %s", name, policies[name])
	}
	return detail, nil
}
