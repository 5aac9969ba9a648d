package group

import "fmt"

// shareRecord is a record about a share group.
type shareRecord interface {
	record
	// applyTo changes s, which is the state of the group that the record names.
	applyTo(s *shareState)
}

// shareGroupStored sets the epochs of a share group, and makes it if there is none.
type shareGroupStored struct {
	group       string
	epoch       int32
	targetEpoch int32
	topicsHash  uint64
}

// shareMemberStored sets what a member says about itself, and adds it if it is new.
type shareMemberStored struct {
	group        string
	subscription shareSubscription
}

// shareTargetStored sets what a member should have.
type shareTargetStored struct {
	group  string
	id     string
	target assignment
}

// shareAssignmentStored sets what a member has.
type shareAssignmentStored struct {
	group      string
	id         string
	assignment shareAssignment
}

// shareMemberRemoved forgets a member.
type shareMemberRemoved struct {
	group string
	id    string
}

// sharePartitionsMoved moves partitions into a state, from whichever they are in.
type sharePartitionsMoved struct {
	group      string
	to         sharePartitionState
	partitions assignment
	metadata   uint64 // Image.Version by which the topics were known
}

func (r shareGroupStored) applyTo(s *shareState) {
	s.epoch, s.targetEpoch, s.topicsHash = r.epoch, r.targetEpoch, r.topicsHash
}

func (r shareMemberStored) applyTo(s *shareState) {
	m := shareMember{shareSubscription: r.subscription}
	if old := s.members[r.subscription.id]; old != nil {
		m.shareAssignment = old.shareAssignment
	}
	s.members[r.subscription.id] = &m
}

func (r shareTargetStored) applyTo(s *shareState) {
	if len(r.target) == 0 {
		delete(s.target, r.id)
		return
	}
	s.target[r.id] = r.target
}

func (r shareAssignmentStored) applyTo(s *shareState) {
	if old := s.members[r.id]; old != nil {
		s.members[r.id] = &shareMember{shareSubscription: old.shareSubscription, shareAssignment: r.assignment}
	}
}

func (r shareMemberRemoved) applyTo(s *shareState) {
	delete(s.members, r.id)
	delete(s.target, r.id)
}

func (r sharePartitionsMoved) applyTo(s *shareState) { s.movePartitions(r.partitions, r.to) }

func (r shareGroupStored) apply(s *State) {
	g := s.obtain(r.group)
	if g.share == nil {
		g.share = newShareState()
	}
	r.applyTo(g.share)
}

func (r shareMemberStored) apply(s *State)     { s.applyShare(r.group, r) }
func (r shareTargetStored) apply(s *State)     { s.applyShare(r.group, r) }
func (r shareAssignmentStored) apply(s *State) { s.applyShare(r.group, r) }
func (r shareMemberRemoved) apply(s *State)    { s.applyShare(r.group, r) }

func (r sharePartitionsMoved) apply(s *State) {
	s.applyShare(r.group, r)
	s.metadata = max(s.metadata, r.metadata)
}

func (s *State) applyShare(group string, r shareRecord) {
	if g := s.groups[group]; g != nil && g.share != nil {
		r.applyTo(g.share)
	}
}

func (r shareGroupStored) append(e *encoder) {
	e.U8(byte(recordShareGroupStored))
	e.U8(recordVersion)
	e.Str(r.group)
	e.Varint(int64(r.epoch))
	e.Varint(int64(r.targetEpoch))
	e.U64(r.topicsHash)
}

func (r shareMemberStored) append(e *encoder) {
	e.U8(byte(recordShareMemberStored))
	e.U8(recordVersion)
	e.Str(r.group)
	s := &r.subscription
	e.Str(s.id)
	e.Optional(s.rackID)
	e.Str(s.client.ID)
	e.Str(s.client.Host)
	e.Uvarint(uint64(len(s.topics)))
	for _, topic := range s.topics {
		e.Str(topic)
	}
}

func (r shareTargetStored) append(e *encoder) {
	e.U8(byte(recordShareTargetStored))
	e.U8(recordVersion)
	e.Str(r.group)
	e.Str(r.id)
	e.assignment(r.target)
}

func (r shareAssignmentStored) append(e *encoder) {
	e.U8(byte(recordShareAssignmentStored))
	e.U8(recordVersion)
	e.Str(r.group)
	e.Str(r.id)
	e.Varint(int64(r.assignment.epoch))
	e.Varint(int64(r.assignment.previousEpoch))
	e.assignment(r.assignment.assigned)
}

func (r shareMemberRemoved) append(e *encoder) {
	e.U8(byte(recordShareMemberRemoved))
	e.U8(recordVersion)
	e.Str(r.group)
	e.Str(r.id)
}

func (r sharePartitionsMoved) append(e *encoder) {
	e.U8(byte(recordSharePartitionsMoved))
	e.U8(recordVersion)
	e.Str(r.group)
	e.U8(byte(r.to))
	e.assignment(r.partitions)
	e.Uvarint(r.metadata)
}

func (d *decoder) shareSubscription() shareSubscription {
	s := shareSubscription{id: d.Str(), rackID: d.Optional(), client: Client{ID: d.Str(), Host: d.Str()}}
	for range d.Count(minStringBytes) {
		s.topics = append(s.topics, d.Str())
	}
	return s
}

func (d *decoder) sharePartitionState() sharePartitionState {
	state := sharePartitionState(d.U8())
	if state >= sharePartitionStates {
		d.Fail(fmt.Errorf("unknown state %d of share partitions", state))
	}
	return state
}

// shareRecord reads a record about a share group; nil when kind is another one's.
func (d *decoder) shareRecord(kind recordKind) record {
	switch kind {
	case recordShareGroupStored:
		return shareGroupStored{group: d.Str(), epoch: d.I32(), targetEpoch: d.I32(), topicsHash: d.U64()}
	case recordShareMemberStored:
		return shareMemberStored{group: d.Str(), subscription: d.shareSubscription()}
	case recordShareTargetStored:
		return shareTargetStored{group: d.Str(), id: d.Str(), target: d.assignment()}
	case recordShareAssignmentStored:
		a := shareAssignmentStored{group: d.Str(), id: d.Str()}
		a.assignment = shareAssignment{epoch: d.I32(), previousEpoch: d.I32(), assigned: d.assignment()}
		return a
	case recordShareMemberRemoved:
		return shareMemberRemoved{group: d.Str(), id: d.Str()}
	case recordSharePartitionsMoved:
		return sharePartitionsMoved{group: d.Str(), to: d.sharePartitionState(), partitions: d.assignment(), metadata: d.Uvarint()}
	}
	return nil
}
