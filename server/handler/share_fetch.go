package handler

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/protocol"
	"balsa/server/cluster"
	"balsa/server/partition"
)

// The acquire modes of ShareFetch (KIP-1206).
const (
	acquireBatches = 0 // the batch that reaches the number of records asked for is taken whole
	acquireRecords = 1 // never more records than asked for
)

// sharing is one ShareFetch request.
type sharing struct {
	broker        *Broker
	req           *kmsg.ShareFetchRequest
	work          *stopwatch
	group, member string
	lock          time.Duration         // visibility timeout; 0: the group's
	context       *shareContext         // which partitions
	acks          acknowledging         // that came with it
	memory        *partition.ShareClaim // of the records
	maxBytes      int
	minBytes      int

	// Of the last attempt:
	results []shared
	records int  // taken
	bytes   int  // of their batches
	news    bool // an error that the client does not know of yet
}

// shared is the outcome for one partition; at the same position as in the context's list.
type shared struct {
	cluster.TopicPartition // by the id that clients know

	topicID   cluster.TopicID // which it is by, here
	replica   Replica         // nil when there is none here
	acquiring ShareAcquiring  // nil when nothing was acquired
	answer    protocol.ShareFetchPartition
	records   []byte
}

// shareFetch answers ShareFetch: it acknowledges, then acquires what is there, or what becomes available before max.wait is over.
func (b *Broker) shareFetch(ctx context.Context, r *Request) Reply {
	f, err := b.beginShareFetch(r)
	if err != nil {
		return b.shareFetchError(r, err)
	}
	throttle, most := b.fetchShare(r)
	f.memory = b.ShareMemory.Claim()
	f.maxBytes = b.ShareMemory.Most(min(int(f.req.MaxBytes), most))
	f.minBytes = min(int(f.req.MinBytes), f.maxBytes)
	fetches := f.req.ShareSessionEpoch != finalEpoch && !f.req.IsRenewAck && throttle == 0
	f.acks.keep = fetches && f.wantsRecords()
	f.acks.start(b.Metadata.Image())
	if fetches {
		f.run(r.Waiting)
	}
	f.wait(ctx)
	if f.req.ShareSessionEpoch == finalEpoch {
		b.releaseShares(f.context.end())
	}
	return f.reply(r, throttle)
}

// beginShareFetch reads a ShareFetch request and applies it to its session.
func (b *Broker) beginShareFetch(r *Request) (*sharing, error) {
	req, _ := r.Body.(*kmsg.ShareFetchRequest)
	if err := b.shareRefusal(req.GroupID, req.MemberID); err != nil {
		return nil, err
	}
	if err := refuseShareFetch(req); err != nil {
		return nil, err
	}
	f := &sharing{broker: b, req: req, work: &r.work, group: *req.GroupID, member: *req.MemberID}
	f.acks = acknowledging{broker: b, group: f.group, member: f.member, renew: req.IsRenewAck}
	f.readAcks()
	var err error
	if f.lock, err = shareTime(&req.UnknownTags, protocol.TagVisibility); err != nil {
		return nil, err
	}
	var replaced *endedShares
	f.context, replaced, err = b.shares.open(r.session, shareKey{f.group, f.member}, req, len(f.acks.partitions) > 0)
	b.releaseShares(replaced)
	return f, err
}

// refuseShareFetch returns what is wrong with the parameters of a request. One that renews must not fetch (KIP-1222): the fetch could
// take longer than the lock that was renewed.
func refuseShareFetch(req *kmsg.ShareFetchRequest) error {
	switch {
	case req.ShareAcquireMode != acquireBatches && req.ShareAcquireMode != acquireRecords:
		return fmt.Errorf("%w: acquire mode %d", kerr.InvalidRequest, req.ShareAcquireMode)
	case req.IsRenewAck && (req.MaxBytes != 0 || req.MinBytes != 0 || req.MaxRecords != 0 || req.MaxWaitMillis != 0):
		return fmt.Errorf("%w: max_bytes, min_bytes, max_records and max_wait_ms must be 0 if is_renew_ack is true", kerr.InvalidRequest)
	}
	return nil
}

func (f *sharing) readAcks() {
	for i := range f.req.Topics {
		t := &f.req.Topics[i]
		for j := range t.Partitions {
			rp := &t.Partitions[j]
			if len(rp.AcknowledgementBatches) == 0 {
				continue
			}
			p := f.acks.partition(cluster.TopicPartition{Topic: t.TopicID, Partition: rp.Partition})
			for k := range rp.AcknowledgementBatches {
				batch := &rp.AcknowledgementBatches[k]
				f.acks.add(p, batch.FirstOffset, batch.LastOffset, batch.AcknowledgeTypes)
			}
		}
	}
}

// run attempts until the request may be answered.
func (f *sharing) run(waiting context.Context) {
	if waiting.Err() != nil {
		return // nobody is there to take records
	}
	if !f.wantsRecords() || f.minBytes <= 0 || f.req.MaxWaitMillis <= 0 || len(f.context.partitions) == 0 {
		f.locate()
		f.attempt(0)
		return
	}
	timer := time.NewTimer(time.Duration(f.req.MaxWaitMillis) * time.Millisecond)
	defer timer.Stop()
	for f.attemptAndWait(waiting, timer.C) {
	}
}

// wantsRecords is false for requests that only acknowledge or change the session.
func (f *sharing) wantsRecords() bool { return f.req.MaxRecords > 0 && f.maxBytes > 0 }

// attemptAndWait attempts, and if that is not enough to answer with, parks the request; it returns true when it is worth attempting
// again. The waiter is registered before the attempt, so that nothing that becomes available after it is missed.
func (f *sharing) attemptAndWait(waiting context.Context, timeout <-chan time.Time) (again bool) {
	w := f.broker.Partitions.NewWaiter(int64(f.minBytes), false)
	f.locate()
	for i := range f.results {
		if r := f.results[i].replica; r != nil {
			r.ShareWatch(w, f.group)
			defer func() { r.ShareUnwatch(w, f.group, !again) }()
		}
	}
	f.attempt(f.minBytes)
	if f.records > 0 || f.news {
		return false
	}
	reason := f.park(waiting, timeout, w)
	if f.takeHanded(w, reason) {
		return false
	}
	switch reason {
	case parkedAvailable:
		return true
	case parkedTimeout:
		f.attempt(0)
	case parkedGone: // what would be acquired now, nobody would take or give back
	}
	return false
}

// parked is why a request waits no longer.
type parked int

const (
	parkedAvailable parked = iota // there may be records, or memory for them
	parkedTimeout
	parkedGone // the client, or its session
)

func (f *sharing) park(waiting context.Context, timeout <-chan time.Time, w Waiter) parked {
	f.work.pause()
	defer f.work.resume()
	reason := parkedGone
	records, memory := w.C(), f.memory.Queue()
	defer f.memory.Leave()
	if memory == nil {
		w.Offer(f.wanted(f.minBytes))
		defer w.Withdraw()
	} else {
		records = nil // that there are more helps nobody who has no room for those that are there
	}
	select {
	case <-records:
		reason = parkedAvailable
	case <-memory:
		reason = parkedAvailable
	case <-timeout:
		reason = parkedTimeout
	case <-waiting.Done():
	case <-f.context.session.ended:
	}
	if waiting.Err() != nil || f.context.over() {
		return parkedGone
	}
	return reason
}

// locate finds the partitions.
func (f *sharing) locate() {
	img := f.broker.Metadata.Image()
	f.results = f.results[:0]
	for i := range f.context.partitions {
		p := f.context.partitions[i].TopicPartition
		r := shared{TopicPartition: p, answer: protocol.NewShareFetchPartition(p.Partition)}
		t, err := topicWithID(img, p.Topic)
		if err == nil {
			r.topicID = t.ID
			r.replica, err = f.broker.replica(t, p.Partition)
		}
		if err != nil {
			r.replica = nil
			r.fail(err)
		}
		f.results = append(f.results, r)
	}
}

// attempt acquires what is there, if it is at least so many bytes. An error ends the waiting if the client has not been told of it: else
// it would ask in vain without a pause.
func (f *sharing) attempt(least int) {
	f.records, f.bytes, f.news = 0, 0, false
	defer f.memory.Settle()
	for i := range f.results {
		r := &f.results[i]
		if r.replica != nil {
			r.fail(nil)
			f.acquire(r, least)
		}
		code := r.answer.ErrorCode
		f.news = f.news || code != 0 && code != f.context.partitions[i].told
	}
}

// takeHanded takes what a partition has handed over while the request was parked, and says whether there is any.
func (f *sharing) takeHanded(w Waiter, reason parked) bool {
	for i := range f.results {
		r := &f.results[i]
		if r.replica == nil {
			continue
		}
		handed := r.replica.ShareHanded(w)
		switch {
		case handed == nil:
		case reason == parkedGone:
			r.replica.ShareReturn(f.group, f.member, handed)
			return true
		default:
			r.acquiring = handed
			f.records, f.bytes = handed.Taken()
			return true
		}
	}
	return false
}

// wanted is what the request would acquire of a partition, besides what it has, if that is at least so many bytes.
func (f *sharing) wanted(least int) partition.ShareAcquire {
	return partition.ShareAcquire{
		Group: f.group, Member: f.member, MaxRecords: int(f.req.MaxRecords) - f.records, BatchSize: max(int(f.req.BatchSize), 0),
		RecordLimit: f.req.ShareAcquireMode == acquireRecords, MaxBytes: f.maxBytes - f.bytes, MinOne: f.bytes == 0,
		MinBytes: max(least-f.bytes, 0), Lock: f.lock, Memory: f.memory,
	}
}

// acquire takes records of one partition, within what is left of the request's limits. As long as nothing has been taken, the first
// batch is, whatever its size (KIP-74).
func (f *sharing) acquire(r *shared, least int) {
	if f.records >= int(f.req.MaxRecords) || f.bytes >= f.maxBytes {
		return
	}
	taking, err := r.replica.ShareAcquire(f.wanted(least))
	if err != nil {
		r.fail(err)
		return
	}
	if r.acquiring = taking; taking != nil {
		n, size := taking.Taken()
		f.records, f.bytes = f.records+n, f.bytes+size
	}
}

// wait returns when everything that the answer will say is durable.
func (f *sharing) wait(ctx context.Context) {
	f.work.pause()
	defer f.work.resume()
	ctx, cancel := context.WithTimeout(ctx, shareCommitWait)
	defer cancel()
	f.acks.wait(ctx)
	for i := range f.results {
		r := &f.results[i]
		if r.acquiring == nil {
			continue
		}
		got, err := r.acquiring.Wait(ctx)
		if err != nil {
			r.fail(err)
			continue
		}
		r.records = got.Records
		r.answer.RecordBytes = int32(len(got.Records))
		r.answer.Acquired = make([]protocol.AcquiredRecords, len(got.Acquired))
		for j, a := range got.Acquired {
			r.answer.Acquired[j] = protocol.AcquiredRecords{FirstOffset: int64(a.First), LastOffset: int64(a.Last), DeliveryCount: a.DeliveryCount}
		}
	}
}

// fail sets a partition's error, nil for none, to one that share consumers know: Java's ends its application with any other.
func (r *shared) fail(err error) {
	a := &r.answer
	a.ErrorCode, a.ErrorMessage = errorCode(err), errorMessage(err)
	instead := kerr.UnknownServerError
	switch a.ErrorCode {
	case 0, kerr.NotLeaderForPartition.Code, kerr.FencedLeaderEpoch.Code, kerr.KafkaStorageError.Code,
		kerr.UnknownTopicOrPartition.Code, kerr.UnknownTopicID.Code:
		return
	case kerr.GroupIDNotFound.Code: // the group has no share partition there
		instead = kerr.UnknownTopicOrPartition
	case kerr.RequestTimedOut.Code: // no majority: to be tried again
		instead = kerr.OffsetNotAvailable
	}
	a.ErrorCode, a.ErrorMessage = instead.Code, kmsg.StringPtr(err.Error())
}
