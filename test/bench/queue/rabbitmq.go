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

	amqp "github.com/rabbitmq/amqp091-go"

	"balsa/test/harness"
)

// rabbitMQ is RabbitMQ as Debian packages it: quorum queues, which sync to the disk before they confirm, publisher confirms and
// manual acknowledgements. A shard is a queue.
type rabbitMQ struct {
	processes
	addresses []string
}

const rabbitCookie = "balsa-bench-queue"

func startRabbitMQ(ctx context.Context, dir string) (system, error) {
	scripts, err := filepath.Glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin")
	if err != nil || len(scripts) == 0 {
		return nil, errors.New("rabbitmq-server is not installed; on Debian: apt-get install rabbitmq-server")
	}
	ports, err := harness.FreePorts(7)
	if err != nil {
		return nil, err
	}
	// Erlang's name server, of our own, on loopback.
	env := []string{"HOME=" + dir, "LANG=C.UTF-8", "ERL_EPMD_ADDRESS=127.0.0.1", fmt.Sprintf("ERL_EPMD_PORT=%d", ports[6])}
	r := &rabbitMQ{}
	if err := os.WriteFile(filepath.Join(dir, ".erlang.cookie"), []byte(rabbitCookie), 0o400); err != nil {
		return nil, err
	}
	err = r.run(dir, "epmd", "epmd", "-port", fmt.Sprint(ports[6]), "-address", "127.0.0.1")
	for i := 0; i < 3 && err == nil; i++ {
		r.addresses = append(r.addresses, fmt.Sprintf("127.0.0.1:%d", ports[i]))
		err = r.node(dir, scripts[0], env, i+1, ports[i], ports[3+i])
		if err == nil {
			err = listening(ctx, r.addresses[i])
		}
	}
	if err == nil {
		err = eventually(ctx, "form a cluster", func() error { return rabbitCluster(ctx, scripts[0], env) })
	}
	if err != nil {
		return nil, errors.Join(err, r.kill())
	}
	return r, nil
}

// node starts a node, which joins those that run already.
func (r *rabbitMQ) node(dir, scripts string, env []string, id, port, distPort int) error {
	dir = filepath.Join(dir, fmt.Sprintf("node-%d", id))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	config := "cluster_formation.peer_discovery_backend = classic_config\n"
	for i := range 3 {
		config += fmt.Sprintf("cluster_formation.classic_config.nodes.%d = rabbit%d@localhost\n", i+1, i+1)
	}
	if err := os.WriteFile(filepath.Join(dir, "rabbitmq.conf"), []byte(config), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "enabled_plugins"), []byte("[].\n"), 0o600); err != nil {
		return err
	}
	argv := append([]string{"env"}, env...)
	argv = append(argv,
		fmt.Sprintf("RABBITMQ_NODENAME=rabbit%d@localhost", id),
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		fmt.Sprintf("RABBITMQ_NODE_PORT=%d", port),
		fmt.Sprintf("RABBITMQ_DIST_PORT=%d", distPort),
		"RABBITMQ_MNESIA_BASE="+filepath.Join(dir, "mnesia"),
		"RABBITMQ_LOG_BASE="+filepath.Join(dir, "log"),
		"RABBITMQ_GENERATED_CONFIG_DIR="+filepath.Join(dir, "config"),
		"RABBITMQ_CONFIG_FILE="+filepath.Join(dir, "rabbitmq.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(dir, "enabled_plugins"),
		"RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
		"RUNNING_UNDER_SYSTEMD=true", // the script becomes the server, rather than its parent
		filepath.Join(scripts, "rabbitmq-server"),
	)
	return r.run(dir, fmt.Sprintf("rabbitmq-%d", id), argv...)
}

// rabbitCluster fails unless three nodes are in the cluster and run.
func rabbitCluster(ctx context.Context, scripts string, env []string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(scripts, "rabbitmqctl"), "-n", "rabbit1@localhost", "eval", "length(rabbit_nodes:all_running()).")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "3" {
		return fmt.Errorf("%s (%w)", out, err)
	}
	return nil
}

// pids leaves the name server out.
func (r *rabbitMQ) pids() []int { return r.processes.pids()[1:] }

func (r *rabbitMQ) stop() error { return r.kill() }

func (r *rabbitMQ) dial(n int) (*amqp.Connection, *amqp.Channel, error) {
	conn, err := amqp.Dial("amqp://guest:guest@" + r.addresses[n%len(r.addresses)])
	if err != nil {
		return nil, nil, err
	}
	ch, err := conn.Channel()
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, ch, nil
}

func (r *rabbitMQ) create(_ context.Context, queue string, shards int) error {
	for i := range shards {
		// Leaders are where the queue is declared.
		conn, ch, err := r.dial(i)
		if err != nil {
			return err
		}
		_, err = ch.QueueDeclare(shardName(queue, i), true, false, false, false, amqp.Table{
			"x-queue-type": "quorum", "x-quorum-initial-group-size": 3,
		})
		if err := errors.Join(err, conn.Close()); err != nil {
			return fmt.Errorf("declare a quorum queue: %w", err)
		}
	}
	return nil
}

type rabbitProducer struct {
	conn     *amqp.Connection
	channel  *amqp.Channel
	queue    string
	shards   int
	sent     int
	slots    chan struct{} // holds one for each unconfirmed message
	confirms chan *rabbitConfirm
	done     sync.WaitGroup
}

type rabbitConfirm struct {
	*amqp.DeferredConfirmation
	confirmed func(error)
}

var rabbitProducers int // spreads them over the nodes; one goroutine opens them

func (r *rabbitMQ) producer(_ context.Context, queue string, shards, inFlight int) (producer, error) {
	rabbitProducers++
	conn, ch, err := r.dial(rabbitProducers)
	if err != nil {
		return nil, err
	}
	if err := ch.Confirm(false); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	p := &rabbitProducer{
		conn: conn, channel: ch, queue: queue, shards: shards,
		slots: make(chan struct{}, inFlight), confirms: make(chan *rabbitConfirm, inFlight),
	}
	p.done.Go(func() {
		for c := range p.confirms {
			var err error
			if !c.Wait() {
				err = errors.New("not confirmed")
			}
			<-p.slots
			c.confirmed(err)
		}
	})
	return p, nil
}

func (p *rabbitProducer) send(ctx context.Context, body []byte, confirmed func(error)) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	p.sent++
	confirmation, err := p.channel.PublishWithDeferredConfirmWithContext(ctx, "", shardName(p.queue, p.sent%p.shards), false, false,
		amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body})
	if err != nil {
		return err
	}
	p.confirms <- &rabbitConfirm{confirmation, confirmed}
	return nil
}

func (p *rabbitProducer) flush(ctx context.Context) error {
	for range cap(p.slots) {
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for range cap(p.slots) {
		<-p.slots
	}
	return nil
}

func (p *rabbitProducer) close() error {
	close(p.confirms)
	p.done.Wait()
	return p.conn.Close()
}

type rabbitConsumer struct {
	conn    *amqp.Connection
	channel *amqp.Channel
	done    sync.WaitGroup
	err     error
}

func (r *rabbitMQ) consumer(_ context.Context, queue string, n, shards, inFlight int, handle func([]byte)) (consumer, error) {
	conn, ch, err := r.dial(n)
	if err != nil {
		return nil, err
	}
	if err := ch.Qos(inFlight, 0, false); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	deliveries, err := ch.Consume(shardName(queue, n%shards), fmt.Sprintf("consumer-%d", n), false, false, false, false, nil)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c := &rabbitConsumer{conn: conn, channel: ch}
	c.done.Go(func() {
		for d := range deliveries {
			handle(d.Body)
			if err := d.Ack(false); err != nil && c.err == nil {
				c.err = err
			}
		}
	})
	return c, nil
}

// finish: AMQP has no answer to an acknowledgement; a channel that is closed in order has had all of them handled.
func (c *rabbitConsumer) finish(context.Context) error {
	err := c.channel.Close()
	c.done.Wait()
	return errors.Join(err, c.err)
}

func (c *rabbitConsumer) close() error { return c.conn.Close() }
