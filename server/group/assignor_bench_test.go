package group

import (
	"fmt"
	"testing"
)

// BenchmarkAssign computes the assignment of a group of 1,000 members and 10,000 partitions of 100 topics that has one member
// more than before, and, mixed, whose members read different topics.
func BenchmarkAssign(b *testing.B) {
	for _, name := range []string{assignorUniform, assignorRange} {
		for _, mixed := range []bool{false, true} {
			b.Run(fmt.Sprint(name, "/mixed=", mixed), func(b *testing.B) {
				in := assignorInput{partitions: map[topicID]int32{}}
				var topics []topicID
				for i := range 100 {
					id := topicID{byte(i)}
					topics = append(topics, id)
					in.partitions[id] = 100
				}
				for i := range 1000 {
					m := assignorMember{id: fmt.Sprintf("m%04d", i), topics: topics}
					if mixed {
						m.topics = topics[i%50 : 51+i%50]
					}
					in.members = append(in.members, m)
				}
				fewer := in
				fewer.members = in.members[:999]
				for i, a := range assignorNamed(name)(fewer) {
					in.members[i].previous = a
				}
				for b.Loop() {
					assignorNamed(name)(in)
				}
			})
		}
	}
}

// BenchmarkAssignSimple computes the assignment of a share group of 1,000 members that has one member more than before, for many
// partitions and for few.
func BenchmarkAssignSimple(b *testing.B) {
	for _, partitions := range []int32{10, 10_000} {
		b.Run(fmt.Sprint("partitions=", partitions), func(b *testing.B) {
			topic := topicID{1}
			in := simpleInput{partitions: assignment{}}
			for partition := range partitions {
				in.partitions[topic] = append(in.partitions[topic], partition)
			}
			for i := range 1000 {
				in.members = append(in.members, assignorMember{id: fmt.Sprintf("m%04d", i), topics: []topicID{topic}})
			}
			fewer := in
			fewer.members = in.members[:999]
			for i, a := range assignSimple(fewer) {
				in.members[i].previous = a
			}
			for b.Loop() {
				assignSimple(in)
			}
		})
	}
}
