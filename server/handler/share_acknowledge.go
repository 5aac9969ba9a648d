package handler

import (
	"context"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/invariant"
	"balsa/protocol"
	"balsa/server/cluster"
	"balsa/server/partition"
	"balsa/server/share"
)

const (
	// shareCommitWait is how long answers wait for what they promise to be durable. Clients give up after 30 s (request.timeout.ms).
	shareCommitWait = 20 * time.Second
	// longestShareLock bounds locks and delays that a request asks for (Amazon SQS's limit of a visibility timeout).
	longestShareLock = 12 * time.Hour
	// maxShareMember bounds member ids in characters, as in Kafka: they are UUIDs. Those of detached members have a prefix.
	maxShareMember = 36
	// maxShareGroup bounds group ids, which sessions keep, in bytes. It is what a Kafka string can hold.
	maxShareGroup = 1<<15 - 1
	// maxShareAcks bounds the types of acknowledgement that a request has for one partition, and with them its batches. It is the
	// largest share.partition.max.record.locks: nobody has more records to acknowledge.
	maxShareAcks = 1_000_000
)

// shareRefusal returns what is wrong with a request of share groups as a whole.
func (b *Broker) shareRefusal(group, member *string) error {
	switch {
	case b.Metadata.Image().Feature(cluster.FeatureShare) < 1:
		return kerr.UnsupportedVersion
	case group == nil || len(*group) > maxShareGroup:
		return fmt.Errorf("%w: not a group id", kerr.InvalidRequest)
	case member == nil || !isShareMember(*member):
		return fmt.Errorf("%w: not a member id", kerr.InvalidRequest)
	}
	return nil
}

func isShareMember(member string) bool {
	most := maxShareMember
	if share.Detached(member) {
		most += len(share.DetachedPrefix)
	}
	return member != "" && utf8.RuneCountInString(member) <= most
}

// shareTime returns a time that a tagged field of a request asks for; 0 when it does not.
func shareTime(tags *kmsg.Tags, tag uint32) (time.Duration, error) {
	d, err := protocol.MillisTag(tags, tag)
	if err != nil || d > longestShareLock {
		return 0, fmt.Errorf("%w: tag %d must be at most %d ms", kerr.InvalidRequest, tag, longestShareLock.Milliseconds())
	}
	return d, nil
}

// shareLockMillis is how long a group's members have for what they acquire, unless they ask for another time.
func (b *Broker) shareLockMillis(group string, asked time.Duration) int32 {
	if asked > 0 {
		return int32(asked.Milliseconds())
	}
	value := b.Configs.GroupValue(b.Metadata.Image(), group, "share.record.lock.duration.ms")
	ms, err := strconv.ParseInt(value, 10, 32)
	invariant.Check(err == nil, "share.record.lock.duration.ms of group %q is %q", group, value)
	return int32(ms)
}

// acknowledging is the acknowledgements of one request, which may be part of a fetch.
type acknowledging struct {
	broker        *Broker
	group, member string
	renew         bool          // renewing is allowed
	lock          time.Duration // of renewed records; 0: the group's
	delay         time.Duration // of released records
	keep          bool          // the outcome is waited for after other things
	partitions    []acknowledged
	at            map[cluster.TopicPartition]int
}

// acknowledged is what is acknowledged of one partition, and what became of it.
type acknowledged struct {
	cluster.TopicPartition // by the id that clients know

	acks    []share.Ack
	types   int             // in acks
	topicID cluster.TopicID // which it is by, here
	change  ShareChange     // nil when there is nothing to wait for
	err     error
}

// partition returns the entry of a partition, which may be named several times.
func (a *acknowledging) partition(key cluster.TopicPartition) *acknowledged {
	i, known := a.at[key]
	if !known {
		if a.at == nil {
			a.at = make(map[cluster.TopicPartition]int)
		}
		i = len(a.partitions)
		a.at[key] = i
		a.partitions = append(a.partitions, acknowledged{TopicPartition: key})
	}
	return &a.partitions[i]
}

// add notes one batch, if it is well formed and follows those before it.
func (a *acknowledging) add(p *acknowledged, first, last int64, types []int8) {
	n := len(p.acks)
	switch {
	case p.err != nil:
		return
	case first < 0 || first > last:
		p.err = fmt.Errorf("%w: offsets %d to %d", kerr.InvalidRequest, first, last)
		return
	case n > 0 && share.Offset(first) <= p.acks[n-1].Last:
		p.err = fmt.Errorf("%w: offset %d does not follow %d", kerr.InvalidRequest, first, p.acks[n-1].Last)
		return
	case p.types+len(types) > maxShareAcks:
		p.err = fmt.Errorf("%w: more than %d acknowledgements", kerr.InvalidRequest, maxShareAcks)
		return
	case len(types) != 1 && int64(len(types)-1) != last-first:
		p.err = fmt.Errorf("%w: %d types for offsets %d to %d", kerr.InvalidRequest, len(types), first, last)
		return
	}
	ack := share.Ack{First: share.Offset(first), Last: share.Offset(last), Types: make([]share.AckType, len(types))}
	for i, t := range types {
		if t < int8(share.Gap) || t > int8(share.Renew) || t == int8(share.Renew) && !a.renew {
			p.err = fmt.Errorf("%w: type %d", kerr.InvalidRequest, t)
			return
		}
		ack.Types[i] = share.AckType(t)
	}
	p.acks, p.types = append(p.acks, ack), p.types+len(types)
}

// start decides about all records; what is then acquired is so after that.
func (a *acknowledging) start(img *cluster.Image) {
	for i := range a.partitions {
		p := &a.partitions[i]
		t, err := topicWithID(img, p.Topic)
		if err != nil {
			p.err = err
			continue
		}
		p.topicID = t.ID
		if p.err == nil {
			p.change, p.err = a.change(t, p)
		}
	}
}

func (a *acknowledging) change(t *cluster.Topic, p *acknowledged) (ShareChange, error) {
	r, err := a.broker.replica(t, p.Partition)
	if err != nil || len(p.acks) == 0 {
		return nil, err
	}
	return r.ShareAcknowledge(partition.ShareAcknowledge{
		Group: a.group, Member: a.member, Acks: p.acks, Lock: a.lock, Delay: a.delay, Keep: a.keep,
	})
}

// wait returns when all outcomes are known.
func (a *acknowledging) wait(ctx context.Context) {
	for i := range a.partitions {
		if p := &a.partitions[i]; p.change != nil {
			p.err = p.change.Wait(ctx)
		}
	}
}

// code returns the error of a partition. A group without a share partition is answered as Kafka does.
func (p *acknowledged) code() int16 {
	code := errorCode(p.err)
	if code == kerr.GroupIDNotFound.Code {
		return kerr.UnknownTopicOrPartition.Code
	}
	return code
}

// shareAcknowledge answers ShareAcknowledge.
func (b *Broker) shareAcknowledge(ctx context.Context, r *Request) Reply {
	req, _ := r.Body.(*kmsg.ShareAcknowledgeRequest)
	resp := newResponse[*kmsg.ShareAcknowledgeResponse](req)
	a, session, err := b.beginAcknowledge(req)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = errorCode(err), errorMessage(err)
		return Reply{Message: resp}
	}
	a.start(b.Metadata.Image())
	r.work.pause()
	ctx, cancel := context.WithTimeout(ctx, shareCommitWait)
	defer cancel()
	a.wait(ctx)
	r.work.resume()
	if req.ShareSessionEpoch == finalEpoch {
		b.releaseShares(session.end())
	}
	resp.AcquisitionLockTimeoutMillis = b.shareLockMillis(a.group, a.lock)
	a.answer(resp)
	return Reply{Message: resp}
}

// beginAcknowledge reads a ShareAcknowledge request and finds its session.
func (b *Broker) beginAcknowledge(req *kmsg.ShareAcknowledgeRequest) (*acknowledging, *shareContext, error) {
	if err := b.shareRefusal(req.GroupID, req.MemberID); err != nil {
		return nil, nil, err
	}
	a := &acknowledging{broker: b, group: *req.GroupID, member: *req.MemberID, renew: req.IsRenewAck}
	var err error
	if a.lock, err = shareTime(&req.UnknownTags, protocol.TagRenewLock); err != nil {
		return nil, nil, err
	}
	if a.delay, err = shareTime(&req.UnknownTags, protocol.TagReleaseDelay); err != nil {
		return nil, nil, err
	}
	session, err := b.shares.acknowledge(shareKey{a.group, a.member}, req.ShareSessionEpoch)
	if err != nil {
		return nil, nil, err
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			rp := &t.Partitions[j]
			p := a.partition(cluster.TopicPartition{Topic: t.TopicID, Partition: rp.Partition})
			for k := range rp.AcknowledgementBatches {
				batch := &rp.AcknowledgementBatches[k]
				a.add(p, batch.FirstOffset, batch.LastOffset, batch.AcknowledgeTypes)
			}
		}
	}
	return a, session, nil
}

// answer fills in the outcome of each partition.
func (a *acknowledging) answer(resp *kmsg.ShareAcknowledgeResponse) {
	who := leaders{broker: a.broker, img: a.broker.Metadata.Image()}
	topics := make(map[cluster.TopicID]int)
	for i := range a.partitions {
		p := &a.partitions[i]
		at, known := topics[p.Topic]
		if !known {
			at = len(resp.Topics)
			topics[p.Topic] = at
			t := kmsg.NewShareAcknowledgeResponseTopic()
			t.TopicID = p.Topic
			resp.Topics = append(resp.Topics, t)
		}
		rp := kmsg.NewShareAcknowledgeResponseTopicPartition()
		rp.Partition, rp.ErrorCode, rp.ErrorMessage = p.Partition, p.code(), errorMessage(p.err)
		rp.CurrentLeader.LeaderID, rp.CurrentLeader.LeaderEpoch = -1, -1
		if isNotLeader(rp.ErrorCode) {
			rp.CurrentLeader.LeaderID, rp.CurrentLeader.LeaderEpoch = who.elsewhere(p.topicID, p.Partition)
		}
		resp.Topics[at].Partitions = append(resp.Topics[at].Partitions, rp)
	}
	for _, n := range who.seen {
		e := kmsg.NewShareAcknowledgeResponseNodeEndpoint()
		e.NodeID, e.Host, e.Port, e.Rack = n.NodeID, n.Host, n.Port, n.Rack
		resp.NodeEndpoints = append(resp.NodeEndpoints, e)
	}
}
