package group

import (
	"fmt"

	"balsa/internal/wire"
)

// recordKind is the first byte of a record. The numbers are on disk: never reuse one. From 64 on they are those of the
// transactions that share the shard.
type recordKind byte

const (
	recordOffsetCommitted   recordKind = 1
	recordOffsetDeleted     recordKind = 2
	recordGroupStored       recordKind = 3
	recordGroupDeleted      recordKind = 4
	recordOffsetPending     recordKind = 5
	recordTransactionEnded  recordKind = 6
	recordProducerForgotten recordKind = 7

	recordConsumerGroupStored      recordKind = 8
	recordConsumerMemberStored     recordKind = 9
	recordConsumerTargetStored     recordKind = 10
	recordConsumerAssignmentStored recordKind = 11
	recordConsumerMemberRemoved    recordKind = 12

	recordShareGroupStored      recordKind = 13
	recordShareMemberStored     recordKind = 14
	recordShareTargetStored     recordKind = 15
	recordShareAssignmentStored recordKind = 16
	recordShareMemberRemoved    recordKind = 17
	recordSharePartitionsMoved  recordKind = 18
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
	e := encoder{wire.Encoder{B: make([]byte, 0, 96)}}
	r.append(&e)
	return e.B
}

func (r offsetCommitted) append(e *encoder) {
	e.U8(byte(recordOffsetCommitted))
	e.U8(recordVersion)
	r.appendFields(e)
}

func (r offsetCommitted) appendFields(e *encoder) {
	e.Str(r.group)
	e.Str(r.topic)
	e.Varint(int64(r.partition))
	e.ID(r.offset.TopicID)
	e.Varint(r.offset.Offset)
	e.Varint(int64(r.offset.LeaderEpoch))
	e.Str(r.offset.Metadata)
	e.Varint(r.offset.CommitTime)
	e.Varint(r.offset.ExpireTime)
	e.Uvarint(r.metadata)
}

func (r offsetDeleted) append(e *encoder) {
	e.U8(byte(recordOffsetDeleted))
	e.U8(recordVersion)
	e.Str(r.group)
	e.Str(r.topic)
	e.Varint(int64(r.partition))
}

func (r groupStored) append(e *encoder) {
	e.U8(byte(recordGroupStored))
	e.U8(recordVersion)
	e.Str(r.group)
	m := &r.membership
	e.Varint(int64(m.Generation))
	e.Str(m.ProtocolType)
	e.Str(m.Protocol)
	e.Str(m.Leader)
	e.Varint(m.StateTime)
	e.Uvarint(uint64(len(m.Members)))
	for i := range m.Members {
		member := &m.Members[i]
		e.Str(member.ID)
		e.Optional(member.InstanceID)
		e.Str(member.ClientID)
		e.Str(member.ClientHost)
		e.Varint(int64(member.RebalanceTimeout))
		e.Varint(int64(member.SessionTimeout))
		e.Bytes(member.Subscription)
		e.Bytes(member.Assignment)
	}
}

func (r offsetPending) append(e *encoder) {
	e.U8(byte(recordOffsetPending))
	e.U8(recordVersion)
	e.Varint(r.producerID)
	e.Varint(int64(r.epoch))
	r.appendFields(e)
}

func (r transactionEnded) append(e *encoder) {
	e.U8(byte(recordTransactionEnded))
	e.U8(recordVersion)
	e.Varint(r.producerID)
	e.Varint(int64(r.epoch))
	e.Varint(int64(r.coordinatorEpoch))
	e.flag(r.commit)
	e.Varint(r.time)
}

func (r producerForgotten) append(e *encoder) {
	e.U8(byte(recordProducerForgotten))
	e.U8(recordVersion)
	e.Varint(r.producerID)
}

func (r groupDeleted) append(e *encoder) {
	e.U8(byte(recordGroupDeleted))
	e.U8(recordVersion)
	e.Str(r.group)
}

// decodeRecord reads any bytes without panicking. Unknown kinds and versions are errors: a record that says more than
// this release understands must not be applied in part.
func decodeRecord(b []byte) (record, error) {
	d := decoder{wire.Decoder{B: b}}
	kind, version := recordKind(d.U8()), d.U8()
	if d.Err == nil && version != recordVersion {
		return nil, fmt.Errorf("group record of kind %d has version %d, this release reads %d", kind, version, recordVersion)
	}
	var r record
	switch kind {
	case recordOffsetCommitted:
		r = d.offsetCommitted()
	case recordOffsetDeleted:
		r = offsetDeleted{group: d.Str(), topic: d.Str(), partition: d.I32()}
	case recordGroupStored:
		r = groupStored{group: d.Str(), membership: d.membership()}
	case recordGroupDeleted:
		r = groupDeleted{group: d.Str()}
	case recordOffsetPending:
		r = offsetPending{producerID: d.Varint(), epoch: d.i16(), offsetCommitted: d.offsetCommitted()}
	case recordTransactionEnded:
		r = transactionEnded{
			producerID: d.Varint(), epoch: d.i16(), coordinatorEpoch: d.I32(), commit: d.flag(), time: d.Varint(),
		}
	case recordConsumerGroupStored:
		r = consumerGroupStored{group: d.Str(), epoch: d.I32(), targetEpoch: d.I32(), topicsHash: d.U64()}
	case recordConsumerMemberStored:
		r = consumerMemberStored{group: d.Str(), subscription: d.subscription()}
	case recordConsumerTargetStored:
		r = consumerTargetStored{group: d.Str(), id: d.Str(), target: d.assignment()}
	case recordConsumerAssignmentStored:
		r = consumerAssignmentStored{group: d.Str(), id: d.Str(), assignment: d.memberAssignment()}
	case recordConsumerMemberRemoved:
		r = consumerMemberRemoved{group: d.Str(), id: d.Str()}
	case recordProducerForgotten:
		r = producerForgotten{producerID: d.Varint()}
	default:
		if r = d.shareRecord(kind); r == nil {
			d.Fail(fmt.Errorf("unknown kind %d", kind))
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("decode group record of kind %d: %w", kind, err)
	}
	return r, nil
}

func (d *decoder) offsetCommitted() offsetCommitted {
	return offsetCommitted{
		group:     d.Str(),
		topic:     d.Str(),
		partition: d.I32(),
		offset: Offset{
			TopicID:     d.ID(),
			Offset:      d.Varint(),
			LeaderEpoch: d.I32(),
			Metadata:    d.Str(),
			CommitTime:  d.Varint(),
			ExpireTime:  d.Varint(),
		},
		metadata: d.Uvarint(),
	}
}

// minMemberBytes is the least that a member takes in a groupStored record: eight one-byte fields.
const minMemberBytes = 8

func (d *decoder) membership() Membership {
	m := Membership{
		Generation:   d.I32(),
		ProtocolType: d.Str(),
		Protocol:     d.Str(),
		Leader:       d.Str(),
		StateTime:    d.Varint(),
	}
	n := d.Count(minMemberBytes)
	if n == 0 {
		return m
	}
	m.Members = make([]Member, n)
	for i := range m.Members {
		m.Members[i] = Member{
			ID:               d.Str(),
			InstanceID:       d.Optional(),
			ClientID:         d.Str(),
			ClientHost:       d.Str(),
			RebalanceTimeout: d.I32(),
			SessionTimeout:   d.I32(),
			Subscription:     d.Bytes(),
			Assignment:       d.Bytes(),
		}
	}
	return m
}
