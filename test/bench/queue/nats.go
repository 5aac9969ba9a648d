package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"balsa/test/harness"
)

// natsServer is NATS JetStream: work-queue streams with three replicas, explicit acknowledgements. A shard is a stream, with one
// subject and one durable consumer that all members share. By default it syncs files every two minutes; nats-fsync syncs each write.
type natsServer struct {
	processes
	servers string
}

// buildNATS builds nats-server at the version in go.mod.
func buildNATS(ctx context.Context, dir string) (string, error) {
	root, err := harness.Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "nats-server")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/nats-io/nats-server/v2")
	cmd.Dir = filepath.Join(root, "test", "bench", "queue")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build nats-server: %w\n%s", err, out)
	}
	return path, nil
}

func startNATS(ctx context.Context, dir string, fsync bool) (system, error) {
	binary, err := buildNATS(ctx, dir)
	if err != nil {
		return nil, err
	}
	ports, err := harness.FreePorts(6)
	if err != nil {
		return nil, err
	}
	var routes, servers []string
	for i := range 3 {
		servers = append(servers, fmt.Sprintf("nats://127.0.0.1:%d", ports[i]))
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", ports[3+i]))
	}
	s := &natsServer{servers: strings.Join(servers, ",")}
	sync := ""
	if fsync {
		sync = "sync_interval: always"
	}
	for i := 0; i < 3 && err == nil; i++ {
		config := filepath.Join(dir, fmt.Sprintf("nats-%d.conf", i+1))
		err = os.WriteFile(config, []byte(strings.Join([]string{
			fmt.Sprintf("server_name: n%d", i+1),
			fmt.Sprintf("listen: 127.0.0.1:%d", ports[i]),
			fmt.Sprintf("jetstream {\nstore_dir: %q\n%s\n}", filepath.Join(dir, fmt.Sprintf("node-%d", i+1)), sync),
			fmt.Sprintf("cluster {\nname: bench\nlisten: 127.0.0.1:%d\nroutes: [%s]\n}", ports[3+i], strings.Join(routes, ", ")),
		}, "\n")), 0o600)
		if err == nil {
			err = s.run(dir, fmt.Sprintf("nats-%d", i+1), binary, "-c", config)
		}
	}
	if err == nil {
		err = eventually(ctx, "create a stream", func() error {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			return s.create(ctx, "ready", 1)
		})
	}
	if err != nil {
		return nil, errors.Join(err, s.kill())
	}
	return s, nil
}

func (s *natsServer) stop() error { return s.kill() }

func (s *natsServer) dial(opts ...jetstream.JetStreamOpt) (*nats.Conn, jetstream.JetStream, error) {
	conn, err := nats.Connect(s.servers)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(conn, opts...)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, js, nil
}

func (s *natsServer) create(ctx context.Context, queue string, shards int) error {
	conn, js, err := s.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	for i := range shards {
		name := shardName(queue, i)
		stream, err := js.CreateStream(ctx, jetstream.StreamConfig{
			Name: name, Subjects: []string{name}, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage, Replicas: 3,
		})
		if err != nil {
			return fmt.Errorf("create a stream: %w", err)
		}
		if _, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
			Durable: "workers", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1,
		}); err != nil {
			return fmt.Errorf("create a consumer: %w", err)
		}
	}
	return nil
}

type natsProducer struct {
	conn   *nats.Conn
	js     jetstream.JetStream
	queue  string
	shards int
	sent   int
	slots  chan struct{}
	acks   chan natsAck
	done   sync.WaitGroup
}

type natsAck struct {
	jetstream.PubAckFuture
	confirmed func(error)
}

func (s *natsServer) producer(_ context.Context, queue string, shards, inFlight int) (producer, error) {
	conn, js, err := s.dial(jetstream.WithPublishAsyncMaxPending(inFlight))
	if err != nil {
		return nil, err
	}
	p := &natsProducer{conn: conn, js: js, queue: queue, shards: shards, slots: make(chan struct{}, inFlight), acks: make(chan natsAck, inFlight)}
	p.done.Go(func() {
		for a := range p.acks {
			var err error
			select {
			case <-a.Ok():
			case err = <-a.Err():
			}
			<-p.slots
			a.confirmed(err)
		}
	})
	return p, nil
}

func (p *natsProducer) send(ctx context.Context, body []byte, confirmed func(error)) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	p.sent++
	future, err := p.js.PublishAsync(shardName(p.queue, p.sent%p.shards), body)
	if err != nil {
		return err
	}
	p.acks <- natsAck{future, confirmed}
	return nil
}

func (p *natsProducer) flush(ctx context.Context) error {
	select {
	case <-p.js.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *natsProducer) close() error {
	close(p.acks)
	p.done.Wait()
	p.conn.Close()
	return nil
}

type natsConsumer struct {
	conn    *nats.Conn
	consume jetstream.ConsumeContext
}

func (s *natsServer) consumer(ctx context.Context, queue string, n, shards, inFlight int, handle func([]byte)) (consumer, error) {
	conn, js, err := s.dial()
	if err != nil {
		return nil, err
	}
	shared, err := js.Consumer(ctx, shardName(queue, n%shards), "workers")
	if err != nil {
		conn.Close()
		return nil, err
	}
	consume, err := shared.Consume(func(m jetstream.Msg) {
		handle(m.Data())
		_ = m.Ack() // what fails here is not delivered for good, and the measurement does not end
	}, jetstream.PullMaxMessages(inFlight))
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &natsConsumer{conn, consume}, nil
}

// finish: acknowledgements have no answer unless asked for; a flushed connection has had them received.
func (c *natsConsumer) finish(ctx context.Context) error {
	c.consume.Drain()
	select {
	case <-c.consume.Closed():
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // it insists on one
	defer cancel()
	return c.conn.FlushWithContext(ctx)
}

func (c *natsConsumer) close() error {
	c.conn.Close()
	return nil
}
