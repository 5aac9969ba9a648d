package main

import (
	"fmt"
	"time"
)

// benchResult is the outcome of one bench, as --json prints it.
type benchResult struct {
	Load        string           `json:"load"` // produce, consume or end-to-end
	Topic       string           `json:"topic"`
	Records     int64            `json:"records"`
	Failed      int64            `json:"failed"`
	Bytes       int64            `json:"bytes"` // of values
	Seconds     float64          `json:"seconds"`
	RecordsPerS float64          `json:"records_per_second"`
	MBPerS      float64          `json:"mb_per_second"` // 10^6 bytes
	TargetRate  float64          `json:"target_rate,omitempty"`
	Latency     *latencyResult   `json:"latency,omitempty"`
	Client      cpuResult        `json:"client"`
	Server      *serverResult    `json:"server,omitempty"`
	Settings    map[string]any   `json:"settings"`
	Servers     []processOutcome `json:"servers,omitempty"`
}

// cpuResult is the processor time of a side.
type cpuResult struct {
	CPUSeconds       float64 `json:"cpu_seconds"`
	CPUSecondsPerGiB float64 `json:"cpu_seconds_per_gib"`
	CPUMicrosPerRec  float64 `json:"cpu_us_per_record"`
}

// serverResult is the sum over --server-pids.
type serverResult struct {
	cpuResult
	BytesWritten        int64   `json:"bytes_written"` // to storage, caused by these processes
	BytesWrittenPerByte float64 `json:"bytes_written_per_byte"`
}

// usage measures the processes around a load.
type usage struct {
	client  time.Duration
	servers []processSample
}

func (o *benchOptions) startUsage() (usage, error) {
	servers, err := sampleProcesses(o.Servers)
	return usage{client: ownCPU(), servers: servers}, err
}

// result turns a meter into the result.
func (o *benchOptions) result(load string, m *meter, before usage, settings map[string]any) (*benchResult, error) {
	elapsed := m.elapsed()
	records, bytes := m.records.Load(), m.bytes.Load()
	cpu := func(spent time.Duration) cpuResult {
		result := cpuResult{CPUSeconds: spent.Seconds()}
		if bytes > 0 {
			result.CPUSecondsPerGiB = spent.Seconds() / (float64(bytes) / (1 << 30))
			result.CPUMicrosPerRec = spent.Seconds() * 1e6 / float64(records)
		}
		return result
	}
	result := &benchResult{
		Load: load, Topic: o.Topic, Records: records, Failed: m.failed.Load(), Bytes: bytes, Seconds: elapsed.Seconds(),
		RecordsPerS: float64(records) / elapsed.Seconds(), MBPerS: float64(bytes) / 1e6 / elapsed.Seconds(),
		Latency: m.latency(), Client: cpu(ownCPU() - before.client), Settings: settings,
	}
	if len(o.Servers) == 0 {
		return result, nil
	}
	after, err := sampleProcesses(o.Servers)
	if err != nil {
		return nil, err
	}
	var spent time.Duration
	sum := &serverResult{}
	for i, process := range after {
		outcome := process.since(before.servers[i])
		result.Servers = append(result.Servers, outcome)
		spent += process.cpu - before.servers[i].cpu
		sum.BytesWritten += outcome.BytesWritten
	}
	sum.cpuResult = cpu(spent)
	if bytes > 0 {
		sum.BytesWrittenPerByte = float64(sum.BytesWritten) / float64(bytes)
	}
	result.Server = sum
	return result, nil
}

// report prints the result; lost records make it a failure.
func (o *benchOptions) report(std *streams, result *benchResult, m *meter) error {
	if o.JSON {
		if err := printJSON(std.out, result); err != nil {
			return err
		}
	} else {
		result.print(std)
	}
	if result.Failed > 0 {
		return failf("", "%s failed, the first because: %w", plural(result.Failed, "record"), m.firstError())
	}
	return nil
}

func (r *benchResult) print(std *streams) {
	fmt.Fprintf(std.out, "%s  %s, %s in %.2f s\n", r.Load, plural(r.Records, "record"), byteSize(r.Bytes), r.Seconds)
	fmt.Fprintf(std.out, "throughput  %.0f records/s, %.1f MB/s\n", r.RecordsPerS, r.MBPerS)
	if l := r.Latency; l != nil {
		fmt.Fprintf(std.out, "latency     p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, max %.2f ms\n", l.P50, l.P99, l.P999, l.Max)
	}
	fmt.Fprintf(std.out, "client CPU  %.2f s, %.2f s/GiB, %.2f us/record\n",
		r.Client.CPUSeconds, r.Client.CPUSecondsPerGiB, r.Client.CPUMicrosPerRec)
	if s := r.Server; s != nil {
		fmt.Fprintf(std.out, "server CPU  %.2f s, %.2f s/GiB, %.2f us/record; wrote %s, %.2f per byte\n",
			s.CPUSeconds, s.CPUSecondsPerGiB, s.CPUMicrosPerRec, byteSize(s.BytesWritten), s.BytesWrittenPerByte)
	}
}
