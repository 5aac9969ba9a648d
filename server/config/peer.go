package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Peer is one of the brokers that form the cluster. Its text form, in flags, files and the environment, is Kafka's
// controller.quorum.voters: id@host:port.
type Peer struct {
	ID      int32
	Address string // host:port of its peer listener
}

// ParsePeers parses a comma-separated list of peers: 1@host:port,2@host:port.
func ParsePeers(s string) ([]Peer, error) {
	var peers []Peer
	for item := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		var p Peer
		if err := p.UnmarshalText([]byte(item)); err != nil {
			return nil, err
		}
		peers = append(peers, p)
	}
	return peers, nil
}

// UnmarshalText parses id@host:port.
func (p *Peer) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	id, address, ok := strings.Cut(s, "@")
	if !ok {
		return fmt.Errorf("peer %q: want id@host:port", s)
	}
	n, err := strconv.ParseInt(id, 10, 32)
	if err != nil {
		return fmt.Errorf("peer %q: the id before @ must be a number", s)
	}
	p.ID, p.Address = int32(n), address
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (p Peer) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String returns id@host:port.
func (p Peer) String() string { return strconv.Itoa(int(p.ID)) + "@" + p.Address }

func sortedPeerIDs(peers []Peer) []int32 {
	ids := make([]int32, 0, len(peers))
	for _, p := range peers {
		ids = append(ids, p.ID)
	}
	slices.Sort(ids)
	return ids
}
