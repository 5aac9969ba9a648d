package cluster

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/config"
)

const (
	onTopic  = kmsg.ConfigResourceTypeTopic
	onBroker = kmsg.ConfigResourceTypeBroker
	onGroup  = kmsg.ConfigResourceTypeGroupConfig
)

// op parses "key=value", "key+=value", "key-=value" and "-key"; "key!" sets null.
func op(s string) kmsg.IncrementalAlterConfigsRequestResourceConfig {
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	if name, ok := strings.CutSuffix(s, "!"); ok {
		c.Name = name
		return c
	}
	if name, ok := strings.CutPrefix(s, "-"); ok {
		c.Name, c.Op = name, kmsg.IncrementalAlterConfigOpDelete
		return c
	}
	name, v, _ := strings.Cut(s, "=")
	c.Value = &v
	switch {
	case strings.HasSuffix(name, "+"):
		c.Op = kmsg.IncrementalAlterConfigOpAppend
	case strings.HasSuffix(name, "-"):
		c.Op = kmsg.IncrementalAlterConfigOpSubtract
	}
	c.Name = strings.TrimRight(name, "+-")
	return c
}

func incremental(kind kmsg.ConfigResourceType, name string, ops ...string) *kmsg.IncrementalAlterConfigsRequest {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Version = 1
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for _, o := range ops {
		r.Configs = append(r.Configs, op(o))
	}
	req.Resources = append(req.Resources, r)
	return req
}

func (w *world) alter(kind kmsg.ConfigResourceType, name string, ops ...string) kmsg.IncrementalAlterConfigsResponseResource {
	w.t.Helper()
	resp := w.do(incremental(kind, name, ops...)).(*kmsg.IncrementalAlterConfigsResponse)
	return resp.Resources[0]
}

func TestIncrementalAlterConfigs(t *testing.T) {
	for _, c := range []struct {
		ops  string
		want map[string]string
	}{
		{"retention.ms=1", map[string]string{"retention.ms": "1", "segment.ms": "7"}},
		{"segment.ms=8", map[string]string{"segment.ms": "8"}},
		{"-segment.ms", nil},
		{"-message.format.version", map[string]string{"segment.ms": "7"}}, // a key that Kafka 3 had
		{"-retention.ms", map[string]string{"segment.ms": "7"}},
		{"cleanup.policy+=compact", map[string]string{"segment.ms": "7", "cleanup.policy": "delete,compact"}}, // on top of the default
		{"cleanup.policy+=delete", map[string]string{"segment.ms": "7", "cleanup.policy": "delete"}},
		{"cleanup.policy-=delete", map[string]string{"segment.ms": "7", "cleanup.policy": ""}},
		{"cleanup.policy-=compact", map[string]string{"segment.ms": "7", "cleanup.policy": "delete"}},
		{"cleanup.policy=compact, delete", map[string]string{"segment.ms": "7", "cleanup.policy": "compact, delete"}},
		{"leader.replication.throttled.replicas+=0:1,1:2", map[string]string{"segment.ms": "7", "leader.replication.throttled.replicas": "0:1,1:2"}},
	} {
		w := newWorld(t, 1)
		w.create("t", 1, 1, "segment.ms", "7")
		if r := w.alter(onTopic, "t", c.ops); r.ErrorCode != 0 {
			t.Errorf("%s: code %d, %s", c.ops, r.ErrorCode, text(r.ErrorMessage))
		}
		if got := w.image.TopicsByName["t"].Configs; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.ops, got, c.want)
		}
	}
}

func TestAlterConfigsRefuses(t *testing.T) {
	for _, c := range []struct {
		kind kmsg.ConfigResourceType
		name string
		ops  []string
		code *kerr.Error
		says string
	}{
		{onTopic, "x", []string{"retention.ms=1"}, kerr.UnknownTopicOrPartition, "'x'"},
		{onTopic, "a b", []string{"retention.ms=1"}, kerr.InvalidTopicException, "a b"},
		{onTopic, "", []string{"retention.ms=1"}, kerr.InvalidRequest, "not allowed"},
		{onTopic, "t", []string{"retention=1"}, kerr.InvalidConfig, "did you mean retention.ms?"},
		{onTopic, "t", []string{"retention+=1"}, kerr.InvalidConfig, "not LIST"},
		{onTopic, "t", []string{"retention.ms+=1"}, kerr.InvalidConfig, "not LIST"},
		{onTopic, "t", []string{"retention.ms-=1"}, kerr.InvalidConfig, "not LIST"},
		{onTopic, "t", []string{"retention.ms!"}, kerr.InvalidRequest, "Null value not supported"},
		{onTopic, "t", []string{"retention.ms=1", "-retention.ms"}, kerr.InvalidRequest, "duplicate config keys"},
		{onTopic, "t", []string{"segment.ms=5", "retention.ms=-2"}, kerr.InvalidConfig, "at least -1"},
		{onTopic, "t", []string{"cleanup.policy+=shred"}, kerr.InvalidConfig, "compact, delete"},
		{onTopic, "t", []string{"segment.ms=" + strings.Repeat(" ", maxConfigValueLen) + "5"}, kerr.InvalidConfig, "32767 bytes"},
		{onTopic, "t", []string{"preallocate=yes"}, kerr.InvalidConfig, "true or false"},
		{onTopic, "t", []string{"remote.storage.enable=TRUE"}, kerr.InvalidConfig, "Tiered Storage"},
		{onBroker, "one", []string{"log.retention.ms=1"}, kerr.InvalidRequest, "one"},
		{onBroker, "-1", []string{"log.retention.ms=1"}, kerr.InvalidRequest, "-1"},
		{onBroker, "9", []string{"log.retention.ms=1"}, kerr.BrokerIDNotRegistered, "9"},
		{onBroker, "1", []string{"retention.ms=1"}, kerr.InvalidConfig, "log.retention.ms"},
		{onBroker, "1", []string{"node.id=5"}, kerr.InvalidRequest, "dynamically: [node.id]"},
		{onBroker, "", []string{"log.segment.bytes=0"}, kerr.InvalidRequest, "at least"},
		{onGroup, "", []string{"share.record.lock.duration.ms=5000"}, kerr.InvalidRequest, "not allowed"},
		{onGroup, "g", []string{"share.record.lock.duration=5000"}, kerr.InvalidConfig, "share.record.lock.duration.ms"},
		{onGroup, "g", []string{"share.auto.offset.reset=yesterday"}, kerr.InvalidConfig, "by_duration"},
		{onGroup, "g", []string{"share.auto.offset.reset=by_duration:1h"}, kerr.InvalidConfig, "by_duration"},
		{onGroup, "g", []string{"share.ordering=random"}, kerr.InvalidConfig, "none, key"},
		{onGroup, "g", []string{"errors.deadletterqueue.topic.name=a/b"}, kerr.InvalidConfig, "alphanumerics"},
		{kmsg.ConfigResourceTypeBrokerLogger, "1", []string{"root=DEBUG"}, kerr.InvalidRequest, "type 8"},
		{kmsg.ConfigResourceTypeUnknown, "1", nil, kerr.InvalidRequest, ""},
	} {
		w := newWorld(t, 1)
		w.create("t", 1, 1)
		before := w.image
		r := w.alter(c.kind, c.name, c.ops...)
		if r.ErrorCode != c.code.Code || !strings.Contains(text(r.ErrorMessage), c.says) {
			t.Errorf("%v %q %v: code %d, %q; want %d, %q", c.kind, c.name, c.ops, r.ErrorCode, text(r.ErrorMessage), c.code.Code, c.says)
		}
		if r.ResourceType != c.kind || r.ResourceName != c.name {
			t.Errorf("answer about %v %q", r.ResourceType, r.ResourceName)
		}
		if w.image != before {
			t.Errorf("%v %q %v changed something", c.kind, c.name, c.ops)
		}
	}
}

func TestUnknownOperationIsRefused(t *testing.T) {
	w := newWorld(t, 1)
	w.create("t", 1, 1)
	req := incremental(onTopic, "t", "cleanup.policy=compact")
	req.Resources[0].Configs[0].Op = 4
	if r := w.do(req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]; r.ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("code %d", r.ErrorCode)
	}
}

func TestResourceTwiceInARequest(t *testing.T) {
	w := newWorld(t, 1)
	w.create("t", 1, 1)
	req := incremental(onTopic, "t", "retention.ms=1")
	req.Resources = append(req.Resources, req.Resources[0], incremental(onGroup, "t", "share.isolation.level=read_committed").Resources[0])
	resp := w.do(req).(*kmsg.IncrementalAlterConfigsResponse)
	if len(resp.Resources) != 2 || resp.Resources[0].ErrorCode != kerr.InvalidRequest.Code || resp.Resources[1].ErrorCode != 0 {
		t.Errorf("answer %+v", resp.Resources)
	}
	if len(w.image.TopicsByName["t"].Configs) != 0 || len(w.image.GroupConfigs["t"]) != 1 {
		t.Error("the wrong one took effect")
	}
}

func TestAlterValidateOnly(t *testing.T) {
	w := newWorld(t, 1)
	w.create("t", 1, 1)
	before := w.image
	req := incremental(onTopic, "t", "retention.ms=1")
	req.ValidateOnly = true
	if r := w.do(req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]; r.ErrorCode != 0 {
		t.Errorf("code %d", r.ErrorCode)
	}
	if w.image != before {
		t.Error("validate_only changed something")
	}
}

func alterAll(kind kmsg.ConfigResourceType, name string, configs ...string) *kmsg.AlterConfigsRequest {
	req := kmsg.NewPtrAlterConfigsRequest()
	req.Version = 2
	r := kmsg.NewAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for i := 0; i < len(configs); i += 2 {
		r.Configs = append(r.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: configs[i], Value: &configs[i+1]})
	}
	req.Resources = append(req.Resources, r)
	return req
}

// TestAlterConfigsResetsWhatItDoesNotName: the old API replaces the whole set.
func TestAlterConfigsResetsWhatItDoesNotName(t *testing.T) {
	for version := int16(0); version <= 2; version++ {
		w := newWorld(t, 1)
		w.create("t", 1, 1, "segment.ms", "7", "retention.ms", "8", "flush.ms", "9")
		req := alterAll(onTopic, "t", "retention.ms", "8", "segment.ms", "6")
		req.Version = version
		if r := w.do(req).(*kmsg.AlterConfigsResponse).Resources[0]; r.ErrorCode != 0 {
			t.Errorf("code %d, %s", r.ErrorCode, text(r.ErrorMessage))
		}
		want := map[string]string{"segment.ms": "6", "retention.ms": "8"}
		if got := w.image.TopicsByName["t"].Configs; !reflect.DeepEqual(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if w.do(alterAll(onTopic, "t")); w.image.TopicsByName["t"].Configs != nil {
			t.Errorf("%v, want none", w.image.TopicsByName["t"].Configs)
		}
	}
}

// TestAlterResourceTwice names one resource twice and another once: the first is answered once, with an error, and not
// changed.
func TestAlterResourceTwice(t *testing.T) {
	w := newWorld(t, 1)
	w.create("twice", 1, 1)
	w.create("once", 1, 1)
	all := alterAll(onTopic, "twice", "retention.ms", "1")
	all.Resources = append(all.Resources, alterAll(onTopic, "once", "retention.ms", "2").Resources[0], all.Resources[0])
	changed := incremental(onTopic, "twice", "retention.ms=3")
	changed.Resources = append(changed.Resources, incremental(onTopic, "once", "segment.ms=4").Resources[0], changed.Resources[0])
	var answers []string
	for _, r := range w.do(all).(*kmsg.AlterConfigsResponse).Resources {
		answers = append(answers, fmt.Sprint(r.ResourceName, " ", r.ErrorCode))
	}
	for _, r := range w.do(changed).(*kmsg.IncrementalAlterConfigsResponse).Resources {
		answers = append(answers, fmt.Sprint(r.ResourceName, " ", r.ErrorCode))
	}
	if got := fmt.Sprint(answers); got != "[twice 42 once 0 twice 42 once 0]" {
		t.Error(got)
	}
	configs := fmt.Sprint(w.image.TopicsByName["twice"].Configs, w.image.TopicsByName["once"].Configs)
	if configs != "map[] map[retention.ms:2 segment.ms:4]" {
		t.Error(configs)
	}
}

func TestShareGroupConfigs(t *testing.T) {
	w := newWorld(t, 1)
	c := config.Default()
	r := NewResolver(&c)
	value := func(name string) string { return r.GroupValue(w.image, "g", name) }
	if got := value("errors.deadletterqueue.topic.name") + "," + value("errors.deadletterqueue.copy.record.enable") + "," + value("share.ordering"); got != ",true,none" {
		t.Errorf("defaults %s", got)
	}
	w.alter(onGroup, "g", "errors.deadletterqueue.topic.name=dead.letters", "errors.deadletterqueue.copy.record.enable=false", "share.ordering=key")
	if got := value("errors.deadletterqueue.topic.name") + "," + value("errors.deadletterqueue.copy.record.enable") + "," + value("share.ordering"); got != "dead.letters,false,key" {
		t.Errorf("set %s", got)
	}
	w.alter(onGroup, "g", "errors.deadletterqueue.topic.name=")
	if got := value("errors.deadletterqueue.topic.name"); got != "" {
		t.Errorf("switched off %s", got)
	}
}

func TestAlterConfigsOfBrokersAndGroups(t *testing.T) {
	w := newWorld(t, 2)
	w.alter(onBroker, "", "log.retention.ms=5")
	w.alter(onBroker, "2", "log.retention.ms=6", "message.max.bytes=7")
	w.alter(onGroup, "g", "share.record.lock.duration.ms=43200000")
	w.do(alterAll(onBroker, "2", "log.roll.ms", "1"))
	if got := fmt.Sprint(w.image.BrokerConfigs, w.image.GroupConfigs); got !=
		"map[-1:map[log.retention.ms:5] 2:map[log.roll.ms:1]] map[g:map[share.record.lock.duration.ms:43200000]]" {
		t.Error(got)
	}
	w.alter(onBroker, "", "-log.retention.ms")
	w.alter(onGroup, "g", "-share.record.lock.duration.ms")
	if len(w.image.BrokerConfigs) != 1 || len(w.image.GroupConfigs) != 0 {
		t.Errorf("empty sets are kept: %v %v", w.image.BrokerConfigs, w.image.GroupConfigs)
	}
	bad := alterAll(onTopic, "t", "retention.ms", "1", "retention.ms", "2")
	w.create("t", 1, 1)
	if r := w.do(bad).(*kmsg.AlterConfigsResponse).Resources[0]; r.ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("a key twice: code %d", r.ErrorCode)
	}
	bad = alterAll(onTopic, "t", "retention.ms", "1")
	bad.Resources[0].Configs[0].Value = nil
	if r := w.do(bad).(*kmsg.AlterConfigsResponse).Resources[0]; r.ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("null: code %d", r.ErrorCode)
	}
}

// TestDefaultsAreValid: every default of every table is a value that the table allows, and every key is documented.
func TestDefaultsAreValid(t *testing.T) {
	for name, table := range map[string]*configTable{"topic": topicConfigs, "broker": brokerConfigs, "group": groupConfigs} {
		if len(table.byName) != len(table.sorted) {
			t.Errorf("%s: a key appears twice", name)
		}
		for _, d := range table.sorted {
			if err := d.Validate(d.Default); err != nil && !d.Hidden {
				t.Errorf("%s: %v", name, err)
			}
			if d.Doc == "" || d.Type == kmsg.ConfigTypeUnknown {
				t.Errorf("%s config %s has no documentation or type", name, d.Name)
			}
			if d.Broker != "" && brokerConfigs.byName[d.Broker] == nil {
				t.Errorf("%s config %s: its default %s is no broker config", name, d.Name, d.Broker)
			}
		}
	}
}

// TestStaticDefaultsAgree: what the configuration has as default is what the topic table says, so that a broker that was started without any
// configuration shows everything as default.
func TestStaticDefaultsAgree(t *testing.T) {
	c := config.Default()
	if r := NewResolver(&c); len(r.static) != 0 {
		t.Errorf("configured by default: %v", r.static)
	}
}

func TestTopicConfigDefaults(t *testing.T) {
	c := config.Default()
	got := NewResolver(&c).TopicConfig(NewImage(), &Topic{})
	const week = 7 * 24 * 3600 * 1000
	want := TopicConfig{
		CleanupDelete: true, RetentionMs: week, RetentionBytes: -1, SegmentBytes: 1 << 30, SegmentMs: week, IndexIntervalBytes: 4096,
		FlushMessages: 1, FlushMs: 1000, MaxMessageBytes: 1048588, Compression: "producer", TimestampBeforeMaxMs: math.MaxInt64, TimestampAfterMaxMs: 3_600_000,
		MinInsyncReplicas: 1, DeleteRetentionMs: 86_400_000, MaxCompactionLagMs: math.MaxInt64, MinCleanableDirtyRatio: 0.5,
	}
	if got != want || !got.FlushEveryAppend() {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestTopicConfigValues(t *testing.T) {
	w := newWorld(t, 1)
	topic := w.create("t", 1, 1,
		"cleanup.policy", "compact", "message.timestamp.type", "LogAppendTime", "flush.messages", maxLong, "flush.ms", " 5 ",
		"retention.ms", "-1", "segment.bytes", "1048576", "min.cleanable.dirty.ratio", "0.25", "max.message.bytes", "10")
	got := NewResolver(w.config).TopicConfig(w.image, topic)
	if got.CleanupDelete || !got.CleanupCompact || !got.LogAppendTime || got.FlushMessages != math.MaxInt64 || got.FlushEveryAppend() ||
		got.FlushMs != 5 || got.RetentionMs != -1 || got.SegmentBytes != 1<<20 || got.MinCleanableDirtyRatio != 0.25 || got.MaxMessageBytes != 10 {
		t.Errorf("%+v", got)
	}
	w.alter(onTopic, "t", "internal.segment.bytes=100", "cleanup.policy=delete,compact")
	got = NewResolver(w.config).TopicConfig(w.image, w.image.TopicsByName["t"])
	if got.SegmentBytes != 100 || !got.CleanupDelete || !got.CleanupCompact {
		t.Errorf("%+v", got)
	}
}

// TestConfigLevels: topic, broker, all brokers, static, default, in that order.
func TestConfigLevels(t *testing.T) {
	w := newWorld(t, 1)
	w.config.NodeID = 1
	topic := w.create("t", 1, 1)
	check := func(want int64, source kmsg.ConfigSource, levels int) {
		t.Helper()
		r := NewResolver(w.config)
		topic = w.image.TopicsByName["t"]
		if got := r.TopicConfig(w.image, topic).RetentionMs; got != want {
			t.Errorf("effective %d, want %d", got, want)
		}
		l := r.topicLevels(w.image, topic, topicConfigs.byName["retention.ms"])
		if len(l) != levels || l[0].source != source || l[0].value != number(want) {
			t.Errorf("levels %+v, want %d, the first from %v", l, levels, source)
		}
	}
	check(604_800_000, kmsg.ConfigSourceDefaultConfig, 1)
	w.config.RetentionMs = 1
	check(1, kmsg.ConfigSourceStaticBrokerConfig, 2)
	w.alter(onBroker, "", "log.retention.ms=2")
	check(2, kmsg.ConfigSourceDynamicDefaultBrokerConfig, 3)
	w.alter(onBroker, "1", "log.retention.ms=3")
	check(3, kmsg.ConfigSourceDynamicBrokerConfig, 4)
	w.alter(onTopic, "t", "retention.ms=4")
	check(4, kmsg.ConfigSourceDynamicTopicConfig, 5)
	w.config.NodeID = 2 // another broker does not have broker 1's
	w.alter(onTopic, "t", "-retention.ms")
	check(2, kmsg.ConfigSourceDynamicDefaultBrokerConfig, 3)
}

func TestShareOffsetReset(t *testing.T) {
	for value, ok := range map[string]bool{
		"latest": true, "earliest": true, "by_duration:PT1H": true, "by_duration:P1DT2H3M4.5S": true, "by_duration:P2D": true,
		"": false, "none": false, "by_duration:": false, "by_duration:P": false, "by_duration:PT": false, "by_duration:P1DT": false,
		"by_duration:-PT1H": false, "by_duration:1h": false,
	} {
		if err := shareOffsetReset(value); (err == nil) != ok {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestEditDistance(t *testing.T) {
	if got := editDistance("kitten", "sitting"); got != 3 {
		t.Errorf("kitten, sitting: %d", got)
	}
	if editDistance(strings.Repeat("x", 1<<20), "y") != 1<<20 {
		t.Error("a hostile name is compared")
	}
}

// TestCleanerConfigs: they can be set, hold at once, and leave every compaction a MiB.
func TestCleanerConfigs(t *testing.T) {
	w := newWorld(t, 2)
	w.config.NodeID = 1
	effective := func() CleanerConfig { return NewResolver(w.config).CleanerConfig(w.image) }
	if got, want := effective(), (CleanerConfig{Threads: 1, Buffer: 128 << 20, Backoff: 15 * time.Second, BytesPerSecond: math.MaxFloat64}); got != want {
		t.Errorf("by default %+v, want %+v", got, want)
	}
	w.alter(onBroker, "", "log.cleaner.threads=2", "log.cleaner.backoff.ms=5", "log.cleaner.io.max.bytes.per.second=1E6", "producer.id.expiration.ms=7")
	w.alter(onBroker, "1", "log.cleaner.dedupe.buffer.size=2097152")
	if got, want := effective(), (CleanerConfig{Threads: 2, Buffer: 2 << 20, Backoff: 5 * time.Millisecond, BytesPerSecond: 1e6}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := NewResolver(w.config).ProducerIDExpiry(w.image); got != 7*time.Millisecond {
		t.Errorf("producers expire after %v", got)
	}
	const tooSmall = "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread."
	for _, c := range []struct{ broker, op, want string }{
		{"", "log.cleaner.threads=0", "Invalid value 0 for configuration log.cleaner.threads: Value must be at least 1"},
		{"", "log.cleaner.threads=x", "Invalid value x for configuration log.cleaner.threads: Not a number of type INT"},
		{"", "log.cleaner.backoff.ms=-1", "Invalid value -1 for configuration log.cleaner.backoff.ms: Value must be at least 0"},
		{"", "log.cleaner.dedupe.buffer.size=1000", tooSmall},
		{"", "log.cleaner.dedupe.buffer.size=2097151", tooSmall},
		{"2", "log.cleaner.dedupe.buffer.size=2097151", tooSmall}, // all brokers have two threads
		{"2", "log.cleaner.threads=64", ""},
		{"1", "log.cleaner.threads=64", tooSmall}, // it has 2 MiB
		{"", "log.cleaner.io.max.bytes.per.second=-1", ""},
		{"", "producer.id.expiration.ms=0", "Invalid value 0 for configuration producer.id.expiration.ms: Value must be at least 1"},
	} {
		if r := w.alter(onBroker, c.broker, c.op); text(r.ErrorMessage) != c.want || (r.ErrorCode == kerr.InvalidRequest.Code) != (c.want != "") {
			t.Errorf("%s of %q: code %d, %q; want %q", c.op, c.broker, r.ErrorCode, text(r.ErrorMessage), c.want)
		}
	}
}
