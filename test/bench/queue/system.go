package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"balsa/test/harness"
)

// system is a queueing system of three nodes. A queue is made of shards: partitions, queues or streams, whatever the system has.
type system interface {
	// create makes an empty queue.
	create(ctx context.Context, queue string, shards int) error
	// producer opens a producer with so many messages unconfirmed at most.
	producer(ctx context.Context, queue string, shards, inFlight int) (producer, error)
	// consumer opens consumer number n, which takes and acknowledges messages until it is finished, with so many unacknowledged at most.
	// handle is called for each message before it is acknowledged, by one goroutine at a time.
	consumer(ctx context.Context, queue string, n, shards, inFlight int, handle func(body []byte)) (consumer, error)
	pids() []int
	stop() error
}

// producer sends messages. It is used by one goroutine.
type producer interface {
	// send sends a message as soon as there is room for it among those unconfirmed; confirmed is called when the system has it for sure.
	send(ctx context.Context, body []byte, confirmed func(error)) error
	// flush waits until all are confirmed.
	flush(ctx context.Context) error
	close() error
}

// consumer takes messages.
type consumer interface {
	// finish takes no more, and returns when all that was taken is acknowledged as surely as the system can tell.
	finish(ctx context.Context) error
	close() error
}

// starters start fresh instances of systems in a directory.
var starters = map[string]func(ctx context.Context, dir string) (system, error){
	"balsa":      startBalsa,
	"rabbitmq":   startRabbitMQ,
	"nats":       func(ctx context.Context, dir string) (system, error) { return startNATS(ctx, dir, false) },
	"nats-fsync": func(ctx context.Context, dir string) (system, error) { return startNATS(ctx, dir, true) },
}

const startTimeout = 2 * time.Minute

// start starts a system by its name.
func start(ctx context.Context, dir, name string) (system, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return starters[name](ctx, dir)
}

// processes are the servers of a system.
type processes []*harness.Process

// run starts a server with its log in dir.
func (p *processes) run(dir, name string, argv ...string) error {
	server := &harness.Process{Name: name, Argv: argv, Log: filepath.Join(dir, name+".log")}
	if err := server.Start(); err != nil {
		return err
	}
	*p = append(*p, server)
	return nil
}

// kill ends all servers; those started last first.
func (p *processes) kill() error {
	var errs []error
	for i := len(*p) - 1; i >= 0; i-- {
		if server := (*p)[i]; server.Running() {
			errs = append(errs, server.Kill())
		}
	}
	return errors.Join(errs...)
}

func (p *processes) pids() []int {
	pids := make([]int, len(*p))
	for i, server := range *p {
		pids[i] = server.PID()
	}
	return pids
}

// listening waits until something listens at an address.
func listening(ctx context.Context, address string) error {
	for {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing listens at %s: %w", address, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// eventually repeats an attempt until it succeeds.
func eventually(ctx context.Context, what string, attempt func() error) error {
	for {
		err := attempt()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// shardName names a shard of a queue.
func shardName(queue string, shard int) string { return fmt.Sprintf("%s-%d", queue, shard) }
