package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/term"
)

// Latencies are recorded in microseconds, up to a minute, with three digits.
const (
	minLatency    = 1
	maxLatency    = int64(time.Minute / time.Microsecond)
	latencyDigits = 3
)

// meter counts what a load moves and how long each record took.
type meter struct {
	begin   time.Time
	records atomic.Int64
	bytes   atomic.Int64
	failed  atomic.Int64

	last atomic.Int64 // when the latest record was done, since begin

	mu        sync.Mutex // guards all below
	histogram *hdrhistogram.Histogram
	first     error
}

func newMeter() *meter {
	return &meter{begin: time.Now(), histogram: hdrhistogram.New(minLatency, maxLatency, latencyDigits)}
}

// done counts one record. since is when it was meant to be sent, not when it was: a stall of the system delays the
// records behind it as well, and measuring from the real send would hide that (coordinated omission).
func (m *meter) done(size int, since time.Time, err error) {
	if err != nil {
		m.failed.Add(1)
		m.mu.Lock()
		if m.first == nil {
			m.first = err
		}
		m.mu.Unlock()
		return
	}
	m.last.Store(int64(time.Since(m.begin)))
	m.records.Add(1)
	m.bytes.Add(int64(size))
	if since.IsZero() {
		return
	}
	latency := min(max(time.Since(since).Microseconds(), minLatency), maxLatency)
	m.mu.Lock()
	_ = m.histogram.RecordValue(latency) // cannot fail: the value is within the bounds
	m.mu.Unlock()
}

// elapsed is the time from the start to the last record that was done, without whatever the load waited for after it.
func (m *meter) elapsed() time.Duration { return max(time.Duration(m.last.Load()), time.Microsecond) }

func (m *meter) firstError() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.first
}

// quantile is in milliseconds.
func (m *meter) quantile(percent float64) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return float64(m.histogram.ValueAtQuantile(percent)) / 1000
}

func (m *meter) latency() *latencyResult {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.histogram.TotalCount() == 0 {
		return nil
	}
	at := func(percent float64) float64 { return float64(m.histogram.ValueAtQuantile(percent)) / 1000 }
	return &latencyResult{
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(m.histogram.Max()) / 1000,
		Mean: m.histogram.Mean() / 1000,
	}
}

// latencyResult is in milliseconds.
type latencyResult struct {
	Mean float64 `json:"mean_ms"`
	P50  float64 `json:"p50_ms"`
	P90  float64 `json:"p90_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
	Max  float64 `json:"max_ms"`
}

// showProgress rewrites one line every second while the load runs; the returned function ends it. A line that is not
// on a terminal would fill a file with garbage, so there it stays silent.
func (m *meter) showProgress(ctx context.Context, w io.Writer, quiet bool, total int64) (stop func()) {
	file, ok := w.(*os.File)
	if quiet || !ok || !term.IsTerminal(int(file.Fd())) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		lastRecords, lastBytes := int64(0), int64(0)
		for {
			select {
			case <-ctx.Done():
				fmt.Fprint(w, "\r\x1b[K")
				return
			case <-ticker.C:
			}
			records, bytes := m.records.Load(), m.bytes.Load()
			fmt.Fprintf(w, "\r\x1b[K%5.1f s  %d of %d records  %d/s  %s/s  p99 %.1f ms  failed %d",
				time.Since(m.begin).Seconds(), records, total, records-lastRecords, byteSize(bytes-lastBytes), m.quantile(99), m.failed.Load())
			lastRecords, lastBytes = records, bytes
		}
	})
	return func() { cancel(); wait.Wait() }
}
