// Package raft replicates logs. It is the only package that imports hashicorp/raft, as hraft.
//
// A Host runs all Raft groups of a node over one transport, one store of terms and votes and one syncer. A Group
// is a replica of one Raft group whose log *is* a package log partition: what a producer sent is written once, by
// entryStore, and shipped to followers from the same file. A StateMachine is what the group replicates for.
//
// What the package promises:
//   - an entry that a Proposal reports as committed is on a majority's disk (unless the topic chose otherwise
//     with flush.messages), and every replica applies the same entries in the same order;
//   - Leadership.Ready is true only after everything committed before the leader's term was applied here;
//   - a failed write or fsync takes the replica out until the process restarts; it never acknowledges again.
//
// hashicorp/raft was written for small commands and few groups. The files entry_store.go, snapshot_store.go,
// stable_store.go and transport.go are its four seams; docs/architecture.md tells why each does what it does.
package raft
