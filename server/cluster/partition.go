package cluster

import (
	"errors"
	"fmt"
	"slices"

	"balsa/raft"
)

// Partition is one partition's placement. Leaders are not here: Raft elects them; see server's leader table.
//
// While a reassignment is under way, Replicas are the brokers that it leads to, in their order, and then those that it leads
// away from. A reassignment that was canceled leads back: its Removing are its Adding.
type Partition struct {
	Replicas []raft.NodeID // the first is the preferred leader
	// Adding are the replicas that joined since the partition was last settled, also those that are to be removed again: they hold
	// nothing but what the partition's leader has sent them, and never found the partition's Raft group themselves.
	Adding []raft.NodeID
	// Removing are the replicas that the reassignment leads away from.
	Removing []raft.NodeID
	// Epoch counts the changes since the partition was created: a completion of a reassignment that names another is out of date
	// (Kafka's partition epoch).
	Epoch int32
}

// Settled says that no reassignment is under way.
func (p Partition) Settled() bool { return len(p.Adding) == 0 && len(p.Removing) == 0 }

// Target returns the replicas that the partition has when its reassignment is done, those it has if none is under way. Not to be
// written to.
func (p Partition) Target() []raft.NodeID { return without(p.Replicas, p.Removing) }

// Original returns the replicas that the partition has if its reassignment is canceled. Not to be written to.
func (p Partition) Original() []raft.NodeID { return without(p.Replicas, p.Adding) }

func without(ids, leave []raft.NodeID) []raft.NodeID {
	if len(leave) == 0 {
		return ids
	}
	kept := make([]raft.NodeID, 0, len(ids))
	for _, id := range ids {
		if !slices.Contains(leave, id) {
			kept = append(kept, id)
		}
	}
	return kept
}

// check says what is wrong with a partition that comes from a disk or a peer.
func (p Partition) check() error {
	seen := make(map[raft.NodeID]bool, len(p.Replicas))
	for _, id := range p.Replicas {
		if seen[id] {
			return fmt.Errorf("broker %d twice among the replicas", id)
		}
		seen[id] = true
	}
	for _, list := range [][]raft.NodeID{p.Adding, p.Removing} {
		for i, id := range list {
			if !seen[id] || slices.Contains(list[:i], id) {
				return fmt.Errorf("broker %d joins or leaves but is no replica, or does so twice", id)
			}
		}
	}
	if len(p.Target()) == 0 || len(p.Original()) == 0 {
		return errors.New("no replica stays")
	}
	if p.Epoch < 1 {
		return fmt.Errorf("partition epoch %d of a partition that changed", p.Epoch)
	}
	return nil
}
