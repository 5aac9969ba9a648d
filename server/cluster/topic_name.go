package cluster

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// maxTopicNameLen is Kafka's limit, in bytes: a partition's directory is named after its topic there and must fit into 255.
const maxTopicNameLen = 249

// ValidateTopicName says what is wrong with a topic's name, as a *kerr.Error (InvalidTopicException, wrapped), nil if nothing.
func ValidateTopicName(name string) error {
	if f := checkTopicName(name); f != nil {
		return f
	}
	return nil
}

func checkTopicName(name string) *failure {
	switch {
	case name == "":
		return failf(kerr.InvalidTopicException, "Topic name is invalid: the empty string is not allowed")
	case name == "." || name == "..":
		return failf(kerr.InvalidTopicException, "Topic name is invalid: '.' or '..' is not allowed")
	case len(name) > maxTopicNameLen:
		return failf(kerr.InvalidTopicException, "Topic name is invalid: the length of '%s' is longer than the max allowed length %d", name, maxTopicNameLen)
	}
	for i := range len(name) {
		if !legalInTopicName(name[i]) {
			return failf(kerr.InvalidTopicException,
				"Topic name is invalid: '%s' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'", name)
		}
	}
	return nil
}

func legalInTopicName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}

// collisionKey is equal for names that differ only in '.' and '_': metrics cannot tell those apart, so Kafka does not
// allow both.
func collisionKey(name string) string { return strings.ReplaceAll(name, ".", "_") }

// collisions finds topics by collisionKey. Building it takes a pass over all topics, so it is done once a request, and only
// when a name has one of the two characters.
type collisions struct {
	img   *Image
	byKey map[string]string
}

// find returns the topic whose name collides with name, "" when there is none.
func (c *collisions) find(name string) string {
	if !strings.ContainsAny(name, "._") {
		return ""
	}
	if c.byKey == nil {
		c.byKey = map[string]string{}
		for existing := range c.img.TopicsByName {
			if strings.ContainsAny(existing, "._") {
				c.byKey[collisionKey(existing)] = existing
			}
		}
	}
	return c.byKey[collisionKey(name)]
}

// add makes later finds see a topic that this request creates.
func (c *collisions) add(name string) {
	if c.byKey != nil {
		c.byKey[collisionKey(name)] = name
	}
}
