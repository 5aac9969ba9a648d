package log

import (
	"strings"
	"testing"
	"time"

	"balsa/log/batch"
)

// clockLog is a log with a clock of its own.
func clockLog(t *testing.T, c Config, now *time.Time) *Log {
	t.Helper()
	l, _, err := Open(testDir, Options{FS: newMem(t), Config: c, Now: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func appendAt(t *testing.T, l *Log, timestamps ...int64) {
	t.Helper()
	for _, ts := range timestamps {
		b := batch.Build([][]byte{[]byte(strings.Repeat("x", 42))}, ts) // 110 bytes
		if err := l.Append([]batch.Batch{b}, []Epoch{1}, FlushNow); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRetentionPoint(t *testing.T) {
	now := at(10_000)
	l := clockLog(t, Config{SegmentBytes: 220}, &now)
	appendAt(t, l, 1000, 1500, 2000, 1700, 3000, 3100, 4000) // segments 0–1, 2–3, 4–5, 6
	if l.Size() != 770 {
		t.Fatalf("size %d", l.Size())
	}
	for _, tc := range []struct {
		name  string
		age   time.Duration
		bytes int64
		limit Offset
		want  Offset
	}{
		{"no bounds", -1, -1, 7, 0},
		{"age of none", 9 * time.Second, -1, 7, 0},
		{"age just not", 8500 * time.Millisecond, -1, 7, 0},
		{"age of the first", 8499 * time.Millisecond, -1, 7, 2},
		{"newest record counts", 8200 * time.Millisecond, -1, 7, 2},
		{"age of two", 7999 * time.Millisecond, -1, 7, 4},
		{"never beyond the limit", 7 * time.Second, -1, 3, 2},
		{"size fits", -1, 770, 7, 0},
		{"size, one byte less than a segment over", -1, 551, 7, 0},
		{"size, a segment over", -1, 550, 7, 2},
		{"size of nothing keeps the active segment", -1, 0, 7, 6},
		{"either", 8499 * time.Millisecond, 330, 7, 4},
	} {
		if got := l.RetentionPoint(tc.age, tc.bytes, tc.limit, now); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}

func TestRetentionRollsAnExpiredActiveSegment(t *testing.T) {
	now := at(10_000)
	l := clockLog(t, Config{SegmentBytes: 220}, &now)
	appendAt(t, l, 1000, 1500, 2000)
	if got := l.RetentionPoint(time.Second, -1, 2, now); got != 2 || len(l.segments) != 2 {
		t.Errorf("with records that are not committed: %d, %d segments", got, len(l.segments))
	}
	if got := l.RetentionPoint(time.Second, -1, 3, now); got != 3 {
		t.Errorf("point %d", got)
	}
	if err := l.SaveCheckpoint(Checkpoint{Index: 3}); err != nil {
		t.Fatal(err)
	}
	if freed, err := l.TrimPrefix(3, 3); err != nil || freed != 330 || l.Size() != 0 || l.FirstOffset() != 3 || l.FirstIndex() != 4 {
		t.Errorf("freed %d, %v; size %d, first offset %d, index %d", freed, err, l.Size(), l.FirstOffset(), l.FirstIndex())
	}
	if got := l.RetentionPoint(time.Second, -1, 3, now); got != 3 || len(l.segments) != 1 {
		t.Errorf("an empty log: %d, %d segments", got, len(l.segments))
	}
}

func TestRollByAge(t *testing.T) {
	now := at(10_000)
	l := clockLog(t, Config{SegmentAge: time.Minute}, &now)
	appendAt(t, l, 1, 60_001)
	if len(l.segments) != 1 {
		t.Fatal("a minute is not over a minute")
	}
	appendAt(t, l, 60_002) // by the records' clock
	if len(l.segments) != 2 {
		t.Fatal("not rolled")
	}
	tick := func(d time.Duration, want int) {
		t.Helper()
		now = now.Add(d)
		if err := l.Tick(now); err != nil || len(l.segments) != want {
			t.Fatalf("after %v: %d segments, %v", d, len(l.segments), err)
		}
	}
	tick(time.Minute, 2)
	tick(time.Millisecond, 3) // by the clock on the wall
	tick(time.Hour, 3)        // an empty segment does not age
	noop := []batch.Batch{batch.Internal(batch.KindNoop, nil)}
	if err := l.Append(noop, []Epoch{2}, FlushAsConfigured); err != nil {
		t.Fatal(err)
	}
	tick(time.Hour, 3) // nor one of internal batches
}

func TestTickFlushes(t *testing.T) {
	now := at(10_000)
	l := clockLog(t, Config{FlushInterval: time.Second}, &now)
	b := []batch.Batch{batch.Build([][]byte{nil}, 1)}
	if err := l.Append(b, []Epoch{1}, FlushAsConfigured); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		after time.Duration
		want  Index
	}{{time.Second - 1, 0}, {1, 1}} {
		now = now.Add(tc.after)
		if err := l.Tick(now); err != nil {
			t.Fatal(err)
		}
		l.background.Wait()
		if got := l.DurableIndex(); got != tc.want {
			t.Errorf("durable index %d, want %d", got, tc.want)
		}
	}
}

func TestInternalBatchesRollToo(t *testing.T) {
	fs := newMem(t)
	l, _ := open(t, fs, Config{SegmentBytes: 200})
	m := newModel()
	for i := range 20 {
		b := batch.Internal(batch.KindShare, []byte("some queue state"))
		if i == 10 {
			b = batch.Build([][]byte{[]byte("a record")}, 5)
		}
		m.append(b, 1)
		if err := l.Append([]batch.Batch{b}, []Epoch{1}, FlushAsConfigured); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.segments) < 8 {
		t.Errorf("%d segments", len(l.segments))
	}
	check(t, l, m)
	if err := l.SaveCheckpoint(Checkpoint{Index: min(9, l.DurableIndex())}); err != nil {
		t.Fatal(err)
	}
	l, _ = open(t, fs, Config{})
	check(t, l, m)
	if _, err := l.TrimPrefix(1, 9); err != nil {
		t.Fatal(err)
	}
	m.trim(l.FirstIndex())
	if m.first == 1 {
		t.Error("nothing was trimmed")
	}
	check(t, l, m)
	l, _ = open(t, fs, Config{})
	check(t, l, m)
}

// A segment of which compaction left nothing has no time, and must not keep those behind it from expiring.
func TestRetentionPassesWhatWasCompactedAway(t *testing.T) {
	now := at(10_000)
	l := clockLog(t, Config{SegmentBytes: 1000}, &now)
	add := func(key string, ts int64, size int) {
		t.Helper()
		b, err := batch.BuildRecords([]batch.Record{{Timestamp: ts, Key: []byte(key), Value: make([]byte, size)}}, batch.BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Append([]batch.Batch{b}, []Epoch{1}, FlushNow); err != nil {
			t.Fatal(err)
		}
	}
	add("a", 1000, 800)
	add("a", 2000, 850) // so large that the segments do not become one
	add("b", 9000, 800)
	if err := l.SaveCheckpoint(Checkpoint{Index: 3}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Compact(t.Context(), CompactArgs{To: 2, Buffer: 1 << 10}); err != nil {
		t.Fatal(err)
	}
	if len(l.segments) != 3 || l.segments[0].size != batch.HeaderLen {
		t.Fatalf("%d segments, the first of %d bytes", len(l.segments), l.segments[0].size)
	}
	if got := l.RetentionPoint(5*time.Second, -1, 3, now); got != 2 {
		t.Errorf("point %d, want 2", got)
	}
	if got := l.RetentionPoint(9*time.Second, -1, 3, now); got > 1 {
		t.Errorf("point %d although nothing has expired but gaps", got)
	}
}
