package cluster

import (
	"testing"
	"time"

	"balsa/server/config"
)

func TestShareConfig(t *testing.T) {
	c := config.Default()
	r, img := NewResolver(&c), NewImage()
	got := r.ShareConfig(img, "g", false)
	want := ShareConfig{LockDuration: 30 * time.Second, DeliveryLimit: 5, MaxLocks: 2000, Renew: true, DeadLetterCopies: true}
	if got != want {
		t.Errorf("defaults: %+v, want %+v", got, want)
	}
	if !r.ShareConfig(img, "g", true).Start.Earliest {
		t.Error("a queue does not wait for its workers")
	}
	img.GroupConfigs["g"] = map[string]string{
		"share.auto.offset.reset": "by_duration:P1DT2H3M4.5S", "share.record.lock.duration.ms": "43200000",
		"share.delivery.count.limit": "100000", "share.ordering": "key", "share.isolation.level": "read_committed",
		"errors.deadletterqueue.topic.name": "dead", "errors.deadletterqueue.copy.record.enable": "false",
		"share.renew.acknowledge.enable": "false", "share.partition.max.record.locks": "120000",
	}
	want = ShareConfig{
		Start:        ShareStart{Ago: 26*time.Hour + 3*time.Minute + 4500*time.Millisecond},
		LockDuration: 12 * time.Hour, DeliveryLimit: 32767, MaxLocks: 120_000, ReadCommitted: true, KeyOrder: true,
		DeadLetterTopic: "dead",
	}
	if got := r.ShareConfig(img, "g", true); got != want {
		t.Errorf("set: %+v, want %+v", got, want)
	}
	if d := parseISODuration("P99999999999D"); d <= 0 {
		t.Errorf("a duration beyond what there is: %v", d)
	}
}

func TestQueueConfigs(t *testing.T) {
	for value, valid := range map[string]bool{
		"ack": true, "ack,delete": true, "delete,ack": true, "compact,delete": true, "ack,compact": false, "acknowledge": false,
	} {
		if f := checkTopicConfigs(map[string]string{"cleanup.policy": value}); (f == nil) != valid {
			t.Errorf("cleanup.policy=%s: %v", value, f)
		}
	}
	for value, valid := range map[string]bool{"": true, "dead": true, "a/b": false} {
		if f := checkGroupConfigs(map[string]string{"errors.deadletterqueue.topic.name": value}); (f == nil) != valid {
			t.Errorf("dead-letter topic %q: %v", value, f)
		}
	}
}
