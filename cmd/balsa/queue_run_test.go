package main

import (
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// newQueues is a Kafka with what queues need of balsa: a share group's records stay locked when the connection of a detached
// member ends, and groups have configs that Kafka does not know.
func newQueues(t *testing.T, opts ...kfake.Opt) *kafka {
	t.Helper()
	k := newKafka(t, append(opts, kfake.ListenFn(func(network, address string) (net.Listener, error) {
		l, err := net.Listen(network, address)
		return lingeringListener{l}, err
	}))...)
	groups := groupConfigs{values: map[string]map[string]string{}}
	k.cluster.ControlKey(int16(kmsg.IncrementalAlterConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.cluster.KeepControl()
		groups.alter(req.(*kmsg.IncrementalAlterConfigsRequest))
		return nil, nil, false
	})
	k.cluster.ControlKey(int16(kmsg.DescribeConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.cluster.KeepControl()
		resp := groups.describe(req.(*kmsg.DescribeConfigsRequest))
		return resp, nil, resp != nil
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(k.cluster.ListenAddrs()...), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	admin := kadm.NewClient(client)
	k.cluster.ControlKey(int16(kmsg.ShareGroupHeartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.cluster.KeepControl()
		if r := req.(*kmsg.ShareGroupHeartbeatRequest); r.MemberEpoch == 0 {
			k.cluster.SleepControl(func() { place(t, admin, r.GroupID, r.SubscribedTopicNames[0]) })
		}
		return nil, nil, false
	})
	return k
}

// place gives a group that joins its place in a topic. Kafka's coordinator does that; kfake waits for the first fetch.
func place(t *testing.T, admin *kadm.Client, group, topic string) {
	described, err := admin.DescribeShareGroupOffsets(t.Context(), group)
	if err != nil {
		t.Error(err)
		return
	}
	starts, err := admin.ListStartOffsets(t.Context(), topic)
	if err != nil {
		t.Error(err)
		return
	}
	missing := kadm.Offsets{}
	starts.Each(func(start kadm.ListedOffset) {
		if _, ok := described[group].Offsets[topic][start.Partition]; !ok {
			missing.AddOffset(topic, start.Partition, start.Offset, -1)
		}
	})
	if _, err := admin.AlterShareGroupOffsets(t.Context(), group, missing); err != nil {
		t.Error(err)
	}
}

// lingeringListener has connections that the broker does not see end.
type lingeringListener struct{ net.Listener }

func (l lingeringListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &lingeringConn{Conn: conn, closed: make(chan struct{})}, err
}

type lingeringConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{} // by the broker
}

func (c *lingeringConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		<-c.closed
	}
	return n, err
}

func (c *lingeringConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// groupConfigs keeps all that is set for groups. kfake, which calls it from one goroutine, applies what it knows.
type groupConfigs struct{ values map[string]map[string]string }

func (g *groupConfigs) alter(req *kmsg.IncrementalAlterConfigsRequest) {
	for i := range req.Resources {
		resource := &req.Resources[i]
		if resource.ResourceType != kmsg.ConfigResourceTypeGroupConfig {
			continue
		}
		if g.values[resource.ResourceName] == nil {
			g.values[resource.ResourceName] = map[string]string{}
		}
		for _, config := range resource.Configs {
			delete(g.values[resource.ResourceName], config.Name)
			if config.Op == kmsg.IncrementalAlterConfigOpSet {
				g.values[resource.ResourceName][config.Name] = *config.Value
			}
		}
		resource.Configs = slices.DeleteFunc(resource.Configs, func(c kmsg.IncrementalAlterConfigsRequestResourceConfig) bool {
			return c.Name == shareOrdering || strings.HasPrefix(c.Name, "errors.")
		})
	}
}

func (g *groupConfigs) describe(req *kmsg.DescribeConfigsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	for _, asked := range req.Resources {
		if asked.ResourceType != kmsg.ConfigResourceTypeGroupConfig {
			return nil
		}
		resource := kmsg.NewDescribeConfigsResponseResource()
		resource.ResourceType, resource.ResourceName = asked.ResourceType, asked.ResourceName
		for name, value := range g.values[asked.ResourceName] {
			config := kmsg.NewDescribeConfigsResponseResourceConfig()
			config.Name, config.Value = name, &value
			resource.Configs = append(resource.Configs, config)
		}
		resp.Resources = append(resp.Resources, resource)
	}
	return resp
}

// receipts returns the first word of each line but the header's.
func receipts(table string) []string {
	var words []string
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] != "RECEIPT" {
			words = append(words, fields[0])
		}
	}
	return words
}
