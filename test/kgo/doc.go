// Package kgo runs the tests of franz-go's client package kgo, those that need a Kafka cluster among them, against
// three nodes of balsa. They are somebody else's idea of what a broker must do: groups of both protocols with members
// that come and go, share groups, exactly-once pipelines, regular expressions, topics that are deleted and made anew.
//
// The tests are those of the franz-go module at the version in go.mod, run from the module cache. testdata/tests.txt
// names each of them and what it must do, pass or be skipped for a reason, so that coverage cannot shrink unseen. The
// run itself takes minutes and is behind the build tag "kgo":
//
//	make kgo
//	go test -tags kgo ./test/kgo -records 50000 -v
//	go test -tags kgo ./test/kgo -seeds 127.0.0.1:9092 -replication-factor 1    # another cluster, Apache Kafka's say
package kgo
