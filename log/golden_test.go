package log

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"balsa/log/batch"
	"balsa/log/vfs"
)

// goldenVersion is the directory in testdata that today's code must write, byte for byte. Older ones stay and must open.
const goldenVersion = "v2"

var update = flag.Bool("update", false, "write the golden logs that are missing; those that are there are never rewritten")

// golden is a log directory in testdata/<version>: how it came about, and what is in it.
type golden struct {
	name  string
	since string // the first version that has it; none for the very first
	// write makes it on an empty disk, and the same in the model.
	write func(t *testing.T, disk *vfs.Mem, m *model)
	// What Open returns and did.
	checkpoint Checkpoint
	recovery   Recovery
}

// goldenConfig makes segments of a few batches.
var goldenConfig = Config{SegmentBytes: 700, IndexIntervalBytes: 150, FlushEveryAppend: true}

func goldens() []golden {
	return []golden{
		{
			name:       "closed", // sealed segments, two with the same base offset, a checkpoint, a clean end
			write:      writeGoldenClosed,
			checkpoint: Checkpoint{Index: 8, State: []byte("state at 8")},
		},
		{
			name: "killed", // the last batches have no index entries
			write: func(t *testing.T, disk *vfs.Mem, m *model) {
				c := goldenConfig
				c.FlushEveryAppend = false
				l, _ := open(t, disk, c)
				appendBoth(t, l, m, 1, goldenData("durable", 1000, 0))
				if err := l.Sync(); err != nil {
					t.Fatal(err)
				}
				appendBoth(t, l, m, 2, goldenData("behind the clean point", 2000, 0), batch.Internal(batch.KindNoop, nil))
			},
			recovery: Recovery{ScannedBytes: 158}, // a batch of 97 bytes, one of 61
		},
		{
			name:  "compacted", // two segments made one, with gaps
			since: "v2",
			write: func(t *testing.T, disk *vfs.Mem, m *model) {
				l, _ := open(t, disk, goldenConfig)
				data := func(key string, padding int) batch.Batch {
					value := append([]byte("the value of "+key), bytes.Repeat([]byte("."), padding)...)
					b, err := batch.BuildRecords([]batch.Record{{Timestamp: 1000, Key: []byte(key), Value: value}}, batch.BuildOptions{})
					if err != nil {
						t.Fatal(err)
					}
					return b
				}
				written := newModel()
				appendBoth(t, l, written, 1, batch.Internal(batch.KindNoop, nil), data("a", 250), data("b", 10), data("a", 300))
				appendBoth(t, l, written, 2, batch.Internal(batch.KindNoop, nil), data("c", 5), data("a", 280))
				if err := l.SaveCheckpoint(Checkpoint{Index: 7, State: []byte("state at 7")}); err != nil {
					t.Fatal(err)
				}
				if _, err := l.Compact(context.Background(), CompactArgs{To: 5, Buffer: 1 << 10}); err != nil {
					t.Fatal(err)
				}
				m.append(batch.Gap(2, 1), 1)
				m.append(data("b", 10), 1)
				m.append(batch.Gap(1, 1), 1)
				m.append(batch.Gap(1, 0), 2)
				m.append(data("c", 5), 2)
				m.append(data("a", 280), 2)
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			},
			checkpoint: Checkpoint{Index: 7, State: []byte("state at 7")},
		},
		{
			name: "resetting", // Open has to finish it
			write: func(t *testing.T, disk *vfs.Mem, m *model) {
				broken := errors.New("unplugged")
				faulty := vfs.NewFault(disk, nil)
				l, _ := open(t, faulty, goldenConfig)
				appendBoth(t, l, newModel(), 1, goldenData("to be deleted", 1000, 0))
				faulty.SetRule(func(op vfs.Op) vfs.Verdict {
					if op.Kind == vfs.OpRemove {
						return vfs.Verdict{Err: broken}
					}
					return vfs.Verdict{}
				})
				if err := l.Reset(101, 70, 4, []byte("state at 100")); !errors.Is(err, broken) {
					t.Fatalf("reset: %v", err)
				}
				m.first, m.next, m.base, m.prev = 101, 70, 70, 4
			},
			checkpoint: Checkpoint{Index: 100, State: []byte("state at 100")},
		},
	}
}

// writeGoldenClosed fills several segments, trims the first, and closes.
func writeGoldenClosed(t *testing.T, disk *vfs.Mem, m *model) {
	l, _ := open(t, disk, goldenConfig)
	large := bytes.Repeat([]byte("configuration"), 45) // two do not fit a segment
	appendBoth(t, l, m, 1, batch.Internal(batch.KindNoop, nil), goldenData("trimmed", 1000, 400))
	appendBoth(t, l, m, 1, goldenData("first kept", 5000, 200), goldenProducer(t))
	appendBoth(t, l, m, 3, batch.Internal(batch.KindNoop, nil), goldenData("third epoch", 4000, 0))
	appendBoth(t, l, m, 3, batch.Internal(batch.KindConfiguration, large))
	appendBoth(t, l, m, 3, batch.Internal(batch.KindConfiguration, large)) // the same base offset
	appendBoth(t, l, m, 4, goldenData("fourth epoch", 7000, 0))
	if err := l.SaveCheckpoint(Checkpoint{Index: 8, State: []byte("state at 8")}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.TrimPrefix(2, 2); err != nil {
		t.Fatal(err)
	}
	m.trim(3)
	if err := l.SaveCheckpoint(Checkpoint{Index: 8, State: []byte("state at 8")}); err != nil {
		t.Fatal(err)
	}
	appendBoth(t, l, m, 4, batch.Internal(batch.KindLogStart, make([]byte, 8)), goldenData("after the checkpoint", 6000, 0))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// goldenData is a batch of two records: value, made longer by padding bytes, and null.
func goldenData(value string, timestamp int64, padding int) batch.Batch {
	return batch.Build([][]byte{append([]byte(value), bytes.Repeat([]byte("."), padding)...), nil}, timestamp)
}

// goldenProducer is a batch of an idempotent producer, with keys and headers.
func goldenProducer(t *testing.T) batch.Batch {
	t.Helper()
	b, err := batch.BuildRecords([]batch.Record{
		{Timestamp: 3000, Key: []byte("key"), Value: []byte("value")},
		{Timestamp: 3005, Value: []byte{}, Headers: []batch.RecordHeader{{Key: []byte("header"), Value: nil}}},
	}, batch.BuildOptions{Producer: &batch.Producer{ID: 17, Epoch: 2, Sequence: 40}, LogAppendTime: true})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func appendBoth(t *testing.T, l *Log, m *model, e Epoch, batches ...batch.Batch) {
	t.Helper()
	for _, b := range batches {
		m.append(b, e)
	}
	if err := l.Append(batches, sameEpoch(batches, e), FlushAsConfigured); err != nil {
		t.Fatal(err)
	}
}

// TestGoldenWrite compares what today's code writes with the files in testdata. A difference is a change of the format:
// it needs a new directory beside the old one, and an entry in FORMAT.md, also when old code can read it.
func TestGoldenWrite(t *testing.T) {
	for _, g := range goldens() {
		t.Run(g.name, func(t *testing.T) {
			disk := newMem(t)
			g.write(t, disk, newModel())
			wrote := logFiles(t, disk)
			dir := filepath.Join("testdata", goldenVersion, g.name)
			if _, err := os.Stat(dir); *update && os.IsNotExist(err) {
				storeGolden(t, dir, wrote)
			}
			sameFiles(t, wrote, loadGolden(t, dir))
		})
	}
}

// TestGoldenOpen opens the logs of every version, compares what is in them, and goes on with them.
func TestGoldenOpen(t *testing.T) {
	versions, err := filepath.Glob(filepath.Join("testdata", "v*"))
	if err != nil || len(versions) == 0 {
		t.Fatalf("no versions: %v", err)
	}
	for _, version := range versions {
		for _, g := range goldens() {
			if filepath.Base(version) < g.since {
				continue
			}
			t.Run(filepath.Base(version)+"/"+g.name, func(t *testing.T) {
				files := loadGolden(t, filepath.Join(version, g.name))
				m := newModel()
				g.write(t, newMem(t), m)
				disk := newMem(t)
				put(t, disk, files)
				l, c := open(t, disk, goldenConfig)
				if c.Index != g.checkpoint.Index || !bytes.Equal(c.State, g.checkpoint.State) {
					t.Errorf("checkpoint %+v, want %+v", c, g.checkpoint)
				}
				if l.Recovery() != g.recovery {
					t.Errorf("recovery %+v, want %+v", l.Recovery(), g.recovery)
				}
				check(t, l, m)
				appendBoth(t, l, m, 9, goldenData("by later code", 9000, 0), batch.Internal(batch.KindBarrier, []byte("b")))
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				l, _ = open(t, disk, goldenConfig)
				check(t, l, m)
			})
		}
	}
}

// TestGoldenUntouched opens a log that was closed, and closes it: nothing is written.
func TestGoldenUntouched(t *testing.T) {
	files := loadGolden(t, filepath.Join("testdata", goldenVersion, "closed"))
	disk := newMem(t)
	put(t, disk, files)
	l, _ := open(t, disk, goldenConfig)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, logFiles(t, disk), files)
}

// logFiles returns the files of the log on disk, by name.
func logFiles(t *testing.T, disk vfs.FS) map[string][]byte {
	t.Helper()
	names, err := disk.ReadDir(testDir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		if files[name], err = disk.ReadFile(testDir + "/" + name); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// put writes the files of a log to an empty disk.
func put(t *testing.T, disk vfs.FS, files map[string][]byte) {
	t.Helper()
	if err := disk.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		f, err := disk.OpenFile(testDir+"/"+name, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func loadGolden(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatalf("%v; go test ./log -run TestGoldenWrite -update writes what is missing", err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func storeGolden(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func sameFiles(t *testing.T, got, want map[string][]byte) {
	t.Helper()
	if g, w := names(got), names(want); !slices.Equal(g, w) {
		t.Fatalf("files %v, want %v", g, w)
	}
	for name, content := range want {
		if bytes.Equal(got[name], content) {
			continue
		}
		at := 0
		for at < min(len(got[name]), len(content)) && got[name][at] == content[at] {
			at++
		}
		t.Errorf("%s differs from byte %d on: %d bytes, want %d", name, at, len(got[name]), len(content))
	}
}

func names(files map[string][]byte) []string {
	var out []string
	for name := range files {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
