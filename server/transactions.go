package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/internal/wire"
	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/coordinator"
	"balsa/server/handler"
)

// transactionsService is the number under which brokers ask each other's transaction coordinators.
const transactionsService uint8 = 11

const (
	// addPatience is how long a question to a coordinator follows it when it moves or does not answer; then the client
	// has to try again.
	addPatience = 2 * time.Second
	addPause    = 20 * time.Millisecond
)

// transactions reaches the coordinator of a transactional id wherever it is (handler.Transactions).
type transactions struct {
	node        raft.NodeID
	coordinator *coordinator.Host
	image       func() *cluster.Image
	leader      func(topic cluster.TopicID, partition int32) raft.Leadership
	call        callFunc
	logger      *slog.Logger
}

var _ handler.Transactions = (*transactions)(nil)

// AddPartitions implements handler.Transactions. While the shard's leader is being elected it waits, up to addPatience.
func (t *transactions) AddPartitions(
	ctx context.Context, transactionalID string, producerID int64, epoch int16, partitions []cluster.TopicPartition, verifyOnly bool,
) []error {
	req := coordinator.AddPartitions{
		TransactionalID: transactionalID, ProducerID: producerID, Epoch: epoch, Partitions: partitions,
		VerifyOnly: verifyOnly, Metadata: t.image().Version,
	}
	if !verifyOnly {
		req.Version = implicitVersion
	}
	ctx, cancel := context.WithTimeout(ctx, addPatience)
	defer cancel()
	for {
		codes := t.ask(ctx, req)
		if codes != nil && !moved(codes) {
			return codeErrors(codes)
		}
		if !pause(ctx, addPause) {
			errs := make([]error, len(partitions))
			for i := range errs {
				errs[i] = fmt.Errorf("ask the coordinator of transactional id %q: %w", transactionalID, kerr.CoordinatorNotAvailable)
			}
			return errs
		}
	}
}

// implicitVersion is the transaction version in which brokers add partitions (KIP-890).
const implicitVersion = 2

// ask makes one attempt; nil when the coordinator is not known or does not answer.
func (t *transactions) ask(ctx context.Context, req coordinator.AddPartitions) []int16 {
	shard := t.coordinator.Shard(req.TransactionalID)
	if shard < 0 {
		return nil
	}
	leader := t.leader(cluster.CoordinatorTopic, shard).Leader
	switch leader {
	case raft.NoNode:
		return nil
	case t.node:
		return kafkaCodes(t.coordinator.AddPartitions(ctx, req))
	}
	answer, err := t.call(ctx, leader, transactionsService, encodeAddPartitions(req))
	if err == nil {
		var codes []int16
		if codes, err = decodeCodes(answer, len(req.Partitions)); err == nil {
			return codes
		}
	}
	if !errors.Is(err, raft.ErrUnreachable) {
		t.logger.Debug("asking a transaction coordinator failed", "transactionalId", req.TransactionalID, "node", leader, "err", err)
	}
	return nil
}

// moved says whether the coordinator has to be looked for again. All partitions have the same answer then.
func moved(codes []int16) bool {
	if len(codes) == 0 {
		return false
	}
	switch codes[0] {
	case kerr.NotCoordinator.Code, kerr.CoordinatorLoadInProgress.Code, kerr.CoordinatorNotAvailable.Code:
		return true
	}
	return false
}

func kafkaCodes(errs []*kerr.Error) []int16 {
	codes := make([]int16, len(errs))
	for i, err := range errs {
		if err != nil {
			codes[i] = err.Code
		}
	}
	return codes
}

func codeErrors(codes []int16) []error {
	errs := make([]error, len(codes))
	for i, c := range codes {
		errs[i] = kerr.ErrorForCode(c)
	}
	return errs
}

// serve answers another broker's question; its signature is raft.Service.
func (t *transactions) serve(ctx context.Context, _ raft.NodeID, payload []byte) ([]byte, error) {
	req, err := decodeAddPartitions(payload)
	if err != nil {
		return nil, err
	}
	return encodeCodes(kafkaCodes(t.coordinator.AddPartitions(ctx, req))), nil
}

// A question is: version 1, flags (1: verify only), transaction version, transactional id, producer id and epoch, version
// of the asker's metadata, the number of partitions, then for each topic id and partition. Numbers are varints. Its answer
// is that to markers.
const (
	addVersion     = 1
	addVerifyOnly  = 1
	partitionBytes = 16 + 1
)

var errAddPartitions = errors.New("malformed question to a transaction coordinator")

func encodeAddPartitions(req coordinator.AddPartitions) []byte {
	e := wire.Encoder{B: make([]byte, 0, 64+len(req.Partitions)*(partitionBytes+2))}
	e.U8(addVersion)
	e.U8(boolByte(req.VerifyOnly) * addVerifyOnly)
	e.U8(byte(req.Version))
	e.Str(req.TransactionalID)
	e.Varint(req.ProducerID)
	e.Varint(int64(req.Epoch))
	e.Uvarint(req.Metadata)
	e.Uvarint(uint64(len(req.Partitions)))
	for _, p := range req.Partitions {
		e.ID(p.Topic)
		e.Varint(int64(p.Partition))
	}
	return e.B
}

func decodeAddPartitions(b []byte) (coordinator.AddPartitions, error) {
	d := wire.Decoder{B: b}
	if v := d.U8(); d.Err == nil && v != addVersion {
		return coordinator.AddPartitions{}, fmt.Errorf("%w: version %d", errAddPartitions, v)
	}
	req := coordinator.AddPartitions{
		VerifyOnly: d.U8()&addVerifyOnly != 0, Version: int8(d.U8()), TransactionalID: d.Str(), ProducerID: d.Varint(),
		Epoch: int16(d.I32()), Metadata: d.Uvarint(),
	}
	req.Partitions = make([]cluster.TopicPartition, d.Count(partitionBytes))
	for i := range req.Partitions {
		req.Partitions[i] = cluster.TopicPartition{Topic: d.ID(), Partition: d.I32()}
	}
	if err := d.End(); err != nil {
		return coordinator.AddPartitions{}, fmt.Errorf("%w: %w", errAddPartitions, err)
	}
	return req, nil
}
