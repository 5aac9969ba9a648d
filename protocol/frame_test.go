package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/bytepool"
)

// frameOf returns a frame with a request header for key and n bytes after it.
func frameOf(key kmsg.Key, n int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(minHeaderLen+n))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = append(b, 0, 3, 0, 0, 0, 9)
	for i := range n {
		b = append(b, byte(i))
	}
	return b
}

func TestFrames(t *testing.T) {
	var stream []byte
	sizes := []int{0, 1, 4095, 4096, 4097, 70_000, 5 << 20, 10}
	for i, n := range sizes {
		stream = append(stream, frameOf(kmsg.Key(i%2), n)...) // Produce and Fetch in turn
	}
	readers := map[string]io.Reader{
		"whole":    bytes.NewReader(stream),
		"halves":   iotest.HalfReader(bytes.NewReader(stream)),
		"data+EOF": iotest.DataErrReader(bytes.NewReader(stream)),
	}
	for name, r := range readers {
		t.Run(name, func(t *testing.T) {
			f := NewFrameReader(r, new(bytepool.Pool), 100<<20)
			for i, n := range sizes {
				frame, err := f.Next()
				if err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
				if want := frameOf(kmsg.Key(i%2), n)[4:]; !bytes.Equal(frame.Bytes(), want) {
					t.Fatalf("frame %d: %d bytes, want %d", i, len(frame.Bytes()), len(want))
				}
				frame.Release()
				frame.Release() // harmless
			}
			if _, err := f.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("after the last frame: %v", err)
			}
		})
	}
}

func TestFrameLimits(t *testing.T) {
	const limit = 1 << 20
	length := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	tests := []struct {
		name string
		in   []byte
		want error
	}{
		{"at the limit", frameOf(kmsg.Fetch, limit-minHeaderLen), nil},
		{"limit+1", frameOf(kmsg.Fetch, limit-minHeaderLen+1), ErrFrameTooLarge},
		{"2 GiB, judged by the length alone", length(1<<31 - 1), ErrFrameTooLarge},
		{"negative", length(1 << 31), ErrFrameTooLarge},
		{"minus one", length(1<<32 - 1), ErrFrameTooLarge},
		{"empty", length(0), ErrFrameTooShort},
		{"shorter than a header", length(minHeaderLen - 1), ErrFrameTooShort},
		{"half a length", length(9)[:2], io.ErrUnexpectedEOF},
		{"no header", length(9), io.ErrUnexpectedEOF},
		{"half a body", frameOf(kmsg.Produce, 100)[:60], io.ErrUnexpectedEOF},
		{"nothing", nil, io.EOF},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := NewFrameReader(bytes.NewReader(test.in), new(bytepool.Pool), limit).Next()
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if errors.Is(test.want, io.ErrUnexpectedEOF) && errors.Is(err, io.EOF) {
				t.Errorf("%v also reads as a clean end", err)
			}
		})
	}
}

// A length is no reason to allocate: memory follows what has arrived.
func TestFrameMemoryFollowsBytes(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.Produce, kmsg.Fetch} {
		for _, arrived := range []int{12, 4 << 10, 100_000, 3 << 20} {
			t.Run(fmt.Sprintf("%s/%d", key.Name(), arrived), func(t *testing.T) {
				in := frameOf(key, arrived)
				binary.BigEndian.PutUint32(in, 99<<20)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := NewFrameReader(bytes.NewReader(in), new(bytepool.Pool), 100<<20).Next()
				runtime.ReadMemStats(&after)
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("got %v", err)
				}
				if got, most := after.TotalAlloc-before.TotalAlloc, uint64(8*arrived+64<<10); got > most {
					t.Errorf("%d bytes allocated after %d had arrived, more than %d", got, arrived, most)
				}
			})
		}
	}
}

// Only Produce frames are recycled: other handlers keep slices of theirs.
func TestFrameRecycling(t *testing.T) {
	pool := new(bytepool.Pool)
	f := NewFrameReader(bytes.NewReader(frameOf(kmsg.JoinGroup, 5000)), pool, 1<<20)
	frame, err := f.Next()
	if err != nil {
		t.Fatal(err)
	}
	kept := frame.Bytes()
	frame.Release()
	other := pool.Get(5000)
	clear(other)
	if !bytes.Equal(kept, frameOf(kmsg.JoinGroup, 5000)[4:]) {
		t.Error("the bytes of a JoinGroup were recycled")
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(frameOf(kmsg.Produce, 10))
	f.Add(append(frameOf(kmsg.Fetch, 0), 0xff))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewFrameReader(bytes.NewReader(in), new(bytepool.Pool), 1<<20)
		read := 0
		for {
			frame, err := r.Next()
			if err != nil {
				break
			}
			if want := in[read+4 : read+4+len(frame.Bytes())]; !bytes.Equal(frame.Bytes(), want) {
				t.Fatalf("frame at %d is not what was sent", read)
			}
			read += 4 + len(frame.Bytes())
			frame.Release()
		}
	})
}

// What a frame holds is claimed before it is there, in steps that follow what has arrived.
func TestFrameClaims(t *testing.T) {
	const size = 100_000
	in := frameOf(kmsg.Produce, size)
	f := NewFrameReader(bytes.NewReader(append(in, in...)), new(bytepool.Pool), 1<<20)
	var claims []int
	f.Claim = func(n int) error {
		claims = append(claims, n)
		return nil
	}
	frame, err := f.Next()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, n := range claims {
		sum += n
	}
	if sum != len(frame.Bytes()) || len(claims) < 3 || claims[0] != firstBuffer {
		t.Errorf("claims %v for %d bytes", claims, len(frame.Bytes()))
	}
	refused := errors.New("refused")
	f.Claim = func(int) error { return refused }
	if _, err := f.Next(); !errors.Is(err, refused) {
		t.Errorf("%v", err)
	}
}
