package coordinator

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/group"
)

// Requests about several groups are split by group, since each may be in another shard, and joined again.

// fetchGroups is the first version of OffsetFetch for several groups.
const fetchGroups = 8

func (h *Host) fetchOffsets(ctx context.Context, client group.Client, req *kmsg.OffsetFetchRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	if req.Version < fetchGroups {
		one := fetchOne(req, oldFetchGroup(req))
		answer := h.one(ctx, client, req.Group, one).(*kmsg.OffsetFetchResponse)
		return oldFetchResponse(req, answer.Groups[0])
	}
	calls := make([]*call, len(req.Groups))
	for i, g := range req.Groups {
		calls[i] = h.send(client, g.Group, fetchOne(req, g))
	}
	for _, c := range calls {
		resp.Groups = append(resp.Groups, c.wait(ctx, h.config.CommitTimeout).(*kmsg.OffsetFetchResponse).Groups...)
	}
	return resp
}

// fetchOne is a request for one group.
func fetchOne(req *kmsg.OffsetFetchRequest, g kmsg.OffsetFetchRequestGroup) *kmsg.OffsetFetchRequest {
	one := kmsg.NewPtrOffsetFetchRequest()
	one.Version = req.Version
	one.RequireStable = req.RequireStable
	one.Groups = []kmsg.OffsetFetchRequestGroup{g}
	return one
}

// oldFetchGroup is what a request before version 8 asks for, in the form of version 8.
func oldFetchGroup(req *kmsg.OffsetFetchRequest) kmsg.OffsetFetchRequestGroup {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = req.Group
	if req.Topics == nil {
		return g
	}
	g.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, len(req.Topics))
	for i, t := range req.Topics {
		g.Topics[i] = kmsg.NewOffsetFetchRequestGroupTopic()
		g.Topics[i].Topic, g.Topics[i].Partitions = t.Topic, t.Partitions
	}
	return g
}

// oldFetchResponse turns a group's answer into a response before version 8.
func oldFetchResponse(req *kmsg.OffsetFetchRequest, g kmsg.OffsetFetchResponseGroup) kmsg.Response {
	if g.ErrorCode != 0 {
		return group.ErrorResponse(req, kerr.TypedErrorForCode(g.ErrorCode))
	}
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	for _, gt := range g.Topics {
		t := kmsg.NewOffsetFetchResponseTopic()
		t.Topic = gt.Topic
		for _, gp := range gt.Partitions {
			p := kmsg.NewOffsetFetchResponseTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch = gp.Partition, gp.Offset, gp.LeaderEpoch
			p.Metadata, p.ErrorCode = gp.Metadata, gp.ErrorCode
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// listGroups asks all shards that are led here; a client asks every broker. While one of them is loading the list would
// be incomplete, so the client has to come back.
func (h *Host) listGroups(ctx context.Context, client group.Client, req *kmsg.ListGroupsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
	for _, s := range h.all() {
		c := newCall(req)
		s.handle(client, c)
		part := c.wait(ctx, h.config.CommitTimeout).(*kmsg.ListGroupsResponse)
		switch part.ErrorCode {
		case 0:
			resp.Groups = append(resp.Groups, part.Groups...)
		case kerr.NotCoordinator.Code:
		default:
			return part
		}
	}
	return resp
}

func (h *Host) describeGroups(ctx context.Context, client group.Client, req *kmsg.DescribeGroupsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
	for _, id := range req.Groups {
		one := *req
		one.Groups = []string{id}
		resp.Groups = append(resp.Groups, h.one(ctx, client, id, &one).(*kmsg.DescribeGroupsResponse).Groups...)
	}
	return resp
}

func (h *Host) describeConsumerGroups(ctx context.Context, client group.Client, req *kmsg.ConsumerGroupDescribeRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ConsumerGroupDescribeResponse)
	for _, id := range req.Groups {
		one := *req
		one.Groups = []string{id}
		resp.Groups = append(resp.Groups, h.one(ctx, client, id, &one).(*kmsg.ConsumerGroupDescribeResponse).Groups...)
	}
	return resp
}

func (h *Host) describeShareGroups(ctx context.Context, client group.Client, req *kmsg.ShareGroupDescribeRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ShareGroupDescribeResponse)
	for _, id := range req.GroupIDs {
		one := *req
		one.GroupIDs = []string{id}
		resp.Groups = append(resp.Groups, h.one(ctx, client, id, &one).(*kmsg.ShareGroupDescribeResponse).Groups...)
	}
	return resp
}

func (h *Host) deleteGroups(ctx context.Context, client group.Client, req *kmsg.DeleteGroupsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
	calls := make([]*call, 0, len(req.Groups))
	seen := map[string]bool{}
	for _, id := range req.Groups {
		if !seen[id] { // a group named twice is answered once
			seen[id] = true
			one := *req
			one.Groups = []string{id}
			calls = append(calls, h.send(client, id, &one))
		}
	}
	deadline := time.Now().Add(h.config.CommitTimeout)
	for _, c := range calls {
		resp.Groups = append(resp.Groups, c.wait(ctx, time.Until(deadline)).(*kmsg.DeleteGroupsResponse).Groups...)
	}
	return resp
}
