package batch

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// someRecords makes records that compress, of n bytes or a little more.
func someRecords(seed uint64, n int) []Record {
	rnd := rand.New(rand.NewPCG(seed, 1))
	var records []Record
	for size := 0; size < n; {
		value := bytes.Repeat([]byte{byte('a' + rnd.IntN(20))}, rnd.IntN(min(n, 3000))+1)
		size += len(value)
		records = append(records, Record{Key: []byte{byte(rnd.IntN(256))}, Value: value, Timestamp: 1000 + int64(len(records))})
	}
	return records
}

func readAll(t *testing.T, b Batch) (all []string) {
	t.Helper()
	r := b.Records(1 << 30)
	defer r.Close()
	for r.Next() {
		rec := r.Record()
		all = append(all, fmt.Sprintf("%d %d %x %x", rec.Offset, rec.Timestamp, rec.Key, rec.Value))
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return all
}

// From every codec to every other and back: the records are the same, the header too, and a client's checks pass.
func TestRecompress(t *testing.T) {
	levels := map[Codec][]int{
		CodecNone: {0}, CodecGzip: {-1, 1, 9}, CodecSnappy: {0}, CodecLZ4: {9, 1, 17}, CodecZstd: {3, -5, 22},
	}
	for to := range codecs {
		for n, level := range levels[to] {
			r := NewRecompressor(to, level)
			for from := range codecs {
				for _, size := range []int{1000, 1, xerialBlockLen - 40, 200_000} {
					if n > 0 && size != 1000 {
						break // the default level stands for the others
					}
					b, err := BuildRecords(someRecords(uint64(size), size), BuildOptions{
						Codec: from, Producer: &Producer{ID: 4, Epoch: 5, Sequence: 6}, Transactional: true,
					})
					if err != nil {
						t.Fatal(err)
					}
					sent := slices.Clone(b)
					got, err := r.Recompress(b, 0, 0)
					if err != nil {
						t.Fatalf("%s to %s at level %d: %v", from, to, level, err)
					}
					if !bytes.Equal(b, sent) {
						t.Fatalf("%s to %s: the producer's batch was changed", from, to)
					}
					if _, err := Validate(got, Limits{}); err != nil || got.Codec() != to {
						t.Errorf("%s to %s at level %d, %d bytes: became %s, %v", from, to, level, size, got.Codec(), err)
					}
					if !slices.Equal(readAll(t, got), readAll(t, b)) {
						t.Errorf("%s to %s at level %d, %d bytes: other records", from, to, level, size)
					}
					h, want := got.Header(), b.Header()
					h.Length, h.CRC, h.Attributes = want.Length, want.CRC, h.Attributes&^AttrCodec|want.Attributes&AttrCodec
					if h != want {
						t.Errorf("%s to %s: header %+v, was %+v", from, to, h, want)
					}
				}
			}
		}
	}
}

func TestRecompressIsBounded(t *testing.T) {
	b, err := BuildRecords([]Record{{Value: make([]byte, 1<<20)}}, BuildOptions{Codec: CodecGzip})
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []Codec{CodecNone, CodecLZ4} {
		r := NewRecompressor(to, 9)
		if _, err := r.Recompress(b, 0, 1<<20); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: inflates beyond its limit: %v", to, err)
		}
		if _, err := r.Recompress(b, 1500, 0); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: stored beyond its limit: %v", to, err)
		}
		got, err := r.Recompress(b, 2<<20, 0) // and the next one is well
		if err != nil || !slices.Equal(readAll(t, got), readAll(t, b)) {
			t.Errorf("%s: %v", to, err)
		}
	}
}

func TestRecompressConcurrently(t *testing.T) {
	r := NewRecompressor(CodecZstd, 3)
	b, err := BuildRecords(someRecords(3, 50_000), BuildOptions{Codec: CodecSnappy})
	if err != nil {
		t.Fatal(err)
	}
	want := readAll(t, b)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				got, err := r.Recompress(b, 0, 0)
				if err != nil || !got.CheckCRC() {
					t.Error(err)
					return
				}
				if !slices.Equal(readAll(t, got), want) {
					t.Error("other records")
				}
			}
		})
	}
	wg.Wait()
}
