package cluster

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func describe(w *world, version int16, kind kmsg.ConfigResourceType, name string, keys ...string) kmsg.DescribeConfigsResponseResource {
	w.t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version, req.IncludeSynonyms, req.IncludeDocumentation = version, true, true
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, keys
	req.Resources = append(req.Resources, r)
	encoded := NewResolver(w.config).DescribeConfigs(w.image, req).AppendTo(nil)
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	if err := resp.ReadFrom(encoded); err != nil {
		w.t.Fatal(err)
	}
	return resp.Resources[0]
}

// unsynonymous: a topic config that has no synonym while neither the topic nor a broker sets it.
func unsynonymous(name string) bool {
	return topicConfigs.byName[name].Broker == "" || name == "segment.ms" || name == "segment.jitter.ms"
}

func TestDescribeTopic(t *testing.T) {
	for version := int16(1); version <= 4; version++ {
		w := newWorld(t, 1)
		w.create("t", 1, 1, "retention.ms", "5")
		r := describe(w, version, onTopic, "t")
		if r.ErrorCode != 0 || len(r.Configs) != len(topicConfigs.sorted)-1 {
			t.Fatalf("code %d, %d configs, want all %d but the hidden one", r.ErrorCode, len(r.Configs), len(topicConfigs.sorted))
		}
		for _, c := range r.Configs {
			if c.Value == nil || c.ReadOnly || c.IsSensitive ||
				(len(c.ConfigSynonyms) == 0) != unsynonymous(c.Name) {
				t.Errorf("%+v", c)
			}
			if version >= 3 && (c.ConfigType == 0 || text(c.Documentation) == "") {
				t.Errorf("v%d: %s has no type or documentation", version, c.Name)
			}
		}
	}
	w := newWorld(t, 1)
	w.config.NodeID = 1
	w.create("t", 1, 1, "retention.ms", "5")
	w.alter(onBroker, "1", "log.retention.ms=6")
	r := describe(w, 4, onTopic, "t", "retention.ms", "nonsense")
	if len(r.Configs) != 1 {
		t.Fatalf("%d configs, want the one asked for", len(r.Configs))
	}
	c := r.Configs[0]
	var synonyms []string
	for _, s := range c.ConfigSynonyms {
		synonyms = append(synonyms, fmt.Sprintf("%s=%s/%d", s.Name, text(s.Value), s.Source))
	}
	if text(c.Value) != "5" || c.Source != kmsg.ConfigSourceDynamicTopicConfig || c.ConfigType != kmsg.ConfigTypeLong ||
		fmt.Sprint(synonyms) != "[retention.ms=5/1 log.retention.ms=6/2 log.retention.hours=168/5]" {
		t.Errorf("%+v, synonyms %v", c, synonyms)
	}
}

func TestDescribeBroker(t *testing.T) {
	w := newWorld(t, 2)
	w.config.NodeID, w.config.DataDir = 1, "/elsewhere"
	w.alter(onBroker, "", "log.retention.ms=6")
	got := map[string]kmsg.DescribeConfigsResponseResourceConfig{}
	for _, c := range describe(w, 4, onBroker, "1").Configs {
		got[c.Name] = c
	}
	for name, want := range map[string]struct {
		value    string
		source   kmsg.ConfigSource
		readOnly bool
	}{
		"log.dirs":                    {"/elsewhere", kmsg.ConfigSourceStaticBrokerConfig, true},
		"node.id":                     {"1", kmsg.ConfigSourceDefaultConfig, true},
		"auto.create.topics.enable":   {"true", kmsg.ConfigSourceDefaultConfig, true},
		"log.retention.ms":            {"6", kmsg.ConfigSourceDynamicDefaultBrokerConfig, false},
		"log.flush.interval.messages": {"1", kmsg.ConfigSourceDefaultConfig, false},
		"default.replication.factor":  {"2", kmsg.ConfigSourceStaticBrokerConfig, true},
	} {
		if c := got[name]; text(c.Value) != want.value || c.Source != want.source || c.ReadOnly != want.readOnly {
			t.Errorf("%s: %q from %v, read-only %v; want %+v", name, text(c.Value), c.Source, c.ReadOnly, want)
		}
	}
	defaults := describe(w, 4, onBroker, "")
	if len(defaults.Configs) != 1 || defaults.Configs[0].Name != "log.retention.ms" {
		t.Errorf("all brokers: %+v", defaults.Configs)
	}
}

// TestDescribeUnits: what Kafka can be told in several units looks as it does there (recorded from Apache Kafka 4.3.1).
func TestDescribeUnits(t *testing.T) {
	w := newWorld(t, 1)
	w.config.NodeID = 1
	w.create("t", 1, 1)
	show := func(kind kmsg.ConfigResourceType, resource, name string) string {
		c := describe(w, 4, kind, resource, name).Configs[0]
		s := "null"
		if c.Value != nil {
			s = *c.Value
		}
		for _, synonym := range c.ConfigSynonyms {
			s += fmt.Sprintf(" %v:%s=%s", synonym.Source, synonym.Name, text(synonym.Value))
		}
		return s
	}
	check := func(kind kmsg.ConfigResourceType, resource, name, want string) {
		t.Helper()
		if got := show(kind, resource, name); got != want {
			t.Errorf("%s of %s: %s\nwant %s", name, resource, got, want)
		}
	}
	check(onBroker, "1", "log.retention.hours", "168 DEFAULT_CONFIG:log.retention.hours=168")
	check(onBroker, "1", "log.retention.minutes", "null")
	check(onBroker, "1", "log.retention.ms", "null")
	check(onBroker, "1", "log.roll.hours", "168 DEFAULT_CONFIG:log.roll.hours=168")
	check(onBroker, "1", "log.roll.ms", "null")
	check(onBroker, "1", "log.roll.jitter.ms", "null")
	check(onTopic, "t", "retention.ms", "604800000")
	check(onTopic, "t", "segment.jitter.ms", "0")
	w.alter(onBroker, "1", "log.retention.ms=1000000")
	const set = "1000000 DYNAMIC_BROKER_CONFIG:log.retention.ms=1000000 DEFAULT_CONFIG:log.retention.hours=168"
	check(onBroker, "1", "log.retention.ms", set)
	check(onBroker, "1", "log.retention.minutes", "null")
	check(onTopic, "t", "retention.ms", set)
	w.alter(onTopic, "t", "segment.ms=5")
	check(onTopic, "t", "segment.ms", "5 DYNAMIC_TOPIC_CONFIG:segment.ms=5")
	if r := w.alter(onBroker, "", "log.retention.hours=5"); text(r.ErrorMessage) != "Cannot update these configs dynamically: [log.retention.hours]" {
		t.Errorf("%+v", r)
	}
}

func TestDescribeGroup(t *testing.T) {
	w := newWorld(t, 1)
	w.alter(onGroup, "g", "share.auto.offset.reset=by_duration:PT1H")
	for _, c := range describe(w, 4, onGroup, "g").Configs {
		set := c.Name == "share.auto.offset.reset"
		if set != (c.Source == kmsg.ConfigSourceGroupConfig) || set != (text(c.Value) == "by_duration:PT1H") {
			t.Errorf("%s: %q from %v", c.Name, text(c.Value), c.Source)
		}
	}
}

func TestDescribeRefuses(t *testing.T) {
	w := newWorld(t, 2)
	w.config.NodeID = 1
	for _, c := range []struct {
		kind kmsg.ConfigResourceType
		name string
		code *kerr.Error
	}{
		{onTopic, "x", kerr.UnknownTopicOrPartition},
		{onTopic, "", kerr.InvalidTopicException},
		{onTopic, "a b", kerr.InvalidTopicException},
		{onBroker, "2", kerr.InvalidRequest}, // it knows its static configs itself
		{onBroker, "x", kerr.InvalidRequest},
		{onGroup, "", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeBrokerLogger, "1", kerr.InvalidRequest},
	} {
		if r := describe(w, 4, c.kind, c.name); r.ErrorCode != c.code.Code || r.ErrorMessage == nil {
			t.Errorf("%v %q: %+v, want code %d", c.kind, c.name, r, c.code.Code)
		}
	}
}

// TestDescribeAfterDowngrade: a config that a later release set is passed over, not stumbled over.
func TestDescribeAfterDowngrade(t *testing.T) {
	w := newWorld(t, 1)
	w.config.NodeID = 1
	topic := w.create("t", 1, 1)
	v := "x"
	w.apply([]Record{
		ConfigChanged{Scope: ScopeBroker, Broker: -1, Key: "from.the.future", Value: &v},
		ConfigChanged{Scope: ScopeTopic, Topic: topic.ID, Key: "from.the.future", Value: &v},
	})
	for _, r := range []kmsg.DescribeConfigsResponseResource{describe(w, 4, onBroker, ""), describe(w, 4, onBroker, "1"), describe(w, 4, onTopic, "t")} {
		if r.ErrorCode != 0 {
			t.Errorf("%v %q: code %d", r.ResourceType, r.ResourceName, r.ErrorCode)
		}
	}
	if got := NewResolver(w.config).TopicConfig(w.image, w.image.TopicsByName["t"]); !got.CleanupDelete {
		t.Errorf("%+v", got)
	}
}
