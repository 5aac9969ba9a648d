package group

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func joinError(memberID string, err *kerr.Error) *kmsg.JoinGroupResponse {
	r := kmsg.NewPtrJoinGroupResponse()
	r.Generation = -1
	r.MemberID = memberID
	r.ErrorCode = err.Code
	return r
}

func syncError(err *kerr.Error) *kmsg.SyncGroupResponse {
	r := kmsg.NewPtrSyncGroupResponse()
	r.ErrorCode = err.Code
	return r
}

// nullable returns nil for "": Kafka's clients expect a protocol that is not there to be null.
func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func code(err *kerr.Error) int16 {
	if err == nil {
		return 0
	}
	return err.Code
}

// ErrorResponse answers a whole group request with err, in the place where that request's clients look for it. It
// returns nil for requests that are not group requests.
func ErrorResponse(req kmsg.Request, err *kerr.Error) kmsg.Response {
	resp := req.ResponseKind()
	switch r := resp.(type) {
	case *kmsg.JoinGroupResponse:
		r.Generation = -1
		r.MemberID = req.(*kmsg.JoinGroupRequest).MemberID
		r.ErrorCode = err.Code
	case *kmsg.SyncGroupResponse:
		r.ErrorCode = err.Code
	case *kmsg.HeartbeatResponse:
		r.ErrorCode = err.Code
	case *kmsg.LeaveGroupResponse:
		r.ErrorCode = err.Code
	case *kmsg.OffsetCommitResponse:
		commitError(r, req.(*kmsg.OffsetCommitRequest), err)
	case *kmsg.ConsumerGroupHeartbeatResponse:
		r.ErrorCode = err.Code
	case *kmsg.ConsumerGroupDescribeResponse:
		for _, id := range req.(*kmsg.ConsumerGroupDescribeRequest).Groups {
			g := kmsg.NewConsumerGroupDescribeResponseGroup()
			g.Group, g.ErrorCode = id, err.Code
			r.Groups = append(r.Groups, g)
		}
	case *kmsg.ShareGroupHeartbeatResponse:
		r.ErrorCode = err.Code
	case *kmsg.ShareGroupDescribeResponse:
		for _, id := range req.(*kmsg.ShareGroupDescribeRequest).GroupIDs {
			g := kmsg.NewShareGroupDescribeResponseGroup()
			g.GroupID, g.ErrorCode = id, err.Code
			r.Groups = append(r.Groups, g)
		}
	case *kmsg.DescribeShareGroupOffsetsResponse:
		for _, asked := range req.(*kmsg.DescribeShareGroupOffsetsRequest).Groups {
			g := kmsg.NewDescribeShareGroupOffsetsResponseGroup()
			g.GroupID, g.ErrorCode = asked.GroupID, err.Code
			r.Groups = append(r.Groups, g)
		}
	case *kmsg.AlterShareGroupOffsetsResponse:
		r.ErrorCode = err.Code
	case *kmsg.DeleteShareGroupOffsetsResponse:
		r.ErrorCode = err.Code
	case *kmsg.TxnOffsetCommitResponse:
		txnCommitError(r, req.(*kmsg.TxnOffsetCommitRequest), err)
	case *kmsg.OffsetFetchResponse:
		fetchError(r, req.(*kmsg.OffsetFetchRequest), err)
	case *kmsg.OffsetDeleteResponse:
		r.ErrorCode = err.Code
	case *kmsg.ListGroupsResponse:
		r.ErrorCode = err.Code
	case *kmsg.DescribeGroupsResponse:
		for _, id := range req.(*kmsg.DescribeGroupsRequest).Groups {
			g := kmsg.NewDescribeGroupsResponseGroup()
			g.Group, g.ErrorCode = id, err.Code
			r.Groups = append(r.Groups, g)
		}
	case *kmsg.DeleteGroupsResponse:
		for _, id := range req.(*kmsg.DeleteGroupsRequest).Groups {
			g := kmsg.NewDeleteGroupsResponseGroup()
			g.Group, g.ErrorCode = id, err.Code
			r.Groups = append(r.Groups, g)
		}
	default:
		return nil
	}
	return resp
}

func commitError(resp *kmsg.OffsetCommitResponse, req *kmsg.OffsetCommitRequest, err *kerr.Error) {
	for _, rt := range req.Topics {
		t := kmsg.NewOffsetCommitResponseTopic()
		t.Topic, t.TopicID = rt.Topic, rt.TopicID
		for _, rp := range rt.Partitions {
			p := kmsg.NewOffsetCommitResponseTopicPartition()
			p.Partition, p.ErrorCode = rp.Partition, err.Code
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
}

func txnCommitError(resp *kmsg.TxnOffsetCommitResponse, req *kmsg.TxnOffsetCommitRequest, err *kerr.Error) {
	for _, rt := range req.Topics {
		t := kmsg.NewTxnOffsetCommitResponseTopic()
		t.Topic = rt.Topic
		for _, rp := range rt.Partitions {
			p := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			p.Partition, p.ErrorCode = rp.Partition, err.Code
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
}

// fetchError answers in the form of version 8 (one group), or in an old client's own form: versions 0 and 1 have no
// error for the whole response, so each partition gets it.
func fetchError(resp *kmsg.OffsetFetchResponse, req *kmsg.OffsetFetchRequest, err *kerr.Error) {
	for _, rg := range req.Groups {
		g := kmsg.NewOffsetFetchResponseGroup()
		g.Group, g.ErrorCode = rg.Group, err.Code
		resp.Groups = append(resp.Groups, g)
	}
	resp.ErrorCode = err.Code
	if req.Version >= 2 {
		return
	}
	for _, rt := range req.Topics {
		t := kmsg.NewOffsetFetchResponseTopic()
		t.Topic = rt.Topic
		for _, partition := range rt.Partitions {
			p := kmsg.NewOffsetFetchResponseTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = partition, -1, -1, kmsg.StringPtr(""), err.Code
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
}
