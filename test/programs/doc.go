// Package programs runs programs that were written for Apache Kafka, unmodified, against balsa: Kafka Streams with
// exactly-once processing, Kafka Connect, MirrorMaker 2, Kafka's console tools, Redpanda's rpk. Each test was first made
// to pass against Apache Kafka 4.3.1 itself, and still can be (-against kafka), so that a failure is balsa's.
//
// They need Java 17, Maven and minutes, and are behind the build tag "programs":
//
//	make programs
//	go test -tags programs ./test/programs -run TestConsoleTools -v
//	go test -tags programs ./test/programs -run TestStreams -against kafka -v
package programs
