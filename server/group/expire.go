package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// maxRecordsPerWrite keeps a large clean-up from becoming one huge entry.
const maxRecordsPerWrite = 1000

// checkRetention deletes expired offsets, and groups that are empty and have none left.
func (l *Leader) checkRetention(now time.Time) {
	l.timers.Schedule(&l.retention, now.Add(l.env.Config.OffsetsRetentionCheckInterval))
	l.DeleteOrphans(now)
	l.expireProducers(now)
	for id := range sorted(l.state.groups) {
		// What is being written may be a fresh commit; there is always a next check.
		if l.writing[id] > 0 {
			continue
		}
		if g := l.consumers[id]; g != nil {
			names := g.subscribed(l.env.Topics(), now)
			l.expireOffsets(id, len(g.members) == 0, func(topic string, o Offset) bool {
				return !names[topic] && l.retained(o, o.CommitTime, now)
			})
		} else if g := l.find(id); g != nil {
			unused := g.state == stateEmpty && len(g.pending) == 0
			l.expireOffsets(id, unused, func(topic string, o Offset) bool { return l.expired(g, topic, o, now) })
		}
	}
	for id, g := range sorted(l.groups) {
		// An empty group is what State says it is, and one that State does not know was never more than an attempt to join.
		if g.state == stateEmpty && len(g.pending) == 0 && l.writing[id] == 0 {
			l.removed(g)
		}
	}
}

// expireOffsets applies offsets.retention.minutes to one group, and deletes the group when nothing is left and it is unused.
func (l *Leader) expireOffsets(id string, unused bool, expired func(topic string, o Offset) bool) {
	s := l.state.groups[id]
	var records []record
	kept := len(s.pending) > 0
	for topic, partitions := range sorted(s.offsets) {
		for partition, o := range sorted(partitions) {
			if expired(topic, o) && !s.unstable(topic, partition) {
				records = append(records, offsetDeleted{id, topic, partition})
			} else {
				kept = true
			}
		}
	}
	if !kept && unused {
		l.env.Logger.Info("group expired", "group", id, "offsets", len(records))
		l.forget(id, func(time.Time, *kerr.Error) {})
		return
	}
	if len(records) > 0 {
		l.env.Logger.Info("group offsets expired", "group", id, "offsets", len(records))
		l.deleteRecords(id, records)
	}
}

// expired says whether an offset's retention is over (KIP-211). In a group without members it runs from when the last
// one left, or from the commit when that was later: an administrator may commit for a group that has long been empty,
// which Kafka forgets at the next check. In a group of consumers it runs, from the commit, only for topics that none of
// them is subscribed to.
func (l *Leader) expired(g *liveGroup, topic string, o Offset, now time.Time) bool {
	base := o.CommitTime
	switch {
	case g.protocolType == "": // simple
	case g.state == stateEmpty:
		base = max(base, g.stateTime)
	case g.state != stateStable || g.subscribed == nil || g.isSubscribed(topic):
		return false
	}
	return l.retained(o, base, now)
}

// retained says whether an offset has been kept for its retention since base (ms).
func (l *Leader) retained(o Offset, base int64, now time.Time) bool {
	if o.ExpireTime != noTime {
		return now.UnixMilli() >= o.ExpireTime
	}
	return now.UnixMilli()-base >= l.env.Config.OffsetsRetention.Milliseconds()
}

// DeleteOrphans deletes the offsets of topics that were deleted, also of those that were created again under the same
// name. A leader whose metadata is behind that of an earlier one must not judge: the topic may be one that it has not heard
// of yet.
func (l *Leader) DeleteOrphans(_ time.Time) {
	topics := l.env.Topics()
	if topics.Version() < l.state.metadata {
		return
	}
	for _, g := range sorted(l.shares) {
		l.deleteOrphanedShares(g, topics)
	}
	for id, s := range sorted(l.state.groups) {
		if l.writing[id] > 0 {
			continue
		}
		records := s.orphans(id, topics)
		if len(records) > 0 {
			l.env.Logger.Info("offsets of deleted topics are deleted", "group", id, "offsets", len(records))
			l.deleteRecords(id, records)
		}
	}
}

// orphans returns what deletes the offsets of topics that are gone, pending ones too. Deleting an offset drops all that is
// pending for the partition: where that is for a newer topic of the name, it waits.
func (g *stored) orphans(id string, topics Topics) (records []record) {
	orphan := func(topic string, o Offset) bool {
		topicID, _, exists := topics.ByName(topic)
		return !exists || o.TopicID != topicID
	}
	for topic, partitions := range sorted(g.offsets) {
		for partition, o := range sorted(partitions) {
			if orphan(topic, o) && !g.unstable(topic, partition) {
				records = append(records, offsetDeleted{id, topic, partition})
			}
		}
	}
	for topic, partitions := range sorted(g.pending) {
		for partition, pending := range sorted(partitions) {
			if orphan(topic, pending[len(pending)-1].offset) {
				records = append(records, offsetDeleted{id, topic, partition})
			}
		}
	}
	return records
}

func (l *Leader) deleteRecords(group string, records []record) {
	for len(records) > 0 {
		n := min(len(records), maxRecordsPerWrite)
		l.write(group, records[:n], true, func(time.Time, *kerr.Error) {})
		records = records[n:]
	}
}
