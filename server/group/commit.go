package group

import (
	"time"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// commitGroupIDNotFound is the first version whose clients understand GROUP_ID_NOT_FOUND.
	commitGroupIDNotFound = 9
	// commitTopicID is the first version that names topics by id.
	commitTopicID = 10
	// commitLastRetention is the last version with a retention time of the client's choice.
	commitLastRetention = 4
	// commitLeaderEpoch is the first version with leader epochs.
	commitLeaderEpoch = 6
)

func (l *Leader) commitOffsets(now time.Time, req *kmsg.OffsetCommitRequest, reply Reply) {
	resp := kmsg.NewPtrOffsetCommitResponse()
	records := l.commitRecords(now, req, resp)
	if len(records) == 0 {
		reply(resp)
		return
	}
	// Partitions that are in error already keep their error.
	fail := func(err *kerr.Error) {
		for i := range resp.Topics {
			for j := range resp.Topics[i].Partitions {
				if p := &resp.Topics[i].Partitions[j]; p.ErrorCode == 0 {
					p.ErrorCode = err.Code
				}
			}
		}
	}
	err := l.validateCommit(now, req)
	if err == nil && commitBytes(req.Group, records) > l.env.Config.MaxRecordBytes {
		err = kerr.InvalidCommitOffsetSize
	}
	if err != nil {
		fail(err)
		reply(resp)
		return
	}
	l.write(req.Group, records, true, func(_ time.Time, err *kerr.Error) {
		if err != nil {
			fail(err)
		}
		reply(resp)
	})
}

// commitRecords returns what is to be written, and fills resp with each partition's error so far.
func (l *Leader) commitRecords(now time.Time, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse) []record {
	var records []record
	topics := l.env.Topics()
	version := topics.Version()
	expire := int64(noTime)
	if req.Version <= commitLastRetention && req.RetentionTimeMillis >= 0 {
		expire = now.UnixMilli() + req.RetentionTimeMillis
	}
	for _, rt := range req.Topics {
		name, id, partitions, err := resolve(topics, rt.Topic, rt.TopicID, req.Version >= commitTopicID)
		t := kmsg.NewOffsetCommitResponseTopic()
		t.Topic, t.TopicID = rt.Topic, rt.TopicID
		t.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, 0, len(rt.Partitions))
		for _, rp := range rt.Partitions {
			p := kmsg.NewOffsetCommitResponseTopicPartition()
			p.Partition = rp.Partition
			switch {
			case err != nil:
				p.ErrorCode = err.Code
			case rp.Partition < 0 || rp.Partition >= partitions:
				p.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case javaLength(rp.Metadata) > l.env.Config.OffsetMetadataMaxBytes:
				p.ErrorCode = kerr.OffsetMetadataTooLarge.Code
			default:
				o := Offset{TopicID: id, Offset: rp.Offset, LeaderEpoch: -1, CommitTime: now.UnixMilli(), ExpireTime: expire}
				if req.Version >= commitLeaderEpoch {
					o.LeaderEpoch = rp.LeaderEpoch
				}
				if rp.Metadata != nil {
					o.Metadata = *rp.Metadata
				}
				records = append(records, offsetCommitted{req.Group, name, rp.Partition, o, version})
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return records
}

// offsetOverhead is what a commit record takes besides its strings, at most.
const offsetOverhead = 96

// commitBytes bounds what the records of a commit take. A request may name the same partition any number of times, so
// that its own size says little.
func commitBytes(group string, records []record) int {
	n := len(records) * (offsetOverhead + len(group))
	for _, r := range records {
		switch r := r.(type) {
		case offsetCommitted:
			n += len(r.topic) + len(r.offset.Metadata)
		case offsetPending:
			n += len(r.topic) + len(r.offset.Metadata)
		}
	}
	return n
}

// resolve finds a topic by what the request names it by.
func resolve(topics Topics, name string, id [16]byte, byID bool) (string, [16]byte, int32, *kerr.Error) {
	if byID {
		name, partitions, ok := topics.ByID(id)
		if !ok {
			return "", id, 0, kerr.UnknownTopicID
		}
		return name, id, partitions, nil
	}
	id, partitions, ok := topics.ByName(name)
	if !ok {
		return name, id, 0, kerr.UnknownTopicOrPartition
	}
	return name, id, partitions, nil
}

// validateCommit checks that the committer may commit: a member of the current generation, or, with generation -1,
// anybody while the group has no members. A commit keeps the member's session alive.
func (l *Leader) validateCommit(now time.Time, req *kmsg.OffsetCommitRequest) *kerr.Error {
	if g := l.consumers[req.Group]; g != nil {
		return l.validateConsumerCommit(g, req)
	}
	g := l.find(req.Group)
	if g == nil {
		switch {
		case l.shares[req.Group] != nil:
			return kerr.GroupIDNotFound // it has no committed offsets
		case req.Generation < 0:
			return nil // a simple group, created by this commit
		case req.Version >= commitGroupIDNotFound:
			return kerr.GroupIDNotFound
		default:
			return kerr.IllegalGeneration
		}
	}
	if req.Generation < 0 && g.state == stateEmpty {
		return nil
	}
	if req.Generation < 0 && req.MemberID == "" && req.InstanceID == nil {
		return kerr.UnknownMemberID
	}
	m, err := g.validate(req.MemberID, req.InstanceID)
	if err != nil {
		return err
	}
	switch {
	case req.Generation != g.generation:
		return kerr.IllegalGeneration
	case g.state == stateCompletingRebalance:
		return kerr.RebalanceInProgress
	}
	l.touch(m, now)
	return nil
}

// javaLength is String.length of s: UTF-16 code units, which is what Kafka's limits count.
func javaLength(s *string) (n int) {
	if s == nil {
		return 0
	}
	for _, r := range *s {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}
