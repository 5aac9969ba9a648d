// Package txn is Kafka's transaction coordinator as a pure state machine: transactional ids with their producer ids and
// epochs, the transactions that their producers have open, and how those end (KIP-98, KIP-360, KIP-890).
//
// It has two halves, like package group. State is what is durable; it changes only by Replay of records, so every replica
// of a coordinator shard has the same State. Leader is what the shard's leader adds in memory: which transactions have a
// record on its way, requests that wait for it, deadlines. A Leader decides: it takes a request and the time, answers, and
// asks for records to be written. When those are committed and replayed, the host says so (Write.Done).
//
// A transaction ends in two steps. The decision is a record: PrepareCommit or PrepareAbort, after which nothing can change
// the outcome and the client is answered. Then the Leader asks the host for a Completion: a marker in every partition of
// the transaction. Only when all of them are written (Leader.Completed) does the record CompleteCommit or CompleteAbort
// follow. A new leader asks again for the completion of whatever it finds prepared, and aborts what is past its timeout:
// nothing stays open.
//
// Nothing here reads a clock, starts a goroutine or does I/O. Neither type is safe for concurrent use; package coordinator
// guards them.
package txn
