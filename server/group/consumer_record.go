package group

import "fmt"

// consumerRecord is a record about a group of the consumer protocol.
type consumerRecord interface {
	record
	// applyTo changes c, which is the state of the group that the record names.
	applyTo(c *consumerState)
	// member returns the id of the member whose partitions may change; "" for none.
	member() string
}

// consumerGroupStored sets the epochs of a group. A group of the classic protocol becomes one of the consumer protocol
// without members by it.
type consumerGroupStored struct {
	group       string
	epoch       int32
	targetEpoch int32
	topicsHash  uint64
}

// consumerMemberStored sets what a member says about itself, and adds it if it is new.
type consumerMemberStored struct {
	group        string
	subscription memberSubscription
}

// consumerTargetStored sets what a member should have.
type consumerTargetStored struct {
	group  string
	id     string
	target assignment
}

// consumerAssignmentStored sets what a member has.
type consumerAssignmentStored struct {
	group      string
	id         string
	assignment memberAssignment
}

// consumerMemberRemoved forgets a member.
type consumerMemberRemoved struct {
	group string
	id    string
}

func (r consumerGroupStored) applyTo(c *consumerState) {
	c.epoch, c.targetEpoch, c.topicsHash = r.epoch, r.targetEpoch, r.topicsHash
}

func (r consumerMemberStored) applyTo(c *consumerState) {
	m := consumerMember{memberSubscription: r.subscription}
	if old := c.members[r.subscription.id]; old != nil {
		m.memberAssignment = old.memberAssignment
	}
	c.members[r.subscription.id] = &m
}

func (r consumerTargetStored) applyTo(c *consumerState) {
	if len(r.target) == 0 {
		delete(c.target, r.id)
		return
	}
	c.target[r.id] = r.target
}

func (r consumerAssignmentStored) applyTo(c *consumerState) {
	old := c.members[r.id]
	if old == nil {
		return
	}
	c.members[r.id] = &consumerMember{memberSubscription: old.memberSubscription, memberAssignment: r.assignment}
}

func (r consumerMemberRemoved) applyTo(c *consumerState) {
	delete(c.members, r.id)
	delete(c.target, r.id)
}

func (r consumerGroupStored) member() string      { return "" }
func (r consumerMemberStored) member() string     { return r.subscription.id }
func (r consumerTargetStored) member() string     { return "" }
func (r consumerAssignmentStored) member() string { return r.id }
func (r consumerMemberRemoved) member() string    { return r.id }

func (r consumerGroupStored) apply(s *State) {
	g := s.obtain(r.group)
	g.membership = nil
	if g.consumer == nil {
		g.consumer = newConsumerState()
	}
	r.applyTo(g.consumer)
}

func (r consumerMemberStored) apply(s *State)     { s.applyConsumer(r.group, r) }
func (r consumerTargetStored) apply(s *State)     { s.applyConsumer(r.group, r) }
func (r consumerAssignmentStored) apply(s *State) { s.applyConsumer(r.group, r) }
func (r consumerMemberRemoved) apply(s *State)    { s.applyConsumer(r.group, r) }

func (s *State) applyConsumer(group string, r consumerRecord) {
	if g := s.groups[group]; g != nil && g.consumer != nil {
		r.applyTo(g.consumer)
	}
}

func (r consumerGroupStored) append(e *encoder) {
	e.U8(byte(recordConsumerGroupStored))
	e.U8(recordVersion)
	e.Str(r.group)
	e.Varint(int64(r.epoch))
	e.Varint(int64(r.targetEpoch))
	e.U64(r.topicsHash)
}

func (r consumerMemberStored) append(e *encoder) {
	e.U8(byte(recordConsumerMemberStored))
	e.U8(recordVersion)
	e.Str(r.group)
	s := &r.subscription
	e.Str(s.id)
	e.Optional(s.instanceID)
	e.Optional(s.rackID)
	e.Str(s.client.ID)
	e.Str(s.client.Host)
	e.Varint(int64(s.rebalanceTimeout))
	e.Uvarint(uint64(len(s.topics)))
	for _, topic := range s.topics {
		e.Str(topic)
	}
	e.Str(s.regex)
	e.Str(s.assignor)
	e.flag(s.classic != nil)
	if s.classic != nil {
		e.Varint(int64(s.classic.sessionTimeout))
		e.Uvarint(uint64(len(s.classic.protocols)))
		for _, p := range s.classic.protocols {
			e.Str(p.name)
			e.Bytes(p.metadata)
		}
	}
}

func (r consumerTargetStored) append(e *encoder) {
	e.U8(byte(recordConsumerTargetStored))
	e.U8(recordVersion)
	e.Str(r.group)
	e.Str(r.id)
	e.assignment(r.target)
}

func (r consumerAssignmentStored) append(e *encoder) {
	e.U8(byte(recordConsumerAssignmentStored))
	e.U8(recordVersion)
	e.Str(r.group)
	e.Str(r.id)
	e.Varint(int64(r.assignment.epoch))
	e.Varint(int64(r.assignment.previousEpoch))
	e.U8(byte(r.assignment.state))
	e.ownership(r.assignment.assigned)
	e.ownership(r.assignment.revoking)
}

func (r consumerMemberRemoved) append(e *encoder) {
	e.U8(byte(recordConsumerMemberRemoved))
	e.U8(recordVersion)
	e.Str(r.group)
	e.Str(r.id)
}

// minStringBytes and minProtocolBytes are the least that a string, and a protocol of a member, take.
const minStringBytes, minProtocolBytes = 1, 2

func (d *decoder) subscription() memberSubscription {
	s := memberSubscription{
		id:               d.Str(),
		instanceID:       d.Optional(),
		rackID:           d.Optional(),
		client:           Client{ID: d.Str(), Host: d.Str()},
		rebalanceTimeout: d.I32(),
	}
	for range d.Count(minStringBytes) {
		s.topics = append(s.topics, d.Str())
	}
	s.regex, s.assignor = d.Str(), d.Str()
	if d.flag() {
		s.classic = &classicSubscription{sessionTimeout: d.I32()}
		for range d.Count(minProtocolBytes) {
			s.classic.protocols = append(s.classic.protocols, protocol{d.Str(), d.Bytes()})
		}
	}
	return s
}

func (d *decoder) memberAssignment() memberAssignment {
	a := memberAssignment{epoch: d.I32(), previousEpoch: d.I32(), state: memberState(d.U8())}
	if a.state > memberUnreleased {
		d.Fail(fmt.Errorf("unknown member state %d", a.state))
	}
	a.assigned, a.revoking = d.ownership(), d.ownership()
	return a
}
