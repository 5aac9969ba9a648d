package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Verification guards a transactional commit between the question whether the transaction is under way, which only the
// transaction's coordinator can answer, and the commit: a transaction that ends in between would leave offsets that
// nothing makes real or drops. It belongs to the Leader that began it.
type Verification struct {
	producerID int64
	epoch      int16
	ended      bool // the transaction has ended since
}

// BeginVerification begins a transactional commit. While offsets of the producer's transaction are pending here already,
// the transaction is known to be under way: known says so. CommitTransactional or AbandonVerification must follow.
func (l *Leader) BeginVerification(producerID int64, epoch int16) (v *Verification, known bool) {
	v = &Verification{producerID: producerID, epoch: epoch}
	if l.verifying[producerID] == nil {
		l.verifying[producerID] = map[*Verification]struct{}{}
	}
	l.verifying[producerID][v] = struct{}{}
	p := l.state.producers[producerID]
	return v, p != nil && len(p.open) > 0 && p.epoch == epoch && l.ending[producerID] == 0
}

// AbandonVerification ends a commit that will not be.
func (l *Leader) AbandonVerification(v *Verification) {
	delete(l.verifying[v.producerID], v)
	if len(l.verifying[v.producerID]) == 0 {
		delete(l.verifying, v.producerID)
	}
}

// CommitTransactional answers TxnOffsetCommit when the offsets are pending: they count when EndTransaction says so.
func (l *Leader) CommitTransactional(now time.Time, v *Verification, req *kmsg.TxnOffsetCommitRequest, reply Reply) {
	l.AbandonVerification(v)
	resp := kmsg.NewPtrTxnOffsetCommitResponse()
	resp.Version = req.Version
	records := l.pendingRecords(now, req, resp)
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
	err := l.validateTransactional(req)
	if err == nil {
		err = l.validateProducer(v, req.ProducerEpoch)
	}
	if err == nil && commitBytes(req.Group, records) > l.env.Config.MaxRecordBytes {
		err = kerr.InvalidCommitOffsetSize
	}
	if err != nil {
		fail(err)
		reply(resp)
		return
	}
	count(l.committing, req.ProducerID, 1)
	l.write(req.Group, records, true, func(_ time.Time, err *kerr.Error) {
		count(l.committing, req.ProducerID, -1)
		if err != nil {
			fail(err)
		}
		reply(resp)
	})
}

// pendingRecords returns what is to be written, and fills resp with each partition's error so far.
func (l *Leader) pendingRecords(now time.Time, req *kmsg.TxnOffsetCommitRequest, resp *kmsg.TxnOffsetCommitResponse) []record {
	var records []record
	topics := l.env.Topics()
	version := topics.Version()
	for _, rt := range req.Topics {
		id, partitions, exists := topics.ByName(rt.Topic)
		t := kmsg.NewTxnOffsetCommitResponseTopic()
		t.Topic = rt.Topic
		for _, rp := range rt.Partitions {
			p := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			p.Partition = rp.Partition
			switch {
			case !exists || rp.Partition < 0 || rp.Partition >= partitions:
				p.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case javaLength(rp.Metadata) > l.env.Config.OffsetMetadataMaxBytes:
				p.ErrorCode = kerr.OffsetMetadataTooLarge.Code
			default:
				o := Offset{
					TopicID: id, Offset: rp.Offset, LeaderEpoch: rp.LeaderEpoch, CommitTime: now.UnixMilli(), ExpireTime: noTime,
				}
				if rp.Metadata != nil {
					o.Metadata = *rp.Metadata
				}
				committed := offsetCommitted{req.Group, rt.Topic, rp.Partition, o, version}
				records = append(records, offsetPending{req.ProducerID, req.ProducerEpoch, committed})
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return records
}

// validateTransactional checks that the committer may commit. Unlike OffsetCommit, the request need not say who commits:
// clients before version 3 cannot, and fencing is the producer epoch's task. It may also arrive while the group
// rebalances, and does not keep a session alive.
func (l *Leader) validateTransactional(req *kmsg.TxnOffsetCommitRequest) *kerr.Error {
	if req.Group == "" {
		return kerr.InvalidGroupID
	}
	if g := l.consumers[req.Group]; g != nil {
		return l.validateConsumerTransactional(g, req)
	}
	if l.shares[req.Group] != nil {
		return kerr.GroupIDNotFound // it has no committed offsets
	}
	g := l.find(req.Group)
	if g == nil {
		if req.Generation < 0 {
			return nil // a simple group, created by this commit
		}
		return kerr.IllegalGeneration
	}
	anonymous := req.Generation < 0 && req.MemberID == "" && req.InstanceID == nil
	if anonymous || req.Generation < 0 && g.state == stateEmpty {
		return nil
	}
	if _, err := g.validate(req.MemberID, req.InstanceID); err != nil {
		return err
	}
	if req.Generation != g.generation {
		return kerr.IllegalGeneration
	}
	return nil
}

// validateProducer checks that the transaction goes on, and that no later incarnation of the producer is known.
func (l *Leader) validateProducer(v *Verification, epoch int16) *kerr.Error {
	if p := l.state.producers[v.producerID]; p != nil && epoch < p.epoch {
		return kerr.InvalidProducerEpoch
	}
	if v.ended {
		return kerr.InvalidTxnState
	}
	return nil
}

// Marker ends a producer's transaction in a shard, as a transaction marker does in a partition.
type Marker struct {
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32 // of the transaction's coordinator
	Commit           bool
	// TransactionVersion is the finalized transaction.version under which the transaction was ended (KIP-890).
	TransactionVersion int8
}

// epochBump says that the marker has the epoch of the producer's next transaction, rather than that of the one it ends.
func (m *Marker) epochBump() bool { return m.TransactionVersion >= 2 }

// EndTransaction makes a producer's pending offsets real or drops them, in all groups of the shard; done is told when that
// is durable. Ending a transaction that has ended already succeeds. Errors: INVALID_PRODUCER_EPOCH, when a later
// incarnation or transaction of the producer is known, TRANSACTION_COORDINATOR_FENCED, when a later transaction
// coordinator is, and what the write fails with.
func (l *Leader) EndTransaction(now time.Time, m Marker, done func(err *kerr.Error)) {
	id := m.ProducerID
	if p := l.state.producers[id]; p != nil {
		idle := len(p.open) == 0 && l.committing[id] == 0
		switch {
		case m.CoordinatorEpoch < p.coordinatorEpoch:
			done(kerr.TransactionCoordinatorFenced)
			return
		case m.ProducerEpoch < p.epoch, m.epochBump() && m.ProducerEpoch == p.epoch && !idle:
			// With epochs that rise at each end, what is pending at the marker's own epoch is the next transaction's: the
			// marker comes late, or once more.
			done(kerr.InvalidProducerEpoch)
			return
		case m.epochBump() && m.ProducerEpoch == p.epoch:
			done(nil)
			return
		}
		repeated := m.ProducerEpoch == p.epoch && m.CoordinatorEpoch == p.coordinatorEpoch && idle
		if repeated && l.ending[id] == 0 && len(l.verifying[id]) == 0 {
			done(nil)
			return
		}
	}
	for v := range l.verifying[id] {
		// The next transaction may be asked about already: its client need not wait for the markers.
		if !m.epochBump() || v.epoch < m.ProducerEpoch {
			v.ended = true
		}
	}
	count(l.ending, id, 1)
	end := transactionEnded{id, m.ProducerEpoch, m.CoordinatorEpoch, m.Commit, now.UnixMilli()}
	l.write("", []record{end}, true, func(_ time.Time, err *kerr.Error) {
		count(l.ending, id, -1)
		done(err)
	})
}
