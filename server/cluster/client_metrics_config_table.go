package cluster

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// clientMetricsConfigs is what a subscription to clients' metrics consists of (KIP-714; resource type CLIENT_METRICS, 16).
var clientMetricsConfigs = newConfigTable([]ConfigDef{
	{
		Name: "interval.ms", Type: typeInt, Default: "300000",
		Doc: "How often, in ms, clients push the metrics. Kept for tools: this broker asks clients for no metrics.",
	},
	{
		Name: "match", Type: typeList, Default: "",
		Doc: "Which clients the subscription is for: a list of selector=pattern, such as client_id=app-.*; empty for all. Kept for tools.",
	},
	{
		Name: "metrics", Type: typeList, Default: "",
		Doc: "The prefixes of the names of the metrics that are wanted; * for all, empty for none. Kept for tools.",
	},
})

// Bounds of interval.ms, as in Kafka.
const (
	minMetricsInterval = 100
	maxMetricsInterval = 3_600_000
)

// checkClientMetricsConfigs checks a subscription, with Kafka's codes, which differ from those of other resources.
func checkClientMetricsConfigs(configs map[string]string) *failure {
	for _, name := range sortedKeys(configs) {
		value := strings.TrimSpace(configs[name])
		def := clientMetricsConfigs.byName[name]
		if def == nil {
			return failf(kerr.InvalidRequest, "Unknown client metrics configuration: %s", name)
		}
		if err := def.Validate(value); err != nil {
			return failf(kerr.InvalidConfig, "%v", err)
		}
		switch name {
		case "interval.ms":
			if ms, err := strconv.Atoi(value); err != nil || ms < minMetricsInterval || ms > maxMetricsInterval {
				return failf(kerr.InvalidRequest, "Invalid value %s for interval.ms, interval must be between %d and %d (1 hour)",
					value, minMetricsInterval, maxMetricsInterval)
			}
		case "match":
			if f := checkMetricsMatch(value); f != nil {
				return f
			}
		}
	}
	return nil
}

// checkMetricsMatch checks which clients a subscription is for.
func checkMetricsMatch(value string) *failure {
	for _, item := range splitList(value) {
		selector, pattern, ok := strings.Cut(item, "=")
		switch strings.TrimSpace(selector) {
		case "client_instance_id", "client_id", "client_software_name", "client_software_version", "client_source_address", "client_source_port":
		default:
			ok = false
		}
		if _, err := regexp.Compile(strings.TrimSpace(pattern)); !ok || err != nil {
			return failf(kerr.InvalidConfig, "Illegal client matching pattern: %s", item)
		}
	}
	return nil
}
