package group

// reconcile returns a member's next step towards what it should have: first it gives up what is not in target, staying in
// its epoch; when it says that it has, or had nothing to give up, it goes on to targetEpoch and gets what is free. What
// others have not given up yet it waits for. owned is what the member says it has; nil when it does not say.
//
// A partition is therefore never given to a member while another may believe that it has it. That takes the member at its word:
// it must not go on to take up what it was told before and does not name.
func reconcile(m *consumerMember, targetEpoch int32, target assignment, owned *assignment, free func(topicID, int32) bool) memberAssignment {
	switch {
	case m.state == memberStable && m.epoch == targetEpoch:
		return m.memberAssignment
	case m.state == memberRevoking && ownsAny(owned, m.revoking):
		return m.memberAssignment
	case m.state == memberRevoking:
		return nextAssignment(m, m.epoch+1, targetEpoch, target, owned, free)
	}
	return nextAssignment(m, m.epoch, targetEpoch, target, owned, free)
}

func nextAssignment(
	m *consumerMember, epoch, targetEpoch int32, target assignment, owned *assignment, free func(topicID, int32) bool,
) memberAssignment {
	assigned, revoking := ownership{}, ownership{}
	for topic, partitions := range m.assigned {
		for partition, since := range partitions {
			if target.has(topic, partition) {
				assigned.add(topic, partition, since)
			} else {
				revoking.add(topic, partition, since)
			}
		}
	}
	if len(revoking) > 0 && ownsAny(owned, revoking) {
		return memberAssignment{
			epoch: epoch, previousEpoch: m.epoch, state: memberRevoking, assigned: assigned, revoking: revoking,
		}
	}
	next := memberAssignment{epoch: targetEpoch, previousEpoch: m.epoch, state: memberStable, assigned: assigned, revoking: ownership{}}
	for topic, partitions := range target {
		for _, partition := range partitions {
			switch {
			case m.assigned.has(topic, partition):
			case free(topic, partition) || m.revoking.has(topic, partition):
				assigned.add(topic, partition, targetEpoch)
			default:
				next.state = memberUnreleased
			}
		}
	}
	return next
}

// ownsAny says whether a member still has, as far as it says, any of a set. One that does not say may have all.
func ownsAny(owned *assignment, set ownership) bool {
	if owned == nil {
		return true
	}
	for topic, partitions := range *owned {
		for _, partition := range partitions {
			if set.has(topic, partition) {
				return true
			}
		}
	}
	return false
}
