package group

import "fmt"

// recordKind is the first byte of a record. The numbers are on disk: never reuse one.
type recordKind byte

const (
	recordOffsetCommitted recordKind = 1
	recordOffsetDeleted   recordKind = 2
	recordGroupStored     recordKind = 3
	recordGroupDeleted    recordKind = 4
)

// recordVersion is the second byte of a record. A release that changes a layout counts it up and keeps reading the old.
const recordVersion = 1

// record is one durable fact. The layout of each kind is the order of fields in its append method; integers are varints,
// strings and bytes are length-prefixed, optional strings as length plus one with 0 for none.
type record interface {
	append(e *encoder)
	apply(s *State)
}

// offsetCommitted sets the committed offset of one partition. It creates the group when there is none: a "simple"
// group of consumers that assign partitions themselves.
type offsetCommitted struct {
	group     string
	topic     string
	partition int32
	offset    Offset
	metadata  uint64 // Image.Version by which the topic was known
}

// offsetDeleted forgets the committed offset of one partition.
type offsetDeleted struct {
	group     string
	topic     string
	partition int32
}

// groupStored replaces a group's membership by the outcome of a completed rebalance.
type groupStored struct {
	group      string
	membership Membership
}

// groupDeleted forgets a group and its offsets.
type groupDeleted struct{ group string }

func encodeRecord(r record) []byte {
	e := encoder{b: make([]byte, 0, 96)}
	r.append(&e)
	return e.b
}

func (r offsetCommitted) append(e *encoder) {
	e.u8(byte(recordOffsetCommitted))
	e.u8(recordVersion)
	e.str(r.group)
	e.str(r.topic)
	e.varint(int64(r.partition))
	e.id(r.offset.TopicID)
	e.varint(r.offset.Offset)
	e.varint(int64(r.offset.LeaderEpoch))
	e.str(r.offset.Metadata)
	e.varint(r.offset.CommitTime)
	e.varint(r.offset.ExpireTime)
	e.uvarint(r.metadata)
}

func (r offsetDeleted) append(e *encoder) {
	e.u8(byte(recordOffsetDeleted))
	e.u8(recordVersion)
	e.str(r.group)
	e.str(r.topic)
	e.varint(int64(r.partition))
}

func (r groupStored) append(e *encoder) {
	e.u8(byte(recordGroupStored))
	e.u8(recordVersion)
	e.str(r.group)
	m := &r.membership
	e.varint(int64(m.Generation))
	e.str(m.ProtocolType)
	e.str(m.Protocol)
	e.str(m.Leader)
	e.varint(m.StateTime)
	e.uvarint(uint64(len(m.Members)))
	for i := range m.Members {
		member := &m.Members[i]
		e.str(member.ID)
		e.optional(member.InstanceID)
		e.str(member.ClientID)
		e.str(member.ClientHost)
		e.varint(int64(member.RebalanceTimeout))
		e.varint(int64(member.SessionTimeout))
		e.bytes(member.Subscription)
		e.bytes(member.Assignment)
	}
}

func (r groupDeleted) append(e *encoder) {
	e.u8(byte(recordGroupDeleted))
	e.u8(recordVersion)
	e.str(r.group)
}

// decodeRecord reads any bytes without panicking. Unknown kinds and versions are errors: a record that says more than
// this release understands must not be applied in part.
func decodeRecord(b []byte) (record, error) {
	d := decoder{b: b}
	kind, version := recordKind(d.u8()), d.u8()
	if d.err == nil && version != recordVersion {
		return nil, fmt.Errorf("group record of kind %d has version %d, this release reads %d", kind, version, recordVersion)
	}
	var r record
	switch kind {
	case recordOffsetCommitted:
		r = d.offsetCommitted()
	case recordOffsetDeleted:
		r = offsetDeleted{group: d.str(), topic: d.str(), partition: d.i32()}
	case recordGroupStored:
		r = groupStored{group: d.str(), membership: d.membership()}
	case recordGroupDeleted:
		r = groupDeleted{group: d.str()}
	default:
		d.fail(fmt.Errorf("unknown kind %d", kind))
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("decode group record of kind %d: %w", kind, err)
	}
	return r, nil
}

func (d *decoder) offsetCommitted() offsetCommitted {
	return offsetCommitted{
		group:     d.str(),
		topic:     d.str(),
		partition: d.i32(),
		offset: Offset{
			TopicID:     d.id(),
			Offset:      d.varint(),
			LeaderEpoch: d.i32(),
			Metadata:    d.str(),
			CommitTime:  d.varint(),
			ExpireTime:  d.varint(),
		},
		metadata: d.uvarint(),
	}
}

// minMemberBytes is the least that a member takes in a groupStored record: eight one-byte fields.
const minMemberBytes = 8

func (d *decoder) membership() Membership {
	m := Membership{
		Generation:   d.i32(),
		ProtocolType: d.str(),
		Protocol:     d.str(),
		Leader:       d.str(),
		StateTime:    d.varint(),
	}
	n := d.count(minMemberBytes)
	if n == 0 {
		return m
	}
	m.Members = make([]Member, n)
	for i := range m.Members {
		m.Members[i] = Member{
			ID:               d.str(),
			InstanceID:       d.optional(),
			ClientID:         d.str(),
			ClientHost:       d.str(),
			RebalanceTimeout: d.i32(),
			SessionTimeout:   d.i32(),
			Subscription:     d.bytes(),
			Assignment:       d.bytes(),
		}
	}
	return m
}
