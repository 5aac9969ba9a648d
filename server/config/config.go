// Package config is the broker's configuration: parsed by cmd, validated here, passed down as plain values.
package config

import "time"

// Peer is one of the brokers that form the cluster.
type Peer struct {
	ID      int32
	Address string // host:port of its peer listener
}

// Config is the broker configuration. Names in comments are the Kafka broker configs they correspond to.
type Config struct {
	NodeID        int32         // node.id
	DataDir       string        // log.dirs
	Listen        string        // listeners: host:port for Kafka clients
	Advertise     string        // advertised.listeners; default from Listen
	PeerListen    string        // host:port for other brokers; unused with no Peers
	Peers         []Peer        // all initial brokers, this one included; empty for a single node
	Rack          string        // broker.rack
	AutoCreate    bool          // auto.create.topics.enable
	NumPartitions int32         // num.partitions
	Replication   int16         // default.replication.factor; 0: min(3, brokers)
	LogLevel      string        // debug, info, warn, error
	LogFormat     string        // text, json
	ShutdownGrace time.Duration // how long a stop may take to hand over leadership
}
