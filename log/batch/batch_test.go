package batch

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

func sample(t testing.TB, c Codec, n, size int) (Batch, []Record) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	records := make([]Record, n)
	for i := range records {
		value := make([]byte, size)
		for j := range value {
			value[j] = byte(rnd.IntN(256)) & 0x1f
		}
		records[i] = Record{Timestamp: 1000 + int64(i%7), Value: value}
		if i%3 == 0 {
			records[i].Key = fmt.Appendf(nil, "key-%d", i)
			records[i].Headers = []RecordHeader{{Key: []byte("h"), Value: []byte("v")}, {Key: []byte("null")}}
		}
	}
	b, err := BuildRecords(records, BuildOptions{Codec: c})
	if err != nil {
		t.Fatal(err)
	}
	return b, records
}

func TestRoundTripOfEveryCodec(t *testing.T) {
	for c := range codecs {
		for _, shape := range []struct{ n, size int }{{1, 0}, {3, 10}, {500, 100}, {3, 100_000}} {
			t.Run(fmt.Sprintf("%s/%dx%d", c, shape.n, shape.size), func(t *testing.T) {
				b, records := sample(t, c, shape.n, shape.size)
				s, err := Validate(b, Limits{})
				if err != nil {
					t.Fatal(err)
				}
				if s.MaxTimestamp != s.Header.MaxTimestamp || s.MinTimestamp != 1000 {
					t.Errorf("timestamps %d..%d, header says %d", s.MinTimestamp, s.MaxTimestamp, s.Header.MaxTimestamp)
				}
				b.Stamp(70, 3)
				checkRecords(t, b, records)
			})
		}
	}
}

func checkRecords(t *testing.T, b Batch, want []Record) {
	t.Helper()
	r := b.Records(1 << 30)
	defer r.Close()
	i := 0
	for ; r.Next(); i++ {
		got := r.Record()
		if got.Offset != b.Header().BaseOffset+Offset(i) || got.Timestamp != want[i].Timestamp ||
			!bytes.Equal(got.Key, want[i].Key) || (got.Key == nil) != (want[i].Key == nil) ||
			!bytes.Equal(got.Value, want[i].Value) || len(got.Headers) != len(want[i].Headers) {
			t.Fatalf("record %d: got %+v, want %+v", i, got, want[i])
		}
	}
	if r.Err() != nil || i != len(want) {
		t.Fatalf("%d of %d records, error %v", i, len(want), r.Err())
	}
}

func TestInternalIsPureAndConsumesNothing(t *testing.T) {
	b := Internal(KindConfiguration, []byte("members"))
	if !bytes.Equal(b, Internal(KindConfiguration, []byte("members"))) {
		t.Error("not a pure function")
	}
	b.Stamp(9, 2)
	h := b.Header()
	if h.Kind != KindConfiguration || !h.IsInternal() || h.NextOffset() != 9 || h.Epoch != 2 || int(h.Length) != len(b) {
		t.Errorf("header %+v", h)
	}
	if !b.CheckCRC() || string(b.InternalPayload()) != "members" || !b.IsInternal() {
		t.Error("payload or CRC wrong")
	}
	if _, err := Validate(b, Limits{}); !errors.Is(err, ErrInvalidRecord) {
		t.Errorf("a client's internal batch: %v", err)
	}
}

func TestBuildAndValues(t *testing.T) {
	want := [][]byte{[]byte("a"), nil, {}, bytes.Repeat([]byte("x"), 300)}
	b := Build(want, 77)
	if _, err := Validate(b, Limits{}); err != nil {
		t.Fatal(err)
	}
	got, err := b.Values()
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d values, error %v", len(got), err)
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) || (got[i] == nil) != (want[i] == nil) {
			t.Errorf("value %d: %q, want %q", i, got[i], want[i])
		}
	}
}

func TestSetMaxTimestamp(t *testing.T) {
	b, _ := sample(t, CodecNone, 4, 10)
	b.SetMaxTimestamp(5555, true)
	h := b.Header()
	if !b.CheckCRC() || !h.IsLogAppendTime() || h.MaxTimestamp != 5555 {
		t.Errorf("header %+v, CRC ok %v", h, b.CheckCRC())
	}
	r := b.Records(1 << 20)
	defer r.Close()
	for r.Next() {
		if r.Record().Timestamp != 5555 {
			t.Errorf("record has timestamp %d", r.Record().Timestamp)
		}
	}
}
