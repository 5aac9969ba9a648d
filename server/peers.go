package server

import (
	"context"
	"errors"
	"fmt"
	"net"

	"balsa/raft"
	"balsa/server/config"
)

// openHost opens the host of the Raft groups, and what this broker and the others need to find one another.
func (s *Server) openHost() error {
	var peers net.Listener
	if s.config.HasPeers() {
		var err error
		if peers, err = net.Listen("tcp", s.peerListen()); err != nil {
			return fmt.Errorf("listen for other brokers: %w", err)
		}
	}
	host, err := raft.NewHost(raft.HostConfig{
		Node: s.node, Dir: s.config.DataDir, Listener: peers, Dial: s.dial, Logger: s.logger,
		Space: s.disk.space,
	})
	if err != nil {
		if peers != nil {
			err = errors.Join(err, peers.Close())
		}
		return err
	}
	s.host = host
	s.host.Handle(leadersService, s.leaders.serve)
	s.host.Handle(metadataService, s.serveMetadata)
	s.joins = &joins{
		node: s.node, address: s.config.PeerAddress(), seeds: s.seeds(), host: s.host, image: s.machine.Image,
		leader: s.Controller, logger: s.logger, asked: map[raft.NodeID]joining{}, learned: map[raft.NodeID]string{},
	}
	for _, p := range s.config.Peers {
		s.host.Connect(raft.NodeID(p.ID))
	}
	return nil
}

// peerListen is where to listen for other brokers: what is configured, else this node's address in the list of peers.
func (s *Server) peerListen() string {
	if s.config.PeerListen != "" && s.config.PeerListen != config.Default().PeerListen {
		return s.config.PeerListen
	}
	return s.config.PeerAddress()
}

// seeds returns whom to ask to join.
func (s *Server) seeds() []string {
	if s.config.Join == "" && s.rejoining {
		return s.otherPeers() // restarted before it was done
	}
	return s.config.JoinAddresses()
}

// otherPeers returns the addresses of the other initial brokers.
func (s *Server) otherPeers() []string {
	var addresses []string
	for _, p := range s.config.Peers {
		if p.ID != s.config.NodeID {
			addresses = append(addresses, p.Address)
		}
	}
	return addresses
}

// dial connects to another broker: where the configuration says, else where it registered, else where it said it would be.
func (s *Server) dial(ctx context.Context, node raft.NodeID) (net.Conn, error) {
	address := s.machine.Image().Brokers[node].PeerAddress
	for _, p := range s.config.Peers {
		if raft.NodeID(p.ID) == node {
			address = p.Address
		}
	}
	address = s.joins.addressOf(node, address)
	if address == "" {
		return nil, fmt.Errorf("%w: the address of node %d is not known", raft.ErrUnreachable, node)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}
