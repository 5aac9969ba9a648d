package sharegroup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/protocol"
)

// Kind is a decision about a message; the values are Kafka's.
type Kind int8

// The decisions.
const (
	Gap     Kind = 0 // there is no message at this offset
	Accept  Kind = 1 // done
	Release Kind = 2 // to be delivered again
	Reject  Kind = 3 // never to be delivered again
	Renew   Kind = 4 // still at work
)

// Place is where a message is in its topic.
type Place struct {
	Partition int32
	Offset    int64
}

// chunkSize is how many offsets of a partition one request decides about.
const chunkSize = 5000

// Acknowledge decides about messages that the member holds, and returns an error for each place where that failed:
// INVALID_RECORD_STATE where it does not hold the message any more. span is how long a renewed lock lasts (0: as the
// group's), or how long a released message is not delivered.
func (m *Member) Acknowledge(ctx context.Context, kind Kind, span time.Duration, places []Place) map[Place]error {
	d := decision{member: m, kind: kind, span: span, work: chunked(places), failed: map[Place]error{}}
	began := time.Now()
	for len(d.work) > 0 {
		err := d.round(ctx)
		if err == nil {
			began = time.Now()
			continue
		}
		if err := m.recover(ctx, err, began); err != nil {
			d.giveUp(err)
		}
	}
	return d.failed
}

// chunked sorts the places by partition, into runs that are decided about together.
func chunked(places []Place) map[int32][][]int64 {
	offsets := map[int32][]int64{}
	for _, place := range places {
		offsets[place.Partition] = append(offsets[place.Partition], place.Offset)
	}
	work := map[int32][][]int64{}
	for partition, list := range offsets {
		slices.Sort(list)
		work[partition] = slices.Collect(slices.Chunk(slices.Compact(list), chunkSize))
	}
	return work
}

// decision is one call of Acknowledge.
type decision struct {
	member *Member
	kind   Kind
	span   time.Duration
	work   map[int32][][]int64 // by partition, what is yet to be decided, in chunks
	failed map[Place]error
}

// round sends the last chunk of each partition to its leader. An error means that something has to be tried again.
func (d *decision) round(ctx context.Context) (failed error) {
	byLink := map[*link]map[int32][]int64{}
	d.member.mu.Lock()
	for partition, chunks := range d.work {
		l := d.member.leader[partition]
		if l == nil {
			failed = fmt.Errorf("%s/%d: %w", d.member.config.Topic, partition, kerr.LeaderNotAvailable)
			continue
		}
		if byLink[l] == nil {
			byLink[l] = map[int32][]int64{}
		}
		byLink[l][partition] = chunks[len(chunks)-1]
	}
	d.member.mu.Unlock()
	for l, offsets := range byLink {
		errs, err := d.send(ctx, l, offsets)
		if err != nil {
			failed = err
			continue
		}
		for partition := range offsets {
			if err := d.decided(partition, errs[partition]); err != nil {
				failed = fmt.Errorf("%s/%d: %w", d.member.config.Topic, partition, err)
			}
		}
	}
	return failed
}

func (d *decision) send(ctx context.Context, l *link, offsets map[int32][]int64) (map[int32]error, error) {
	if err := l.take(ctx); err != nil {
		return nil, err
	}
	defer l.give()
	return d.member.acknowledgeAt(ctx, l, d.kind, d.span, offsets)
}

// decided notes how the last chunk of a partition fared. A request decides about all its offsets or none, so a chunk with
// one that is not held any more is halved until it is found. The error is one to try again after.
func (d *decision) decided(partition int32, err error) error {
	chunks := d.work[partition]
	chunk := chunks[len(chunks)-1]
	switch {
	case err != nil && Temporary(err):
		return err
	case err != nil && len(chunk) > 1 && (errors.Is(err, kerr.InvalidRecordState) || errors.Is(err, kerr.InvalidRequest)):
		half := len(chunk) / 2
		d.work[partition] = append(chunks[:len(chunks)-1], chunk[:half], chunk[half:])
		return nil
	case err != nil:
		for _, offset := range chunk {
			d.failed[Place{partition, offset}] = err
		}
	}
	if d.work[partition] = chunks[:len(chunks)-1]; len(d.work[partition]) == 0 {
		delete(d.work, partition)
	}
	return nil
}

// giveUp ends the call: all that is left fails.
func (d *decision) giveUp(err error) {
	for partition, chunks := range d.work {
		for _, chunk := range chunks {
			for _, offset := range chunk {
				d.failed[Place{partition, offset}] = err
			}
		}
	}
	clear(d.work)
}

// acknowledgeAt sends one request on a link whose turn the caller has. It returns an error per partition, or one of the whole.
func (m *Member) acknowledgeAt(ctx context.Context, l *link, kind Kind, span time.Duration, offsets map[int32][]int64) (map[int32]error, error) {
	if l.epoch == 0 {
		// Only a fetch opens a session. This one asks for nothing.
		if _, err := m.request(ctx, l, m.fetchRequest(0)); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	topicID := m.topicID
	m.mu.Unlock()
	req := kmsg.NewPtrShareAcknowledgeRequest()
	req.GroupID, req.MemberID, req.ShareSessionEpoch = &m.config.Group, &m.id, l.epoch
	req.IsRenewAck = kind == Renew
	switch {
	case kind == Renew && span > 0:
		protocol.SetMillisTag(&req.UnknownTags, protocol.TagRenewLock, span)
	case kind == Release && span > 0:
		protocol.SetMillisTag(&req.UnknownTags, protocol.TagReleaseDelay, span)
	}
	topic := kmsg.NewShareAcknowledgeRequestTopic()
	topic.TopicID = topicID
	for partition, list := range offsets {
		p := kmsg.NewShareAcknowledgeRequestTopicPartition()
		p.Partition, p.AcknowledgementBatches = partition, batches(kind, list)
		topic.Partitions = append(topic.Partitions, p)
	}
	req.Topics = append(req.Topics, topic)
	resp, err := m.request(ctx, l, req)
	if err != nil {
		return nil, err
	}
	errs := map[int32]error{}
	for _, topic := range resp.(*kmsg.ShareAcknowledgeResponse).Topics {
		for _, p := range topic.Partitions {
			if topic.TopicID == topicID {
				errs[p.Partition] = codeError(p.ErrorCode, p.ErrorMessage)
			}
		}
	}
	return errs, nil
}

// batches writes ascending offsets as ranges.
func batches(kind Kind, offsets []int64) []kmsg.ShareAcknowledgeRequestTopicPartitionAcknowledgementBatch {
	var list []kmsg.ShareAcknowledgeRequestTopicPartitionAcknowledgementBatch
	for _, offset := range offsets {
		if last := len(list) - 1; last >= 0 && list[last].LastOffset == offset-1 {
			list[last].LastOffset = offset
			continue
		}
		b := kmsg.NewShareAcknowledgeRequestTopicPartitionAcknowledgementBatch()
		b.FirstOffset, b.LastOffset, b.AcknowledgeTypes = offset, offset, []int8{int8(kind)}
		list = append(list, b)
	}
	return list
}
