// Package partition is a replicated partition: a Raft group over a log, with the rules of Kafka's produce, fetch and
// offset lookups, and the Manager that keeps a node's replicas in step with the cluster's metadata.
//
// Errors that Kafka has a code for are *kerr.Error values, possibly wrapped.
package partition
