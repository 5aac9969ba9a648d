package cluster

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
)

// unregisterBroker answers UnregisterBroker: the broker gets no more replicas, and its process does not register again before it is
// restarted. As in Kafka nothing is moved: replicas that it still has count as down until they are reassigned.
func (d *Decider) unregisterBroker(img *Image, req *kmsg.UnregisterBrokerRequest) Decision {
	resp := req.ResponseKind().(*kmsg.UnregisterBrokerResponse)
	id := raft.NodeID(req.BrokerID)
	if _, registered := img.Brokers[id]; !registered {
		f := failf(kerr.BrokerIDNotRegistered, "Broker ID %d is not currently registered", id)
		resp.ErrorCode, resp.ErrorMessage = f.code(), f.text()
		return Decision{Response: resp}
	}
	records := []Record{BrokerUnregistered{ID: id}}
	// Its configs go with it: a later broker with the same id is another one, and a cordon would keep it empty.
	for _, key := range sortedKeys(img.BrokerConfigs[id]) {
		records = append(records, ConfigChanged{Scope: ScopeBroker, Broker: id, Key: key})
	}
	return Decision{Records: records, Response: resp}
}
