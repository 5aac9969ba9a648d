package raft

import (
	"context"
	"errors"
	"testing"

	hraft "github.com/hashicorp/raft"

	"balsa/log"
	"balsa/log/batch"
)

// TestRefuseStale: what was decided for another term or another place becomes an empty entry, and its proposer can see that.
func TestRefuseStale(t *testing.T) {
	for name, c := range map[string]struct {
		extensions []byte
		stays      bool
	}{
		"its term":                        {decidedIn(7, batch.KindShare), true},
		"another term":                    {decidedIn(6, batch.KindShare), false},
		"its term and place":              {decidedBehind(7, 100, batch.KindShare), true},
		"something else came before it":   {decidedBehind(7, 99, batch.KindShare), false},
		"what it is about is not written": {decidedBehind(7, 101, batch.KindShare), false},
		"its place in another term":       {decidedBehind(6, 100, batch.KindShare), false},
		"of no term":                      {[]byte{byte(batch.KindShare)}, true},
		"from the leader":                 {stamped, true},
	} {
		l := hraft.Log{Type: hraft.LogCommand, Term: 7, Data: []byte("x"), Extensions: c.extensions}
		refuseStale(&l, 100)
		if stays := l.Type == hraft.LogCommand && l.Data != nil; stays != c.stays || isRefused(c.extensions) == c.stays {
			t.Errorf("%s: stays %v, the proposer is told it was refused: %v", name, stays, isRefused(c.extensions))
		}
	}
}

// TestProposeBehind: an entry counts only behind the records that it was decided for, and in its term.
func TestProposeBehind(t *testing.T) {
	c := newTestCluster(t, 3, everyAppend)
	c.write("a", 1)
	leader := c.leader()
	g, epoch := leader.group, leader.group.Leadership().Epoch
	behind := func(epoch log.Epoch, end log.Offset) error {
		return g.ProposeBehind(epoch, end, batch.KindShare, []byte("x")).Wait(context.Background())
	}
	record := g.Propose(batch.KindData, batch.Build([][]byte{[]byte("b"), []byte("c")}, 1))
	right := g.ProposeBehind(epoch, 3, batch.KindShare, []byte("x"))
	for _, p := range []*Proposal{record, right} {
		if err := p.Wait(context.Background()); err != nil {
			t.Errorf("the record, or what is behind it: %v", err)
		}
	}
	for what, err := range map[string]error{
		"before": behind(epoch, 2), "beyond": behind(epoch, 4), "in another term": behind(epoch-1, 3),
	} {
		if !errors.Is(err, ErrNotLeader) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := behind(epoch, 3); err != nil {
		t.Errorf("refused entries move no offset: %v", err)
	}
	c.write("d", 1)
	shares := 0
	_, applied := leader.machine.seen()
	for _, e := range applied {
		if e.kind == batch.KindShare {
			shares++
		}
	}
	if shares != 2 {
		t.Errorf("%d entries counted, want 2", shares)
	}
}
