package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"balsa/internal/wire"
	"balsa/log"
	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/coordinator"
	"balsa/server/partition"
)

// floorsService is the number under which brokers ask each other what consumer groups still need.
const floorsService uint8 = 16

const (
	// queueInterval is how often what was acknowledged is deleted.
	queueInterval = time.Second
	// floorsTimeout bounds the question to the other brokers.
	floorsTimeout = 2 * time.Second
)

// queues deletes the records of queues (cleanup.policy=ack) that this node leads once every group has done with them.
type queues struct {
	node       raft.NodeID
	partitions *partition.Manager
	committed  func([]cluster.TopicID) ([]int32, []coordinator.CommittedFloor) // coordinator.Host.Committed
	image      func() *cluster.Image
	brokers    func() []raft.NodeID
	call       callFunc
	logger     *slog.Logger
}

// run goes on until ctx ends. While there is nothing to delete from the queues that are led here, it asks nobody.
func (q *queues) run(ctx context.Context) {
	ticker := time.NewTicker(queueInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			q.look(ctx)
		}
	}
}

func (q *queues) look(ctx context.Context) {
	due := map[*partition.Partition]partition.Reclaimable{}
	topics := map[cluster.TopicID]struct{}{}
	for _, p := range q.partitions.Queues() {
		p.ExpireQueue()
		if r, ok := p.Reclaimable(); ok {
			due[p] = r
			topics[p.ID.Topic] = struct{}{}
		}
	}
	if len(due) == 0 {
		return
	}
	floors, err := q.floors(ctx, topics) // not before: see Reclaimable
	if err != nil {
		q.logger.Debug("nothing is deleted from queues for now", "err", err)
		return // some consumer group may need what the others do not
	}
	for p, r := range due {
		floor, ok := floors[p.TopicPartition()]
		if !ok {
			floor = partition.NothingNeeded
		}
		p.ReclaimQueue(r, floor)
	}
}

// errShards means that not all coordinator shards could be asked.
var errShards = errors.New("not all group coordinators answer")

// floors returns, for each partition of the topics that consumer groups use, the lowest offset that any of them still needs.
func (q *queues) floors(ctx context.Context, topics map[cluster.TopicID]struct{}) (map[cluster.TopicPartition]log.Offset, error) {
	ctx, cancel := context.WithTimeout(ctx, floorsTimeout)
	defer cancel()
	image := q.image()
	question := floorsQuestion{version: image.Version}
	for id := range topics {
		question.topics = append(question.topics, id)
	}
	var mu sync.Mutex
	asked := map[int32]bool{}
	floors := map[cluster.TopicPartition]log.Offset{}
	var wg sync.WaitGroup
	for _, node := range q.brokers() {
		wg.Go(func() {
			shards, found, err := q.ask(ctx, node, &question)
			if err != nil {
				return // what it leads, nobody answers for
			}
			mu.Lock()
			defer mu.Unlock()
			for _, s := range shards {
				asked[s] = true
			}
			for _, f := range found {
				p := cluster.TopicPartition{Topic: f.Topic, Partition: f.Partition}
				if known, ok := floors[p]; !ok || log.Offset(f.Offset) < known {
					floors[p] = log.Offset(f.Offset)
				}
			}
		})
	}
	wg.Wait()
	shards := image.Topics[cluster.CoordinatorTopic]
	if shards == nil || len(asked) < len(shards.Partitions) {
		return nil, fmt.Errorf("%w: %d did", errShards, len(asked))
	}
	return floors, nil
}

func (q *queues) ask(ctx context.Context, node raft.NodeID, question *floorsQuestion) ([]int32, []coordinator.CommittedFloor, error) {
	if node == q.node {
		shards, floors := q.committed(question.topics)
		return shards, floors, nil
	}
	answer, err := q.call(ctx, node, floorsService, question.encode())
	if err != nil {
		return nil, nil, err
	}
	return decodeFloors(answer)
}

// serve answers another broker; its signature is raft.Service. One that knows more of the topics gets no shards.
func (q *queues) serve(_ context.Context, _ raft.NodeID, payload []byte) ([]byte, error) {
	question, err := decodeFloorsQuestion(payload)
	if err != nil {
		return nil, err
	}
	if q.image().Version < question.version {
		return encodeFloors(nil, nil), nil
	}
	return encodeFloors(q.committed(question.topics)), nil
}

// A question is: version 1, version of the metadata, the number of topics, their ids. Its answer is: version 1, the number of shards led
// there, the shards, the number of floors, then for each topic id, partition, offset. Numbers are varints.
const floorsVersion = 1

var errFloors = errors.New("malformed message about committed offsets")

// floorsQuestion asks for the floors of topics as they are in the metadata from a version on: who has not heard of a topic, or of its last
// partitions, does not know either that a group needs them.
type floorsQuestion struct {
	version uint64
	topics  []cluster.TopicID
}

func (f *floorsQuestion) encode() []byte {
	e := wire.Encoder{}
	e.U8(floorsVersion)
	e.Uvarint(f.version)
	e.Uvarint(uint64(len(f.topics)))
	for _, id := range f.topics {
		e.ID(id)
	}
	return e.B
}

func decodeFloorsQuestion(b []byte) (floorsQuestion, error) {
	d := wire.Decoder{B: b}
	version := d.U8()
	f := floorsQuestion{version: d.Uvarint()}
	f.topics = make([]cluster.TopicID, d.Count(16))
	for i := range f.topics {
		f.topics[i] = d.ID()
	}
	if err := d.End(); err != nil || version != floorsVersion {
		return floorsQuestion{}, fmt.Errorf("%w: version %d: %w", errFloors, version, err)
	}
	return f, nil
}

func encodeFloors(shards []int32, floors []coordinator.CommittedFloor) []byte {
	e := wire.Encoder{}
	e.U8(floorsVersion)
	e.Uvarint(uint64(len(shards)))
	for _, s := range shards {
		e.Varint(int64(s))
	}
	e.Uvarint(uint64(len(floors)))
	for _, f := range floors {
		e.ID(f.Topic)
		e.Varint(int64(f.Partition))
		e.Varint(f.Offset)
	}
	return e.B
}

func decodeFloors(b []byte) ([]int32, []coordinator.CommittedFloor, error) {
	d := wire.Decoder{B: b}
	version := d.U8()
	shards := make([]int32, d.Count(1))
	for i := range shards {
		shards[i] = d.I32()
	}
	floors := make([]coordinator.CommittedFloor, d.Count(16+2))
	for i := range floors {
		floors[i] = coordinator.CommittedFloor{Topic: d.ID(), Partition: d.I32(), Offset: d.Varint()}
	}
	if err := d.End(); err != nil || version != floorsVersion {
		return nil, nil, fmt.Errorf("%w: version %d: %w", errFloors, version, err)
	}
	return shards, floors, nil
}
