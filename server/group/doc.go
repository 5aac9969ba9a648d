// Package group is Kafka's group coordinator as a pure state machine: consumer groups of the classic protocol (JoinGroup,
// SyncGroup, Heartbeat, LeaveGroup) and of the consumer protocol (ConsumerGroupHeartbeat, KIP-848), share groups
// (ShareGroupHeartbeat, KIP-932), and committed offsets, in transactions or not.
//
// It has two halves. State is what is durable: committed offsets, and each group as its last completed rebalance left
// it, or, in the consumer protocol and in share groups, as the last decision did. It changes only by Replay of records, so every
// replica of a shard has the same State. Leader is what the shard's leader adds in memory: group states, members that wait
// in a join or a sync, session timers. A Leader decides: it takes a request and the time, answers what can be answered at once,
// parks what must wait, and asks for records to be written. When those are committed and replayed, the host says so
// (Write.Done) and the Leader goes on.
//
// What a share group has of a partition, its share partition, is kept by the partition's leader. The Leader asks for what is to
// be done about it (ShareTask) once that is on record, and is told what became of it.
//
// Nothing here reads a clock, makes randomness of its own, starts a goroutine or does I/O. Neither type is safe for
// concurrent use; package coordinator guards them.
//
// A new leader starts from State, as Kafka's does: groups with members are Stable in the generation of their last
// completed rebalance, and every member gets a full session timeout.
package group
