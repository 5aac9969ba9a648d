package group

import (
	"maps"
	"slices"
)

// shareState is a share group (KIP-932), the durable part. Like consumerState it changes only by records, and in the same way in
// a Leader and in State.
type shareState struct {
	epoch       int32 // of the group: grows with every change that calls for another assignment
	targetEpoch int32 // the group epoch that target was computed for
	topicsHash  uint64
	members     map[string]*shareMember          // by member id
	target      map[string]assignment            // by member id
	partitions  [sharePartitionStates]assignment // by state; those that are absent are not in it
}

// sharePartitionState is what a group knows of its share partition on a partition's leader. What is to be done there is on record
// before it is asked for, so that nothing is left behind by a coordinator that dies in between.
type sharePartitionState uint8

// The numbers are on disk.
const (
	shareAbsent       sharePartitionState = iota // there is none, nor on record
	shareInitializing                            // it may be there
	shareInitialized                             // it is there, so that the partition can be assigned
	shareDeleting                                // it may be there and has to go before it can be made again

	sharePartitionStates
)

// shareMember is a member of a share group. It is not changed once it is in a shareState.
type shareMember struct {
	shareSubscription
	shareAssignment
}

// shareSubscription is what a member says about itself.
type shareSubscription struct {
	id     string
	rackID *string
	client Client
	topics []string // sorted
}

// shareAssignment is what a member has. Others may have the same partitions, so nobody waits for anybody.
type shareAssignment struct {
	epoch         int32
	previousEpoch int32
	assigned      assignment
}

func newShareState() *shareState {
	return &shareState{epoch: firstEpoch, targetEpoch: firstEpoch, members: map[string]*shareMember{}, target: map[string]assignment{}}
}

// clone returns a copy that changes by itself. Members and assignments are never changed in place, so they are shared.
func (s *shareState) clone() *shareState {
	copied := *s
	copied.members, copied.target = maps.Clone(s.members), maps.Clone(s.target)
	return &copied
}

// partitionState returns the state of one partition.
func (s *shareState) partitionState(topic topicID, partition int32) sharePartitionState {
	for state := shareInitializing; state < sharePartitionStates; state++ {
		if s.partitions[state].has(topic, partition) {
			return state
		}
	}
	return shareAbsent
}

// movePartitions moves partitions into a state, from whichever they are in.
func (s *shareState) movePartitions(moved assignment, to sharePartitionState) {
	for state := shareInitializing; state < sharePartitionStates; state++ {
		if state == to {
			s.partitions[state] = s.partitions[state].with(moved)
		} else {
			s.partitions[state] = s.partitions[state].without(moved)
		}
	}
}

// hasPartitions says whether there may be a share partition anywhere.
func (s *shareState) hasPartitions() bool {
	return slices.ContainsFunc(s.partitions[:], func(a assignment) bool { return len(a) > 0 })
}

// subscribed returns the names of all topics that members read, whether they exist or not.
func (s *shareState) subscribed() map[string]bool {
	names := map[string]bool{}
	for _, m := range s.members {
		for _, name := range m.topics {
			names[name] = true
		}
	}
	return names
}

func (s *shareSubscription) equal(other *shareSubscription) bool {
	return s.id == other.id && sameOptional(s.rackID, other.rackID) && s.client == other.client && slices.Equal(s.topics, other.topics)
}

// records returns what makes the state of nothing.
func (s *shareState) records(group string) []record {
	records := []record{shareGroupStored{group, s.epoch, s.targetEpoch, s.topicsHash}}
	for _, m := range sorted(s.members) {
		records = append(records, shareMemberStored{group, m.shareSubscription}, shareAssignmentStored{group, m.id, m.shareAssignment})
	}
	for id, target := range sorted(s.target) {
		records = append(records, shareTargetStored{group, id, target})
	}
	for state := shareInitializing; state < sharePartitionStates; state++ {
		if partitions := s.partitions[state]; len(partitions) > 0 {
			records = append(records, sharePartitionsMoved{group: group, to: state, partitions: partitions})
		}
	}
	return records
}
