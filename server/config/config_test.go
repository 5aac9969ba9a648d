package config

import (
	"strings"
	"testing"
	"time"
)

func TestDefaultIsValid(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if c.Advertised() != "localhost:9092" || len(c.Brokers()) != 1 || c.Brokers()[0] != 1 {
		t.Errorf("advertised %s, brokers %v", c.Advertised(), c.Brokers())
	}
}

func threeNodes(id int32) Config {
	c := Default()
	c.NodeID, c.PeerListen = id, "127.0.0.1:9191"
	c.Peers = []Peer{{3, "c:1"}, {1, "a:1"}, {2, "b:1"}}
	return c
}

func TestClusterIsValid(t *testing.T) {
	c := threeNodes(2)
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if got := c.Brokers(); len(got) != 3 || got[0] != 1 || got[2] != 3 {
		t.Errorf("brokers %v, want 1 2 3", got)
	}
	if c.PeerAddress() != "b:1" {
		t.Errorf("peer address %s", c.PeerAddress())
	}
}

// TestValidateNamesTheSetting: each error begins with the setting's name and says what is allowed.
func TestValidateNamesTheSetting(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(*Config)
	}{
		{"node-id: -1: must be at least 0", func(c *Config) { c.NodeID = -1 }},
		{"data-dir: must not be empty", func(c *Config) { c.DataDir = " " }},
		{`listen: "localhost": must be host:port`, func(c *Config) { c.Listen = "localhost" }},
		{`listen: "localhost:65536": the port must be`, func(c *Config) { c.Listen = "localhost:65536" }},
		{`listen: "localhost:kafka": the port must be`, func(c *Config) { c.Listen = "localhost:kafka" }},
		{"advertise: must be set when listen is", func(c *Config) { c.Listen = ":9092" }},
		{"advertise: must be set when listen is", func(c *Config) { c.Listen = "0.0.0.0:9092" }},
		{"advertise: must be set when listen is", func(c *Config) { c.Listen = "[::]:9092" }},
		{`advertise: "h": must be host:port`, func(c *Config) { c.Advertise = "h" }},
		{`advertise: "h:0": the port must be a number from 1`, func(c *Config) { c.Advertise = "h:0" }},
		{`advertise: "0.0.0.0:1": must be a host`, func(c *Config) { c.Advertise = "0.0.0.0:1" }},
		{"num-partitions: 0: must be between 1 and 10000", func(c *Config) { c.NumPartitions = 0 }},
		{"num-partitions: 10001: must be between 1 and 10000", func(c *Config) { c.NumPartitions = 10_001 }},
		{"default-replication-factor: -1: must be at least 1, or 0", func(c *Config) { c.Replication = -1 }},
		{"default-replication-factor: 2: must be at most 1, the number of brokers", func(c *Config) { c.Replication = 2 }},
		{`log-level: "loud": must be one of debug, info, warn, error`, func(c *Config) { c.LogLevel = "loud" }},
		{`log-format: "xml": must be one of text, json`, func(c *Config) { c.LogFormat = "xml" }},
		{`replica-selector-class: "rack": must be one of`, func(c *Config) { c.ReplicaSelector = "rack" }},
		{"shutdown-grace: 0s: must be positive", func(c *Config) { c.ShutdownGrace = 0 }},
		{"max-request-bytes: 65535: must be at least 65536", func(c *Config) { c.MaxRequestBytes = 65535 }},
		{"max-connections: 0", func(c *Config) { c.MaxConnections = 0 }},
		{"max-connections-per-ip: 0", func(c *Config) { c.MaxConnectionsPerIP = 0 }},
		{"connections-max-idle: 0s", func(c *Config) { c.ConnectionsMaxIdle = 0 }},
		{"max-in-flight: 0", func(c *Config) { c.MaxInFlight = 0 }},
		{"queued-max-bytes: 1: must be at least max-request-bytes, 104857600", func(c *Config) { c.QueuedMaxBytes = 1 }},
		{"fetch-max-bytes: 1", func(c *Config) { c.FetchMaxBytes = 1 }},
		{"fetch-session-cache-size: -1", func(c *Config) { c.FetchSessionCacheSize = -1 }},
		{"max-share-sessions: 0: must be at least 1", func(c *Config) { c.MaxShareSessions = 0 }},
		{"log-segment-bytes: 1: must be at least 1048576", func(c *Config) { c.SegmentBytes = 1 }},
		{"log-roll-ms: 0", func(c *Config) { c.SegmentMs = 0 }},
		{"log-retention-ms: -2", func(c *Config) { c.RetentionMs = -2 }},
		{"log-retention-bytes: -2", func(c *Config) { c.RetentionBytes = -2 }},
		{"log-flush-interval-messages: 0", func(c *Config) { c.FlushMessages = 0 }},
		{"log-flush-interval-ms: -1", func(c *Config) { c.FlushMs = -1 }},
		{"message-max-bytes: -1", func(c *Config) { c.MaxMessageBytes = -1 }},
		{"message-max-bytes: 104857601: must be at most max-request-bytes", func(c *Config) { c.MaxMessageBytes = 100<<20 + 1 }},
		{"min-insync-replicas: 0", func(c *Config) { c.MinInsyncReplicas = 0 }},
		{"log-retention-check: 0s", func(c *Config) { c.RetentionCheck = 0 }},
		{"producer-id-expiration: 0s", func(c *Config) { c.ProducerIDExpiry = 0 }},
		{"group-initial-rebalance-delay: -1s", func(c *Config) { c.InitialRebalanceDelay = -time.Second }},
		{"group-min-session-timeout: 0s", func(c *Config) { c.MinSessionTimeout = 0 }},
		{"group-max-session-timeout: 5s: must be at least group-min-session-timeout, 6s", func(c *Config) { c.MaxSessionTimeout = 5 * time.Second }},
		{"group-consumer-heartbeat-interval: 0s", func(c *Config) { c.ConsumerHeartbeat = 0 }},
		{"group-consumer-session-timeout: 5s", func(c *Config) { c.ConsumerSession = 5 * time.Second }},
		{"group-consumer-max-size: 0", func(c *Config) { c.ConsumerMaxSize = 0 }},
		{"group-consumer-migration-policy: \"sideways\"", func(c *Config) { c.ConsumerMigration = "sideways" }},
		{"group-share-max-size: 0", func(c *Config) { c.ShareMaxSize = 0 }},
		{"group-max-size: 0", func(c *Config) { c.MaxGroupSize = 0 }},
		{"transaction-max-timeout: 0s", func(c *Config) { c.MaxTransactionTimeout = 0 }},
		{"transactional-id-expiration: 0s", func(c *Config) { c.TransactionalIDExpiry = 0 }},
		{"offsets-retention: 0s", func(c *Config) { c.OffsetsRetention = 0 }},
		{"offset-metadata-max-bytes: -1", func(c *Config) { c.OffsetMetadataMax = -1 }},
	} {
		config := Default()
		c.change(&config)
		if err := config.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

func TestValidatePeers(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(*Config)
	}{
		{"peers: must contain this node, 4 (node-id)", func(c *Config) { c.NodeID = 4 }},
		{"peers: the id 1 appears more than once", func(c *Config) { c.Peers[0].ID = 1 }},
		{"peers: the address a:1 appears more than once", func(c *Config) { c.Peers[0].Address = "a:1" }},
		{`peers: 3@c: "c": must be host:port`, func(c *Config) { c.Peers[0].Address = "c" }},
		{`peers: 3@c:0: "c:0": the port must be a number from 1`, func(c *Config) { c.Peers[0].Address = "c:0" }},
		{"peers: 3@0.0.0.0:1: must be a host", func(c *Config) { c.Peers[0].Address = "0.0.0.0:1" }},
		{"peers: -3@c:1: the id must be at least 0", func(c *Config) { c.Peers[0].ID = -3 }},
		{"peer-listen: \"nowhere\": must be host:port", func(c *Config) { c.PeerListen = "nowhere" }},
		{"peer-listen: \"localhost:9092\": must differ from listen", func(c *Config) { c.PeerListen = c.Listen }},
		{"default-replication-factor: 4: must be at most 3", func(c *Config) { c.Replication = 4 }},
	} {
		config := threeNodes(1)
		c.change(&config)
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// TestValidateReportsEverything: a user repairs all mistakes in one go.
func TestValidateReportsEverything(t *testing.T) {
	c := Default()
	c.DataDir, c.LogLevel, c.NodeID = "", "", -1
	if err := c.Validate(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("%v, want three errors", err)
	}
}

func TestEphemeralPortNeedsNoAdvertise(t *testing.T) {
	c := Default()
	c.Listen = "127.0.0.1:0"
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.Listen, c.Advertise = ":9092", "example.org:1"
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if c.Advertised() != "example.org:1" {
		t.Errorf("advertised %s", c.Advertised())
	}
}

func TestPeersAsText(t *testing.T) {
	peers, err := ParsePeers(" 1@a:1, 2@[::1]:2,")
	if err != nil || len(peers) != 2 || peers[0] != (Peer{1, "a:1"}) || peers[1] != (Peer{2, "[::1]:2"}) {
		t.Errorf("%v, %v", peers, err)
	}
	text, err := peers[1].MarshalText()
	if err != nil || string(text) != "2@[::1]:2" {
		t.Errorf("%s, %v", text, err)
	}
	for _, bad := range []string{"a:1", "x@a:1", "@a:1", "2147483648@a:1"} {
		if got, err := ParsePeers(bad); err == nil {
			t.Errorf("%s: %v", bad, got)
		}
	}
}

func FuzzParsePeers(f *testing.F) {
	f.Add("1@a:1,2@b:2")
	f.Add(" ,@")
	f.Fuzz(func(t *testing.T, s string) {
		peers, err := ParsePeers(s)
		if err != nil {
			return
		}
		for _, p := range peers {
			var again Peer
			if err := again.UnmarshalText([]byte(p.String())); err != nil || again != p {
				t.Fatalf("%q became %q, %v", p, again, err)
			}
		}
	})
}
