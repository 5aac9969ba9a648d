package main

import (
	"fmt"
	"io"

	"balsa/test/bench/measure"
)

// results are all measurements of a run, in their order.
type results struct {
	Throughputs []throughput `json:"throughputs"`
	Latencies   []latency    `json:"latencies"`
}

func (r *results) print(out io.Writer, s *settings) {
	for _, w := range s.workloads {
		r.printThroughput(out, s, w)
	}
	if len(r.Latencies) > 0 {
		r.printLatency(out, s)
	}
}

func (r *results) printThroughput(out io.Writer, s *settings, w workload) {
	fmt.Fprintf(out, "\n### Queue of %d shards, %d B messages, %d producers, %d consumers, %d in flight; medians of %d passes of %v\n\n",
		w.Shards, w.Size, s.producers, s.consumers, s.inFlight, s.passes, s.duration)
	fmt.Fprintln(out, "| | k messages/s, produced, consumed and acknowledged | × RabbitMQ | k messages/s produced | server CPU µs/message | client CPU µs/message | disk bytes per byte | redelivered |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|")
	rate := func(t throughput) float64 { return float64(t.Messages) / t.Total / 1e3 }
	rabbit := r.of("rabbitmq", w)
	for _, name := range s.systems {
		all := r.of(name, w)
		col := func(f func(throughput) float64) float64 { return measure.Median(measure.Each(all, f)) }
		per := func(seconds func(throughput) float64) float64 {
			return col(func(t throughput) float64 { return seconds(t) * 1e6 / float64(t.Messages) })
		}
		fmt.Fprintf(out, "| %s | %.1f | %s | %.1f | %.1f | %.1f | %.2f | %.0f |\n", name, col(rate), measure.Ratio(measure.Each(all, rate), measure.Each(rabbit, rate)),
			col(func(t throughput) float64 { return float64(t.Messages) / t.Produce / 1e3 }),
			per(func(t throughput) float64 { return t.ServerCPU }), per(func(t throughput) float64 { return t.ClientCPU }),
			col(func(t throughput) float64 { return float64(t.Written) / float64(t.Messages*int64(w.Size)) }),
			col(func(t throughput) float64 { return float64(t.Again) }))
	}
}

func (r *results) printLatency(out io.Writer, s *settings) {
	for _, workers := range s.workers {
		fmt.Fprintf(out, "\n### Latency in ms from the intended send time to the consumer, %d messages/s of %d B, one shard, %d workers; medians of %d passes of %v\n\n",
			s.rate, latencySize, workers, s.passes, s.latency)
		fmt.Fprintln(out, "| | p50 | p99 | p99.9 | max | server CPU % of one core |")
		fmt.Fprintln(out, "|---|---|---|---|---|---|")
		for _, name := range s.systems {
			var all []latency
			for _, l := range r.Latencies {
				if l.System == name && l.Workers == workers {
					all = append(all, l)
				}
			}
			col := func(f func(latency) float64) float64 { return measure.Median(measure.Each(all, f)) }
			fmt.Fprintf(out, "| %s | %.2f | %.2f | %.2f | %.1f | %.0f |\n", name,
				col(func(l latency) float64 { return l.P50 }), col(func(l latency) float64 { return l.P99 }),
				col(func(l latency) float64 { return l.P999 }), col(func(l latency) float64 { return l.Max }),
				col(func(l latency) float64 { return l.ServerCPU * 100 }))
		}
	}
}

// of selects the measurements of a system, in the order of the passes.
func (r *results) of(name string, w workload) (all []throughput) {
	for _, t := range r.Throughputs {
		if t.System == name && t.Workload == w {
			all = append(all, t)
		}
	}
	return all
}

// machine describes where and when, and what the others are.
func machine() string {
	return fmt.Sprintf("%s; RabbitMQ %s, NATS %s", measure.Machine(),
		measure.Output("dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server"),
		measure.Output("go", "list", "-m", "-f", "{{.Version}}", "github.com/nats-io/nats-server/v2"))
}
