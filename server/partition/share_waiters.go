package partition

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"balsa/log"
)

// shareWaiters is a partition's parked share fetches, by group. Something new is for one of them, so one is woken, not all. Whoever
// was woken looks, and when it has done passes on what it left (Partition.ShareUnwatch): as long as there is something for a group, one
// of its fetches is awake.
type shareWaiters struct {
	count  atomic.Int32 // so that a commit with nobody waiting takes no lock
	mu     sync.Mutex   // held for moments only: appends wait for it
	groups map[string]*shareParking
	// ahead is what was handed over and is not appended yet, in order: when it is, those of its groups need not be told.
	ahead []handedBatch
}

// handedBatch is records that were given to members of groups before they were appended, all of them.
type handedBatch struct {
	end    log.Offset
	bytes  int64
	groups []string
}

// shareParking is the parked fetches of one group.
type shareParking struct {
	committed bool // the group reads what is committed, and not what the leader has written
	set       map[*Waiter]struct{}
}

func (s *shareWaiters) add(group string, committed bool, w *Waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups == nil {
		s.groups = map[string]*shareParking{}
	}
	g := s.groups[group]
	if g == nil {
		g = &shareParking{set: map[*Waiter]struct{}{}}
		s.groups[group] = g
	}
	g.committed, g.set[w] = committed, struct{}{}
	s.count.Add(1)
}

func (s *shareWaiters) remove(group string, w *Waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[group]
	if g == nil {
		return
	}
	if _, there := g.set[w]; !there {
		return
	}
	s.count.Add(-1)
	if delete(g.set, w); len(g.set) == 0 {
		delete(s.groups, group)
	}
}

// offers returns one parked fetch of each group that reads what is not committed yet.
func (s *shareWaiters) offers() map[string]*Waiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]*Waiter, len(s.groups))
	for id, g := range s.groups {
		if g.committed {
			continue
		}
		for w := range g.set {
			all[id] = w
			if len(w.c) == 0 && w.offer.isOpen() {
				break
			}
		}
	}
	return all
}

// waiting is how many fetches of a group are parked, or about to be.
func (s *shareWaiters) waiting(group string) int {
	if s.count.Load() == 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.groups[group]; g != nil {
		return len(g.set)
	}
	return 0
}

// someBytes stands for an unknown number of them: who waits for many has to look.
const someBytes = math.MaxInt64

// committed tells the groups that read what is committed of records that they may read from now on.
func (s *shareWaiters) committed(bytes int64) {
	if s.count.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups {
		if g.committed {
			g.wakeNext(bytes)
		}
	}
}

// handed takes note of records that were handed over, unless they were appended before.
func (s *shareWaiters) handed(b handedBatch, next func() log.Offset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.end > next() { // else appended was told already, or will find it forgotten
		s.ahead = append(s.ahead, b)
	}
}

// forgetHanded has a group, or all if it is the empty one, told of what was handed over when it is appended: it was not kept.
func (s *shareWaiters) forgetHanded(group string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if group == "" {
		s.ahead = nil
	}
	for i := range s.ahead {
		s.ahead[i].groups = slices.DeleteFunc(s.ahead[i].groups, func(g string) bool { return g == group })
	}
}

// appended tells those who read what is not committed of records up to an offset, but for what was handed over.
func (s *shareWaiters) appended(next log.Offset, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.ahead) && s.ahead[n].end <= next {
		n++
	}
	for id, g := range s.groups {
		if g.committed {
			continue
		}
		rest := bytes
		for _, b := range s.ahead[:n] {
			if slices.Contains(b.groups, id) {
				rest -= b.bytes
			}
		}
		if rest > 0 {
			g.wakeNext(rest)
		}
	}
	s.ahead = slices.Delete(s.ahead, 0, n)
}

// wakeNext wakes one of a group's fetches, for what another has left: who waits for many bytes was told of them when they came.
func (s *shareWaiters) wakeNext(group string) { s.wake(group, 0) }

// freed tells a group's fetches of records that have become available again.
func (s *shareWaiters) freed(group string) { s.wake(group, someBytes) }

func (s *shareWaiters) wake(group string, bytes int64) {
	if s.count.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.groups[group]; g != nil {
		g.wakeNext(bytes)
	}
}

// wakeNext wakes a fetch that was not, any: all get the same share in the long run. Those that wait for more than a little are told of what
// came, too: whether it is enough each has to find out.
func (g *shareParking) wakeNext(bytes int64) {
	woken := false
	for w := range g.set {
		switch {
		case w.least > 1 && bytes == someBytes:
			w.wake()
		case w.least > 1:
			w.grew(bytes)
		case !woken:
			woken = w.wake()
		}
	}
}

// wakeAll wakes a group's fetches; those of all groups if it is the empty one.
func (s *shareWaiters) wakeAll(group string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, g := range s.groups {
		if group == "" || id == group {
			for w := range g.set {
				w.wake()
			}
		}
	}
}
