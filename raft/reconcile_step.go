package raft

import (
	"fmt"
	"slices"
)

// outlook is what a leader sees when it decides about the next step of a change of membership.
type outlook struct {
	self     NodeID
	target   Target
	members  []Member
	replicas map[NodeID]replicaView // of all members and all of target
	// compacted: entries are gone that a replica which was no member meanwhile may lack; see Compacted.
	compacted bool
}

type replicaView struct {
	report
	caughtUp bool
}

// serves says whether a replica is in service: it remembers everything and has nearly all entries.
func (v replicaView) serves() bool { return v.condition == full && v.caughtUp }

type stepKind uint8

const (
	stepWait stepKind = iota
	stepDone
	stepAdd      // as a learner
	stepAdmit    // a joining learner
	stepPromote  // a learner to a voter
	stepRemove   // a member
	stepRebuild  // a replica that has no vote: it is damaged, or its log cannot be gone on with
	stepTransfer // leadership to node, because this one is to be removed
)

func (k stepKind) String() string {
	return [...]string{"wait", "done", "add", "admit", "promote", "remove", "rebuild", "transfer"}[k]
}

type step struct {
	kind stepKind
	node NodeID
	life uint64 // what admit and rebuild are for
	why  string // of a wait
	// catchingUp: the wait is for a replica that is being sent what it lacks.
	catchingUp bool
}

// nextStep decides. Its order is what makes changes safe and quick: first a vote without a memory goes, then everybody of
// target comes, all at a time, and only when they are all in service does anybody go.
func nextStep(o outlook) step {
	if s, ok := o.forgetful(); ok {
		return s
	}
	wait := step{}
	for _, n := range slices.Concat(o.target.Voters, o.target.Learners) {
		s := o.bringIn(n)
		if s.kind != stepWait && s.kind != stepDone {
			return s
		}
		if s.kind == stepWait && (wait.why == "" || s.catchingUp) {
			wait = s
		}
	}
	for _, m := range o.members {
		if !m.Voter && !o.target.has(m.Node) {
			return step{kind: stepRemove, node: m.Node} // it was to come, and is not any more
		}
	}
	if wait.why != "" && !(o.target.Majority && o.majorityServes()) {
		return wait
	}
	if s := o.letGo(); s.kind != stepDone || wait.why == "" {
		return s
	}
	return wait
}

// majorityServes says whether the voters of target that have a vote and are in service are a majority of target.
func (o outlook) majorityServes() bool {
	serving := 0
	for _, m := range o.members {
		if m.Voter && slices.Contains(o.target.Voters, m.Node) && o.replicas[m.Node].serves() {
			serving++
		}
	}
	return 2*serving > len(o.target.Voters)
}

// forgetful finds a voter that forgot what it promised: its replica is damaged, or began anew without having been removed. It
// does not vote, so the group lacks a replica; it is removed, to join as any other. Removing it makes its acknowledgements
// void, so all others must have what it acknowledged.
func (o outlook) forgetful() (step, bool) {
	for _, m := range o.members {
		v := o.replicas[m.Node]
		if !m.Voter || m.Node == o.self || v.condition != damaged && v.condition != joining && v.condition != admitted {
			continue
		}
		for _, other := range o.members {
			if other.Voter && other.Node != m.Node && !o.replicas[other.Node].serves() {
				why := fmt.Sprintf("the replica on node %d has to be rebuilt, and that on node %d is not in service", m.Node, other.Node)
				return step{kind: stepWait, why: why}, true
			}
		}
		return step{kind: stepRemove, node: m.Node}, true
	}
	return step{}, false
}

// bringIn returns what makes n the member that it shall be; stepDone if it is.
func (o outlook) bringIn(n NodeID) step {
	v := o.replicas[n]
	i := slices.IndexFunc(o.members, func(m Member) bool { return m.Node == n })
	waiting := step{kind: stepWait, why: fmt.Sprintf("the replica on node %d is %s", n, v.condition)}
	switch v.condition {
	case unreachable, absent, broken:
		return waiting
	case damaged:
		return step{kind: stepRebuild, node: n, life: v.life} // without a vote: see forgetful
	}
	switch {
	case i < 0 && o.compacted && v.entries:
		return step{kind: stepRebuild, node: n, life: v.life}
	case i < 0:
		return step{kind: stepAdd, node: n}
	case v.condition == joining:
		return step{kind: stepAdmit, node: n, life: v.life}
	case !v.serves():
		waiting.why, waiting.catchingUp = fmt.Sprintf("the replica on node %d is catching up", n), true
		return waiting
	case slices.Contains(o.target.Voters, n) && !o.members[i].Voter:
		return step{kind: stepPromote, node: n}
	}
	return step{kind: stepDone}
}

// letGo returns what removes a voter that is not to stay. All of target are voters, and in service.
func (o outlook) letGo() step {
	leaves := false
	for _, m := range o.members {
		switch {
		case !m.Voter || slices.Contains(o.target.Voters, m.Node):
		case m.Node == o.self:
			leaves = true
		default:
			return step{kind: stepRemove, node: m.Node}
		}
	}
	if leaves {
		for _, n := range o.target.Voters { // this node is none of them
			if o.replicas[n].serves() {
				return step{kind: stepTransfer, node: n}
			}
		}
	}
	return step{kind: stepDone}
}
