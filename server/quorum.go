package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/internal/wire"
	"balsa/raft"
	"balsa/server/handler"
)

// quorumService is the number under which the leader of the metadata group describes it to the other brokers.
const quorumService uint8 = 7

// quorum describes the metadata group.
type quorum struct {
	node  raft.NodeID
	group *raft.Metadata
	call  callFunc
}

// DescribeQuorum implements handler.Quorum.
func (q *quorum) DescribeQuorum(ctx context.Context) (handler.QuorumState, error) {
	leader := q.group.Leadership().Leader
	switch leader {
	case raft.NoNode:
		return handler.QuorumState{}, fmt.Errorf("%w: the metadata group has no leader", kerr.LeaderNotAvailable)
	case q.node:
		return q.state(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	answer, err := q.call(ctx, leader, quorumService, nil)
	if err == nil {
		var state handler.QuorumState
		if state, err = decodeQuorum(answer); err == nil {
			return state, nil
		}
	}
	return handler.QuorumState{}, fmt.Errorf("%w: ask node %d, which leads: %w", kerr.LeaderNotAvailable, leader, err)
}

// state is what this node, which leads, knows.
func (q *quorum) state() handler.QuorumState {
	l := q.group.Leadership()
	s := handler.QuorumState{Leader: l.Leader, Epoch: int32(l.Epoch), HighWatermark: int64(q.group.CommitIndex()) + 1}
	for _, p := range q.group.Progress() {
		m := handler.QuorumMember{
			Node: p.Node, Voter: p.Voter, LogEnd: -1, LastFetch: unixMillis(p.LastContact), LastCaughtUp: unixMillis(p.LastCaughtUp),
		}
		if p.Match > 0 {
			m.LogEnd = int64(p.Match) + 1
		}
		s.Members = append(s.Members, m)
	}
	return s
}

func unixMillis(t time.Time) int64 {
	if t.IsZero() {
		return -1
	}
	return t.UnixMilli()
}

var errQuorum = errors.New("malformed description of the metadata group")

// quorumVersion is the first byte of a description; leader, epoch, high watermark and number of members follow as varints, then for
// each its node, 1 for a voter, log end, last fetch and last caught up.
const quorumVersion = 1

// serve describes the group to another broker; its signature is raft.Service.
func (q *quorum) serve(context.Context, raft.NodeID, []byte) ([]byte, error) {
	if q.group.Leadership().Leader != q.node {
		return nil, raft.ErrNotLeader
	}
	return encodeQuorum(q.state()), nil
}

func encodeQuorum(s handler.QuorumState) []byte {
	var e wire.Encoder
	e.U8(quorumVersion)
	e.Varint(int64(s.Leader))
	e.Varint(int64(s.Epoch))
	e.Varint(s.HighWatermark)
	e.Uvarint(uint64(len(s.Members)))
	for _, m := range s.Members {
		e.Varint(int64(m.Node))
		voter := byte(0)
		if m.Voter {
			voter = 1
		}
		e.U8(voter)
		e.Varint(m.LogEnd)
		e.Varint(m.LastFetch)
		e.Varint(m.LastCaughtUp)
	}
	return e.B
}

func decodeQuorum(b []byte) (handler.QuorumState, error) {
	d := wire.Decoder{B: b}
	if d.U8() != quorumVersion {
		return handler.QuorumState{}, errQuorum
	}
	s := handler.QuorumState{Leader: raft.NodeID(d.I32()), Epoch: d.I32(), HighWatermark: d.Varint()}
	for range d.Count(5) {
		s.Members = append(s.Members, handler.QuorumMember{
			Node: raft.NodeID(d.I32()), Voter: d.U8() == 1, LogEnd: d.Varint(), LastFetch: d.Varint(), LastCaughtUp: d.Varint(),
		})
	}
	if err := d.End(); err != nil {
		return handler.QuorumState{}, fmt.Errorf("%w: %w", errQuorum, err)
	}
	return s, nil
}
