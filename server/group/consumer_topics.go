package group

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"regexp/syntax"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// subscribedTopics is what a group's subscriptions come to, as far as it was worked out.
type subscribedTopics struct {
	version uint64 // of the metadata that the group's topics were compared with; 0 before the first time
	// matches holds the names that a regular expression matches. They are looked up again when the metadata has changed,
	// but not more often than regexRefreshInterval.
	matches   map[string][]string
	matchedAt time.Time
	matchedIn uint64 // version of the metadata
}

// maxRegexLength bounds what a client can make us compile.
const maxRegexLength = 16 << 10

// regexRefreshInterval keeps a cluster whose metadata changes all the time from matching all the time.
const regexRefreshInterval = time.Second

// compileRegex returns the expression, which must match whole names. Like Kafka's, it is RE2: it takes linear time,
// whatever a client sends.
func compileRegex(expression string) (*regexp.Regexp, error) {
	if len(expression) > maxRegexLength {
		return nil, fmt.Errorf("longer than %d bytes", maxRegexLength)
	}
	// By itself first: a parenthesis too many must not close the one around it.
	if _, err := syntax.Parse(expression, syntax.Perl); err != nil {
		return nil, fmt.Errorf("topic regular expression: %w", err)
	}
	re, err := regexp.Compile(`\A(?:` + expression + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("topic regular expression: %w", err)
	}
	return re, nil
}

// matching returns the names that the regular expression of a member matches.
func (g *consumerGroup) matching(expression string, topics Topics, now time.Time) []string {
	t := &g.topics
	tooMany := len(t.matches) > 2*len(g.members)+1 // those of members that have changed theirs since
	if t.matches == nil || tooMany || t.matchedIn != topics.Version() && now.Sub(t.matchedAt) >= regexRefreshInterval {
		t.matches, t.matchedAt, t.matchedIn = map[string][]string{}, now, topics.Version()
	}
	names, known := t.matches[expression]
	if known {
		return names
	}
	re, err := compileRegex(expression)
	if err != nil {
		return nil // checked before it was stored
	}
	for name := range topics.Names() {
		if re.MatchString(name) {
			names = append(names, name)
		}
	}
	t.matches[expression] = names
	return names
}

// reads returns the topics that a member reads, by name; those that it names may not exist.
func (g *consumerGroup) reads(m *consumerMember, topics Topics, now time.Time) []string {
	if m.regex == "" {
		return m.topics
	}
	return append(slices.Clone(m.topics), g.matching(m.regex, topics, now)...)
}

// subscribed returns the names of all topics that members read, whether they exist or not.
func (g *consumerGroup) subscribed(topics Topics, now time.Time) map[string]bool {
	names := map[string]bool{}
	for _, m := range g.members {
		for _, name := range g.reads(m, topics, now) {
			names[name] = true
		}
	}
	return names
}

// hashTopics is over all that assignments depend on: the topics that a group reads, their ids and numbers of partitions. It
// is stored, so that a new leader knows whether they have changed.
func hashTopics(names map[string]bool, topics Topics) uint64 {
	h, found := fnv.New64a(), false
	for name := range sorted(names) {
		if id, partitions, ok := topics.ByName(name); ok {
			_, _ = h.Write(id[:]) // never fails; ids are never used again, so the name need not be in it
			_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(partitions)))
			found = true
		}
	}
	if !found {
		return 0 // as in a group that has just begun
	}
	return h.Sum64()
}

// refreshTopics bumps the group epoch if bump says so or the topics that the group reads have changed.
func (c *change) refreshTopics(now time.Time, bump bool) {
	g, topics := c.group, c.leader.env.Topics()
	version := topics.Version()
	stale := g.topics.version != version || g.topics.matches != nil && g.topics.matchedIn != version
	if !bump && !stale {
		return
	}
	g.topics.version = version
	hash := hashTopics(g.subscribed(topics, now), topics)
	if bump || hash != g.topicsHash {
		c.set(g.epoch+1, g.targetEpoch, hash)
	}
}

// retarget computes what each member should have, if that is not known for the group's epoch.
func (c *change) retarget(now time.Time) {
	g := c.group
	if g.epoch <= g.targetEpoch {
		return
	}
	in := g.assignorInput(c.leader.env.Topics(), now)
	name := g.preferredAssignor(c.leader.env.Config.ConsumerAssignors)
	targets := assignorNamed(name)(in)
	moved := 0
	for i := range in.members {
		m := &in.members[i]
		if !targets[i].equal(m.previous) {
			moved++
			c.do(consumerTargetStored{g.id, m.id, targets[i]})
		}
	}
	c.set(g.epoch, g.epoch, g.topicsHash)
	c.leader.env.Logger.Info("group assignment computed", "group", g.id, "epoch", g.epoch, "members", len(in.members),
		"assignor", name, "changed", moved)
}

func (g *consumerGroup) assignorInput(topics Topics, now time.Time) assignorInput {
	in := assignorInput{partitions: map[topicID]int32{}}
	for id, m := range sorted(g.members) {
		member := assignorMember{id: id, instanceID: m.instanceID, previous: g.target[id]}
		for _, name := range g.reads(m, topics, now) {
			if topic, partitions, ok := topics.ByName(name); ok && partitions > 0 {
				in.partitions[topic] = partitions
				member.topics = append(member.topics, topic)
			}
		}
		slices.SortFunc(member.topics, func(a, b topicID) int { return slices.Compare(a[:], b[:]) })
		member.topics = slices.Compact(member.topics)
		in.members = append(in.members, member)
	}
	return in
}

// preferredAssignor is the one that most members ask for; the first of those configured when nobody does.
func (g *consumerGroup) preferredAssignor(configured []string) string {
	votes := map[string]int{}
	for _, m := range g.members {
		if slices.Contains(configured, m.assignor) {
			votes[m.assignor]++
		}
	}
	return slices.MaxFunc(configured, func(a, b string) int { return cmp.Compare(votes[a], votes[b]) })
}

// invalidRegex is the answer to an expression that is not one.
func invalidRegex(expression string, err error) *refusal {
	why := err.Error()
	if wrong, ok := errors.AsType[*syntax.Error](err); ok {
		why = wrong.Code.String()
	}
	return refuse(kerr.InvalidRegularExpression, "SubscribedTopicRegex `%s` is not a valid regular expression: %s.", expression, why)
}
