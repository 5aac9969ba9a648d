package partition

import (
	"strings"
	"testing"
)

// A batch that is larger than what is read at once, or than what may still be taken, is not there for nothing.
func TestShareLargeBatchBehindSmall(t *testing.T) {
	f := newQueue(t, nil, nil)
	f.enqueue(value("a"), value(strings.Repeat("b", 200_000)), value("c"))
	var got []string
	for range 3 {
		for _, v := range f.receive("m", 9) {
			got = append(got, v[:1])
		}
	}
	f.want("all of them", got, "a", "b", "c")
}

func TestShareTooLittleRoom(t *testing.T) {
	f := newQueue(t, nil, nil)
	f.enqueue(value(strings.Repeat("b", 20_000)), value("c"))
	a, err := f.partition().ShareAcquire(ShareAcquire{Group: group, Member: "m", MaxRecords: 9, MaxBytes: 1000})
	if a != nil || err != nil {
		t.Fatalf("acquired %+v, %v, though there was no room", a, err)
	}
	if got := f.receive("m", 9); len(got) != 2 {
		t.Errorf("of 2 records %d are left", len(got))
	}
}
