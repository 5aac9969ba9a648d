package cluster

import "github.com/twmb/franz-go/pkg/kerr"

// OffsetsTopic is the name under which clients see the coordinator shards: Kafka keeps in this internal topic what the shards keep
// here. It can be listed, described and reassigned, and reads as an empty topic: the shards' entries are no records of Kafka's.
const OffsetsTopic = "__consumer_offsets"

// OffsetsTopicID is the id that OffsetsTopic has to clients, the same in every cluster. That of the shards themselves, CoordinatorTopic,
// is one that Kafka reserves.
var OffsetsTopicID = TopicID{0x6b, 0x1d, 0x0c, 0x52, 0x9e, 0xd7, 0x4a, 0x3f, 0x8c, 0x25, 0xf1, 0x60, 0x3b, 0xa9, 0x74, 0xe8}

// Internal says whether a topic is not for clients to write to or to change, only the coordinator shards so far.
func (t *Topic) Internal() bool { return t.ID == CoordinatorTopic }

// ClientID returns the id that clients know a topic by.
func (t *Topic) ClientID() TopicID {
	if t.Internal() {
		return OffsetsTopicID
	}
	return t.ID
}

// TopicByClientID returns a topic by the id that clients know it by; nil when there is none.
func (img *Image) TopicByClientID(id TopicID) *Topic {
	switch id {
	case CoordinatorTopic:
		return nil
	case OffsetsTopicID:
		id = CoordinatorTopic
	}
	return img.Topics[id]
}

// nameShards lets clients find the coordinator shards by the name of Kafka's topic, unless a topic has it that was created before the
// shards were visible: then it stays what its users made it, and gives way when it is deleted.
func (b *builder) nameShards(t *Topic) {
	t.Name = OffsetsTopic
	if named := b.image.TopicsByName[OffsetsTopic]; named == nil || named.Internal() {
		b.image.TopicsByName[OffsetsTopic] = t
	}
}

// offsetsTopicConfig returns what Kafka sets for its topic of offsets when it creates it. How the shards keep their log is not for
// configs to say; tools look at these to tell what kind of topic it is.
func offsetsTopicConfig(name string) (value string, ok bool) {
	switch name {
	case "cleanup.policy":
		return "compact", true
	case "compression.type":
		return "producer", true
	case "segment.bytes":
		return "104857600", true // offsets.topic.segment.bytes
	}
	return "", false
}

// topicCheck returns what checks the configs of a topic. Of the coordinator shards only those can be set that reassignment tools set on
// whatever they move, or as they are anyhow; how a coordinator keeps its log is not for clients to choose.
func topicCheck(t *Topic) func(map[string]string) *failure {
	if !t.Internal() {
		return checkTopicConfigs
	}
	return func(configs map[string]string) *failure {
		for _, name := range sortedKeys(configs) {
			if name == "leader.replication.throttled.replicas" || name == "follower.replication.throttled.replicas" {
				continue
			}
			if fixed, ok := offsetsTopicConfig(name); !ok || fixed != configs[name] {
				return failf(kerr.InvalidConfig, "%s of %s cannot be changed: the coordinators do not keep their state in a topic.", name, OffsetsTopic)
			}
		}
		return checkTopicConfigs(configs)
	}
}

// internalTopic refuses to change an internal topic.
func internalTopic(t *Topic) *failure {
	return failf(kerr.InvalidTopicException, "The topic %s is internal: it cannot be deleted, and its number of partitions is fixed.", t.Name)
}
