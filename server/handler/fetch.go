package handler

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log"
	"balsa/protocol"
	"balsa/server/cluster"
	"balsa/server/partition"
)

// fetching is one Fetch request.
type fetching struct {
	broker  *Broker
	req     *kmsg.FetchRequest
	work    *stopwatch
	context *fetchContext // which partitions, and which of them the answer leaves out
	max     int
	min     int64

	// Of the last evaluation:
	results []fetched
	bytes   int64
	exists  bool // any of the partitions, so that there is something to wait for
	ready   bool // answer now even with fewer than min bytes: an error, or a diverged log
}

// fetched is the outcome for one partition; at the same position as in the context's list.
type fetched struct {
	topicID cluster.TopicID
	exists  bool    // the partition, somewhere
	replica Replica // nil when there is none here
	answer  protocol.FetchPartition
	slice   log.Slice
}

// fetch answers Fetch: what is there if it is enough, else what is there when it becomes enough, or max.wait is over.
func (b *Broker) fetch(_ context.Context, r *Request) Reply {
	req, _ := r.Body.(*kmsg.FetchRequest)
	if req.ReplicaID >= 0 || req.ReplicaState.ID >= 0 {
		// Replicas do not fetch here; only a forger says it is one (CVE-2018-1288).
		return fetchError(r, kerr.InvalidRequest)
	}
	fc, err := b.sessions.open(req)
	if err != nil {
		return fetchError(r, err)
	}
	throttle, most := b.fetchShare(r)
	if throttle > 0 {
		return b.throttledFetch(r, fc, throttle)
	}
	f := &fetching{broker: b, req: req, work: &r.work, context: fc, max: min(max(int(req.MaxBytes), 0), most)}
	f.min = int64(min(max(int(req.MinBytes), 0), f.max))
	f.run(r.Waiting)
	return f.reply(r)
}

// run evaluates the request until it may be answered.
func (f *fetching) run(waiting context.Context) {
	f.evaluate()
	if f.enough() || f.req.MaxWaitMillis <= 0 {
		return
	}
	timer := time.NewTimer(time.Duration(f.req.MaxWaitMillis) * time.Millisecond)
	defer timer.Stop()
	for !f.enough() {
		if f.wait(waiting, timer.C) {
			f.evaluate()
			continue
		}
		f.evaluate()
		return
	}
}

func (f *fetching) enough() bool {
	return f.ready || f.bytes >= f.min || !f.exists
}

// wait parks the request until so many bytes have been committed that it is worth evaluating again. It returns false
// when there is no time left for another wait.
func (f *fetching) wait(waiting context.Context, timeout <-chan time.Time) bool {
	w := f.broker.Partitions.NewWaiter(f.min-f.bytes, f.committed())
	for i := range f.results {
		if r := &f.results[i]; r.replica != nil {
			known := r.answer.HighWatermark
			if f.committed() {
				known = r.answer.LastStableOffset
			}
			r.replica.Watch(w, log.Offset(known))
			defer r.replica.Unwatch(w)
		}
	}
	f.release() // files are not kept open while waiting
	f.work.pause()
	defer f.work.resume()
	select {
	case <-w.C():
		return true
	case <-timeout:
		return false
	case <-waiting.Done():
		return false
	}
}

// evaluate reads what is there now.
func (f *fetching) evaluate() {
	f.release()
	img := f.broker.Metadata.Image()
	f.results = f.results[:0]
	f.bytes, f.exists, f.ready = 0, false, false
	for i := range f.context.partitions {
		f.results = append(f.results, f.read(img, &f.context.partitions[i]))
		last := &f.results[len(f.results)-1]
		f.bytes += last.slice.Bytes
		// What does not exist is no reason to hurry: a consumer of several topics, one of them deleted, would never wait again.
		f.exists = f.exists || last.exists
		f.ready = f.ready || last.exists && last.answer.ErrorCode != 0 || last.answer.DivergingEpoch >= 0 ||
			last.answer.PreferredReadReplica >= 0
	}
}

// read fetches from one partition, within what is left of the request's limit. As long as nothing has been read, the
// first batch is taken whatever its size, so that a consumer always gets on (KIP-74).
func (f *fetching) read(img *cluster.Image, p *fetchPartition) fetched {
	r := fetched{answer: protocol.NewFetchPartition(p.partition)}
	got, err := f.fetchFrom(img, p, &r)
	if err != nil {
		r.answer.ErrorCode = errorCode(err)
		return r
	}
	r.slice = got.Slice
	r.answer.RecordBytes = int32(got.Slice.Bytes)
	r.answer.HighWatermark = int64(got.HighWatermark)
	r.answer.LastStableOffset = int64(got.LastStableOffset)
	r.answer.LogStartOffset = int64(got.LogStartOffset)
	if f.committed() {
		r.answer.Aborted = aborted(got.Aborted)
	}
	if got.DivergingEpoch >= 0 {
		r.answer.DivergingEpoch, r.answer.DivergingEnd = int32(got.DivergingEpoch), int64(got.DivergingEnd)
	}
	return r
}

// aborted never returns nil: null is for those who did not ask.
func aborted(txns []log.AbortedTxn) []protocol.AbortedTransaction {
	list := make([]protocol.AbortedTransaction, len(txns))
	for i, t := range txns {
		list[i] = protocol.AbortedTransaction{ProducerID: t.ProducerID, FirstOffset: int64(t.First)}
	}
	return list
}

// readCommitted is the isolation level of consumers that do not want records of open or aborted transactions.
const readCommitted = 1

func (f *fetching) committed() bool { return f.req.IsolationLevel == readCommitted }

func (f *fetching) fetchFrom(img *cluster.Image, p *fetchPartition, r *fetched) (partition.Fetched, error) {
	t, err := p.topic(img, f.req.Version)
	if err != nil {
		return partition.Fetched{}, err
	}
	r.topicID, r.exists = t.ID, p.partition >= 0 && int(p.partition) < len(t.Partitions)
	if r.replica, err = f.broker.replica(t, p.partition); err != nil {
		r.replica = nil
		return partition.Fetched{}, err
	}
	left := max(int64(f.max)-f.bytes, 0)
	args := partition.FetchArgs{
		Offset:             log.Offset(p.offset),
		MaxBytes:           int(min(left, int64(max(p.maxBytes, 0)))),
		MinOne:             f.bytes == 0,
		CurrentLeaderEpoch: log.Epoch(p.currentLeaderEpoch),
		LastFetchedEpoch:   log.Epoch(p.lastFetchedEpoch),
		ReadCommitted:      f.committed(),
		Follower:           f.rackAware(),
	}
	preferred := f.preferredReplica(img, t, p.partition, r.replica, args.Offset)
	if preferred >= 0 {
		args.MaxBytes, args.MinOne = 0, false // the client goes elsewhere for its records, if it may have any
	}
	got, err := r.replica.Fetch(args)
	if err == nil && got.DivergingEpoch < 0 {
		r.answer.PreferredReadReplica = preferred
	}
	return got, err
}

// reply encodes the answer and hands over the slices.
func (f *fetching) reply(r *Request) Reply {
	resp := protocol.FetchResponse{Version: f.req.Version, SessionID: f.context.id}
	who := leaders{broker: f.broker, img: f.broker.Metadata.Image()}
	var slices []log.Slice
	include := f.context.close(f.results)
	for i := range f.results {
		res := &f.results[i]
		if !include[i] {
			res.slice.Release()
			res.slice = log.Slice{}
			continue
		}
		if isNotLeader(res.answer.ErrorCode) && f.req.Version >= 12 {
			if id, epoch, ok := who.find(res.topicID, res.answer.Partition); ok {
				res.answer.CurrentLeader, res.answer.CurrentLeaderEpoch = int32(id), epoch
			}
		}
		resp.Topics = appendFetched(resp.Topics, &f.context.partitions[i], res.answer)
		if res.slice.Bytes > 0 {
			slices = append(slices, res.slice)
		} else {
			res.slice.Release()
		}
		res.slice = log.Slice{}
	}
	resp.NodeEndpoints = who.seen
	throttle := f.broker.chargeFetch(r, f.bytes)
	resp.ThrottleMillis = millis(throttle)
	frame, cuts, ok := protocol.AppendFetchResponse(nil, r.Header.CorrelationID, &resp)
	reply := Reply{Frame: frame, Cuts: cuts, Records: slices, Throttle: throttle}
	if !ok {
		// Only a single batch near 2 GiB could do this, and no limit lets one in.
		reply.Release()
		return Reply{Close: fmt.Errorf("fetch response of more than 2 GiB")}
	}
	return reply
}

// appendFetched adds a partition to the answer, under its topic if that is the last one: the order of partitions is
// the order in which they were served, so a topic may come up more than once.
func appendFetched(topics []protocol.FetchTopic, p *fetchPartition, a protocol.FetchPartition) []protocol.FetchTopic {
	if n := len(topics); n == 0 || topics[n-1].Topic != p.name || topics[n-1].TopicID != p.id {
		topics = append(topics, protocol.FetchTopic{Topic: p.name, TopicID: p.id})
	}
	last := &topics[len(topics)-1]
	last.Partitions = append(last.Partitions, a)
	return topics
}

func (f *fetching) release() {
	for i := range f.results {
		f.results[i].slice.Release()
		f.results[i].slice = log.Slice{}
	}
}

// fetchError answers a Fetch that failed as a whole. Versions below 7 have no room for it: their partitions carry it.
func fetchError(r *Request, err error) Reply {
	req, _ := r.Body.(*kmsg.FetchRequest)
	resp := protocol.FetchResponse{Version: req.Version, ErrorCode: errorCode(err)}
	if req.Version < 7 {
		for _, t := range req.Topics {
			ft := protocol.FetchTopic{Topic: t.Topic, TopicID: t.TopicID}
			for _, p := range t.Partitions {
				fp := protocol.NewFetchPartition(p.Partition)
				fp.ErrorCode = errorCode(err)
				ft.Partitions = append(ft.Partitions, fp)
			}
			resp.Topics = append(resp.Topics, ft)
		}
	}
	frame, _, _ := protocol.AppendFetchResponse(nil, r.Header.CorrelationID, &resp)
	return Reply{Frame: frame}
}
