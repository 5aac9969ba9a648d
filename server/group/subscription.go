package group

import (
	"encoding/binary"
	"errors"
)

// topicSet is a set of topic names.
type topicSet struct{ names map[string]bool }

func (s *topicSet) has(topic string) bool { return s.names[topic] }

// subscribedTopics returns what the group's members read, or nil when that cannot be known.
func (g *liveGroup) subscribedTopics() *topicSet {
	if !g.isConsumer() {
		return nil
	}
	set := &topicSet{names: map[string]bool{}}
	for _, m := range g.members {
		topics, err := parseSubscription(m.subscription(g.protocol))
		if err != nil {
			return nil
		}
		for _, t := range topics {
			set.names[t] = true
		}
	}
	return set
}

var errBadSubscription = errors.New("not a consumer subscription")

// parseSubscription returns the topics of a consumer's subscription (ConsumerProtocolSubscription): a version, then an
// array of strings, the same in all versions; what follows is between the clients. The bytes come from a client: any
// are accepted without panicking, and no more is allocated than they hold.
func parseSubscription(b []byte) ([]string, error) {
	if len(b) < 6 || int16(binary.BigEndian.Uint16(b)) < 0 {
		return nil, errBadSubscription
	}
	n := int32(binary.BigEndian.Uint32(b[2:]))
	b = b[6:]
	if n < 0 || int(n) > len(b)/2 {
		return nil, errBadSubscription
	}
	topics := make([]string, 0, n)
	for range n {
		if len(b) < 2 {
			return nil, errBadSubscription
		}
		size := int(int16(binary.BigEndian.Uint16(b)))
		if b = b[2:]; size < 0 || size > len(b) {
			return nil, errBadSubscription
		}
		topics = append(topics, string(b[:size]))
		b = b[size:]
	}
	return topics, nil
}
