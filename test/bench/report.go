package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
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
		col := func(f func(throughput) float64) float64 { return median(each(all, f)) }
		fmt.Fprintf(out, "| %s | %.0f | %.0f | %s | %.2f | %.2f | %.2f | %.2f | %.0f | %s | %.2f | %.2f |\n", name,
			col(throughput.mbps),
			col(func(t throughput) float64 { return float64(t.records) / 1e3 / t.produce.Seconds() }),
			ratio(each(all, throughput.mbps), each(control, throughput.mbps)),
			col(func(t throughput) float64 { return t.perGiB(t.produceCost.server) }),
			col(func(t throughput) float64 { return t.perGiB(t.produceCost.client) }),
			col(func(t throughput) float64 {
				return float64(t.produceCost.server.Microseconds()) / float64(t.records)
			}),
			col(func(t throughput) float64 { return float64(t.produceCost.written) / float64(t.bytes) }),
			col(throughput.replayMBps),
			ratio(each(all, throughput.replayMBps), each(control, throughput.replayMBps)),
			col(func(t throughput) float64 { return t.perGiB(t.replayCost.server) }),
			col(func(t throughput) float64 { return t.perGiB(t.replayCost.client) }))
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
			ms := each(all, func(l latency) float64 { return percentile(samples(l), p).Seconds() * 1e3 })
			return fmt.Sprintf("%.2f", median(ms))
		}
		acks := func(l latency) []time.Duration { return l.acks }
		ends := func(l latency) []time.Duration { return l.endToEnd }
		cpu := median(each(all, func(l latency) float64 { return l.server.Seconds() / s.latency.Seconds() * 100 }))
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %s | %s | %.1f |\n", name, col(acks, 50), col(acks, 99), col(acks, 99.9),
			col(ends, 50), col(ends, 99), col(ends, 99.9), cpu)
	}
}

// percentile takes sorted samples; nearest rank.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := int(p / 100 * float64(len(sorted)))
	return sorted[min(i, len(sorted)-1)]
}

func each[T any](all []T, f func(T) float64) []float64 {
	out := make([]float64, len(all))
	for i, v := range all {
		out[i] = f(v)
	}
	return out
}

func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// ratio is the median of the ratios within each pass: what else the machine did then, it did to both.
func ratio(peer, control []float64) string {
	if len(peer) == 0 || len(peer) != len(control) {
		return "–"
	}
	ratios := make([]float64, len(peer))
	for i := range peer {
		ratios[i] = peer[i] / control[i]
	}
	return fmt.Sprintf("%.2f", median(ratios))
}

// machine describes where and when.
func machine() string {
	model := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if rest, ok := strings.CutPrefix(line, "model name"); ok {
				model = strings.TrimSpace(strings.TrimLeft(rest, "\t :"))
				break
			}
		}
	}
	commit, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		commit = []byte("unknown")
	}
	return fmt.Sprintf("%s, %d × %s, %s %s/%s, commit %s", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), model,
		runtime.Version(), runtime.GOOS, runtime.GOARCH, strings.TrimSpace(string(commit)))
}
