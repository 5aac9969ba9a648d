// Command worker is one consumer of the queue proof: a member of a share group that accepts, releases, rejects and renews what it
// gets, hangs, and dies of some messages. It keeps a journal of what it knows for sure. It runs until SIGTERM, and ends with status 1 when it
// cannot go on; whoever started it starts another.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

type config struct {
	brokers string
	group   string
	topic   string
	journal string
	batch   int           // messages of one poll at most
	strict  bool          // share.acquire.mode record_limit rather than batch_optimized
	lock    time.Duration // of the group
	seed    uint64
}

func main() {
	var c config
	flag.StringVar(&c.brokers, "brokers", "", "host:port,...")
	flag.StringVar(&c.group, "group", "", "share group")
	flag.StringVar(&c.topic, "topic", "", "topic to work on")
	flag.StringVar(&c.journal, "journal", "", "file to create")
	flag.IntVar(&c.batch, "batch", 20, "messages of one poll at most")
	flag.BoolVar(&c.strict, "strict", true, "never acquire more messages than that at once")
	flag.DurationVar(&c.lock, "lock", 5*time.Second, "share.record.lock.duration.ms of the group")
	flag.Uint64Var(&c.seed, "seed", 1, "of what the worker does to messages")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c); err != nil {
		fmt.Fprintf(os.Stderr, "%s worker: %v\n", time.Now().Format(time.TimeOnly), err)
		os.Exit(1)
	}
}

// run works until ctx ends.
func run(ctx context.Context, c config) error {
	w, err := newWorker(c, strings.Split(c.brokers, ","))
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := w.round(ctx); err != nil {
			return err
		}
	}
	return w.leave()
}
