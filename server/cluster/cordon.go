package cluster

import (
	"errors"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/raft"
)

// CordonConfig is the dynamic broker config that keeps new replicas away from a broker (KIP-1066).
const CordonConfig = "cordoned.log.dirs"

// Cordoned says whether a broker gets no new replicas unless somebody places them by hand.
func (img *Image) Cordoned(id raft.NodeID) bool {
	return strings.TrimSpace(img.BrokerConfigs[id][CordonConfig]) != ""
}

// cordonDef has one value that cordons: a broker has one log directory, so that all of them is the same as that one.
func cordonDef() ConfigDef {
	return ConfigDef{
		Name: CordonConfig, Type: typeList, Dynamic: true,
		Doc: "* cordons the broker: it keeps what it has and gets no new replicas, except those assigned by hand. Single directories cannot be named, because a broker has only one.",
		check: func(value string) error {
			switch items := splitList(value); {
			case len(items) > 1:
				return errors.New("When cordoned.log.dirs is set to *, it must not contain other values") //nolint:staticcheck // shown to clients as Kafka words it
			case len(items) == 1 && items[0] != "*":
				return errors.New("a broker has one log directory: only * is allowed")
			}
			return nil
		},
	}
}

// checkCordon refuses to cordon all brokers with one config, as Kafka does.
func checkCordon(broker raft.NodeID, configs map[string]string) *failure {
	if _, set := configs[CordonConfig]; set && broker == raft.NoNode {
		return failf(kerr.InvalidRequest,
			"Cannot update these configs at default cluster level, broker id must be specified: [%s]", CordonConfig)
	}
	return nil
}
