package handler

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log/batch"
	"balsa/protocol"
	"balsa/server/cluster"
	"balsa/server/partition"
)

const (
	minProduceVersion = 3 // batches v2
	// minCommitWait is how long acks=1 waits at least: its client expects the time of a local write, but is answered at
	// the commit like acks=all, and must not time out because it allowed for no replication.
	minCommitWait = 30 * time.Second
)

// producing is one Produce request between start and finish.
type producing struct {
	broker   *Broker
	img      *cluster.Image
	req      *kmsg.ProduceRequest
	resp     *kmsg.ProduceResponse
	deadline time.Time
	waits    []produceWait
	leaders  leaders
	checks   transactionChecks // of batches that begin a transaction; while starting
	err      error             // the first partition's error, for acks=0
}

// produceWait is one batch on its way, and where its outcome goes: resp.Topics[topic].Partitions[partition].
type produceWait struct {
	topic, partition int
	id               cluster.TopicID
	append           Append
}

// startProduce validates and proposes every batch of the request, in order. It may block when too many proposals wait,
// and so slows down its connection.
func (b *Broker) startProduce(r *Request) (finisher, func() bool) {
	req, _ := r.Body.(*kmsg.ProduceRequest)
	img := b.Metadata.Image()
	p := &producing{
		broker: b, img: img, req: req, resp: newResponse[*kmsg.ProduceResponse](req),
		deadline: time.Now().Add(commitWait(req)),
		leaders:  leaders{broker: b, img: img},
	}
	p.resp.Topics = make([]kmsg.ProduceResponseTopic, len(req.Topics))
	refused := refuseProduce(req)
	if refused == nil && req.TransactionID != nil {
		p.checks, refused = p.verify(r.Waiting)
		defer p.checks.release()
	}
	for i := range req.Topics {
		p.startTopic(i, refused)
	}
	return p.finish, p.settled
}

// commitWait is how long the answer may wait for the commit.
func commitWait(req *kmsg.ProduceRequest) time.Duration {
	d := time.Duration(max(req.TimeoutMillis, 0)) * time.Millisecond
	if req.Acks != -1 {
		d = max(d, minCommitWait)
	}
	return d
}

// refuseProduce returns what is wrong with the request as a whole; it is the answer for each of its partitions.
func refuseProduce(req *kmsg.ProduceRequest) error {
	switch {
	case req.Version < minProduceVersion:
		return kerr.UnsupportedVersion
	case req.Acks < -1 || req.Acks > 1:
		return kerr.InvalidRequiredAcks
	}
	return nil
}

func (p *producing) startTopic(i int, refused error) {
	rt := &p.req.Topics[i]
	st := &p.resp.Topics[i]
	st.Default()
	st.Topic, st.TopicID = rt.Topic, rt.TopicID
	st.Partitions = make([]kmsg.ProduceResponseTopicPartition, len(rt.Partitions))
	var t *cluster.Topic
	err := refused
	if err == nil {
		t, err = p.topic(rt)
	}
	for j := range rt.Partitions {
		rp, sp := &rt.Partitions[j], &st.Partitions[j]
		sp.Default()
		sp.Partition = rp.Partition
		sp.BaseOffset, sp.LogAppendTime, sp.LogStartOffset = -1, -1, -1
		if err != nil {
			p.fail(sp, cluster.TopicID{}, err)
			continue
		}
		a, err := p.propose(t, rp, batchPlace{i, j})
		if err != nil {
			p.fail(sp, t.ID, err)
			continue
		}
		p.waits = append(p.waits, produceWait{topic: i, partition: j, id: t.ID, append: a})
	}
}

func (p *producing) propose(t *cluster.Topic, rp *kmsg.ProduceRequestTopicPartition, at batchPlace) (Append, error) {
	replica, err := p.broker.replica(t, rp.Partition)
	if err != nil {
		return nil, err
	}
	if err := checkBatch(rp.Records, p.req.Version); err != nil {
		return nil, err
	}
	if err := p.checkInSync(t, rp.Partition, replica.MinInsyncReplicas()); err != nil {
		return nil, err
	}
	check := p.checks[at]
	if check == nil {
		return replica.Produce(batch.Batch(rp.Records), nil)
	}
	if check.err != nil {
		return nil, check.err
	}
	return replica.Produce(batch.Batch(rp.Records), check.verification)
}

// checkInSync refuses acks=all when fewer replicas than min.insync.replicas are in service, as far as this broker knows. A
// majority is needed for every write whatever it is set to; more than that is judged here, before the write, and not after:
// a write that commits is never answered with NOT_ENOUGH_REPLICAS_AFTER_APPEND. As in Kafka a topic with fewer replicas than
// min.insync.replicas needs all of them.
func (p *producing) checkInSync(t *cluster.Topic, partition int32, least int) error {
	if p.req.Acks != -1 || least <= 1 {
		return nil
	}
	_, inSync, _ := p.broker.replicaStates(t, partition, p.broker.Node)
	if least = min(least, len(t.Partitions[partition].Replicas)); len(inSync) < least {
		return fmt.Errorf("%w: %d in sync, min.insync.replicas is %d", kerr.NotEnoughReplicas, len(inSync), least)
	}
	return nil
}

// checkBatch checks what depends on the API rather than on the partition: exactly one batch, of format 2, in a
// compression that the version of the request allows.
func checkBatch(b []byte, version int16) error {
	const magicAt, attributesAt, overhead, zstd = 16, 21, 12, 4
	if len(b) == 0 {
		return fmt.Errorf("a Produce request must hold one record batch per partition: %w", kerr.InvalidRecord)
	}
	if len(b) < batch.HeaderLen {
		return fmt.Errorf("%d bytes are no record batch: %w", len(b), kerr.CorruptMessage)
	}
	if b[magicAt] != 2 {
		return fmt.Errorf("record batch has magic %d instead of 2: %w", b[magicAt], kerr.InvalidRecord)
	}
	size := int64(int32(binary.BigEndian.Uint32(b[8:]))) + overhead
	switch {
	case size > int64(len(b)) || size < batch.HeaderLen:
		return fmt.Errorf("record batch claims %d bytes and has %d: %w", size, len(b), kerr.CorruptMessage)
	case size < int64(len(b)):
		return fmt.Errorf("more than one record batch for a partition: %w", kerr.InvalidRecord)
	case version < 7 && b[attributesAt+1]&7 == zstd:
		return fmt.Errorf("zstd needs Produce version 7, this is %d: %w", version, kerr.UnsupportedCompressionType)
	}
	return nil
}

// finish waits for the commits and answers. With acks=0 nothing is sent, but waiting bounds what such a client can have
// in flight; a failure closes the connection, which is the only way to tell it.
func (p *producing) finish(ctx context.Context) Reply {
	ctx, cancel := context.WithDeadline(ctx, p.deadline)
	defer cancel()
	for i := range p.waits {
		w := &p.waits[i]
		sp := &p.resp.Topics[w.topic].Partitions[w.partition]
		done, err := w.append.Wait(ctx)
		if err != nil {
			p.fail(sp, w.id, err)
			continue
		}
		p.succeed(sp, done)
	}
	if p.req.Acks == 0 {
		if p.err != nil {
			return Reply{Close: fmt.Errorf("produce with acks=0: %w", p.err)}
		}
		return Reply{}
	}
	if p.req.Version >= 10 {
		for _, n := range p.leaders.seen {
			p.resp.Brokers = append(p.resp.Brokers, produceBroker(n))
		}
	}
	return Reply{Message: p.resp}
}

func (*producing) succeed(sp *kmsg.ProduceResponseTopicPartition, done partition.Produced) {
	sp.ErrorCode = 0
	sp.BaseOffset = int64(done.BaseOffset)
	sp.LogAppendTime = done.LogAppendTime
	sp.LogStartOffset = int64(done.LogStartOffset)
}

// fail fills in an error, and who leads the partition now if that is what the client needs to know.
func (p *producing) fail(sp *kmsg.ProduceResponseTopicPartition, topic cluster.TopicID, err error) {
	if p.err == nil {
		p.err = err
	}
	sp.ErrorCode = errorCode(err)
	sp.ErrorMessage = errorMessage(err)
	sp.ErrorRecords = []kmsg.ProduceResponseTopicPartitionErrorRecord{}
	if p.req.Version < 10 || !isNotLeader(sp.ErrorCode) {
		return
	}
	if id, epoch, ok := p.leaders.find(topic, sp.Partition); ok {
		sp.CurrentLeader.LeaderID, sp.CurrentLeader.LeaderEpoch = int32(id), epoch
	}
}

// settled says whether the outcome of every batch is known, so that the request's buffer can be reused.
func (p *producing) settled() bool {
	for i := range p.waits {
		if !p.waits[i].append.Settled() {
			return false
		}
	}
	return true
}

func produceBroker(n protocol.NodeEndpoint) kmsg.ProduceResponseBroker {
	b := kmsg.NewProduceResponseBroker()
	b.NodeID, b.Host, b.Port, b.Rack = n.NodeID, n.Host, n.Port, n.Rack
	return b
}
