// Package sharegroup is a member of a share group (KIP-932), made for commands: a process may acquire a message, print
// its [Receipt] and end, and another process decides about the message later.
//
// Kafka's share consumers hold what they have acquired by their connection. A [Member] holds it by the lock alone: its id
// says so ([DetachedPrefix]), and balsa's brokers then release nothing when the connection or the session ends. On other
// brokers a message goes back to its group when the process that received it ends.
//
// A Member takes part in no assignment: it reads all partitions of its topic, from their leaders, so that its coming and
// going rebalances nobody. [Subscribe] joins a group for as long as it takes to be known there.
package sharegroup

import "balsa/server/share"

// DetachedPrefix begins the ids of members that hold their records by the locks alone.
const DetachedPrefix = share.DetachedPrefix
