package txn

import (
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	// noID and noEpoch stand for "none" wherever a producer id or epoch may be missing, as on the wire.
	noID    = -1
	noEpoch = -1
	// noTime stands for a transaction that has not begun.
	noTime = -1
	// lastEpoch is the last epoch that a producer is given. The one after it is kept for fencing that producer.
	lastEpoch = math.MaxInt16 - 1
)

// versionEpochBump is the first transaction version (the feature transaction.version, KIP-890) in which every end of a
// transaction bumps the producer's epoch.
const versionEpochBump = 2

// Partition is one partition of a transaction: a topic's UUID and a partition number.
type Partition struct {
	Topic     [16]byte
	Partition int32
}

// Transaction is what is durable of one transactional id, but for the partitions.
type Transaction struct {
	Status     Status
	ProducerID int64
	// PreviousProducerID is the producer id before the last change, which is ProducerID unless that change replaced it: a
	// producer that missed the answer is recognised by it.
	PreviousProducerID int64
	// NextProducerID replaces ProducerID, whose epochs are used up, when the transaction is complete; else noID.
	NextProducerID int64
	Epoch          int16
	// LastEpoch is the epoch before the last bump that the producer itself asked for; noEpoch when somebody else did.
	LastEpoch  int16
	Timeout    int32 // ms
	StartTime  int64 // ms, of the current or last transaction; noTime
	UpdateTime int64 // ms, of the last change of status
	Version    int8  // transaction version that the last client spoke
}

// newTransaction is where a transactional id begins, before its first epoch.
func newTransaction(producerID int64) Transaction {
	return Transaction{
		ProducerID: producerID, PreviousProducerID: noID, NextProducerID: noID, Epoch: noEpoch, LastEpoch: noEpoch,
		StartTime: noTime,
	}
}

// exhausted says whether the producer id has no further epoch to give out.
func (t Transaction) exhausted() bool { return t.Epoch >= lastEpoch }

// known says whether a producer that calls itself (id, epoch) may go on with this transactional id (KIP-360): it is new to
// us, it is the current producer, or it was the current one until its epochs ran out.
func (t Transaction) known(id int64, epoch int16) bool {
	return t.Epoch == noEpoch || id == t.ProducerID || id == t.PreviousProducerID && epoch >= lastEpoch
}

// initialized gives the next epoch to a producer. expected is the epoch that it has, noEpoch for a new one. freshID is
// asked for when the epochs are used up.
func (t Transaction) initialized(expected int16, timeout int32, now int64, freshID func() (int64, bool)) (Transaction, *kerr.Error) {
	n := t
	n.Status, n.PreviousProducerID, n.Timeout, n.StartTime, n.UpdateTime = Empty, t.ProducerID, timeout, noTime, now
	switch {
	case t.exhausted() && (expected == noEpoch || expected == t.Epoch):
		id, ok := freshID()
		if !ok {
			return t, kerr.CoordinatorLoadInProgress
		}
		n.ProducerID, n.Epoch, n.LastEpoch = id, 0, noEpoch
		if expected != noEpoch {
			n.LastEpoch = t.Epoch
		}
	case expected == noEpoch:
		n.Epoch, n.LastEpoch = t.Epoch+1, noEpoch
	case t.Epoch == noEpoch || expected == t.Epoch:
		n.Epoch, n.LastEpoch = t.Epoch+1, t.Epoch
	case expected == t.LastEpoch:
		// The answer to an earlier call was lost. Had another producer come since, LastEpoch would be noEpoch.
	default:
		return t, kerr.ProducerFenced
	}
	return n, nil
}

// begun is an ongoing transaction.
func (t Transaction) begun(now int64, version int8) Transaction {
	t.Status, t.PreviousProducerID, t.StartTime, t.UpdateTime, t.Version = Ongoing, t.ProducerID, now, now, version
	return t
}

// decided is a transaction whose outcome is decided at its producer's request. nextID is the producer id to go on with
// when the epochs are used up, else noID.
func (t Transaction) decided(commit bool, version int8, nextID, now int64) Transaction {
	if t.Status != Ongoing {
		t.StartTime = now // an abort of nothing (KIP-890): it still has to have a beginning
	}
	t.Status = PrepareAbort
	if commit {
		t.Status = PrepareCommit
	}
	if version >= versionEpochBump {
		t.LastEpoch = t.Epoch
		t.Epoch = min(t.Epoch, math.MaxInt16-1) + 1
	}
	t.PreviousProducerID, t.NextProducerID, t.UpdateTime, t.Version = t.ProducerID, nextID, now, version
	return t
}

// fenced is a transaction that is aborted against its producer: by its timeout or by a successor. The epoch is bumped, so
// that what the producer still sends is refused; it is never given to anybody, except that since KIP-890 the producer itself
// may learn it by aborting.
func (t Transaction) fenced(version int8, nextID, now int64) Transaction {
	if version >= versionEpochBump {
		return t.decided(false, version, nextID, now)
	}
	t.Epoch = min(t.Epoch, math.MaxInt16-1) + 1
	t.LastEpoch = noEpoch
	return t.decided(false, version, nextID, now)
}

// completed is a decided transaction whose markers are written.
func (t Transaction) completed(now int64) Transaction {
	if t.Status == PrepareCommit {
		t.Status = CompleteCommit
	} else {
		t.Status = CompleteAbort
	}
	t.PreviousProducerID = t.ProducerID
	if t.NextProducerID != noID {
		t.ProducerID, t.Epoch = t.NextProducerID, 0 // LastEpoch stays: it is the last one that the client saw
	}
	t.NextProducerID, t.UpdateTime = noID, now
	return t
}

// successor is the producer id and epoch that a client goes on with once the outcome is decided.
func (t Transaction) successor() (id int64, epoch int16) {
	if t.NextProducerID != noID {
		return t.NextProducerID, 0
	}
	return t.ProducerID, t.Epoch
}
