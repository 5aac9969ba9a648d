package protocol

import "encoding/binary"

// FetchResponse is a Fetch answer without its records. kmsg's type would have to hold and then copy them; this one
// knows only how long they are, and is encoded with holes where file ranges go.
type FetchResponse struct {
	Version        int16 // 4..18
	ThrottleMillis int32
	ErrorCode      int16 // v7+
	SessionID      int32 // v7+
	Topics         []FetchTopic
	NodeEndpoints  []NodeEndpoint // v16+ (KIP-951)
}

// FetchTopic is one topic of a FetchResponse: named up to v12, by id from v13.
type FetchTopic struct {
	Topic      string
	TopicID    [16]byte
	Partitions []FetchPartition
}

// FetchPartition is one partition of a FetchResponse. NewFetchPartition sets the fields that default to -1.
type FetchPartition struct {
	Partition            int32
	ErrorCode            int16
	HighWatermark        int64
	LastStableOffset     int64
	LogStartOffset       int64                // v5+
	Aborted              []AbortedTransaction // nil encodes as null
	PreferredReadReplica int32                // v11+
	DivergingEpoch       int32                // v12+; with DivergingEnd (KIP-595)
	DivergingEnd         int64
	CurrentLeader        int32 // v12+; with CurrentLeaderEpoch (KIP-951)
	CurrentLeaderEpoch   int32
	// RecordBytes is how many bytes of record batches follow; never encoded as null, which some clients cannot read.
	RecordBytes int32
}

// AbortedTransaction says that a producer's records from FirstOffset on belong to an aborted transaction.
type AbortedTransaction struct {
	ProducerID  int64
	FirstOffset int64
}

// NodeEndpoint tells a client where a leader listens.
type NodeEndpoint struct {
	NodeID int32
	Host   string
	Port   int32
	Rack   *string
}

// NewFetchPartition returns a FetchPartition without offsets, error or records.
func NewFetchPartition(partition int32) FetchPartition {
	return FetchPartition{
		Partition: partition, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, PreferredReadReplica: -1,
		DivergingEpoch: -1, DivergingEnd: -1, CurrentLeader: -1, CurrentLeaderEpoch: -1,
	}
}

// AppendFetchResponse appends a whole Fetch response frame except for the records. cuts has one position in the
// result for each partition with RecordBytes > 0, in order: there its records go. ok is false when the frame would be
// larger than a length field can say.
func AppendFetchResponse(dst []byte, correlationID int32, r *FetchResponse) (frame []byte, cuts []int, ok bool) {
	e := fetchEncoder{version: r.Version, encoder: encoder{dst: dst, flexible: r.Version >= 12}}
	e.begin(correlationID)
	e.int32(r.ThrottleMillis)
	if e.version >= 7 {
		e.int16(r.ErrorCode)
		e.int32(r.SessionID)
	}
	e.arrayLen(len(r.Topics))
	for i := range r.Topics {
		e.topic(&r.Topics[i])
	}
	if e.flexible {
		e.endpoints(r.NodeEndpoints)
	}
	return e.end()
}

type fetchEncoder struct {
	encoder

	version int16
}

func (e *fetchEncoder) topic(t *FetchTopic) {
	if e.version <= 12 {
		e.text(t.Topic)
	} else {
		e.dst = append(e.dst, t.TopicID[:]...)
	}
	e.arrayLen(len(t.Partitions))
	for i := range t.Partitions {
		e.partition(&t.Partitions[i])
	}
	e.noTags()
}

func (e *fetchEncoder) partition(p *FetchPartition) {
	e.int32(p.Partition)
	e.int16(p.ErrorCode)
	e.int64(p.HighWatermark)
	e.int64(p.LastStableOffset)
	if e.version >= 5 {
		e.int64(p.LogStartOffset)
	}
	e.aborted(p.Aborted)
	if e.version >= 11 {
		e.int32(p.PreferredReadReplica)
	}
	e.records(p.RecordBytes)
	if e.flexible {
		e.partitionTags(p)
	}
}

func (e *fetchEncoder) aborted(a []AbortedTransaction) {
	if a == nil {
		if e.flexible {
			e.dst = append(e.dst, 0)
		} else {
			e.int32(-1)
		}
		return
	}
	e.arrayLen(len(a))
	for _, t := range a {
		e.int64(t.ProducerID)
		e.int64(t.FirstOffset)
		e.noTags()
	}
}

// partitionTags writes tag 0, the diverging epoch, and tag 1, the current leader: 12 and 8 bytes plus an empty tag list.
func (e *fetchEncoder) partitionTags(p *FetchPartition) {
	diverging := p.DivergingEpoch != -1 || p.DivergingEnd != -1
	leader := p.CurrentLeader != -1 || p.CurrentLeaderEpoch != -1
	n := byte(0)
	if diverging {
		n++
	}
	if leader {
		n++
	}
	e.dst = append(e.dst, n)
	if diverging {
		e.dst = append(e.dst, 0, 13)
		e.int32(p.DivergingEpoch)
		e.int64(p.DivergingEnd)
		e.noTags()
	}
	if leader {
		e.dst = append(e.dst, 1, 9)
		e.int32(p.CurrentLeader)
		e.int32(p.CurrentLeaderEpoch)
		e.noTags()
	}
}

// endpoints writes the response's own tags: tag 0 lists the endpoints of the current leaders that it names.
func (e *fetchEncoder) endpoints(nodes []NodeEndpoint) {
	if len(nodes) == 0 || e.version < 16 {
		e.noTags()
		return
	}
	inner := encoder{flexible: true}
	inner.nodes(nodes)
	e.dst = append(e.dst, 1, 0)
	e.dst = binary.AppendUvarint(e.dst, uint64(len(inner.dst)))
	e.dst = append(e.dst, inner.dst...)
}
