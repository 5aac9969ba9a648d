package group

import (
	"bytes"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/timers"
)

// Client says who sent a request.
type Client struct {
	ID   string // client.id
	Host string // remote address, as Kafka shows it: /127.0.0.1
}

// Reply takes the response to one request. It is called exactly once, must not block and must not call the Leader.
type Reply func(kmsg.Response)

// member is a joined member of a group that this node coordinates.
type member struct {
	id               string
	instanceID       *string // group.instance.id; not nil for a static member
	client           Client
	rebalanceTimeout time.Duration
	sessionTimeout   time.Duration
	protocols        []protocol // in the member's order of preference
	assignment       []byte
	// isNew is true until the member's first rebalance completes: it does not know its member id yet, so it cannot
	// send heartbeats, and its session expires even while it waits.
	isNew bool
	join  Reply // parked JoinGroup; nil when none
	sync  Reply // parked SyncGroup; nil when none

	session timers.Timer
}

// protocol is an assignor that a member supports, with the member's subscription in that assignor's terms.
type protocol struct {
	name     string
	metadata []byte
}

// newProtocols copies a request's protocols: the request's memory belongs to its connection.
func newProtocols(requested []kmsg.JoinGroupRequestProtocol) []protocol {
	ps := make([]protocol, len(requested))
	for i, p := range requested {
		ps[i] = protocol{p.Name, bytes.Clone(p.Metadata)}
	}
	return ps
}

// matches says whether a rejoin changes nothing.
func (m *member) matches(requested []kmsg.JoinGroupRequestProtocol) bool {
	return slices.EqualFunc(m.protocols, requested, func(p protocol, r kmsg.JoinGroupRequestProtocol) bool {
		return p.name == r.Name && bytes.Equal(p.metadata, r.Metadata)
	})
}

func (p protocol) equal(other protocol) bool {
	return p.name == other.name && bytes.Equal(p.metadata, other.metadata)
}

func (m *member) supports(name string) bool {
	return slices.ContainsFunc(m.protocols, func(p protocol) bool { return p.name == name })
}

// subscription returns what the member said under a protocol; nil when it does not support it.
func (m *member) subscription(protocol string) []byte {
	for _, p := range m.protocols {
		if p.name == protocol {
			return p.metadata
		}
	}
	return nil
}

// vote returns the first of the member's protocols that everybody supports.
func (m *member) vote(candidates map[string]bool) string {
	for _, p := range m.protocols {
		if candidates[p.name] {
			return p.name
		}
	}
	return ""
}

// alive says whether the member needs no heartbeat now: it waits for us.
func (m *member) alive() bool { return !m.isNew && (m.join != nil || m.sync != nil) }

// answerJoin releases the parked JoinGroup, if any.
func (m *member) answerJoin(r *kmsg.JoinGroupResponse) bool {
	if m.join == nil {
		return false
	}
	reply := m.join
	m.join = nil
	reply(r)
	return true
}

// answerSync releases the parked SyncGroup, if any.
func (m *member) answerSync(r *kmsg.SyncGroupResponse) bool {
	if m.sync == nil {
		return false
	}
	reply := m.sync
	m.sync = nil
	reply(r)
	return true
}

// stored returns the durable part under the chosen protocol.
func (m *member) stored(protocol string, assignment []byte) Member {
	return Member{
		ID:               m.id,
		InstanceID:       m.instanceID,
		ClientID:         m.client.ID,
		ClientHost:       m.client.Host,
		RebalanceTimeout: int32(m.rebalanceTimeout / time.Millisecond),
		SessionTimeout:   int32(m.sessionTimeout / time.Millisecond),
		Subscription:     m.subscription(protocol),
		Assignment:       assignment,
	}
}

// loadMember makes a member of its durable part. Only the chosen protocol was stored.
func loadMember(s Member, protocolName string) *member {
	rebalance := s.RebalanceTimeout
	if rebalance < 0 {
		rebalance = s.SessionTimeout
	}
	return &member{
		id:               s.ID,
		instanceID:       s.InstanceID,
		client:           Client{ID: s.ClientID, Host: s.ClientHost},
		rebalanceTimeout: millis(rebalance),
		sessionTimeout:   millis(s.SessionTimeout),
		protocols:        []protocol{{protocolName, s.Subscription}},
		assignment:       s.Assignment,
	}
}

func millis(ms int32) time.Duration { return time.Duration(ms) * time.Millisecond }

func cloneOptional(s *string) *string {
	if s == nil {
		return nil
	}
	c := *s
	return &c
}
