package log

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGoldenFormat reads the golden logs as FORMAT.md says, with nothing of the code that it describes, and compares
// what it finds with the text beside each log.
func TestGoldenFormat(t *testing.T) {
	versions, err := filepath.Glob(filepath.Join("testdata", "v*"))
	if err != nil || len(versions) == 0 {
		t.Fatalf("no versions: %v", err)
	}
	for _, version := range versions {
		for _, g := range goldens() {
			if filepath.Base(version) >= g.since {
				t.Run(filepath.Base(version)+"/"+g.name, func(t *testing.T) { goldenText(t, filepath.Join(version, g.name)) })
			}
		}
	}
}

// goldenText compares a golden log with the text beside it.
func goldenText(t *testing.T, dir string) {
	files := loadGolden(t, dir)
	var d dump
	for _, name := range names(files) {
		fmt.Fprintf(&d, "%s\n", name)
		switch filepath.Ext(name) {
		case ".log":
			d.segment(files[name])
		case ".index":
			var base uint64
			if _, err := fmt.Sscanf(name[:20], "%d", &base); err != nil {
				t.Fatal(err)
			}
			d.index(files[name], base)
		default:
			d.checkpoint(files[name])
		}
	}
	text := dir + ".txt"
	if _, err := os.Stat(text); *update && os.IsNotExist(err) {
		if err := os.WriteFile(text, []byte(d.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(text)
	if err != nil {
		t.Fatal(err)
	}
	if d.String() != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", d.String(), want)
	}
}

// dump puts files into words.
type dump struct{ strings.Builder }

func (d *dump) segment(b []byte) {
	for at := 0; at < len(b); {
		f := b[at:]
		length := 12 + int(u32(f, 8))
		fmt.Fprintf(d, "  %4d: offset %d, %d bytes, epoch %d, magic %d, CRC %s, attributes %#04x, last delta %d,\n"+
			"        timestamps %d to %d, producer %d/%d/%d, %d records\n",
			at, i64(f, 0), length, i32(f, 12), f[16], right(u32(f, 17), f[21:length], 0), u16(f, 21), i32(f, 23),
			i64(f, 27), i64(f, 35), i64(f, 43), int16(u16(f, 51)), i32(f, 53), i32(f, 57))
		at += length
	}
}

func (d *dump) index(b []byte, base uint64) {
	for n := 0; n < len(b)/24; n++ {
		f := b[24*n:]
		offset, index, pos := u32(f, 0), u32(f, 4), u32(f, 8)
		flags := ""
		if offset>>31 != 0 {
			flags += " epoch"
		}
		switch mark, third := index>>31 != 0, pos>>31 != 0; {
		case mark && third:
			flags += " mark sealed"
		case mark:
			flags += " mark"
		case third:
			flags += " internal"
		}
		start := uint32(base) ^ uint32(base>>32) ^ uint32(n)*0x9e3779b1
		fmt.Fprintf(d, "  %4d: +%d offsets, +%d entries, position %d, newest %d, CRC %s%s\n", 24*n, offset&^(1<<31),
			index&^(1<<31), pos&^(1<<31), i64(f, 12), right(u32(f, 20), f[:20], start), flags)
	}
	if len(b)%24 != 0 {
		fmt.Fprintf(d, "  %d bytes more\n", len(b)%24)
	}
}

func (d *dump) checkpoint(b []byte) {
	segments, epochs, state := int(u32(b, 36)), int(u32(b, 40)), int(u32(b, 44))
	fmt.Fprintf(d, "  %q version %d, flags %d, S %d, next offset %d, epoch %d, epoch before %d\n", b[:8], u16(b, 8), u16(b, 10),
		i64(b, 12), i64(b, 20), i32(b, 28), i32(b, 32))
	f := b[48:]
	v2 := u16(b, 8) > 1
	if v2 {
		fmt.Fprintf(d, "  cleaned to %d\n", i64(f, 0))
		f = f[8:]
	}
	for range segments {
		fmt.Fprintf(d, "  segment: offset %d, entry %d, %d bytes, flags %d", i64(f, 0), i64(f, 8), i64(f, 16), u32(f, 24))
		f = f[28:]
		if v2 {
			fmt.Fprintf(d, ", generation %d", u32(f, 0))
			f = f[4:]
		}
		fmt.Fprintln(d)
	}
	for range epochs {
		fmt.Fprintf(d, "  epoch %d: entry %d, offset %d\n", i32(f, 0), i64(f, 4), i64(f, 12))
		f = f[20:]
	}
	fmt.Fprintf(d, "  state: %q, CRC %s, %d bytes behind it\n", f[:state], right(u32(f, state), b[:len(b)-4], 0), len(f)-state-4)
}

// right checks a CRC-32C of b that was started from start.
func right(sum uint32, b []byte, start uint32) string {
	if want := crc32.Update(start, crc32.MakeTable(crc32.Castagnoli), b); sum != want {
		return fmt.Sprintf("%08x (wrong: %08x)", sum, want)
	}
	return fmt.Sprintf("%08x", sum)
}

func u16(b []byte, at int) uint16 { return binary.BigEndian.Uint16(b[at:]) }
func u32(b []byte, at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
func i32(b []byte, at int) int32  { return int32(u32(b, at)) }
func i64(b []byte, at int) int64  { return int64(binary.BigEndian.Uint64(b[at:])) }
