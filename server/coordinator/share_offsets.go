package coordinator

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/invariant"
	"balsa/protocol"
	"balsa/server/cluster"
	"balsa/server/group"
)

// maxDescribedGroups bounds of how many groups the offsets are looked up at once for one request.
const maxDescribedGroups = 16

// describeShareOffsets answers DescribeShareGroupOffsets: the groups' coordinators know which partitions, their leaders know the
// offsets.
func (h *Host) describeShareOffsets(ctx context.Context, client group.Client, req *kmsg.DescribeShareGroupOffsetsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeShareGroupOffsetsResponse)
	resp.Groups = make([]kmsg.DescribeShareGroupOffsetsResponseGroup, len(req.Groups))
	room := make(chan struct{}, maxDescribedGroups)
	var described sync.WaitGroup
	for i, asked := range req.Groups {
		room <- struct{}{}
		described.Go(func() {
			defer func() { <-room }()
			one := *req
			one.Groups = []kmsg.DescribeShareGroupOffsetsRequestGroup{asked}
			answer := h.one(ctx, client, asked.GroupID, &one).(*kmsg.DescribeShareGroupOffsetsResponse)
			resp.Groups[i] = answer.Groups[0]
			h.fillShareOffsets(ctx, &resp.Groups[i], protocol.HasTag(&asked.UnknownTags, protocol.TagWantDecided))
		})
	}
	described.Wait()
	return resp
}

// fillShareOffsets asks the partitions' leaders for what the coordinator left open.
func (h *Host) fillShareOffsets(ctx context.Context, g *kmsg.DescribeShareGroupOffsetsResponseGroup, decided bool) {
	var partitions []cluster.TopicPartition
	var places []*kmsg.DescribeShareGroupOffsetsResponseGroupTopicPartition
	for i := range g.Topics {
		t := &g.Topics[i]
		if t.TopicID == (cluster.TopicID{}) {
			continue // it does not exist, so it has no offsets
		}
		for j := range t.Partitions {
			partitions = append(partitions, cluster.TopicPartition{Topic: t.TopicID, Partition: t.Partitions[j].Partition})
			places = append(places, &t.Partitions[j])
		}
	}
	if len(partitions) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, h.config.shareTimeout())
	defer cancel()
	states := h.config.Shares.Describe(ctx, g.GroupID, decided, partitions)
	invariant.Check(len(states) == len(partitions), "%d answers for %d share partitions", len(states), len(partitions))
	for i, state := range states {
		describeSharePartition(places[i], state)
	}
}

// describeSharePartition fills in what is known of a share partition. Where there is none that is no error, as in Kafka; but that its
// leader does not answer is.
func describeSharePartition(p *kmsg.DescribeShareGroupOffsetsResponseGroupTopicPartition, s ShareState) {
	switch err := shareError(s.Err); err {
	case nil:
	case kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.GroupIDNotFound:
		return
	default:
		p.ErrorCode, p.ErrorMessage = err.Code, kmsg.StringPtr(err.Description)
		return
	}
	if s.Start < 0 {
		return
	}
	p.StartOffset, p.LeaderEpoch, p.Lag = s.Start, s.LeaderEpoch, s.Lag
	protocol.SetCountTag(&p.UnknownTags, protocol.TagInFlight, s.InFlight)
	protocol.SetCountTag(&p.UnknownTags, protocol.TagDelayed, s.Delayed)
	protocol.SetCountTag(&p.UnknownTags, protocol.TagDeadLettering, s.DeadLettering)
	if len(s.Decided) > 0 {
		ranges := make([]protocol.OffsetRange, len(s.Decided))
		for i, r := range s.Decided {
			ranges[i] = protocol.OffsetRange{First: int64(r.First), Last: int64(r.Last)}
		}
		protocol.SetRangesTag(&p.UnknownTags, protocol.TagDecided, ranges)
	}
}
