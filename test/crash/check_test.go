package crash

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// goodHistory is two producers' records in two partitions, all acknowledged but the last of producer 1.
func goodHistory() (Acks, map[int32][]Stored) {
	rng := rand.New(rand.NewPCG(1, 2))
	acks, logs := Acks{}, map[int32][]Stored{}
	for partition := range int32(2) {
		for seq := range int64(50) {
			for producer := range int32(2) {
				offset := int64(len(logs[partition]))
				value := EncodeValue(ID{partition, producer, seq}, 40, rng)
				logs[partition] = append(logs[partition], Stored{offset, value})
				s := Stream{partition, producer}
				if producer == 1 && seq == 49 {
					offset = Unacked
				}
				acks[s] = append(acks[s], offset)
			}
		}
	}
	return acks, logs
}

func check(acks Acks, logs map[int32][]Stored) *Report {
	c := NewChecker(acks, nil)
	for _, partition := range slices.Sorted(maps.Keys(logs)) {
		for _, r := range logs[partition] {
			c.Add(partition, r)
		}
	}
	return c.Finish()
}

// renumber gives the records the offsets that their places in the log imply, as a broker that lost or doubled one would.
func renumber(records []Stored) []Stored {
	for i := range records {
		records[i].Offset = int64(i)
	}
	return records
}

func TestGoodHistoryPasses(t *testing.T) {
	acks, logs := goodHistory()
	r := check(acks, logs)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	if r.Records != 200 || r.Acknowledged != 198 {
		t.Errorf("report counts %d records, %d acknowledged; want 200 and 198", r.Records, r.Acknowledged)
	}
}

func TestUnacknowledgedMayBeMissing(t *testing.T) {
	acks, logs := goodHistory()
	logs[1] = logs[1][:99] // the last one of producer 1
	if err := check(acks, logs).Err(); err != nil {
		t.Fatal(err)
	}
}

// TestPlantedBugs proves that the checker sees each kind of broken promise.
func TestPlantedBugs(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, test := range []struct {
		name  string
		plant func(Acks, map[int32][]Stored)
		want  Kind
	}{
		{"the tail of a partition is lost", func(_ Acks, logs map[int32][]Stored) {
			logs[0] = logs[0][:90]
		}, Lost},
		{"a record in the middle is lost and the rest moves up", func(_ Acks, logs map[int32][]Stored) {
			logs[0] = renumber(slices.Delete(logs[0], 20, 21))
		}, Lost},
		{"a lost record leaves a hole in its stream", func(_ Acks, logs map[int32][]Stored) {
			logs[0] = renumber(slices.Delete(logs[0], 20, 21))
		}, Skipped},
		{"a whole partition is lost", func(_ Acks, logs map[int32][]Stored) {
			delete(logs, 1)
		}, Lost},
		{"a retry is stored twice", func(_ Acks, logs map[int32][]Stored) {
			logs[0] = renumber(slices.Insert(logs[0], 31, logs[0][30]))
		}, Duplicate},
		{"a retry is stored again at the end", func(_ Acks, logs map[int32][]Stored) {
			logs[0] = append(logs[0], Stored{100, logs[0][4].Value})
		}, Duplicate},
		{"two records of a producer change places", func(_ Acks, logs map[int32][]Stored) {
			logs[1][10].Value, logs[1][12].Value = logs[1][12].Value, logs[1][10].Value
		}, Reordered},
		{"two producers' records change places", func(_ Acks, logs map[int32][]Stored) {
			logs[1][10].Value, logs[1][11].Value = logs[1][11].Value, logs[1][10].Value
		}, Moved},
		{"a record lands in the wrong partition", func(_ Acks, logs map[int32][]Stored) {
			logs[1][10].Value = logs[0][10].Value
		}, Misplaced},
		{"a bit flips", func(_ Acks, logs map[int32][]Stored) {
			v := slices.Clone(logs[0][7].Value)
			v[len(v)/2] ^= 1
			logs[0][7].Value = v
		}, Corrupt},
		{"an old buffer is stored", func(_ Acks, logs map[int32][]Stored) {
			logs[0][7].Value = nil
		}, Corrupt},
		{"a record appears that nobody wrote", func(_ Acks, logs map[int32][]Stored) {
			logs[0] = append(logs[0], Stored{100, EncodeValue(ID{0, 1, 50}, 1, rng)})
		}, Phantom},
		{"an offset is skipped", func(_ Acks, logs map[int32][]Stored) {
			for i := 60; i < len(logs[0]); i++ {
				logs[0][i].Offset++
			}
		}, OffsetJump},
		{"the first record is not offset 0", func(acks Acks, logs map[int32][]Stored) {
			for i := range logs[0] {
				logs[0][i].Offset++
			}
			for s, offsets := range acks {
				for i := range offsets {
					if s.Partition == 0 && offsets[i] != Unacked {
						offsets[i]++
					}
				}
			}
		}, OffsetJump},
		{"an acknowledgement names the wrong offset", func(acks Acks, _ map[int32][]Stored) {
			acks[Stream{0, 0}][7]++
		}, Moved},
	} {
		t.Run(test.name, func(t *testing.T) {
			acks, logs := goodHistory()
			test.plant(acks, logs)
			r := check(acks, logs)
			if r.Err() == nil {
				t.Fatal("the checker saw nothing")
			}
			if r.Count[test.want] == 0 {
				t.Errorf("the checker saw %v, not %q", r.Count, test.want)
			}
		})
	}
}

func TestValueRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		id := ID{rng.Int32(), rng.Int32(), rng.Int64()}
		v := EncodeValue(id, 100, rng)
		got, err := DecodeValue(v)
		if err != nil || got != id {
			t.Fatalf("DecodeValue(EncodeValue(%v)) = %v, %v", id, got, err)
		}
		for bit := range 8 * len(v) {
			v[bit/8] ^= 1 << (bit % 8)
			if _, err := DecodeValue(v); !errors.Is(err, errValue) {
				t.Fatalf("bit %d flipped: error %v", bit, err)
			}
			v[bit/8] ^= 1 << (bit % 8)
		}
	}
}
