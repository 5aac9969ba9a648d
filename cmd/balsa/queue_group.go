package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/cmd/balsa/sharegroup"
)

// shareGroups are all share groups of a cluster, with where they are in each topic.
type shareGroups map[string]sharegroup.States

// shareGroups asks all brokers, also while one of them is going.
func (q *queueClient) shareGroups(ctx context.Context) (shareGroups, error) {
	for {
		listed, err := q.ListGroupsByType(ctx, []string{"share"})
		if err == nil {
			return sharegroup.Describe(ctx, q.kafka, listed.Groups()...)
		}
		if !sharegroup.Temporary(err) || !sleep(ctx, followInterval) {
			return nil, fmt.Errorf("list share groups: %w", err)
		}
	}
}

// sleep returns false if the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// of returns the groups that read a topic, sorted.
func (g shareGroups) of(topic string) []string {
	names := []string{}
	for group, states := range g {
		for _, state := range states[topic] {
			if state.Start >= 0 || state.Err != nil { // whose leader does not answer just now
				names = append(names, group)
				break
			}
		}
	}
	slices.Sort(names)
	return names
}

// reads fails if a queue keeps nothing for a group. A group that a typo makes would keep all that is sent from then on, so
// none is made by receiving; of topics that are no queues, which do not wait for their groups, any group may receive.
func (q *queueClient) reads(ctx context.Context, group, topic string) error {
	described, err := sharegroup.Describe(ctx, q.kafka, group)
	if err != nil {
		return err
	}
	if len(shareGroups(described).of(topic)) > 0 {
		return nil
	}
	policies, err := q.policies(ctx, topic)
	if err != nil || !isQueue(policies[topic]) {
		return err
	}
	groups, err := q.shareGroups(ctx)
	if err != nil {
		return err
	}
	hint := fmt.Sprintf("`balsa queue create %s --if-not-exists --group %s` has it keep them from now on", topic, group)
	if others := groups.of(topic); len(others) > 0 {
		hint = fmt.Sprintf("its groups are %s; %s", strings.Join(others, ", "), hint)
	}
	return failf(hint, "queue %s keeps no messages for group %s", topic, group)
}

// deadLetterTopics returns where each group's dead letters go; a group without is not in it.
func (q *queueClient) deadLetterTopics(ctx context.Context, groups ...string) (map[string]string, error) {
	configs, err := q.configs(ctx, kmsg.ConfigResourceTypeGroupConfig, groups, deadLetterTopic)
	if err != nil {
		return nil, fmt.Errorf("describe the configs of groups: %w", err)
	}
	topics := map[string]string{}
	for group, config := range configs {
		if topic := config[deadLetterTopic]; topic != "" {
			topics[group] = topic
		}
	}
	return topics, nil
}

// distinct returns the topics of these groups, sorted.
func distinct(topics map[string]string, groups []string) []string {
	found := []string{}
	for _, group := range groups {
		if topic, ok := topics[group]; ok {
			found = append(found, topic)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// setGroupConfigs sets configs of a group; an empty value returns one to its default.
func (q *queueClient) setGroupConfigs(ctx context.Context, group string, configs map[string]string) error {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		config.Name, config.Op = name, kmsg.IncrementalAlterConfigOpDelete
		if value := configs[name]; value != "" {
			config.Op, config.Value = kmsg.IncrementalAlterConfigOpSet, &value
		}
		resource.Configs = append(resource.Configs, config)
	}
	req.Resources = append(req.Resources, resource)
	resp, err := req.RequestWith(ctx, q.kafka)
	if err != nil {
		return fmt.Errorf("set configs of group %s: %w", group, err)
	}
	for _, answer := range resp.Resources {
		message := ""
		if answer.ErrorMessage != nil {
			message = *answer.ErrorMessage
		}
		if err := withMessage(kerr.ErrorForCode(answer.ErrorCode), message); err != nil {
			return fmt.Errorf("set configs of group %s: %w", group, err)
		}
	}
	return nil
}

// deadLetterDeliveries is the delivery limit of the group that redrives: nothing of a dead-letter topic is to be given up,
// however often it is looked at.
const deadLetterDeliveries = "32767"

// subscribeDeadLetters makes the group of a dead-letter topic: the topic is a queue of its own, with a group of its name.
func (q *queueClient) subscribeDeadLetters(ctx context.Context, topic string) error {
	return q.subscribe(ctx, topic, topic, map[string]string{shareDeliveryLimit: deadLetterDeliveries})
}

// subscribe has a group read a queue from its first message on.
func (q *queueClient) subscribe(ctx context.Context, topic, group string, configs map[string]string) error {
	configs = maps.Clone(configs)
	configs[shareAutoOffsetReset] = "earliest"
	if err := q.setGroupConfigs(ctx, group, configs); err != nil {
		return err
	}
	return sharegroup.Subscribe(ctx, q.kafka, group, topic, q.timeout)
}
