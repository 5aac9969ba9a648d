package protocol

// ShareFetchResponse is a ShareFetch answer without its records, like FetchResponse.
type ShareFetchResponse struct {
	ThrottleMillis int32
	ErrorCode      int16
	ErrorMessage   *string
	LockMillis     int32 // acquisition_lock_timeout_ms: how long the acquired records are locked
	Topics         []ShareFetchTopic
	NodeEndpoints  []NodeEndpoint
}

// ShareFetchTopic is one topic of a ShareFetchResponse.
type ShareFetchTopic struct {
	TopicID    [16]byte
	Partitions []ShareFetchPartition
}

// ShareFetchPartition is one partition of a ShareFetchResponse. NewShareFetchPartition sets the fields that default to -1.
type ShareFetchPartition struct {
	Partition               int32
	ErrorCode               int16
	ErrorMessage            *string
	AcknowledgeErrorCode    int16 // of the acknowledgements that came with the request
	AcknowledgeErrorMessage *string
	CurrentLeader           int32
	CurrentLeaderEpoch      int32
	RecordBytes             int32 // how many bytes of record batches follow; never encoded as null
	Acquired                []AcquiredRecords
}

// AcquiredRecords says how often a range of records, of those that follow, was delivered.
type AcquiredRecords struct {
	FirstOffset, LastOffset int64 // inclusive
	DeliveryCount           int16
}

// NewShareFetchPartition returns a ShareFetchPartition without error, leader or records.
func NewShareFetchPartition(partition int32) ShareFetchPartition {
	return ShareFetchPartition{Partition: partition, CurrentLeader: -1, CurrentLeaderEpoch: -1}
}

// AppendShareFetchResponse appends a whole ShareFetch response frame of version 1 or 2, which are alike, except for the
// records; see AppendFetchResponse.
func AppendShareFetchResponse(dst []byte, correlationID int32, r *ShareFetchResponse) (frame []byte, cuts []int, ok bool) {
	e := shareFetchEncoder{encoder{dst: dst, flexible: true}}
	e.begin(correlationID)
	e.int32(r.ThrottleMillis)
	e.int16(r.ErrorCode)
	e.nullable(r.ErrorMessage)
	e.int32(r.LockMillis)
	e.arrayLen(len(r.Topics))
	for i := range r.Topics {
		t := &r.Topics[i]
		e.dst = append(e.dst, t.TopicID[:]...)
		e.arrayLen(len(t.Partitions))
		for j := range t.Partitions {
			e.partition(&t.Partitions[j])
		}
		e.noTags()
	}
	e.nodes(r.NodeEndpoints)
	e.noTags()
	return e.end()
}

type shareFetchEncoder struct{ encoder }

func (e *shareFetchEncoder) partition(p *ShareFetchPartition) {
	e.int32(p.Partition)
	e.int16(p.ErrorCode)
	e.nullable(p.ErrorMessage)
	e.int16(p.AcknowledgeErrorCode)
	e.nullable(p.AcknowledgeErrorMessage)
	e.int32(p.CurrentLeader)
	e.int32(p.CurrentLeaderEpoch)
	e.noTags()
	e.records(p.RecordBytes)
	e.arrayLen(len(p.Acquired))
	for _, a := range p.Acquired {
		e.int64(a.FirstOffset)
		e.int64(a.LastOffset)
		e.int16(a.DeliveryCount)
		e.noTags()
	}
	e.noTags()
}
