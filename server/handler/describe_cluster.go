package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// brokerEndpoints is the endpoint type of DescribeCluster for what clients connect to; the other is the controllers' own
// listener, which does not exist here: controllers are brokers (KIP-919).
const brokerEndpoints = 1

// describeCluster answers DescribeCluster. A broker that is registered and not alive is what Kafka calls fenced.
func (b *Broker) describeCluster(_ context.Context, _ Client, req *kmsg.DescribeClusterRequest) kmsg.Response {
	resp := newResponse[*kmsg.DescribeClusterResponse](req)
	resp.ClusterAuthorizedOperations = operationsOmitted
	resp.Brokers = []kmsg.DescribeClusterResponseBroker{}
	if req.Version >= 1 {
		resp.EndpointType = brokerEndpoints
		if req.EndpointType != brokerEndpoints {
			resp.ErrorCode = kerr.MismatchedEndpointType.Code
			resp.ErrorMessage = kmsg.StringPtr("this is a broker's endpoint")
			resp.EndpointType = req.EndpointType
			return resp
		}
	}
	img := b.Metadata.Image()
	resp.ClusterID = img.ClusterID
	resp.ControllerID = int32(b.Metadata.Controller())
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	for _, broker := range img.SortedBrokers() {
		alive := b.Metadata.Alive(broker.ID)
		if !alive && !req.IncludeFencedBrokers {
			continue
		}
		sb := kmsg.NewDescribeClusterResponseBroker()
		sb.NodeID, sb.Host, sb.Port, sb.Rack = int32(broker.ID), broker.Host, broker.Port, rack(broker)
		sb.IsFenced = !alive
		resp.Brokers = append(resp.Brokers, sb)
	}
	return resp
}
