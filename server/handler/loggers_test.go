package handler

import (
	"log/slog"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
	"balsa/server/config"
)

func TestLoggers(t *testing.T) {
	w := newWorld(t)
	c := config.Default()
	w.broker.Configs = cluster.NewResolver(&c)
	w.broker.LogLevel = new(slog.LevelVar)
	alter := func(node, name string, op kmsg.IncrementalAlterConfigOp, value string, validate bool) int16 {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.Version, req.ValidateOnly = 1, validate
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBrokerLogger, node
		r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: name, Op: op, Value: &value})
		req.Resources = append(req.Resources, r)
		return ask[*kmsg.IncrementalAlterConfigsResponse](w, req).Resources[0].ErrorCode
	}
	const set, remove, add = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend
	for _, c := range []struct {
		node, name string
		op         kmsg.IncrementalAlterConfigOp
		value      string
		validate   bool
		code       int16
		level      string
	}{
		{"1", "root", set, "DEBUG", false, 0, "DEBUG"},
		{"1", "root", set, "FATAL", false, 0, "FATAL"},
		{"1", "root", set, "TRACE", false, 0, "TRACE"},
		{"1", "root", set, "ERROR", true, 0, "TRACE"},
		{"1", "root", set, "WARN", false, 0, "WARN"},
		{"1", "root", set, "LOUD", false, kerr.InvalidConfig.Code, "WARN"},
		{"1", "kafka.log", set, "INFO", false, kerr.InvalidConfig.Code, "WARN"},
		{"1", "root", remove, "", false, kerr.InvalidRequest.Code, "WARN"},
		{"1", "kafka.log", remove, "", false, kerr.InvalidConfig.Code, "WARN"},
		{"1", "root", add, "INFO", false, kerr.InvalidRequest.Code, "WARN"},
		{"2", "root", set, "INFO", false, kerr.InvalidRequest.Code, "WARN"},
	} {
		if code := alter(c.node, c.name, c.op, c.value, c.validate); code != c.code || levelName(w.broker.LogLevel.Level()) != c.level {
			t.Errorf("%+v: code %d, level %v", c, code, w.broker.LogLevel.Level())
		}
	}
	describe := kmsg.NewPtrDescribeConfigsRequest()
	describe.Version = 4
	for _, names := range [][]string{nil, {"root"}, {"other"}} {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeBrokerLogger, "1", names
		describe.Resources = append(describe.Resources, r)
	}
	resp := ask[*kmsg.DescribeConfigsResponse](w, describe)
	for i, n := range []int{1, 1, 0} {
		if got := resp.Resources[i]; len(got.Configs) != n || n == 1 && *got.Configs[0].Value != "WARN" {
			t.Errorf("described: %+v", got)
		}
	}
}
