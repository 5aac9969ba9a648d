// Package eos proves exactly-once processing. Workers, real processes, read a topic of numbered records, transform each
// and write the outcome and their progress in one transaction (consume-transform-produce, KIP-447). Meanwhile workers
// are killed and paused until they are zombies, and so are the nodes that coordinate their group, coordinate their
// transactions, or lead what they write to; some transactions are aborted on purpose. Afterwards each input must be
// in the read_committed output exactly once, in order, and no transaction may be left open. Faults pause while nothing
// gets on (pacer); when nothing does in peace either, the run fails and says who is in the group and which partitions they have.
//
// That the proof can fail is part of it: the same output read without isolation must show the aborted copies.
//
// The checker and its tests are ordinary ones. The run takes minutes and is behind the build tag "eos":
//
//	make eos
//	go test -tags eos ./test/eos -records 100000 -v
//	go test -tags eos ./test/eos -seeds 127.0.0.1:9092 -v    # another cluster, such as Apache Kafka; only workers suffer
package eos
