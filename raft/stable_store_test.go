package raft

import (
	"path/filepath"
	"sync"
	"testing"
)

func TestStableStoreKeepsTermsAndVotesOfGroupsApart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stable.db")
	db, err := openStableDB(path)
	if err != nil {
		t.Fatal(err)
	}
	const groups = 50
	var wg sync.WaitGroup
	for i := range groups {
		wg.Go(func() {
			s, err := db.group(GroupID{Partition: int32(i)})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := s.GetUint64([]byte("CurrentTerm")); err == nil || err.Error() != "not found" {
				t.Errorf("fresh group: err = %v; the library compares it with \"not found\"", err)
			}
			if err := s.SetUint64([]byte("CurrentTerm"), uint64(i)+1); err != nil {
				t.Error(err)
			}
			if err := s.SetUint64(lastVoteTerm, uint64(i)+1); err != nil {
				t.Error(err)
			}
			if err := s.Set(lastVoteCand, []byte{byte(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := db.remove(GroupID{Partition: 7}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = openStableDB(path); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i := range groups {
		s, err := db.group(GroupID{Partition: int32(i)})
		if err != nil {
			t.Fatal(err)
		}
		term, err := s.GetUint64(lastVoteTerm)
		cand, candErr := s.Get(lastVoteCand)
		if i == 7 {
			if err == nil || candErr == nil {
				t.Error("a removed group still has a vote")
			}
			continue
		}
		if err != nil || candErr != nil || term != uint64(i)+1 || cand[0] != byte(i) {
			t.Errorf("group %d: voted in term %d for %v (%v, %v)", i, term, cand, err, candErr)
		}
	}
}

// A vote's term and candidate are set by two calls. A crash between them must leave the old vote whole.
func TestStableStoreVoteIsAtomic(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stable.db")
	db, err := openStableDB(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := db.group(GroupID{})
	if err != nil {
		t.Fatal(err)
	}
	for term, cand := range map[uint64]string{3: "a"} {
		if err := s.SetUint64(lastVoteTerm, term); err != nil {
			t.Fatal(err)
		}
		if err := s.Set(lastVoteCand, []byte(cand)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetUint64(lastVoteTerm, 4); err != nil { // and no candidate: the crash
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = openStableDB(path); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if s, err = db.group(GroupID{}); err != nil {
		t.Fatal(err)
	}
	if term, err := s.GetUint64(lastVoteTerm); err != nil || term != 3 {
		t.Errorf("vote is of term %d (%v), want 3", term, err)
	}
}
