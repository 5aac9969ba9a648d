package group

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// shareDeletion waits for share partitions to be deleted.
type shareDeletion struct {
	pending map[SharePartition]bool
	failed  map[topicID]*kerr.Error
	done    func(failed map[topicID]*kerr.Error, err *kerr.Error)
}

// deletePartitions deletes the share partitions of a group in some topics. done gets the errors of topics in which some are still
// there, or the error of all; that they have to go stays on record, so they will.
func (l *Leader) deletePartitions(g *shareGroup, topics []topicID, done func(failed map[topicID]*kerr.Error, err *kerr.Error)) {
	c := l.shareChange(g)
	doomed := assignment{}
	for _, topic := range topics {
		for _, state := range []sharePartitionState{shareInitializing, shareInitialized} {
			if partitions := g.partitions[state][topic]; len(partitions) > 0 {
				doomed = doomed.with(assignment{topic: partitions})
			}
		}
	}
	c.move(doomed, shareDeleting)
	l.commit(g.id, c.records, func(err *kerr.Error) {
		d := &shareDeletion{pending: map[SharePartition]bool{}, failed: map[topicID]*kerr.Error{}, done: done}
		switch {
		case err == nil && l.closed != nil:
			err = l.closed
		case err == nil && l.shares[g.id] != g:
			err = kerr.GroupIDNotFound
		}
		if err != nil {
			done(nil, err)
			return
		}
		for _, topic := range topics {
			for _, partition := range g.partitions[shareDeleting][topic] {
				p := SharePartition{topic, partition}
				d.pending[p] = true
				delete(g.failed, p) // somebody waits for it now
			}
		}
		if len(d.pending) == 0 {
			done(d.failed, nil)
			return
		}
		g.deletions = append(g.deletions, d)
		l.tendPartitions(g)
	})
}

// sharesDeleted takes note of share partitions that are gone.
func (l *Leader) sharesDeleted(g *shareGroup, now time.Time, t *ShareTask, errs []*kerr.Error) {
	for i, err := range errs {
		if err == kerr.UnknownTopicOrPartition || err == kerr.UnknownTopicID {
			errs[i] = nil // all of the partition is gone
		}
	}
	c := l.shareChange(g)
	c.move(inTopics(l.outcome(g, now, t, errs)), shareAbsent)
	g.version = 0 // members may want to have them made again
	over := g.settleDeletions(t.Partitions, errs)
	c.commit(func(err *kerr.Error) {
		for _, d := range over {
			d.done(d.failed, err)
		}
	})
}

// settleDeletions tells who waits for the deletion of partitions what became of it, and returns those who need not wait any more.
func (g *shareGroup) settleDeletions(partitions []SharePartition, errs []*kerr.Error) (over []*shareDeletion) {
	for _, d := range g.deletions {
		for i, p := range partitions {
			if d.pending[p] {
				delete(d.pending, p)
				if errs[i] != nil {
					d.failed[p.Topic] = errs[i]
				}
			}
		}
		if len(d.pending) == 0 {
			over = append(over, d)
		}
	}
	g.deletions = slices.DeleteFunc(g.deletions, func(d *shareDeletion) bool { return len(d.pending) == 0 })
	return over
}

// deleteShareGroup deletes a group without members: its share partitions first, since nothing would remember them afterwards.
func (l *Leader) deleteShareGroup(id string, done func(err *kerr.Error)) {
	g := l.shares[id]
	switch {
	case g == nil:
		done(kerr.GroupIDNotFound)
	case len(g.members) > 0:
		done(kerr.NonEmptyGroup)
	case !g.hasPartitions():
		l.forget(id, func(_ time.Time, err *kerr.Error) { done(err) })
	default:
		l.deletePartitions(g, g.topics(), func(failed map[topicID]*kerr.Error, err *kerr.Error) {
			for _, topic := range sortedTopics(failed) {
				err = failed[topic]
			}
			if err != nil {
				done(err)
				return
			}
			l.deleteShareGroup(id, done) // unless somebody has joined meanwhile
		})
	}
}

// topics returns the topics of which something is on record.
func (g *shareGroup) topics() []topicID {
	all := assignment{}
	for _, partitions := range g.partitions {
		all = all.with(partitions)
	}
	return sortedTopics(all)
}

// deleteOrphanedShares forgets the share partitions of topics that are gone: they are gone with them.
func (l *Leader) deleteOrphanedShares(g *shareGroup, topics Topics) {
	orphans := assignment{}
	for _, topic := range g.topics() {
		if _, _, ok := topics.ByID(topic); ok {
			continue
		}
		for _, a := range g.partitions {
			if partitions := a[topic]; len(partitions) > 0 {
				orphans = orphans.with(assignment{topic: partitions})
			}
		}
	}
	if len(orphans) == 0 {
		return
	}
	l.env.Logger.Info("share partitions of deleted topics are forgotten", "group", g.id, "partitions", orphans.count())
	c := l.shareChange(g)
	c.move(orphans, shareAbsent)
	var gone []SharePartition
	for topic, partitions := range orphans {
		for _, partition := range partitions {
			gone = append(gone, SharePartition{topic, partition})
		}
	}
	over := g.settleDeletions(gone, make([]*kerr.Error, len(gone)))
	c.commit(func(err *kerr.Error) {
		for _, d := range over {
			d.done(d.failed, err)
		}
	})
}
