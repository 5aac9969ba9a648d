// Package raft replicates logs. It is the only package that imports hashicorp/raft (as hraft). A Host runs all
// groups of a node over one transport, one store of terms and votes, and one syncer.
package raft
