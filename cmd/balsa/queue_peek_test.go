package main

import (
	"testing"

	"balsa/protocol"
)

func TestUndecided(t *testing.T) {
	u := undecided{from: 10, end: 30, decided: []protocol.OffsetRange{{First: 8, Last: 10}, {First: 12, Last: 14}, {First: 20, Last: 20}, {First: 40, Last: 50}}}
	for limit, want := range map[int]int64{1: 12, 2: 16, 3: 17, 6: 20, 7: 22, 15: 30, 100: 30} {
		if got := u.after(limit); got != want {
			t.Errorf("%d are before %d, want %d", limit, got, want)
		}
		n := 0
		for o := u.from; o < u.after(limit); o++ {
			if !u.isDecided(o) {
				n++
			}
		}
		if all := 15; n != min(limit, all) {
			t.Errorf("of %d there are %d", limit, n)
		}
	}
}
