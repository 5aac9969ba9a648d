package main

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

func TestBench(t *testing.T) {
	k := newKafka(t)
	pid := strconv.Itoa(os.Getpid())
	var produced, consumed, exchanged benchResult
	decode(t, k.must("", "bench", "produce", "--topic", "b", "--records", "5000", "--size", "100", "--partitions", "3", "--producers", "2", "--json", "--server-pids", pid), &produced)
	decode(t, k.must("", "bench", "consume", "--topic", "b", "--json"), &consumed)
	decode(t, k.must("", "bench", "end-to-end", "--records", "500", "--rate", "5000", "--size", "64", "--json"), &exchanged)
	for _, r := range []benchResult{produced, consumed, exchanged} {
		if r.Failed != 0 || r.Seconds <= 0 || r.RecordsPerS <= 0 || r.MBPerS <= 0 {
			t.Errorf("result %+v", r)
		}
	}
	if produced.Records != 5000 || produced.Bytes != 500_000 || consumed.Records != 5000 || consumed.Bytes != 500_000 || exchanged.Records != 500 {
		t.Errorf("moved %d, %d, %d records", produced.Records, consumed.Records, exchanged.Records)
	}
	if produced.Latency == nil || exchanged.Latency == nil || consumed.Latency != nil {
		t.Error("latencies belong to produce and end-to-end, not to consume")
	}
	if l := produced.Latency; l != nil && (l.P50 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max*1.01) {
		t.Errorf("percentiles are not ordered: %+v", l)
	}
	if produced.Server == nil || len(produced.Servers) != 1 || produced.Servers[0].PeakRSS <= 0 {
		t.Errorf("the server's part is %+v", produced.Server)
	}
	if topics := k.must("", "topic", "list"); strings.Contains(topics, "bench-") || !strings.Contains(topics, "b ") {
		t.Errorf("a topic of the bench's own must go, a named one stay:\n%s", topics)
	}
}

func TestBenchMistakes(t *testing.T) {
	k := newKafka(t, kfake.SeedTopics(1, "t"))
	for want, args := range map[string][]string{
		"--topic is missing":      {"consume"},
		"--records":               {"produce", "--records", "0"},
		"--size must be at least": {"end-to-end", "--size", "4"},
		"--rate":                  {"produce", "--rate=-1"},
		"process 999999999":       {"produce", "--topic", "t", "--server-pids", "999999999"},
	} {
		_, stderr, code := k.balsa("", append([]string{"bench"}, args...)...)
		if code == exitOK || !strings.Contains(stderr, want) {
			t.Errorf("bench %v: exit code %d, %s", args, code, stderr)
		}
	}
}

// An open loop keeps its schedule through a stall: the records that were due meanwhile go out at once, and each carries
// the time at which it was due.
func TestPaceKeepsItsSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		pace := newPace(begin, 100)
		for n := range int64(5) {
			due := pace.wait(t.Context(), n)
			if want := begin.Add(time.Duration(n) * 10 * time.Millisecond); !due.Equal(want) || !time.Now().Equal(want) {
				t.Fatalf("record %d was due at %v and sent at %v, want %v", n, due.Sub(begin), time.Since(begin), want.Sub(begin))
			}
		}
		time.Sleep(time.Second) // the stall
		stalled := time.Now()
		for n := int64(5); n < 50; n++ {
			due := pace.wait(t.Context(), n)
			if want := begin.Add(time.Duration(n) * 10 * time.Millisecond); !due.Equal(want) || !time.Now().Equal(stalled) {
				t.Fatalf("record %d was due at %v and sent at %v", n, due.Sub(begin), time.Since(begin))
			}
		}
	})
}

func TestMeterMeasuresFromTheIntendedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter()
		for i := range 100 {
			m.done(10, time.Now().Add(-time.Duration(i+1)*time.Millisecond), nil)
		}
		m.done(10, time.Time{}, nil)
		l := m.latency()
		if l.P50 < 49 || l.P50 > 51 || l.P99 < 98 || l.P99 > 100 || l.Max < 99 || l.Max > 101 {
			t.Errorf("latency %+v of 1 to 100 ms", l)
		}
		if m.records.Load() != 101 || m.bytes.Load() != 1010 {
			t.Errorf("%d records, %d bytes", m.records.Load(), m.bytes.Load())
		}
	})
}

func TestPayloadsDiffer(t *testing.T) {
	values := newPayloads(1000, 1)
	seen := map[string]bool{}
	for range 20_000 {
		value := values.next()
		if len(value) != 1000 {
			t.Fatalf("a value of %d bytes", len(value))
		}
		seen[string(value[:16])] = true
	}
	if len(seen) < 8_000 {
		t.Errorf("only %d different values", len(seen))
	}
	if other := newPayloads(1000, 2); bytes.Equal(other.next(), newPayloads(1000, 1).next()) {
		t.Error("two producers send the same values")
	}
}
