package raft

import "slices"

// Space is how much may still be written to a node's disk. Each step leaves less to fewer: what is written in the end is what frees space.
type Space uint8

const (
	// SpaceAmple is enough for everything.
	SpaceAmple Space = iota
	// SpaceLow is too little for what clients produce. What is on its way already, transaction markers and dead letters still get
	// through: until they do, records cannot be deleted that are only held for them.
	SpaceLow
	// SpaceScarce is too little for dead letters as well.
	SpaceScarce
	// SpaceCritical is what is kept for the internal entries: a follower takes no records of its leader, whatever they are, and members
	// of share groups get none. They still acknowledge, log starts move, elections and memberships fit.
	SpaceCritical
)

func (s Space) String() string {
	switch s {
	case SpaceAmple:
		return "ample"
	case SpaceLow:
		return "low"
	case SpaceScarce:
		return "scarce"
	default:
		return "critical"
	}
}

// Space returns how much the leader of the group may still write: what a majority of the voters has room for, itself among them.
// A follower that has none refuses an entry and everything behind it, also what would free space; so what too few have room for
// must not be proposed. A voter that cannot be reached counts as one without room as soon as another has little.
func (g *Group) Space() Space {
	h := g.host
	own := h.space()
	if own == SpaceCritical || h.lowPeers.Load() == 0 {
		return own
	}
	voters := g.Voters()
	needed := len(voters)/2 + 1
	spaces := make([]Space, 0, len(voters))
	little := false
	for _, n := range voters {
		if n == h.node {
			needed--
			continue
		}
		s := SpaceCritical
		if h.Alive(n) {
			s = Space(h.peer(n).beats.space.Load())
			little = little || s > SpaceAmple
		}
		spaces = append(spaces, s)
	}
	if !little || needed == 0 {
		return own
	}
	slices.Sort(spaces)
	return max(own, spaces[needed-1])
}

// useReserve says whether what is sent to a follower should be taken although its space is low. It is when the leader lets
// nothing be produced any more: then it is little, and needed. Otherwise the others have room, and the follower keeps its reserve for what it
// leads itself.
func (h *Host) useReserve(id GroupID) bool {
	if h.space() == SpaceAmple && h.lowPeers.Load() == 0 {
		return false
	}
	g := h.lookup(id)
	return g != nil && g.Space() > SpaceAmple
}

// setSpace takes note of what the peer says.
func (h *heartbeats) setSpace(s Space) {
	was := Space(h.space.Swap(uint32(s)))
	switch {
	case was == SpaceAmple && s > SpaceAmple:
		h.peer.host.lowPeers.Add(1)
	case was > SpaceAmple && s == SpaceAmple:
		h.peer.host.lowPeers.Add(-1)
	}
}

// nodeStatus is what a node says of itself with its answers to heartbeats.
type nodeStatus struct {
	draining bool
	space    Space
}

func (h *Host) status() nodeStatus { return nodeStatus{draining: h.draining.Load(), space: h.space()} }

// appendNodeStatus encodes s in one byte: whether the node is draining in the lowest bit, its space above.
func appendNodeStatus(b []byte, s nodeStatus) []byte {
	v := byte(s.space) << 1
	if s.draining {
		v |= 1
	}
	return append(b, v)
}

func (r *reader) nodeStatus() nodeStatus {
	v := r.u8()
	return nodeStatus{draining: v&1 != 0, space: min(Space(v>>1), SpaceCritical)}
}
