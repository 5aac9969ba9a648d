package group

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// producer is what a shard remembers of a producer that commits offsets in transactions.
type producer struct {
	epoch int16 // the highest seen, in a commit or in the end of a transaction
	// coordinatorEpoch is that of the transaction coordinator that ended the last transaction; -1 before the first.
	coordinatorEpoch int32
	time             int64 // ms: when the producer was heard of last
	open             map[partitionKey]struct{}
}

// partitionKey names what an offset is committed for.
type partitionKey struct {
	group     string
	topic     string
	partition int32
}

// pendingOffset is an offset whose transaction has not ended yet.
type pendingOffset struct {
	producerID int64
	offset     Offset
	// superseded means that a later commit of the partition is in force already: this one has lost, whatever becomes of
	// its transaction, but until then the partition's offset is unstable.
	superseded bool
}

// offsetPending adds an offset to a producer's transaction. Like a commit it creates the group.
type offsetPending struct {
	producerID int64
	epoch      int16
	offsetCommitted
}

// transactionEnded makes the pending offsets of a producer real, or drops them. In a snapshot it stands for what is
// remembered of a producer.
type transactionEnded struct {
	producerID       int64
	epoch            int16
	coordinatorEpoch int32
	commit           bool
	time             int64 // ms
}

// producerForgotten drops what is remembered of a producer that has no open transaction.
type producerForgotten struct{ producerID int64 }

func (s *State) obtainProducer(id int64) *producer {
	p := s.producers[id]
	if p == nil {
		p = &producer{epoch: -1, coordinatorEpoch: -1, open: map[partitionKey]struct{}{}}
		s.producers[id] = p
	}
	return p
}

// A commit of a producer that was fenced meanwhile has no effect. Leaders refuse it; this is for those that cannot know.
func (r offsetPending) apply(s *State) {
	p := s.obtainProducer(r.producerID)
	if r.epoch < p.epoch {
		return
	}
	p.epoch = r.epoch
	p.time = max(p.time, r.offset.CommitTime)
	p.open[partitionKey{r.group, r.topic, r.partition}] = struct{}{}
	g := s.obtain(r.group)
	partitions := g.pending[r.topic]
	if partitions == nil {
		partitions = map[int32][]pendingOffset{}
		g.pending[r.topic] = partitions
	}
	// In the order of commits: the latest of those that come into force wins.
	others := without(partitions[r.partition], r.producerID)
	partitions[r.partition] = append(others, pendingOffset{producerID: r.producerID, offset: r.offset})
	s.metadata = max(s.metadata, r.metadata)
}

// The end of a transaction that a deposed coordinator sent, or one for an earlier incarnation of the producer, has no
// effect.
func (r transactionEnded) apply(s *State) {
	p := s.obtainProducer(r.producerID)
	if r.epoch < p.epoch || r.coordinatorEpoch < p.coordinatorEpoch {
		return
	}
	p.epoch, p.coordinatorEpoch = r.epoch, r.coordinatorEpoch
	p.time = max(p.time, r.time)
	for key := range p.open {
		g := s.groups[key.group]
		pending := g.pending[key.topic][key.partition]
		i := slices.IndexFunc(pending, func(o pendingOffset) bool { return o.producerID == r.producerID })
		ended := pending[i]
		if r.commit && !ended.superseded {
			g.setOffset(key.topic, key.partition, ended.offset)
			supersede(pending[:i])
		}
		g.setPending(key.topic, key.partition, slices.Delete(pending, i, i+1))
		s.dropIfNothing(key.group)
	}
	p.open = map[partitionKey]struct{}{}
}

func (r producerForgotten) apply(s *State) {
	if p := s.producers[r.producerID]; p != nil && len(p.open) == 0 {
		delete(s.producers, r.producerID)
	}
}

func supersede(pending []pendingOffset) {
	for i := range pending {
		pending[i].superseded = true
	}
}

func without(pending []pendingOffset, producerID int64) []pendingOffset {
	return slices.DeleteFunc(pending, func(o pendingOffset) bool { return o.producerID == producerID })
}

// dropPending forgets the pending offsets of one partition.
func (s *State) dropPending(group, topic string, partition int32) {
	g := s.groups[group]
	for _, o := range g.pending[topic][partition] {
		delete(s.producers[o.producerID].open, partitionKey{group, topic, partition})
	}
	g.setPending(topic, partition, nil)
}

// setPending replaces the pending offsets of a partition.
func (g *stored) setPending(topic string, partition int32, pending []pendingOffset) {
	partitions := g.pending[topic]
	if len(pending) > 0 {
		partitions[partition] = pending
		return
	}
	delete(partitions, partition)
	if len(partitions) == 0 {
		delete(g.pending, topic)
	}
}

// unstable says whether a transaction that has not ended has committed an offset of the partition.
func (g *stored) unstable(topic string, partition int32) bool {
	return g != nil && len(g.pending[topic][partition]) > 0
}

// expireProducers forgets the producers that have been silent for producer.id.expiration.ms.
func (l *Leader) expireProducers(now time.Time) {
	expiration := l.env.Config.ProducerIDExpiration
	if l.env.ProducerIDExpiration != nil {
		expiration = l.env.ProducerIDExpiration()
	}
	oldest := now.Add(-expiration).UnixMilli()
	var records []record
	for id, p := range sorted(l.state.producers) {
		if len(p.open) == 0 && p.time <= oldest && l.committing[id] == 0 && l.ending[id] == 0 {
			records = append(records, producerForgotten{id})
		}
	}
	for chunk := range slices.Chunk(records, maxRecordsPerWrite) {
		l.write("", chunk, true, func(time.Time, *kerr.Error) {})
	}
}
