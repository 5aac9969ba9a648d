package handler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log/batch"
	"balsa/server/cluster"
	"balsa/server/partition"
)

const (
	// Produce versions from which clients know TRANSACTION_ABORTABLE, and from which a batch adds its partition to the
	// transaction (KIP-890).
	abortableProduceVersion = 11
	implicitProduceVersion  = 12

	// A transaction that ended a moment ago may still be completing when the next one's first batch arrives. That is waited
	// for a little rather than made the client's business (add.partitions.to.txn.retry.backoff.ms and its maximum).
	concurrentRetry    = 20 * time.Millisecond
	concurrentRetryMax = 100 * time.Millisecond
)

// verifying is a batch that begins a transaction on its partition.
type verifying struct {
	replica      Replica
	header       batch.Header
	verification *partition.Verification
	err          error // what the coordinator said, as the client gets it
}

// transactionChecks are those of one Produce request, by the place of the batch in it.
type transactionChecks map[batchPlace]*verifying

type batchPlace struct{ topic, partition int }

// release ends them.
func (c transactionChecks) release() {
	for _, v := range c {
		v.replica.Release(v.header, v.verification)
	}
}

// verify asks the transaction coordinator about the batches whose transaction is not open on their partition, in one call.
// It holds up the requests that follow on the connection: the producer's next batch must not overtake its first. An error
// is about the request as a whole; partitions that cannot be produced to are left out and found again later.
func (p *producing) verify(waiting context.Context) (transactionChecks, error) {
	checks := transactionChecks{}
	var producer *batch.Header
	var order []*verifying
	var partitions []cluster.TopicPartition
	for i := range p.req.Topics {
		t, err := p.topic(&p.req.Topics[i])
		if err != nil {
			continue
		}
		for j := range p.req.Topics[i].Partitions {
			rp := &p.req.Topics[i].Partitions[j]
			h, transactional := transactionalHeader(rp.Records, p.req.Version)
			if !transactional {
				continue
			}
			if producer == nil {
				producer = &h
			}
			if producer.ProducerID != h.ProducerID || producer.ProducerEpoch != h.ProducerEpoch {
				checks.release()
				return nil, fmt.Errorf("%w: batches of more than one producer", kerr.InvalidProducerIDMapping)
			}
			replica, err := p.broker.replica(t, rp.Partition)
			if err != nil {
				continue
			}
			v, err := replica.Verify(h, p.req.Version >= implicitProduceVersion)
			if v == nil || err != nil {
				continue
			}
			check := &verifying{replica: replica, header: h, verification: v}
			checks[batchPlace{i, j}] = check
			order = append(order, check)
			partitions = append(partitions, cluster.TopicPartition{Topic: t.ID, Partition: rp.Partition})
		}
	}
	if len(order) > 0 {
		ctx, cancel := context.WithDeadline(waiting, p.deadline)
		defer cancel()
		for i, err := range p.addPartitions(ctx, *producer, partitions) {
			order[i].err = verificationError(err, p.req.Version)
		}
	}
	return checks, nil
}

// transactionalHeader returns the header of a batch that belongs to a transaction.
func transactionalHeader(b []byte, version int16) (batch.Header, bool) {
	if checkBatch(b, version) != nil {
		return batch.Header{}, false
	}
	h, err := batch.ParseHeader(b)
	return h, err == nil && h.IsTransactional() && h.ProducerID >= 0
}

// addPartitions asks the coordinator, again for a moment while it completes the producer's last transaction.
func (p *producing) addPartitions(ctx context.Context, h batch.Header, partitions []cluster.TopicPartition) []error {
	errs := make([]error, len(partitions))
	if p.broker.Transactions == nil {
		for i := range errs {
			errs[i] = kerr.CoordinatorNotAvailable
		}
		return errs
	}
	left := make([]int, len(partitions)) // whose answer is yet to come
	for i := range left {
		left[i] = i
	}
	for started := time.Now(); ; {
		asked := make([]cluster.TopicPartition, len(left))
		for k, i := range left {
			asked[k] = partitions[i]
		}
		answers := p.broker.Transactions.AddPartitions(ctx, *p.req.TransactionID, h.ProducerID, h.ProducerEpoch, asked,
			p.req.Version < implicitProduceVersion)
		var again []int
		for k, i := range left {
			errs[i] = answers[k]
			if errors.Is(answers[k], kerr.ConcurrentTransactions) && p.req.Version >= implicitProduceVersion {
				again = append(again, i)
			}
		}
		if left = again; len(left) == 0 || time.Since(started) >= concurrentRetryMax {
			return errs
		}
		select {
		case <-time.After(concurrentRetry):
		case <-ctx.Done():
			return errs
		}
	}
}

// verificationError turns a coordinator's error into one that producers of that version take well. What may be tried again
// becomes NOT_ENOUGH_REPLICAS for those that would not: it makes them retry without looking for another leader.
func verificationError(err error, version int16) error {
	var known *kerr.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &known):
		return fmt.Errorf("%w: the transaction could not be verified: %w", kerr.NotEnoughReplicas, err)
	}
	switch known.Code {
	case kerr.ProducerFenced.Code:
		return fmt.Errorf("%w: %s", kerr.InvalidProducerEpoch, known.Message)
	case kerr.TransactionAbortable.Code:
		if version < abortableProduceVersion {
			return fmt.Errorf("%w: the partition is not in the transaction", kerr.InvalidTxnState)
		}
	case kerr.ConcurrentTransactions.Code:
		if version < implicitProduceVersion {
			return notVerified(known)
		}
	case kerr.NetworkException.Code, kerr.CoordinatorLoadInProgress.Code, kerr.CoordinatorNotAvailable.Code,
		kerr.NotCoordinator.Code, kerr.RequestTimedOut.Code:
		return notVerified(known)
	}
	return err
}

func notVerified(cause *kerr.Error) error {
	return fmt.Errorf("%w: the transaction could not be verified: %s", kerr.NotEnoughReplicas, cause.Message)
}

// topic finds a topic of the request, by name or id as its version has it.
func (p *producing) topic(rt *kmsg.ProduceRequestTopic) (*cluster.Topic, error) {
	if p.req.Version >= 13 {
		return topicWithID(p.img, rt.TopicID)
	}
	return topicNamed(p.img, rt.Topic)
}
