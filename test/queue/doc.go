// Package queue proves queue mode. Workers, real processes with franz-go's share consumer, take messages from a queue topic;
// they accept, release, reject and renew them, hang until their locks end, and die. Meanwhile producers write, workers are killed and paused,
// and nodes of the cluster are killed with SIGKILL and started again. Every producer and worker keeps a record of what it knows for sure,
// and afterwards a Checker compares them with each other and with the dead-letter topic:
//
//   - no message is delivered again after its acceptance was answered with success;
//   - no acknowledged message is lost: each was accepted by a worker or is in the dead-letter topic;
//   - no message is with two workers at once inside its lock;
//   - every delivery of a message has a delivery count of its own, up to the limit;
//   - every poison message is in the dead-letter topic, with the right delivery count.
//
// When all is decided, the topic's disk use must be near nothing on every replica, and stay so over a restart.
//
// The checker and its tests are ordinary ones, with planted violations. The runs take minutes and are behind the build tag "queue":
//
//	make queue
//	go test -tags queue ./test/queue -run TestChaos -kills 5 -workers 12 -v
//	go test -tags queue ./test/queue -run TestChaos -seeds 127.0.0.1:9092 -lock 15s -dead-letters=false -v    # another cluster, such as Apache Kafka; only workers suffer
package queue
