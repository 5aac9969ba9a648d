package log

import (
	"bytes"
	"testing"

	"balsa/log/batch"
)

func FuzzParseCheckpoint(f *testing.F) {
	c := &checkpointFile{
		Checkpoint: Checkpoint{Index: 7, State: []byte("state")}, nextOffset: 9, epoch: 3, prevEpoch: 1,
		segments: []checkpointSegment{{segmentName{offset: 2}, 4, 100}, {segmentName{offset: 2, index: 6}, 6, -1}},
		epochs:   epochs{{2, 4, 2}, {3, 6, 2}},
	}
	f.Add(c.encode())
	f.Add(resetCheckpoint(5, 6, 7, nil).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseCheckpoint(b)
		if err != nil {
			return
		}
		if again, err := parseCheckpoint(c.encode()); err != nil || again.Index != c.Index || len(again.segments) != len(c.segments) {
			t.Fatalf("%+v becomes %+v, %v", c, again, err)
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	var b [entrySize]byte
	indexEntry{relOffset: 5, relIndex: 6, pos: 700, maxTimestamp: 8, epochStart: true, internal: true}.encode(b[:], 9, 1)
	f.Add(b[:], int64(9), 1)
	f.Fuzz(func(t *testing.T, b []byte, base int64, slot int) {
		if len(b) < entrySize {
			return
		}
		e, ok := decodeEntry(b, Offset(base), slot)
		if !ok {
			return
		}
		var again [entrySize]byte
		e.encode(again[:], Offset(base), slot)
		if !bytes.Equal(again[:], b[:entrySize]) {
			t.Fatalf("%x becomes %x", b[:entrySize], again)
		}
	})
}

// FuzzOpenSegment opens a log whose segment holds anything: it opens or refuses, and what it serves are whole batches.
func FuzzOpenSegment(f *testing.F) {
	good := batch.Build([][]byte{[]byte("value")}, 5)
	good.Stamp(0, 1)
	f.Add([]byte(good), []byte(nil))
	f.Add(append(bytes.Clone(good), make([]byte, 600)...), []byte("index"))
	f.Fuzz(func(t *testing.T, data, index []byte) {
		fs := newMem(t)
		if err := fs.MkdirAll(testDir); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string][]byte{
			segmentName{}.dataFile(testDir): data, segmentName{}.indexFile(testDir): index,
		} {
			file, err := fs.OpenFile(name, true)
			if err == nil {
				_, err = file.WriteAt(content, 0)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		l, _, err := Open(testDir, Options{FS: fs})
		if err != nil {
			return
		}
		s, err := l.Read(0, l.NextOffset(), 1<<30, true)
		if err != nil {
			t.Fatal(err)
		}
		b := sliceBytes(t, &s)
		if l.NextOffset() > 0 {
			consecutive(t, b, 0, l.NextOffset())
		}
	})
}
