// Package log is one partition's durable log on one disk. It knows neither Raft's protocol nor the network nor
// topics: it stores Kafka record batches (v2) in segment files, stamps their base offset and leader epoch,
// finds them by offset, timestamp and Raft index, and says what is durable.
//
// The files are described in FORMAT.md, what a crash can leave of them and how that is told from damage at type
// recovery. Nothing of the records, and but the last headers of the batches, is kept in memory.
package log
