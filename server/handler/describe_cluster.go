package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Endpoint types of DescribeCluster (KIP-919): what clients connect to, and the controllers' own listener, which does not
// exist here: controllers are brokers.
const (
	brokerEndpoints     = 1
	controllerEndpoints = 2
)

// describeCluster answers DescribeCluster. A broker that is registered and not alive is what Kafka calls fenced.
func (b *Broker) describeCluster(_ context.Context, _ Client, req *kmsg.DescribeClusterRequest) kmsg.Response {
	resp := newResponse[*kmsg.DescribeClusterResponse](req)
	resp.ClusterAuthorizedOperations = operationsOmitted
	resp.Brokers = []kmsg.DescribeClusterResponseBroker{}
	if req.Version >= 1 {
		resp.EndpointType = brokerEndpoints
		switch req.EndpointType {
		case brokerEndpoints:
		case controllerEndpoints:
			resp.ErrorCode, resp.ErrorMessage = kerr.MismatchedEndpointType.Code, kmsg.StringPtr("this is a broker's endpoint")
			return resp
		default:
			resp.ErrorCode, resp.ErrorMessage = kerr.UnsupportedEndpointType.Code, kmsg.StringPtr("no such type of endpoint")
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
