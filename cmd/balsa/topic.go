package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

type topicCmd struct {
	Create   topicCreateCmd   `cmd:"" help:"Create topics."`
	List     topicListCmd     `cmd:"" help:"List topics."`
	Describe topicDescribeCmd `cmd:"" help:"Show the partitions, offsets and configs of topics."`
	Alter    topicAlterCmd    `cmd:"" help:"Add partitions, set and delete configs."`
	Reassign topicReassignCmd `cmd:"" help:"Choose the nodes of partitions, or the number of replicas."`
	Delete   topicDeleteCmd   `cmd:"" help:"Delete topics and their records."`
}

// parseConfigs turns k=v pairs into the map that kadm wants.
func parseConfigs(pairs []string) (map[string]*string, error) {
	configs := make(map[string]*string, len(pairs))
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, usagef("for example --config retention.ms=3600000", "config %q is not name=value", pair)
		}
		configs[key] = &value
	}
	return configs, nil
}

// knownTopics loads the topics named, or all if none is, and fails with a suggestion if one does not exist.
func knownTopics(ctx context.Context, admin *kadm.Client, names ...string) (kadm.TopicDetails, error) {
	list := admin.ListTopics
	if len(names) > 0 {
		list = admin.ListTopicsWithInternal
	}
	details, err := list(ctx, names...)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if detail, ok := details[name]; !ok || errors.Is(detail.Err, kerr.UnknownTopicOrPartition) {
			return nil, unknownTopic(ctx, admin, "topic", name)
		} else if detail.Err != nil && len(detail.Partitions) == 0 {
			return nil, failf("", "topic %s: %w", name, detail.Err)
		}
	}
	return details, nil
}

// unknownTopic names the topic that was probably meant. kind is what its commands call it: topic or queue.
func unknownTopic(ctx context.Context, admin *kadm.Client, kind, name string) error {
	hint := fmt.Sprintf("list the %[1]ss with `balsa %[1]s list`, create this one with `balsa %[1]s create %[2]s`", kind, name)
	if all, err := admin.ListTopics(ctx); err == nil {
		if near := nearest(name, all.Names()); near != "" {
			hint = fmt.Sprintf("did you mean %[2]s? `balsa %[1]s list` shows all %[1]ss", kind, near)
		}
	}
	return failf(hint, "%s %s does not exist", kind, name)
}

// withMessage joins Kafka's error code with the broker's explanation, where it gave one.
func withMessage(err error, message string) error {
	if err == nil || message == "" || strings.Contains(err.Error(), message) {
		return err
	}
	return &explained{err: err, message: message}
}

// explained keeps errors.Is working on the code while the text is the broker's.
type explained struct {
	err     error
	message string
}

func (e *explained) Error() string {
	if code, ok := errors.AsType[*kerr.Error](e.err); ok {
		return code.Message + ": " + e.message
	}
	return e.err.Error() + ": " + e.message
}

func (e *explained) Unwrap() error { return e.err }

// topicID writes a topic's UUID as Kafka's own tools do: URL-safe base64 without padding.
func topicID(id kadm.TopicID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }
