package cluster

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestListConfigResources(t *testing.T) {
	w := newWorld(t, 2)
	w.create("a", 1, 1)
	w.create("b", 1, 1)
	w.alter(onGroup, "g", "consumer.session.timeout.ms=50000")
	w.alter(configResourceClientMetrics, "m", "interval.ms=1000")
	for _, c := range []struct {
		version int16
		kinds   []int8
		want    string
		code    int16
	}{
		{0, nil, "[{m 16}]", 0},
		{1, nil, "[{g 32} {m 16} {1 8} {2 8} {1 4} {2 4} {__consumer_offsets 2} {a 2} {b 2}]", 0},
		{1, []int8{2, 32, 2}, "[{g 32} {__consumer_offsets 2} {a 2} {b 2}]", 0},
		{1, []int8{99}, "[]", kerr.UnsupportedVersion.Code},
	} {
		req := kmsg.NewPtrListConfigResourcesRequest()
		req.Version, req.ResourceTypes = c.version, c.kinds
		resp := ListConfigResources(w.image, req)
		type found struct {
			name string
			kind int8
		}
		got := []found{}
		for _, r := range resp.ConfigResources {
			got = append(got, found{r.Name, r.Type})
		}
		if fmt.Sprint(got) != c.want || resp.ErrorCode != c.code {
			t.Errorf("v%d %v: %v, code %d; want %s", c.version, c.kinds, got, resp.ErrorCode, c.want)
		}
	}
}

func TestClientMetricsConfigs(t *testing.T) {
	w := newWorld(t, 1)
	for _, c := range []struct {
		name, op string
		code     int16
	}{
		{"m", "interval.ms=1000", 0},
		{"m", "metrics=org.apache.kafka", 0},
		{"m", "metrics+=*", 0},
		{"m", "match=client_id=app-.*,client_source_address=10\\..*", 0},
		{"", "interval.ms=1000", kerr.InvalidRequest.Code},
		{"m", "interval.ms=99", kerr.InvalidRequest.Code},
		{"m", "interval.ms=3600001", kerr.InvalidRequest.Code},
		{"m", "interval.ms=soon", kerr.InvalidConfig.Code},
		{"m", "interval=1000", kerr.InvalidRequest.Code},
		{"m", "match=planet=earth", kerr.InvalidConfig.Code},
		{"m", "match=client_id=(", kerr.InvalidConfig.Code},
		{"m", "match=client_id", kerr.InvalidConfig.Code},
	} {
		if r := w.alter(configResourceClientMetrics, c.name, c.op); r.ErrorCode != c.code {
			t.Errorf("%q %s: code %d, %s; want %d", c.name, c.op, r.ErrorCode, text(r.ErrorMessage), c.code)
		}
	}
	want := "map[m:map[interval.ms:1000 match:client_id=app-.*,client_source_address=10\\..* metrics:org.apache.kafka,*]]"
	if got := fmt.Sprint(w.image.ClientMetrics); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	set := map[string]kmsg.ConfigSource{}
	for _, c := range describe(w, 4, configResourceClientMetrics, "m").Configs {
		set[c.Name] = c.Source
	}
	if len(set) != 3 || set["interval.ms"] != kmsg.ConfigSourceClientMetricsConfig {
		t.Errorf("%v", set)
	}
	if r := describe(w, 4, configResourceClientMetrics, ""); r.ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("without a name: %+v", r)
	}
	w.alter(configResourceClientMetrics, "m", "-interval.ms", "-match", "-metrics")
	if len(w.image.ClientMetrics) != 0 {
		t.Errorf("%v after all was removed", w.image.ClientMetrics)
	}
}

// TestDefaultsOfGroups: a group config is the group's own, else the broker's default of it.
func TestDefaultsOfGroups(t *testing.T) {
	w := newWorld(t, 1)
	w.config.NodeID = 1
	r := NewResolver(w.config)
	value := func() string { return r.GroupValue(w.image, "g", "consumer.session.timeout.ms") }
	if v := value(); v != "45000" {
		t.Errorf("default %s", v)
	}
	w.alter(onBroker, "", "group.consumer.session.timeout.ms=46000")
	if v := value(); v != "46000" {
		t.Errorf("default of all brokers %s", v)
	}
	w.alter(onGroup, "g", "consumer.session.timeout.ms=47000")
	if v := value(); v != "47000" {
		t.Errorf("the group's own %s", v)
	}
}
