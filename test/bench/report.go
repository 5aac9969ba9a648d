package main

import (
	"fmt"
	"io"
	"time"

	"balsa/test/bench/measure"
)

// results collects one entry per pass for each peer and measurement; passes of different peers correspond.
type results struct {
	throughputs map[string]map[workload][]throughput
	latencies   map[string][]latency
}

func (r *results) addThroughput(name string, w workload, t throughput) {
	if r.throughputs == nil {
		r.throughputs = map[string]map[workload][]throughput{}
	}
	if r.throughputs[name] == nil {
		r.throughputs[name] = map[workload][]throughput{}
	}
	r.throughputs[name][w] = append(r.throughputs[name][w], t)
}

func (r *results) addLatency(name string, l latency) {
	if r.latencies == nil {
		r.latencies = map[string][]latency{}
	}
	r.latencies[name] = append(r.latencies[name], l)
}

func (r *results) print(out io.Writer, s *settings) {
	if r.throughputs != nil {
		for _, w := range s.workloads {
			r.printThroughput(out, s, w)
		}
	}
	if r.latencies != nil {
		r.printLatency(out, s)
	}
}

func (t throughput) mbps() float64       { return float64(t.bytes) / 1e6 / t.produce.Seconds() }
func (t throughput) replayMBps() float64 { return float64(t.bytes) / 1e6 / t.replay.Seconds() }
func (t throughput) perGiB(d time.Duration) float64 {
	return d.Seconds() / (float64(t.bytes) / (1 << 30))
}

func (r *results) printThroughput(out io.Writer, s *settings, w workload) {
	fmt.Fprintf(out, "\n### %v values, acks=all, %d records in flight; medians of %d passes of %v\n\n", w, s.inFlight, s.passes, s.produce)
	fmt.Fprintln(out, "| | produce MB/s | k records/s | × control | server CPU s/GiB | client CPU s/GiB | server µs/record | disk bytes per byte "+
		"| replay MB/s | × control | server CPU s/GiB | client CPU s/GiB |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|---|")
	control := r.throughputs["control"][w]
	for _, name := range s.peers {
		all := r.throughputs[name][w]
		col := func(f func(throughput) float64) float64 { return measure.Median(measure.Each(all, f)) }
		fmt.Fprintf(out, "| %s | %.0f | %.0f | %s | %.2f | %.2f | %.2f | %.2f | %.0f | %s | %.2f | %.2f |\n", name,
			col(throughput.mbps),
			col(func(t throughput) float64 { return float64(t.records) / 1e3 / t.produce.Seconds() }),
			measure.Ratio(measure.Each(all, throughput.mbps), measure.Each(control, throughput.mbps)),
			col(func(t throughput) float64 { return t.perGiB(t.produceCost.Server) }),
			col(func(t throughput) float64 { return t.perGiB(t.produceCost.Client) }),
			col(func(t throughput) float64 {
				return float64(t.produceCost.Server.Microseconds()) / float64(t.records)
			}),
			col(func(t throughput) float64 { return float64(t.produceCost.Written) / float64(t.bytes) }),
			col(throughput.replayMBps),
			measure.Ratio(measure.Each(all, throughput.replayMBps), measure.Each(control, throughput.replayMBps)),
			col(func(t throughput) float64 { return t.perGiB(t.replayCost.Server) }),
			col(func(t throughput) float64 { return t.perGiB(t.replayCost.Client) }))
	}
}

func (r *results) printLatency(out io.Writer, s *settings) {
	fmt.Fprintf(out, "\n### Latency in ms at %d records/s of %d B, one partition, from the intended send time; medians of %d passes of %v\n\n",
		s.rate, latencyValue, s.passes, s.latency)
	fmt.Fprintln(out, "| | ack p50 | p99 | p99.9 | end to end p50 | p99 | p99.9 | server CPU % of one core |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|")
	for _, name := range s.peers {
		all := r.latencies[name]
		col := func(samples func(latency) []time.Duration, p float64) string {
			ms := measure.Each(all, func(l latency) float64 { return measure.Percentile(samples(l), p).Seconds() * 1e3 })
			return fmt.Sprintf("%.2f", measure.Median(ms))
		}
		acks := func(l latency) []time.Duration { return l.acks }
		ends := func(l latency) []time.Duration { return l.endToEnd }
		cpu := measure.Median(measure.Each(all, func(l latency) float64 { return l.server.Seconds() / s.latency.Seconds() * 100 }))
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %s | %s | %.1f |\n", name, col(acks, 50), col(acks, 99), col(acks, 99.9),
			col(ends, 50), col(ends, 99), col(ends, 99.9), cpu)
	}
}
