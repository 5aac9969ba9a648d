package raft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"balsa/log"
)

// memberService is this package's own service for changes of membership: the leader of a group asks a node for its replica, admits
// it, or has it rebuilt. Requests are: version 1, operation, group, then numbers of 8 bytes each: the life, or the number of the
// damage, that the operation is for, and for an admission its index and term. The answer to memberStatus is a report.
const memberService uint8 = 255

const memberVersion = 1

const (
	memberStatus uint8 = iota
	memberAdmit
	memberRebuild
)

// condition is what a node says of its replica of a group.
type condition uint8

const (
	// unreachable: the node does not answer.
	unreachable condition = iota
	// absent: the node has no replica of the group, or not yet.
	absent
	// broken: the node cannot open its replica, and it is not the replica's fault: too many open files, for example.
	broken
	// damaged: the node has set its replica aside, which has to be built anew.
	damaged
	// joining: the replica began with nothing and was not admitted yet.
	joining
	// admitted: the replica still lacks some of what it was admitted for.
	admitted
	// full: the replica remembers all that it ever promised.
	full
)

func (c condition) String() string {
	return [...]string{"unreachable", "absent", "set aside", "damaged", "joining", "admitted", "full"}[c]
}

// report is a node's answer to memberStatus.
type report struct {
	condition condition
	life      uint64 // of an open replica, or the number of the damage
	entries   bool   // its log has entries, or had some
}

const reportLen = 1 + 8 + 1

func (r report) encode() []byte {
	return appendBool(binary.BigEndian.AppendUint64([]byte{byte(r.condition)}, r.life), r.entries)
}

func decodeReport(b []byte) (report, bool) {
	if len(b) != reportLen || b[0] > byte(full) {
		return report{}, false
	}
	return report{condition(b[0]), binary.BigEndian.Uint64(b[1:]), b[9] != 0}, true
}

func memberRequest(op uint8, id GroupID, numbers ...uint64) []byte {
	b := id.appendTo([]byte{memberVersion, op})
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// serveMember answers memberService on the node that is asked.
func (h *Host) serveMember(ctx context.Context, from NodeID, payload []byte) ([]byte, error) {
	r := &reader{b: payload}
	version, op, id, life := r.u8(), r.u8(), r.group(), r.u64()
	var index, term uint64
	if op == memberAdmit {
		index, term = r.u64(), r.u64()
	}
	if r.err == nil && version != memberVersion {
		r.err = fmt.Errorf("%w: member request of version %d", errFrame, version)
	}
	if r.err != nil {
		return nil, r.err
	}
	h.mu.Lock()
	g, repairer := h.groups[id], h.repairer
	h.mu.Unlock()
	switch {
	case op == memberStatus:
		a, err := h.reportOn(g, repairer, id)
		return a.encode(), err
	case op == memberAdmit && g != nil:
		return nil, g.joiner.admit(life, admission{index: log.Index(index), term: term, leader: from})
	case op == memberRebuild && g != nil && g.Life() != life:
		return nil, fmt.Errorf("order to rebuild %s in life %016x, this is %016x", id, life, g.Life())
	case op == memberRebuild && repairer != nil:
		return nil, repairer.Rebuild(ctx, id, life)
	}
	return nil, fmt.Errorf("%w: %s (operation %d)", ErrUnknownGroup, id, op)
}

func (h *Host) reportOn(g *Group, repairer Repairer, id GroupID) (report, error) {
	if g == nil {
		if repairer != nil {
			switch n, aside := repairer.Damaged(id); {
			case aside && n == 0:
				return report{condition: broken}, nil
			case aside:
				return report{condition: damaged, life: n}, nil
			}
		}
		return report{condition: absent}, nil
	}
	if err := g.settleIn(); err != nil {
		return report{}, err
	}
	r := report{condition: full, life: g.Life(), entries: g.plog != nil && g.plog.LastIndex() > 0}
	if !g.Joining() {
		return r, nil
	}
	g.joiner.mu.Lock()
	defer g.joiner.mu.Unlock()
	if r.condition = joining; g.joiner.admitted.index > 0 {
		r.condition = admitted
	}
	return r, nil
}

// ask returns what a node says of its replica of the group.
func (g *Group) ask(ctx context.Context, node NodeID) report {
	if !g.host.Alive(node) {
		return report{condition: unreachable}
	}
	answer, err := g.host.Call(ctx, node, memberService, memberRequest(memberStatus, g.id, 0))
	if r, ok := decodeReport(answer); err == nil && ok {
		return r
	}
	if err != nil && !errors.Is(err, ErrUnreachable) {
		g.logger.Warn("a member does not say how it is", "node", node, "err", err)
	}
	return report{condition: unreachable}
}
