package group

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSimpleAssignor checks random groups: every partition of every topic that is read has a reader, none more than it takes,
// members who read the same have as many as each other, and what has not changed stays as it is.
func TestSimpleAssignor(t *testing.T) {
	for seed := range 2000 {
		rng := rand.New(rand.NewPCG(uint64(seed), 9))
		same := seed%2 == 0
		in := randomSimpleInput(rng, same)
		targets := assignSimple(in)
		checkShared(t, seed, in, targets)
		if same {
			checkSharedEvenly(t, seed, in, targets)
		}
		for i := range in.members {
			in.members[i].previous = targets[i]
		}
		for i, a := range assignSimple(in) {
			if !a.equal(targets[i]) {
				t.Fatalf("seed %d: the same again is not the same: %v, %v", seed, targets[i], a)
			}
		}
		// A member leaves. As long as there are partitions for all that are left to themselves, they keep theirs.
		if rest := len(in.members) - 1; same && rest > 0 && in.count() >= len(in.members) {
			gone := rng.IntN(len(in.members))
			fewer := in
			fewer.members = append(slices.Clone(in.members[:gone]), in.members[gone+1:]...)
			for i, a := range assignSimple(fewer) {
				if lost := fewer.members[i].previous.without(a); len(lost) > 0 {
					t.Fatalf("seed %d: %s lost %v when another member left", seed, fewer.members[i].id, lost)
				}
			}
		}
	}
}

func randomSimpleInput(rng *rand.Rand, same bool) simpleInput {
	whole := randomInput(rng, same)
	in := simpleInput{members: whole.members, partitions: assignment{}}
	for topic, partitions := range whole.partitions {
		for partition := range partitions {
			if rng.IntN(5) > 0 { // not all are there yet
				in.partitions[topic] = append(in.partitions[topic], partition)
			}
		}
	}
	for i := range rng.IntN(12) { // more members than partitions, now and then
		m := in.members[rng.IntN(len(in.members))]
		m.id, m.previous = fmt.Sprint("n", i), assignment{}
		in.members = append(in.members, m)
	}
	slices.SortFunc(in.members, func(a, b assignorMember) int { return slices.Compare([]byte(a.id), []byte(b.id)) })
	return in
}

// count returns how many partitions there are of the topics that are read.
func (in *simpleInput) count() (n int) {
	for topic := range in.readers() {
		n += len(in.partitions[topic])
	}
	return n
}

func checkShared(t *testing.T, seed int, in simpleInput, targets []assignment) {
	t.Helper()
	type key struct {
		topic     topicID
		partition int32
	}
	shared := map[key]int{}
	for i, a := range targets {
		for topic, partitions := range a {
			if !slices.Contains(in.members[i].topics, topic) || len(assignment{topic: partitions}.without(in.partitions)) > 0 {
				t.Fatalf("seed %d: %s gets %x%v", seed, in.members[i].id, topic[:1], partitions)
			}
			if !slices.IsSorted(partitions) || len(slices.Compact(slices.Clone(partitions))) != len(partitions) {
				t.Fatalf("seed %d: %s gets %v of a topic", seed, in.members[i].id, partitions)
			}
			for _, partition := range partitions {
				shared[key{topic, partition}]++
			}
		}
	}
	for topic, readers := range in.readers() {
		all := len(in.partitions[topic])
		if in.same() {
			all = in.count()
		}
		for _, partition := range in.partitions[topic] {
			n, most := shared[key{topic, partition}], (len(readers)+all-1)/all
			if n < 1 || n > most {
				t.Fatalf("seed %d: %x-%d has %d members of %d, want 1 to %d", seed, topic[:1], partition, n, len(readers), most)
			}
		}
	}
}

func checkSharedEvenly(t *testing.T, seed int, in simpleInput, targets []assignment) {
	t.Helper()
	least, most := 1<<30, 0
	for _, a := range targets {
		least, most = min(least, a.count()), max(most, a.count())
	}
	if in.count() > 0 && (least < 1 || most-least > 1) {
		t.Fatalf("seed %d: %d members have %d to %d of %d partitions", seed, len(in.members), least, most, in.count())
	}
}
