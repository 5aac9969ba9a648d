package cluster

import (
	"fmt"
	"net"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
)

// The names of the listeners in a broker's registration.
const (
	ClientListener = "PLAINTEXT"
	PeerListener   = "PEER"
)

// RegistrationRequest returns the request that registers b. clusterID is the cluster that the broker thinks it belongs to,
// empty when it does not know yet. The error says that b's peer address is not host:port.
func RegistrationRequest(b Broker, clusterID string) (*kmsg.BrokerRegistrationRequest, error) {
	req := kmsg.NewPtrBrokerRegistrationRequest()
	req.BrokerID, req.ClusterID, req.IncarnationID = int32(b.ID), clusterID, b.Incarnation
	if b.Rack != "" {
		req.Rack = kmsg.StringPtr(b.Rack)
	}
	client := kmsg.NewBrokerRegistrationRequestListener()
	client.Name, client.Host, client.Port = ClientListener, b.Host, uint16(b.Port)
	req.Listeners = append(req.Listeners, client)
	if b.PeerAddress == "" { // a single node
		return req, nil
	}
	peer := kmsg.NewBrokerRegistrationRequestListener()
	peer.Name = PeerListener
	host, port, err := net.SplitHostPort(b.PeerAddress)
	if err != nil {
		return nil, fmt.Errorf("peer address: %w", err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("peer address %q: %w", b.PeerAddress, err)
	}
	peer.Host, peer.Port = host, uint16(n)
	req.Listeners = append(req.Listeners, peer)
	return req, nil
}

// registerBroker answers BrokerRegistration. The same registration again changes nothing.
func (d *Decider) registerBroker(img *Image, req *kmsg.BrokerRegistrationRequest) Decision {
	resp := req.ResponseKind().(*kmsg.BrokerRegistrationResponse)
	b := Broker{ID: raft.NodeID(req.BrokerID), Incarnation: req.IncarnationID}
	if req.Rack != nil {
		b.Rack = *req.Rack
	}
	for _, l := range req.Listeners {
		switch l.Name {
		case ClientListener:
			b.Host, b.Port = l.Host, int32(l.Port)
		case PeerListener:
			b.PeerAddress = net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port)))
		}
	}
	switch {
	case req.ClusterID != "" && img.ClusterID != "" && req.ClusterID != img.ClusterID:
		resp.ErrorCode = kerr.InconsistentClusterID.Code
	case b.ID < 0 || b.Host == "" || b.Port == 0:
		resp.ErrorCode = kerr.InvalidRegistration.Code
	case img.Brokers[b.ID] == b:
	default:
		return Decision{Records: []Record{BrokerRegistered{b}}, Response: resp}
	}
	return Decision{Response: resp}
}
