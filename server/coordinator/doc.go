// Package coordinator runs package group's state machine on replicated shards. Groups are spread over shards by a hash of
// their id; each shard is one Raft group, and whoever leads it coordinates its groups.
//
// A request is decided under the shard's lock, on the goroutine that brought it. What has to be written is queued, and
// the shard's own goroutine proposes all that is queued as one entry: thousands of offset commits a second become a few
// entries. When an entry is committed and applied here, the decisions in it go on, in order. Nothing polls: a request
// that has to wait (a join, a sync, a commit) is a callback kept by the state machine.
//
// When leadership is lost, everything that waits is answered with NOT_COORDINATOR, and what the leader knew beyond the
// replicated state is dropped; clients find the new leader and join again or go on.
package coordinator
