package queue

import (
	"errors"
	"path/filepath"
	"testing"
)

const (
	second = int64(1e9)
	lock   = 10 * second
)

// story is a good history of a few messages, told by producers, two workers and the dead-letter topic. Tests change it.
type story struct {
	given   map[int32]int64
	written map[Place]Message
	entries []told
	died    map[int]int64
	nodes   []int64
	dead    []DeadLetter
}

// told is an entry in the journal of a worker.
type told struct {
	worker int
	Entry
}

func place(offset int64) Place { return Place{Partition: 1, Offset: offset} }

// got is a delivery that was asked for at a time and came 1 s later.
func got(worker int, m Message, count int32, sent int64) told {
	return told{worker, Entry{Event: Got, At: sent + second, Place: place(m.Seq), Message: &m, Count: count, Sent: sent, Until: sent + lock}}
}

func did(worker int, e Event, m Message, at int64) told {
	return told{worker, Entry{Event: e, At: at, Place: place(m.Seq)}}
}

var (
	plain    = Message{Producer: 1, Seq: 0, Kind: Plain}    // accepted at once
	again    = Message{Producer: 1, Seq: 1, Kind: Plain}    // released by worker 0, accepted by worker 1
	rejected = Message{Producer: 1, Seq: 2, Kind: Rejected} // rejected by worker 1
	deadly   = Message{Producer: 1, Seq: 3, Kind: Deadly}   // worker 2 dies of it, then 3
)

func goodStory() *story {
	s := &story{given: map[int32]int64{1: 5}, written: map[Place]Message{}, died: map[int]int64{2: 5 * second, 3: 8 * second}}
	for _, m := range []Message{plain, again, rejected, deadly} {
		s.written[place(m.Seq)] = m
	}
	s.entries = []told{
		got(0, plain, 1, 0), did(0, Accept, plain, 2*second), did(0, OK, plain, 3*second),
		got(0, again, 1, 0), did(0, Release, again, 4*second), did(0, OK, again, 5*second),
		got(1, again, 2, 3*second), did(1, Accept, again, 6*second), did(1, OK, again, 7*second),
		got(1, rejected, 1, 3*second), did(1, Reject, rejected, 6*second), did(1, OK, rejected, 7*second),
		got(2, deadly, 1, 0), got(3, deadly, 2, 6*second),
	}
	s.dead = []DeadLetter{
		{Place: place(2), Message: rejected, Count: 1, Reason: ReasonRejected},
		{Place: place(3), Message: deadly, Count: 2, Reason: ReasonLimit},
	}
	return s
}

func (s *story) check() *Report {
	c := NewChecker(2, true)
	for producer, n := range s.given {
		c.Given(producer, n)
	}
	for p, m := range s.written {
		c.Written(p, m)
	}
	for _, e := range s.entries {
		c.Entry(e.worker, e.Entry)
	}
	for worker, at := range s.died {
		c.Died(worker, at)
	}
	for _, at := range s.nodes {
		c.NodeKilled(at)
	}
	for _, l := range s.dead {
		c.DeadLetter(l)
	}
	return c.Finish()
}

// without removes the entries of a message.
func (s *story) without(m Message) {
	var kept []told
	for _, e := range s.entries {
		if e.Place != place(m.Seq) {
			kept = append(kept, e)
		}
	}
	s.entries = kept
}

// tell replaces the entries of a message.
func (s *story) tell(m Message, entries ...told) {
	s.without(m)
	s.entries = append(s.entries, entries...)
}

func TestGoodStoryPasses(t *testing.T) {
	r := goodStory().check()
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	if r.Written != 4 || r.Deliveries != 6 || r.Redeliveries != 2 || r.Accepted != 2 || r.Buried[Deadly] != 1 || r.Buried[Rejected] != 1 {
		t.Errorf("counted %v", r)
	}
}

// TestAllowed has what looks wrong and is not.
func TestAllowed(t *testing.T) {
	for _, test := range []struct {
		name string
		plan func(*story)
	}{
		{"an unacknowledged message is lost", func(s *story) {
			delete(s.written, place(0))
			s.without(plain)
		}},
		{"an acceptance without an answer, and no further delivery", func(s *story) {
			s.tell(plain, got(0, plain, 1, 0), did(0, Accept, plain, 2*second))
		}},
		{"an acceptance without an answer, and a further delivery", func(s *story) {
			s.tell(plain, got(0, plain, 1, 0), did(0, Accept, plain, 2*second),
				got(1, plain, 2, 3*second), did(1, Accept, plain, 5*second), did(1, OK, plain, 6*second))
		}},
		{"a fetch that was sent before the acceptance was answered comes later", func(s *story) {
			s.tell(plain, got(1, plain, 1, 0), got(0, plain, 2, 11*second), did(0, Accept, plain, 13*second), did(0, OK, plain, 14*second))
			s.entries[len(s.entries)-4].At = 15 * second // worker 1 was paused
		}},
		{"a lock that ended goes to another worker", func(s *story) {
			s.tell(plain, got(0, plain, 1, 0), got(1, plain, 2, 10*second), did(1, Accept, plain, 12*second), did(1, OK, plain, 13*second))
		}},
		{"a late acceptance of what another worker has accepted", func(s *story) {
			s.tell(plain, got(0, plain, 1, 0), got(1, plain, 2, 10*second), did(1, Accept, plain, 12*second), did(1, OK, plain, 13*second),
				did(0, Accept, plain, 14*second), did(0, OK, plain, 15*second))
		}},
		{"a late acceptance of what is in the dead-letter topic", func(s *story) {
			s.tell(plain, got(0, plain, 2, 0), did(0, Accept, plain, 14*second), did(0, OK, plain, 15*second))
			s.dead = append(s.dead, DeadLetter{Place: place(0), Message: plain, Count: 2, Reason: ReasonLimit})
		}},
		{"a worker whose connection ended loses its locks", func(s *story) {
			s.tell(plain, got(0, plain, 1, 0), did(0, Lost, plain, 2*second), got(1, plain, 2, 2*second), did(1, Accept, plain, 4*second))
		}},
		{"a killed node loses locks", func(s *story) {
			s.nodes = []int64{2 * second}
			s.tell(plain, got(0, plain, 1, 0), got(1, plain, 2, 2*second), did(1, Accept, plain, 4*second))
		}},
		{"deliveries that no worker lived to note", func(s *story) {
			s.tell(deadly, got(3, deadly, 2, 6*second))
		}},
		{"a doubled dead letter", func(s *story) { s.dead = append(s.dead, s.dead[0]) }},
		{"a plain message that killed too many workers", func(s *story) {
			s.tell(plain, got(2, plain, 1, 0), got(3, plain, 2, 6*second))
			s.dead = append(s.dead, DeadLetter{Place: place(0), Message: plain, Count: 2, Reason: ReasonLimit})
		}},
	} {
		s := goodStory()
		test.plan(s)
		if err := s.check().Err(); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestPlantedViolations proves that the checker sees each kind of broken promise.
func TestPlantedViolations(t *testing.T) {
	for _, test := range []struct {
		name  string
		plant func(*story)
		want  Violation
	}{
		{"nobody ever gets a message", func(s *story) { s.without(plain) }, MessageLost},
		{"a message is released and never comes back", func(s *story) {
			s.tell(plain, got(0, plain, 1, 0), did(0, Release, plain, 2*second), did(0, OK, plain, 3*second))
		}, MessageLost},
		{"a lock ends and the message never comes back", func(s *story) { s.tell(plain, got(0, plain, 1, 0)) }, MessageLost},
		{"an accepted message comes back to another worker", func(s *story) {
			s.entries = append(s.entries, got(1, plain, 2, 4*second))
		}, Redelivered},
		{"an accepted message comes back to the same worker", func(s *story) {
			s.entries = append(s.entries, got(0, plain, 2, 4*second))
		}, Redelivered},
		{"an accepted message comes back with a count that was lost", func(s *story) {
			s.entries = append(s.entries, got(1, plain, 1, 4*second))
		}, Redelivered},
		{"a rejected message comes back", func(s *story) {
			s.entries = append(s.entries, got(0, rejected, 2, 8*second))
		}, Redelivered},
		{"an acceptance counts although another worker has the message", func(s *story) {
			s.tell(plain, got(0, plain, 1, 0), got(1, plain, 2, 10*second),
				did(0, Accept, plain, 12*second), did(0, OK, plain, 13*second),
				did(1, Accept, plain, 14*second), did(1, OK, plain, 15*second))
		}, Usurped},
		{"a worker gets what another has locked", func(s *story) {
			s.tell(plain, got(0, plain, 1, 0), got(1, plain, 2, 5*second), did(1, Accept, plain, 7*second), did(1, OK, plain, 8*second))
		}, Shared},
		{"a worker gets what another has renewed", func(s *story) {
			renewed := did(0, Renewed, plain, 9*second)
			renewed.Until = 8*second + lock
			s.tell(plain, got(0, plain, 1, 0), renewed, got(1, plain, 2, 12*second), did(1, Accept, plain, 15*second), did(1, OK, plain, 16*second))
		}, Shared},
		{"two workers get the same delivery", func(s *story) {
			s.tell(plain, got(0, plain, 1, 0), got(1, plain, 1, 0), did(0, Accept, plain, 2*second), did(0, OK, plain, 3*second))
		}, Miscounted},
		{"a count is forgotten", func(s *story) {
			s.tell(again, got(0, again, 1, 0), did(0, Release, again, 2*second), did(0, OK, again, 3*second),
				got(1, again, 1, 4*second), did(1, Accept, again, 6*second), did(1, OK, again, 7*second))
		}, Miscounted},
		{"a count runs backwards", func(s *story) {
			s.tell(again, got(0, again, 2, 5*second), did(0, Accept, again, 7*second), did(0, OK, again, 8*second),
				got(1, again, 1, 20*second))
		}, Miscounted},
		{"a message is delivered beyond the limit", func(s *story) {
			s.entries = append(s.entries, got(1, deadly, 3, 20*second))
		}, Miscounted},
		{"a poison message is dropped", func(s *story) { s.dead = s.dead[1:] }, NotBuried},
		{"a poison message that killed its workers is dropped", func(s *story) { s.dead = s.dead[:1] }, NotBuried},
		{"an accepted message is buried", func(s *story) {
			s.dead = append(s.dead, DeadLetter{Place: place(0), Message: plain, Count: 2, Reason: ReasonLimit})
		}, WronglyBuried},
		{"a message is buried for no known reason", func(s *story) { s.dead[0].Reason = "" }, WronglyBuried},
		{"a rejected message is buried with another count", func(s *story) { s.dead[0].Count = 2 }, WrongCount},
		{"a message is given up before the limit", func(s *story) { s.dead[1].Count = 1 }, WrongCount},
		{"a message is buried for a rejection that nobody made", func(s *story) { s.dead[1].Reason = ReasonRejected }, WrongCount},
		{"a dead letter names another place", func(s *story) { s.dead[0].Place = place(0) }, Moved},
		{"a message lies elsewhere than its producer was told", func(s *story) {
			s.written[place(7)] = plain
			s.written[place(0)] = again
		}, Moved},
		{"a message appears that nobody wrote", func(s *story) { s.given[1] = 3 }, Phantom},
		{"a bit flips", func(s *story) { s.entries[0].Message = nil }, Corrupt},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := goodStory()
			test.plant(s)
			r := s.check()
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
	for kind := range kindCount {
		m := Message{Producer: 7, Seq: 1 << 40, Kind: kind}
		v := m.AppendValue(nil, []byte("filler"))
		if got, err := ParseValue(v); err != nil || got != m {
			t.Fatalf("ParseValue = %v, %v; want %v", got, err, m)
		}
		for bit := range 8 * len(v) {
			v[bit/8] ^= 1 << (bit % 8)
			if _, err := ParseValue(v); !errors.Is(err, errValue) {
				t.Fatalf("bit %d flipped: error %v", bit, err)
			}
			v[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// TestJournal reads what is written in steps, and nothing of a line that was cut off.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	tail := NewTail(path)
	var entries []Entry
	next := func() {
		t.Helper()
		if err := tail.Next(func(e Entry) { entries = append(entries, e) }); err != nil {
			t.Fatal(err)
		}
	}
	next() // not there yet
	j, err := CreateJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{got(0, plain, 1, 5).Entry, did(0, Accept, plain, 8).Entry, did(0, OK, plain, 9).Entry}
	for _, batch := range [][]Entry{want[:2], want[2:]} {
		if err := j.Write(batch...); err != nil {
			t.Fatal(err)
		}
		next()
	}
	if _, err := j.file.WriteString(`{"e":"got","t":`); err != nil {
		t.Fatal(err)
	}
	next()
	next()
	if len(entries) != len(want) || *entries[0].Message != plain || entries[0].Count != 1 || entries[2].Event != OK {
		t.Errorf("read %+v", entries)
	}
}
