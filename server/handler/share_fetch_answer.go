package handler

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log"
	"balsa/protocol"
	"balsa/server/cluster"
)

// reply encodes the answer and hands over the records. What was taken is answered also when the client is beyond its quota thereby:
// it waits after that.
func (f *sharing) reply(r *Request, throttle time.Duration) Reply {
	resp := protocol.ShareFetchResponse{LockMillis: f.broker.shareLockMillis(f.group, f.lock)}
	who := leaders{broker: f.broker, img: f.broker.Metadata.Image()}
	var records []log.Slice
	var size int64
	for _, topic := range f.named() {
		t := protocol.ShareFetchTopic{TopicID: topic[0].Topic}
		for _, p := range topic {
			f.addOutcomes(p, &who)
			t.Partitions = append(t.Partitions, p.answer)
			if n := int64(len(p.records)); n > 0 {
				size += n
				records = append(records, log.InMemory(p.records, f.memory.Release))
			}
		}
		resp.Topics = append(resp.Topics, t)
	}
	if len(records) == 0 {
		f.memory.Release()
	}
	resp.NodeEndpoints = who.seen
	throttle = max(throttle, f.broker.chargeFetch(r, size))
	resp.ThrottleMillis = millis(throttle)
	frame, cuts, ok := protocol.AppendShareFetchResponse(nil, r.Header.CorrelationID, &resp)
	if !ok {
		// Only a single batch near 2 GiB could do this, and no limit lets one in.
		f.memory.Release()
		return Reply{Close: fmt.Errorf("share fetch response of more than 2 GiB")}
	}
	return Reply{Frame: frame, Cuts: cuts, Records: records, Throttle: throttle}
}

// named returns the partitions that the answer names, by topic: those with news, and those that were acknowledged, also if they are not
// in the session.
func (f *sharing) named() [][]*shared {
	var topics [][]*shared
	at := make(map[cluster.TopicID]int)
	add := func(p *shared) {
		i, known := at[p.Topic]
		if !known {
			i = len(topics)
			at[p.Topic] = i
			topics = append(topics, nil)
		}
		topics[i] = append(topics[i], p)
	}
	include := f.context.close(f.results)
	answered := make(map[cluster.TopicPartition]bool, len(f.acks.partitions))
	for i := range f.results {
		p := &f.results[i]
		_, acknowledged := f.acks.at[p.TopicPartition]
		if include[i] || acknowledged {
			add(p)
			answered[p.TopicPartition] = acknowledged
		}
	}
	for i := range f.acks.partitions {
		if p := &f.acks.partitions[i]; !answered[p.TopicPartition] {
			add(&shared{TopicPartition: p.TopicPartition, topicID: p.topicID, answer: protocol.NewShareFetchPartition(p.Partition)})
		}
	}
	return topics
}

// addOutcomes adds what became of the acknowledgements, and who leads the partition if this broker does not.
func (f *sharing) addOutcomes(p *shared, who *leaders) {
	a := &p.answer
	if i, acknowledged := f.acks.at[p.TopicPartition]; acknowledged {
		ack := &f.acks.partitions[i]
		a.AcknowledgeErrorCode, a.AcknowledgeErrorMessage = ack.code(), errorMessage(ack.err)
	}
	if isNotLeader(a.ErrorCode) || isNotLeader(a.AcknowledgeErrorCode) {
		a.CurrentLeader, a.CurrentLeaderEpoch = who.elsewhere(p.topicID, p.Partition)
	}
}

// shareFetchError answers a ShareFetch that failed as a whole. As in Kafka, one for whose session there is no room waits as long as it
// would for records, because its client asks again at once.
func (b *Broker) shareFetchError(r *Request, err error) Reply {
	req, _ := r.Body.(*kmsg.ShareFetchRequest)
	resp := newResponse[*kmsg.ShareFetchResponse](req)
	resp.ErrorCode, resp.ErrorMessage = errorCode(err), errorMessage(err)
	if errors.Is(err, kerr.ShareSessionLimitReached) && req.MaxWaitMillis > 0 {
		timer := time.NewTimer(time.Duration(req.MaxWaitMillis) * time.Millisecond)
		defer timer.Stop()
		r.work.pause()
		select {
		case <-timer.C:
		case <-r.Waiting.Done():
		}
		r.work.resume()
	}
	return Reply{Message: resp}
}
