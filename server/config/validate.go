package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Validate checks the whole configuration. The error names each wrong setting, the value it has and what is allowed.
func (c *Config) Validate() error {
	var v validation
	v.atLeast("node-id", int64(c.NodeID), 0)
	v.check(strings.TrimSpace(c.DataDir) != "", "data-dir: must not be empty")
	c.validateAddresses(&v)
	c.validatePeers(&v)
	v.between("num-partitions", int64(c.NumPartitions), 1, maxPartitions)
	v.check(c.Replication >= 0, "default-replication-factor: %d: must be at least 1, or 0 for min(3, brokers)", c.Replication)
	v.check(int(c.Replication) <= len(c.Brokers()) || c.HasPeers() && len(c.Peers) == 0, "default-replication-factor: %d: must be at most %d, the number of brokers",
		c.Replication, len(c.Brokers()))
	v.oneOf("log-level", c.LogLevel, "debug", "info", "warn", "error")
	v.oneOf("log-format", c.LogFormat, "text", "json")
	v.positive("shutdown-grace", c.ShutdownGrace)
	if c.ReplicaSelector != "" {
		v.oneOf("replica-selector-class", c.ReplicaSelector, LeaderReplicaSelector, RackAwareReplicaSelector)
	}
	c.Limits.validate(&v)
	c.Log.validate(&v)
	v.check(c.MaxMessageBytes <= c.MaxRequestBytes, "message-max-bytes: %d: must be at most max-request-bytes, %d", c.MaxMessageBytes, c.MaxRequestBytes)
	c.Cleaner.validate(&v)
	c.Groups.validate(&v)
	c.Transactions.validate(&v)
	return errors.Join(v.errs...)
}

// maxPartitions bounds num-partitions; it is also what one CreateTopics request may create.
const maxPartitions = 10_000

func (c *Config) validateAddresses(v *validation) {
	host, port, ok := v.address("listen", c.Listen, 0)
	if c.Advertise != "" {
		if h, _, ok := v.address("advertise", c.Advertise, 1); ok {
			v.check(!wildcard(h), "advertise: %q: must be a host that clients can connect to", c.Advertise)
		}
		return
	}
	if ok && wildcard(host) {
		v.fail("advertise: must be set when listen is %q, because clients cannot connect to a wildcard address (for example --advertise myhost:%s)",
			c.Listen, port)
	}
}

func (c *Config) validatePeers(v *validation) {
	c.validateJoin(v)
	if len(c.Peers) == 0 {
		return
	}
	v.address("peer-listen", c.PeerListen, 1)
	ids, addresses := map[int32]bool{}, map[string]bool{}
	for _, p := range c.Peers {
		v.check(p.ID >= 0, "peers: %s: the id must be at least 0", p)
		v.check(!ids[p.ID], "peers: the id %d appears more than once", p.ID)
		v.check(!addresses[p.Address], "peers: the address %s appears more than once", p.Address)
		ids[p.ID], addresses[p.Address] = true, true
		if h, _, ok := v.address("peers: "+p.String(), p.Address, 1); ok {
			v.check(!wildcard(h), "peers: %s: must be a host that other brokers can connect to", p)
		}
	}
	v.check(ids[c.NodeID], "peers: must contain this node, %d (node-id)", c.NodeID)
	v.check(c.PeerListen != c.Listen, "peer-listen: %q: must differ from listen", c.PeerListen)
}

func (c *Config) validateJoin(v *validation) {
	for _, a := range c.JoinAddresses() {
		v.address("join", a, 1)
		v.check(a != c.PeerAddress(), "join: %q: must be the address of another broker", a)
	}
	if c.HasPeers() && len(c.Peers) == 0 {
		if h, _, ok := v.address("peer-listen", c.PeerListen, 1); ok {
			v.check(!wildcard(h), "peer-listen: %q: must be a host that other brokers can connect to", c.PeerListen)
		}
		v.check(c.PeerListen != c.Listen, "peer-listen: %q: must differ from listen", c.PeerListen)
	}
}

func (l *Limits) validate(v *validation) {
	v.atLeast("max-request-bytes", int64(l.MaxRequestBytes), 64<<10)
	v.atLeast("max-connections", int64(l.MaxConnections), 1)
	v.atLeast("max-connections-per-ip", int64(l.MaxConnectionsPerIP), 1)
	v.positive("connections-max-idle", l.ConnectionsMaxIdle)
	v.atLeast("max-in-flight", int64(l.MaxInFlight), 1)
	v.check(l.QueuedMaxBytes >= int64(l.MaxRequestBytes), "queued-max-bytes: %d: must be at least max-request-bytes, %d",
		l.QueuedMaxBytes, l.MaxRequestBytes)
	v.atLeast("fetch-max-bytes", int64(l.FetchMaxBytes), 1024)
	v.atLeast("fetch-session-cache-size", int64(l.FetchSessionCacheSize), 0)
	v.atLeast("max-share-sessions", int64(l.MaxShareSessions), 1)
}

func (l *Log) validate(v *validation) {
	v.atLeast("log-segment-bytes", int64(l.SegmentBytes), 1<<20)
	v.atLeast("log-roll-ms", l.SegmentMs, 1)
	v.atLeast("log-retention-ms", l.RetentionMs, -1)
	v.atLeast("log-retention-bytes", l.RetentionBytes, -1)
	v.atLeast("log-flush-interval-messages", l.FlushMessages, 1)
	v.atLeast("log-flush-interval-ms", l.FlushMs, 0)
	v.atLeast("message-max-bytes", int64(l.MaxMessageBytes), 0)
	v.atLeast("min-insync-replicas", int64(l.MinInsyncReplicas), 1)
	v.positive("log-retention-check", l.RetentionCheck)
	v.positive("producer-id-expiration", l.ProducerIDExpiry)
}

func (c *Cleaner) validate(v *validation) {
	v.between("log-cleaner-threads", int64(c.CleanerThreads), 1, 64)
	v.atLeast("log-cleaner-dedupe-buffer", c.CleanerBuffer/int64(max(c.CleanerThreads, 1)), 1<<20)
	v.positive("log-cleaner-backoff", c.CleanerBackoff)
	v.check(c.CleanerBytesPerSecond >= 0, "log-cleaner-io-max-bytes-per-second: %v: must not be negative; 0 sets no bound",
		c.CleanerBytesPerSecond)
}

func (g *Groups) validate(v *validation) {
	v.check(g.InitialRebalanceDelay >= 0, "group-initial-rebalance-delay: %v: must not be negative", g.InitialRebalanceDelay)
	v.positive("group-min-session-timeout", g.MinSessionTimeout)
	v.check(g.MaxSessionTimeout >= g.MinSessionTimeout, "group-max-session-timeout: %v: must be at least group-min-session-timeout, %v",
		g.MaxSessionTimeout, g.MinSessionTimeout)
	v.atLeast("group-max-size", int64(g.MaxGroupSize), 1)
	v.check(g.ConsumerHeartbeat >= time.Millisecond, "group-consumer-heartbeat-interval: %v: must be at least 1ms", g.ConsumerHeartbeat)
	v.check(g.ConsumerSession > g.ConsumerHeartbeat,
		"group-consumer-session-timeout: %v: must be above group-consumer-heartbeat-interval, %v", g.ConsumerSession, g.ConsumerHeartbeat)
	v.atLeast("group-consumer-max-size", int64(g.ConsumerMaxSize), 1)
	v.check(slices.Contains(migrationPolicies(), strings.ToLower(g.ConsumerMigration)),
		"group-consumer-migration-policy: %q: must be one of %s", g.ConsumerMigration, strings.Join(migrationPolicies(), ", "))
	v.atLeast("group-share-max-size", int64(g.ShareMaxSize), 1)
	v.positive("offsets-retention", g.OffsetsRetention)
	v.atLeast("offset-metadata-max-bytes", int64(g.OffsetMetadataMax), 0)
}

// migrationPolicies are the values of group.consumer.migration.policy.
func migrationPolicies() []string {
	return []string{"bidirectional", "upgrade", "downgrade", "disabled"}
}

func (t *Transactions) validate(v *validation) {
	v.check(t.MaxTransactionTimeout >= time.Millisecond, "transaction-max-timeout: %v: must be at least 1ms", t.MaxTransactionTimeout)
	v.check(t.TransactionalIDExpiry >= time.Millisecond, "transactional-id-expiration: %v: must be at least 1ms", t.TransactionalIDExpiry)
}

// validation collects what is wrong, so that a user repairs everything in one go.
type validation struct{ errs []error }

func (v *validation) fail(format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf(format, args...))
}

func (v *validation) check(ok bool, format string, args ...any) {
	if !ok {
		v.fail(format, args...)
	}
}

func (v *validation) atLeast(name string, value, least int64) {
	v.check(value >= least, "%s: %d: must be at least %d", name, value, least)
}

func (v *validation) between(name string, value, least, most int64) {
	v.check(value >= least && value <= most, "%s: %d: must be between %d and %d", name, value, least, most)
}

func (v *validation) positive(name string, d time.Duration) {
	v.check(d > 0, "%s: %v: must be positive", name, d)
}

func (v *validation) oneOf(name, value string, allowed ...string) {
	v.check(slices.Contains(allowed, value), "%s: %q: must be one of %s", name, value, strings.Join(allowed, ", "))
}

// address checks host:port; the port is at least leastPort (0: chosen by the operating system).
func (v *validation) address(name, value string, leastPort uint64) (host, port string, ok bool) {
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		v.fail("%s: %q: must be host:port", name, value)
		return "", "", false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n < leastPort {
		v.fail("%s: %q: the port must be a number from %d to 65535", name, value, leastPort)
		return "", "", false
	}
	return host, port, true
}

func wildcard(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}
