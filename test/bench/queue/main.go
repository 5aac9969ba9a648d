// Command queue measures balsa's queue mode beside RabbitMQ (quorum queues) and NATS JetStream (work-queue streams): three nodes each, on
// one machine, in one run, with the same messages, producers, consumers and numbers in flight, in interleaved passes. It prints
// Markdown tables, and writes JSON. It is a module of its own, so that the peers' clients are no dependencies of balsa.
//
//	scripts/queue-bench.sh                         # installs RabbitMQ if need be, and measures
//	cd test/bench/queue && go run . -systems balsa,nats -workloads 1x100 -passes 1
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"balsa/test/bench/measure"
)

// settings are the command line.
type settings struct {
	systems   []string
	workloads []workload
	passes    int
	producers int
	consumers int
	inFlight  int           // messages unconfirmed, and as many unacknowledged, at most
	duration  time.Duration // how long each measurement produces
	settle    time.Duration // between the start of clients and the first message
	latency   time.Duration // how long each latency measurement takes
	rate      int           // messages a second while latency is measured
	workers   []int         // consumers of the latency measurements
	json      string
	dir       string
	payload   []byte
}

func main() {
	s, err := parse()
	if err != nil {
		fmt.Fprintln(os.Stderr, "queue:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "queue:", err)
		os.Exit(1)
	}
}

func parse() (*settings, error) {
	s := &settings{payload: measure.Payload()}
	known := slices.Sorted(maps.Keys(starters))
	systems := flag.String("systems", "balsa,rabbitmq,nats,nats-fsync", "who is measured: "+strings.Join(known, ", "))
	workloads := flag.String("workloads", "1x1024,1x100,6x1024,6x100", "SHARDSxBYTES of the throughput measurements; empty: none")
	flag.IntVar(&s.passes, "passes", 3, "passes over all systems; medians are reported")
	flag.IntVar(&s.producers, "producers", 4, "producers of the throughput measurements")
	flag.IntVar(&s.consumers, "consumers", 6, "consumers of the throughput measurements")
	flag.IntVar(&s.inFlight, "in-flight", 2000, "messages unconfirmed, and as many unacknowledged, at most")
	flag.DurationVar(&s.duration, "duration", 5*time.Second, "how long each throughput measurement produces")
	flag.DurationVar(&s.settle, "settle", 3*time.Second, "between the start of clients and the first message")
	flag.DurationVar(&s.latency, "latency", 10*time.Second, "length of each latency measurement; 0: none")
	flag.IntVar(&s.rate, "rate", 500, "messages a second while latency is measured")
	workers := flag.String("workers", "1,100", "consumers of the latency measurements")
	flag.StringVar(&s.json, "json", "", "file for all results")
	flag.StringVar(&s.dir, "dir", "", "where servers keep their data while they run; default a temporary directory")
	flag.Parse()
	s.systems = strings.Split(*systems, ",")
	for _, name := range s.systems {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("unknown system %q; known: %s", name, strings.Join(known, ", "))
		}
	}
	for _, text := range strings.FieldsFunc(*workloads, func(r rune) bool { return r == ',' }) {
		var w workload
		if _, err := fmt.Sscanf(text, "%dx%d", &w.Shards, &w.Size); err != nil || w.Size < 8 || w.Shards < 1 {
			return nil, fmt.Errorf("workload %q is not SHARDSxBYTES, of 8 bytes at least", text)
		}
		if w.Shards > s.consumers {
			return nil, fmt.Errorf("%d consumers cannot serve %d shards", s.consumers, w.Shards)
		}
		s.workloads = append(s.workloads, w)
	}
	for _, text := range strings.Split(*workers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no number of workers", text)
		}
		s.workers = append(s.workers, n)
	}
	if s.passes < 1 {
		return nil, errors.New("at least one pass is needed")
	}
	return s, nil
}

func bench(ctx context.Context, s *settings) (err error) {
	dir, err := os.MkdirTemp(s.dir, "balsa-queue-bench-")
	if err != nil {
		return err
	}
	defer func() {
		if err == nil {
			err = os.RemoveAll(dir)
		}
	}()
	fmt.Printf("`scripts/queue-bench.sh %s`\n\n%s\n", strings.Join(os.Args[1:], " "), machine())
	var r results
	for pass := range s.passes {
		for _, name := range s.systems {
			fmt.Fprintf(os.Stderr, "%s pass %d of %d: %s\n", time.Now().Format(time.TimeOnly), pass+1, s.passes, name)
			if err := measureSystem(ctx, s, filepath.Join(dir, fmt.Sprintf("%s-%d", name, pass)), name, pass, &r); err != nil {
				return fmt.Errorf("%s (data and logs in %s): %w", name, dir, err)
			}
		}
	}
	r.print(os.Stdout, s)
	if s.json == "" {
		return nil
	}
	out, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(s.json, append(out, '\n'), 0o644)
}

// measureSystem runs all measurements on a fresh instance of a system.
func measureSystem(ctx context.Context, s *settings, dir, name string, pass int, r *results) (err error) {
	sys, err := start(ctx, dir, name)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, sys.stop())
		if err == nil {
			err = os.RemoveAll(dir)
		}
	}()
	for _, workers := range s.workers {
		if s.latency == 0 {
			break
		}
		l, err := measureLatency(ctx, s, sys, fmt.Sprint("latency-", workers), workers)
		if err != nil {
			return fmt.Errorf("latency: %w", err)
		}
		l.System, l.Pass = name, pass
		r.Latencies = append(r.Latencies, l)
		fmt.Fprintf(os.Stderr, "  latency: %+v\n", l)
	}
	for i, w := range s.workloads {
		t, err := measureThroughput(ctx, s, sys, fmt.Sprintf("throughput-%d", i), w)
		if err != nil {
			return fmt.Errorf("%+v: %w", w, err)
		}
		t.System, t.Pass = name, pass
		r.Throughputs = append(r.Throughputs, t)
		fmt.Fprintf(os.Stderr, "  %+v\n", t)
	}
	return nil
}
