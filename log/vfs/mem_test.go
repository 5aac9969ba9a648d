package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"testing"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// each runs a test on both file systems.
func each(t *testing.T, test func(t *testing.T, fs FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, OS{}, t.TempDir()) })
	t.Run("mem", func(t *testing.T) {
		m := NewMem()
		must(t, m.MkdirAll("dir"))
		test(t, m, "dir")
	})
	t.Run("fault", func(t *testing.T) { test(t, NewFault(OS{}, nil), t.TempDir()) })
}

func TestFiles(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		if _, err := fsys.OpenFile(dir+"/none", false); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open of nothing: %v", err)
		}
		if _, err := fsys.ReadFile(dir + "/none"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("read of nothing: %v", err)
		}
		if err := fsys.Remove(dir + "/none"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("remove of nothing: %v", err)
		}
		f, err := fsys.OpenFile(dir+"/a", true)
		must(t, err)
		n, err := f.WritevAt([][]byte{[]byte("he"), nil, []byte("llo")}, 3)
		if n != 5 || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
		must(t, f.Sync())
		must(t, f.Truncate(6))
		must(t, f.Truncate(10))
		if size, err := f.Size(); size != 10 || err != nil {
			t.Errorf("size %d, %v", size, err)
		}
		must(t, fsys.Rename(dir+"/a", dir+"/b"))
		must(t, fsys.SyncDir(dir))
		got, err := fsys.ReadFile(dir + "/b")
		if want := "\x00\x00\x00hel\x00\x00\x00\x00"; string(got) != want || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		must(t, fsys.MkdirAll(dir+"/sub/sub"))
		if names, err := fsys.ReadDir(dir); fmt.Sprint(names) != "[b sub]" || err != nil {
			t.Errorf("names %v, %v", names, err)
		}
		must(t, fsys.RemoveAll(dir+"/sub"))
		must(t, fsys.RemoveAll(dir+"/sub"))
		must(t, fsys.Remove(dir+"/b"))
		if _, err := f.WriteAt([]byte("x"), 0); err != nil {
			t.Errorf("write to a removed file: %v", err)
		}
		if ok, err := fsys.Exists(dir + "/b"); ok || err != nil {
			t.Errorf("exists: %v, %v", ok, err)
		}
		must(t, f.Close())
		if err := f.Sync(); err == nil {
			t.Error("sync of a closed file")
		}
	})
}

func TestManyBuffers(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		f, err := fsys.OpenFile(dir+"/a", true)
		must(t, err)
		var bufs [][]byte
		var want []byte
		for i := range 5000 {
			b := bytes.Repeat([]byte{byte(i)}, i%7)
			bufs, want = append(bufs, b), append(want, b...)
		}
		if n, err := f.WritevAt(bufs, 0); n != len(want) || err != nil {
			t.Fatalf("wrote %d of %d, %v", n, len(want), err)
		}
		if got, err := fsys.ReadFile(dir + "/a"); !bytes.Equal(got, want) || err != nil {
			t.Errorf("content differs, %v", err)
		}
	})
}

func TestLock(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		lock, err := fsys.Lock(dir + "/lock")
		must(t, err)
		if _, err := fsys.Lock(dir + "/lock"); !errors.Is(err, ErrLocked) {
			t.Errorf("second lock: %v", err)
		}
		must(t, lock.Close())
		lock, err = fsys.Lock(dir + "/lock")
		must(t, err)
		must(t, lock.Close())
	})
}

func TestModes(t *testing.T) {
	dir := t.TempDir()
	must(t, OS{}.MkdirAll(dir+"/d"))
	f, err := OS{}.OpenFile(dir+"/d/f", true)
	must(t, err)
	info, err := OSFile(f).Stat()
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("file has mode %v", info.Mode())
	}
	must(t, f.Close())
}

// TestCrashKeepsWhatWasSynced checks the promise and that the rest really varies.
func TestCrashKeepsWhatWasSynced(t *testing.T) {
	m := NewMem()
	must(t, m.MkdirAll("d"))
	must(t, m.SyncDir("/"))
	f, err := m.OpenFile("d/f", true)
	must(t, err)
	synced := bytes.Repeat([]byte("s"), 3000)
	_, err = f.WriteAt(synced, 0)
	must(t, err)
	must(t, f.Sync())
	must(t, m.SyncDir("d"))
	_, err = f.WriteAt(bytes.Repeat([]byte("u"), 9000), 2500)
	must(t, err)
	_, err = m.OpenFile("d/new", true)
	must(t, err)
	must(t, m.Rename("d/f", "d/g"))

	seen := map[string]int{}
	for seed := range uint64(200) {
		after := m.Crash(seed)
		names, err := after.ReadDir("d")
		must(t, err)
		seen[fmt.Sprint(names)]++
		name := "d/f"
		if ok, _ := after.Exists("d/g"); ok {
			name = "d/g"
		}
		got, err := after.ReadFile(name)
		must(t, err)
		if len(got) < 3000 || !bytes.Equal(got[:2500], synced[:2500]) {
			t.Fatalf("seed %d: synced data is gone", seed)
		}
		switch {
		case len(got) == 3000:
			seen["size kept"]++
		case len(got) == 11500:
			seen["size grown"]++
		default:
			seen["size between"]++
		}
		if bytes.IndexByte(got[3000:], 0) >= 0 && bytes.IndexByte(got[3000:], 'u') >= 0 {
			seen["torn"]++
		}
	}
	for _, want := range []string{"[f]", "[g]", "[f new]", "[g new]", "size kept", "size grown", "size between", "torn"} {
		if seen[want] == 0 {
			t.Errorf("never seen: %s (%v)", want, seen)
		}
	}
	if got, _ := m.ReadFile("d/g"); len(got) != 11500 {
		t.Error("the crashed file system changed")
	}
}

// TestCrashOfRandomTraces syncs at random, and checks that a crash right after a sync loses nothing.
func TestCrashOfRandomTraces(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		m := NewMem()
		f, err := m.OpenFile("f", true)
		must(t, err)
		must(t, m.SyncDir("/"))
		for range 30 {
			if rnd.IntN(4) == 0 {
				must(t, f.Truncate(rnd.Int64N(10_000)))
				continue
			}
			_, err := f.WriteAt(bytes.Repeat([]byte{byte(rnd.IntN(256))}, rnd.IntN(6000)), rnd.Int64N(5000))
			must(t, err)
		}
		must(t, f.Sync())
		want, err := m.ReadFile("f")
		must(t, err)
		if got, err := m.Crash(seed).ReadFile("f"); !bytes.Equal(got, want) || err != nil {
			t.Fatalf("seed %d: a crash after a sync lost something (%v)", seed, err)
		}
	}
}

func TestFault(t *testing.T) {
	m := NewMem()
	fault := NewFault(m, func(op Op) Verdict {
		if op.Kind == OpWrite && op.Off == 4 {
			return Verdict{Err: ErrNoSpace, Written: 2}
		}
		return Verdict{}
	})
	f, err := fault.OpenFile("f", true)
	must(t, err)
	_, err = f.WriteAt([]byte("abcd"), 0)
	must(t, err)
	if n, err := f.WritevAt([][]byte{[]byte("e"), []byte("fgh")}, 4); n != 2 || !errors.Is(err, ErrNoSpace) {
		t.Errorf("short write: %d, %v", n, err)
	}
	if got, err := fault.ReadFile("f"); string(got) != "abcdef" || err != nil {
		t.Errorf("content %q, %v", got, err)
	}
	if c := fault.Count(OpWrite); c != (Count{Ops: 2, Bytes: 8}) {
		t.Errorf("counted %+v", c)
	}
	if c := fault.Count(OpRead); c != (Count{Ops: 1, Bytes: 6}) {
		t.Errorf("counted %+v", c)
	}
}
