package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// connection is embedded by every command that is a client of a cluster.
type connection struct {
	Brokers []string      `short:"b" env:"BALSA_BROKERS" default:"localhost:9092" placeholder:"HOST:PORT" help:"Brokers to start from, comma separated (default ${default}, environment ${env})."`
	Timeout time.Duration `default:"10s" help:"How long one request may take."`
}

// dial returns a client after one broker has answered. Without that check franz-go would retry for long, since a
// library cannot know that the address was mistyped; a person at a terminal wants to know now.
func (c *connection) dial(ctx context.Context, opts ...kgo.Opt) (*kgo.Client, error) {
	seeds, err := brokerAddresses(c.Brokers)
	if err != nil {
		return nil, err
	}
	base := []kgo.Opt{
		kgo.SeedBrokers(seeds...),
		kgo.ClientID("balsa-cli"),
		kgo.DialTimeout(min(c.Timeout, 5*time.Second)),
		kgo.RetryTimeout(c.Timeout),
		// The default of several seconds spares the brokers of many long-lived clients; here it would hold up whoever
		// waits for a new leader.
		kgo.MetadataMinAge(50 * time.Millisecond),
	}
	client, err := kgo.NewClient(append(base, opts...)...)
	if err != nil {
		return nil, usagef("", "client options: %w", err)
	}
	pingCtx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if err := client.Ping(pingCtx); err != nil {
		client.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &commandError{
			err:  fmt.Errorf("no broker answered at %s: %w", strings.Join(seeds, ","), err),
			hint: unreachableHint,
			code: exitUnreachable,
		}
	}
	return client, nil
}

// admin returns an admin client, and a context that ends with the timeout. The caller calls done when finished.
func (c *connection) admin(ctx context.Context) (client *kadm.Client, limited context.Context, done func(), err error) {
	kafka, err := c.dial(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	client = kadm.NewClient(kafka)
	client.SetTimeoutMillis(int32(min(c.Timeout, 24*time.Hour).Milliseconds()))
	limited, cancel := context.WithTimeout(ctx, c.Timeout+time.Second)
	return client, limited, func() { cancel(); kafka.Close() }, nil
}

// brokerAddresses checks the addresses and adds Kafka's port where none is given.
func brokerAddresses(list []string) ([]string, error) {
	var addresses []string
	for _, entry := range list {
		address := strings.TrimSpace(entry)
		if address == "" {
			continue
		}
		if !strings.Contains(address, ":") {
			address += ":9092"
		}
		if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
			return nil, usagef("write --brokers host:port,host:port", "broker address %q is not host:port", entry)
		}
		addresses = append(addresses, address)
	}
	if len(addresses) == 0 {
		return nil, usagef("write --brokers host:port,host:port", "no broker address given")
	}
	return addresses, nil
}
