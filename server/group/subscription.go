package group

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
