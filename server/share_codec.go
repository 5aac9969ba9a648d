package server

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/internal/wire"
	"balsa/server/cluster"
	"balsa/server/coordinator"
	"balsa/server/share"
)

// shareStatesService is the number under which brokers ask each other about share partitions.
const shareStatesService uint8 = 14

// shareOp is what is asked for.
type shareOp uint8

const (
	shareInitialize shareOp = iota + 1
	shareDelete
	shareAlter
	shareDescribe
	shareDescribeDecided
)

type shareRequest struct {
	op     shareOp
	group  string
	epoch  share.Epoch              // zero with those that describe
	starts []coordinator.ShareStart // their offsets count for shareAlter only
}

// A request is: version 2, operation, group, epoch, the number of partitions, then for each topic id, partition, offset. Its answer is:
// version 2, the number of partitions, then for each error code, start, leader epoch, lag, records in flight, delayed, and about to
// be dead letters, then the number of ranges that are decided, and of each the distance from the end of the one before, or from start, and its
// length. Numbers are varints.
const (
	shareVersion    = 2
	shareStartBytes = 16 + 2
	shareStateBytes = 8
	shareRangeBytes = 2
)

var errShareStates = errors.New("malformed message about share partitions")

func encodeShareRequest(req shareRequest) []byte {
	e := wire.Encoder{}
	e.U8(shareVersion)
	e.U8(byte(req.op))
	e.Str(req.group)
	req.epoch.AppendTo(&e)
	e.Uvarint(uint64(len(req.starts)))
	for _, s := range req.starts {
		e.ID(s.Topic)
		e.Varint(int64(s.Partition))
		e.Varint(s.Offset)
	}
	return e.B
}

func decodeShareRequest(b []byte) (shareRequest, error) {
	d := wire.Decoder{B: b}
	if v := d.U8(); d.Err == nil && v != shareVersion {
		return shareRequest{}, fmt.Errorf("%w: version %d", errShareStates, v)
	}
	req := shareRequest{op: shareOp(d.U8()), group: d.Str(), epoch: share.DecodeEpoch(&d)}
	if d.Err == nil && (req.op < shareInitialize || req.op > shareDescribeDecided) {
		return shareRequest{}, fmt.Errorf("%w: operation %d", errShareStates, req.op)
	}
	req.starts = make([]coordinator.ShareStart, d.Count(shareStartBytes))
	for i := range req.starts {
		req.starts[i] = coordinator.ShareStart{
			TopicPartition: cluster.TopicPartition{Topic: d.ID(), Partition: d.I32()}, Offset: d.Varint(),
		}
	}
	if err := d.End(); err != nil {
		return shareRequest{}, fmt.Errorf("%w: %w", errShareStates, err)
	}
	return req, nil
}

func encodeShareStates(states []coordinator.ShareState) []byte {
	e := wire.Encoder{}
	e.U8(shareVersion)
	e.Uvarint(uint64(len(states)))
	for _, s := range states {
		e.Varint(int64(wireCode(s.Err)))
		e.Varint(s.Start)
		e.Varint(int64(s.LeaderEpoch))
		e.Varint(s.Lag)
		e.Varint(s.InFlight)
		e.Varint(s.Delayed)
		e.Varint(s.DeadLettering)
		encodeRanges(&e, s)
	}
	return e.B
}

// decodeShareStates reads the answer about n partitions.
func decodeShareStates(b []byte, n int) ([]coordinator.ShareState, error) {
	d := wire.Decoder{B: b}
	if v := d.U8(); d.Err == nil && v != shareVersion {
		return nil, fmt.Errorf("%w: answer of version %d", errShareStates, v)
	}
	states := make([]coordinator.ShareState, d.Count(shareStateBytes))
	for i := range states {
		code := d.I32()
		states[i] = coordinator.ShareState{
			Start: d.Varint(), LeaderEpoch: d.I32(), Lag: d.Varint(),
			InFlight: d.Varint(), Delayed: d.Varint(), DeadLettering: d.Varint(),
		}
		decodeRanges(&d, &states[i])
		if code != 0 {
			states[i].Err = kerr.ErrorForCode(int16(code))
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("%w: answer: %w", errShareStates, err)
	}
	if len(states) != n {
		return nil, fmt.Errorf("%w: %d answers to %d", errShareStates, len(states), n)
	}
	return states, nil
}

func encodeRanges(e *wire.Encoder, s coordinator.ShareState) {
	e.Uvarint(uint64(len(s.Decided)))
	next := share.Offset(s.Start)
	for _, r := range s.Decided {
		e.Varint(int64(r.First - next))
		next = r.Last + 1
		e.Varint(int64(next - r.First))
	}
}

func decodeRanges(d *wire.Decoder, s *coordinator.ShareState) {
	next := share.Offset(s.Start)
	for range d.Count(shareRangeBytes) {
		r := share.Range{First: next + share.Offset(d.Varint())}
		next = r.First + share.Offset(d.Varint())
		r.Last = next - 1
		s.Decided = append(s.Decided, r)
	}
}
