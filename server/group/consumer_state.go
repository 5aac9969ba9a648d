package group

import (
	"maps"
	"slices"
)

// consumerState is a group of the consumer protocol (KIP-848), the durable part. It changes only by consumerRecords, so
// that a Leader, which applies them when it decides, and State, which replays them when they are committed, go the same
// way.
type consumerState struct {
	epoch       int32 // of the group: grows with every change that calls for another assignment
	targetEpoch int32 // the group epoch that target was computed for
	topicsHash  uint64
	members     map[string]*consumerMember // by member id
	target      map[string]assignment      // by member id
}

// firstEpoch is the epoch of a group before its first assignment, as in Kafka: that of nobody having anything.
const firstEpoch = 1

func newConsumerState() *consumerState {
	return &consumerState{
		epoch: firstEpoch, targetEpoch: firstEpoch, members: map[string]*consumerMember{}, target: map[string]assignment{},
	}
}

// clone returns a copy that changes by itself. Members and assignments are never changed in place, so they are shared.
func (c *consumerState) clone() *consumerState {
	copied := *c
	copied.members, copied.target = maps.Clone(c.members), maps.Clone(c.target)
	return &copied
}

// memberState is how far a member is with its assignment.
type memberState uint8

const (
	memberStable     memberState = iota // it has what it should in its epoch
	memberRevoking                      // it has to give up partitions before it may go on to the next epoch
	memberUnreleased                    // it waits for partitions that others have not given up yet
)

// leftEpoch and staticLeftEpoch are the member epochs by which members leave: for good, or, static ones, to come back.
const (
	leftEpoch       = -1
	staticLeftEpoch = -2
)

// consumerMember is a member of a group of the consumer protocol. It is not changed once it is in a consumerState.
type consumerMember struct {
	memberSubscription
	memberAssignment
}

// memberSubscription is what a member says about itself.
type memberSubscription struct {
	id               string
	instanceID       *string // group.instance.id
	rackID           *string
	client           Client
	rebalanceTimeout int32    // ms
	topics           []string // sorted
	regex            string   // RE2; empty for none
	assignor         string   // the server-side assignor it prefers; empty for none
	classic          *classicSubscription
}

// classicSubscription is what is known of a member that speaks the classic protocol.
type classicSubscription struct {
	sessionTimeout int32 // ms
	protocols      []protocol
}

// memberAssignment is what a member has.
type memberAssignment struct {
	epoch         int32
	previousEpoch int32
	state         memberState
	assigned      ownership
	revoking      ownership // it must give these up; until it says that it has they are nobody else's
}

func (s *memberSubscription) equal(other *memberSubscription) bool {
	return s.id == other.id && sameOptional(s.instanceID, other.instanceID) && sameOptional(s.rackID, other.rackID) &&
		s.client == other.client && s.rebalanceTimeout == other.rebalanceTimeout && slices.Equal(s.topics, other.topics) &&
		s.regex == other.regex && s.assignor == other.assignor && s.classic.equal(other.classic)
}

func (c *classicSubscription) equal(other *classicSubscription) bool {
	if c == nil || other == nil {
		return c == other
	}
	return c.sessionTimeout == other.sessionTimeout && slices.EqualFunc(c.protocols, other.protocols, protocol.equal)
}

func (a *memberAssignment) equal(other *memberAssignment) bool {
	return a.epoch == other.epoch && a.previousEpoch == other.previousEpoch && a.state == other.state &&
		a.assigned.equal(other.assigned) && a.revoking.equal(other.revoking)
}

func sameOptional(a, b *string) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// records returns what makes the state of nothing.
func (c *consumerState) records(group string) []consumerRecord {
	records := []consumerRecord{consumerGroupStored{group, c.epoch, c.targetEpoch, c.topicsHash}}
	for _, m := range sorted(c.members) {
		records = append(records,
			consumerMemberStored{group, m.memberSubscription}, consumerAssignmentStored{group, m.id, m.memberAssignment})
	}
	for id, target := range sorted(c.target) {
		records = append(records, consumerTargetStored{group, id, target})
	}
	return records
}
