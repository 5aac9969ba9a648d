package log

import (
	"encoding/binary"
	"fmt"
	"testing"

	"balsa/log/batch"
)

// TestCompactKeepsTheLogStart: of the entries that move the log's start the one that moved it furthest stays, since a replica that copies the
// log learns it from there. It is not always the last one.
func TestCompactKeepsTheLogStart(t *testing.T) {
	k := newKeyedLog(t, 1, newMem(t))
	for _, tc := range []struct {
		starts []uint64
		want   string
	}{
		{[]uint64{3, 7, 20, 15}, "[20 15]"},
		{[]uint64{12}, "[20 15 12]"},
		{[]uint64{20}, "[20]"},
		{nil, "[20]"},
		{[]uint64{30, 25, 31}, "[31]"},
	} {
		for _, start := range tc.starts {
			k.append(batch.Internal(batch.KindLogStart, binary.BigEndian.AppendUint64(nil, start)), 1)
		}
		for range 20 {
			k.append(k.batch(3, batch.BuildOptions{}), 1)
		}
		k.save()
		k.compact(k.next, 0)
		var got []Offset
		for i := k.l.FirstIndex(); i <= k.l.LastIndex(); i++ {
			b, err := k.l.Entry(i)
			if err != nil {
				t.Fatal(err)
			}
			if b.Header().Kind == batch.KindLogStart {
				got = append(got, logStart(b))
			}
		}
		if fmt.Sprint(got) != tc.want {
			t.Fatalf("after %v: left are %v, want %s", tc.starts, got, tc.want)
		}
	}
}
