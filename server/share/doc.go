// Package share is a share partition (KIP-932) as a pure state machine: which records of one partition one share group has
// still to decide about, who holds which of them and until when, and how often each was delivered.
//
// It has two halves, like packages group and txn. Partition is what is durable; it changes only by Apply of a Change, so
// every replica has the same. Leader is what the partition's leader adds: it decides. It takes a request, the time and the
// group's Policy, and returns a Change, which it has applied to its own copy of the Partition already, so that the next
// decision follows from it. The host replicates the Changes in that order and answers a request when its Change is
// committed. When a Change fails, the Leader has run ahead of what is true: the host drops it and makes a new one from the
// replicated Partition.
//
// A Partition is a window of offsets. Below Start everything is decided (Kafka's share-partition start offset, SPSO); at
// End and above nothing was looked at, and nothing is kept, however many records wait there. Between them every offset is
// in one Run, and neighbours that are alike are one, so a million records in one state take as much as one.
//
// What holds:
//   - A record is delivered at least once, and is Acquired by one member at a time: until it is acknowledged, its lock
//     ends or its owner goes.
//   - What is decided (Acknowledged, Archiving or Archived) is never delivered again, and never counted again.
//   - The delivery count is in the Change that delivers, so a record that kills whoever takes it reaches its limit
//     whatever fails over in between.
//   - With Policy.Ordered at most one record of a key is undecided and delivered at a time, in the order of the offsets.
//
// Times are milliseconds since 1970. They pass in Tick alone: a lock whose end is over cannot be acknowledged any more, but
// stands in the way of others until the host ticks. A clock that jumps makes locks and delays longer or shorter, no more.
//
// Nothing here reads a clock, starts a goroutine or does I/O. No type is safe for concurrent use, but a Clone is independent
// of what it was made from. Bounds are the host's: Policy bounds what is acquired and tracked, MaxChangeRuns a Change.
package share
