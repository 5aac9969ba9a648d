// Command bench measures balsa beside franz-go's kfake, an in-memory Kafka server in one process that serves as the
// control: in one run, on one machine, with one client, in interleaved passes. It prints Markdown tables.
//
//	go run ./test/bench                         # throughput, replay and latency
//	go run ./test/bench -run idle               # the cost of 1,000 idle partitions
//	go run ./test/bench -peers balsa-3,control -workloads 12x1024 -passes 5
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"balsa/test/bench/measure"
)

// settings are the command line.
type settings struct {
	run       string
	peers     []string
	workloads []workload
	passes    int
	produce   time.Duration // how long each produce measurement takes
	inFlight  int           // unacknowledged records
	latency   time.Duration // how long each latency measurement takes
	rate      int           // records per second while latency is measured
	idle      time.Duration
	idleParts int
	dir       string
}

func main() {
	s, err := parse()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse() (*settings, error) {
	s := &settings{}
	flag.StringVar(&s.run, "run", "throughput,latency", "what to measure: throughput, latency, idle")
	peers := flag.String("peers", "balsa-3,balsa-3-os,balsa-1,balsa-1-os,control", "who is measured: "+strings.Join(peerNames(), ", "))
	workloads := flag.String("workloads", "12x1024,1x1024,12x100,1x100", "PARTITIONSxVALUE_BYTES of the throughput measurements")
	flag.IntVar(&s.passes, "passes", 3, "passes over all peers; medians are reported")
	flag.DurationVar(&s.produce, "produce", 3*time.Second, "length of each produce measurement")
	flag.IntVar(&s.inFlight, "in-flight", 8192, "records on their way at most")
	flag.DurationVar(&s.latency, "latency", 5*time.Second, "length of each latency measurement")
	flag.IntVar(&s.rate, "rate", 500, "records per second while latency is measured")
	flag.DurationVar(&s.idle, "idle", time.Minute, "how long the idle cluster is watched")
	flag.IntVar(&s.idleParts, "idle-partitions", 1000, "partitions of the idle cluster, three replicas each")
	flag.StringVar(&s.dir, "dir", "", "where servers keep their data while they run; default a temporary directory")
	flag.Parse()
	s.peers = strings.Split(*peers, ",")
	for _, p := range s.peers {
		if !slices.Contains(peerNames(), p) {
			return nil, fmt.Errorf("unknown peer %q; known: %s", p, strings.Join(peerNames(), ", "))
		}
	}
	for _, text := range strings.Split(*workloads, ",") {
		var w workload
		if _, err := fmt.Sscanf(text, "%dx%d", &w.partitions, &w.size); err != nil {
			return nil, fmt.Errorf("workload %q is not PARTITIONSxVALUE_BYTES: %w", text, err)
		}
		s.workloads = append(s.workloads, w)
	}
	if s.passes < 1 {
		return nil, errors.New("at least one pass is needed")
	}
	return s, nil
}

func bench(ctx context.Context, s *settings) (err error) {
	dir, err := os.MkdirTemp(s.dir, "balsa-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs, err := buildPrograms(dir)
	if err != nil {
		return err
	}
	fmt.Printf("`go run ./test/bench %s`\n\n%s\n", strings.Join(os.Args[1:], " "), measure.Machine())
	if strings.Contains(s.run, "throughput") || strings.Contains(s.run, "latency") {
		var r results
		for pass := range s.passes {
			for _, name := range s.peers {
				fmt.Fprintf(os.Stderr, "pass %d of %d: %s\n", pass+1, s.passes, name)
				if err := measurePeer(ctx, s, programs, name, &r); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
		r.print(os.Stdout, s)
	}
	if strings.Contains(s.run, "idle") {
		return measureIdle(ctx, s, programs)
	}
	return nil
}

// measurePeer runs all measurements on a fresh instance.
func measurePeer(ctx context.Context, s *settings, programs *programs, name string, r *results) (err error) {
	p, err := programs.start(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if strings.Contains(s.run, "latency") {
		l, err := measureLatency(ctx, s, p)
		if err != nil {
			return fmt.Errorf("latency: %w", err)
		}
		r.addLatency(name, l)
	}
	if strings.Contains(s.run, "throughput") {
		for _, w := range s.workloads {
			t, err := measureThroughput(ctx, s, p, w)
			if err != nil {
				return fmt.Errorf("%v: %w", w, err)
			}
			r.addThroughput(name, w, t)
		}
	}
	return nil
}
