package raft

import (
	"maps"
	"testing"
)

// A replica with entries that was no member may lack what a compacted log says no more: it begins anew before it comes.
func TestNextStepToCompactedLog(t *testing.T) {
	old := replicaView{report{condition: full, life: 7, entries: true}, false}
	half := replicaView{report{condition: joining, life: 8, entries: true}, false}
	fresh := replicaView{report{condition: joining, life: 9}, false}
	voters := []Member{{1, true}, {2, true}}
	for name, c := range map[string]struct {
		members   []Member
		third     replicaView
		compacted bool
		want      step
	}{
		"a member of before":            {voters, old, true, step{kind: stepRebuild, node: 3, life: 7}},
		"one that once began to join":   {voters, half, true, step{kind: stepRebuild, node: 3, life: 8}},
		"one with nothing":              {voters, fresh, true, step{kind: stepAdd, node: 3}},
		"nothing is gone":               {voters, old, false, step{kind: stepAdd, node: 3}},
		"a learner copies what is left": {append(voters, Member{3, false}), half, true, step{kind: stepAdmit, node: 3, life: 8}},
	} {
		well := replicaView{report{condition: full, entries: true}, true}
		o := outlook{
			self: 1, target: Target{Voters: []NodeID{1, 2, 3}}, members: c.members, compacted: c.compacted,
			replicas: map[NodeID]replicaView{1: well, 2: well, 3: c.third},
		}
		if got := nextStep(o); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestNextStep(t *testing.T) {
	voters := func(ids ...NodeID) (m []Member) {
		for _, id := range ids {
			m = append(m, Member{id, true})
		}
		return m
	}
	well := replicaView{report{condition: full}, true}
	behind := replicaView{report{condition: full}, false}
	in := func(c condition) replicaView { return replicaView{report{condition: c, life: 7}, false} }
	to := func(ids ...NodeID) Target { return Target{Voters: ids} }
	for name, c := range map[string]struct {
		target   Target
		members  []Member
		replicas map[NodeID]replicaView // those not named are well; the leader is 1
		want     step
	}{
		"nothing to do":              {to(1, 2, 3), voters(1, 2, 3), nil, step{kind: stepDone}},
		"order does not matter":      {to(3, 2, 1), voters(1, 2, 3), nil, step{kind: stepDone}},
		"not there yet":              {to(1, 2, 4), voters(1, 2, 3), map[NodeID]replicaView{4: in(absent)}, step{kind: stepWait}},
		"a new one comes first":      {to(1, 2, 4), voters(1, 2, 3), map[NodeID]replicaView{4: in(joining)}, step{kind: stepAdd, node: 4}},
		"all new ones come":          {to(4, 5), append(voters(1), Member{4, false}), map[NodeID]replicaView{4: in(admitted), 5: in(joining)}, step{kind: stepAdd, node: 5}},
		"then it is admitted":        {to(1, 2, 4), append(voters(1, 2, 3), Member{4, false}), map[NodeID]replicaView{4: in(joining)}, step{kind: stepAdmit, node: 4, life: 7}},
		"then it catches up":         {to(1, 2, 4), append(voters(1, 2, 3), Member{4, false}), map[NodeID]replicaView{4: in(admitted)}, step{kind: stepWait}},
		"then it votes":              {to(1, 2, 4), append(voters(1, 2, 3), Member{4, false}), nil, step{kind: stepPromote, node: 4}},
		"then others go":             {to(1, 2, 4), voters(1, 2, 3, 4), nil, step{kind: stepRemove, node: 3}},
		"not while one is behind":    {to(1, 2, 4), voters(1, 2, 3, 4), map[NodeID]replicaView{2: behind}, step{kind: stepWait}},
		"not while one is down":      {to(1, 2, 4), voters(1, 2, 3, 4), map[NodeID]replicaView{2: in(unreachable)}, step{kind: stepWait}},
		"unless a majority is asked": {Target{Voters: []NodeID{1, 2, 4}, Majority: true}, voters(1, 2, 3, 4), map[NodeID]replicaView{2: in(unreachable)}, step{kind: stepRemove, node: 3}},
		"who goes may be down":       {to(1, 2, 4), voters(1, 2, 3, 4), map[NodeID]replicaView{3: in(unreachable)}, step{kind: stepRemove, node: 3}},
		"the leader goes last":       {to(2, 4), voters(1, 2, 3, 4), nil, step{kind: stepRemove, node: 3}},
		"and hands over":             {to(2, 4), voters(1, 2, 4), nil, step{kind: stepTransfer, node: 2}},
		"a learner may go at once":   {to(1, 2, 3), append(voters(1, 2, 3), Member{4, false}), map[NodeID]replicaView{2: in(unreachable)}, step{kind: stepRemove, node: 4}},
		"a learner stays one":        {Target{Voters: []NodeID{1}, Learners: []NodeID{2}}, append(voters(1), Member{2, false}), nil, step{kind: stepDone}},

		"a damaged voter goes":                  {to(1, 2, 3), voters(1, 2, 3), map[NodeID]replicaView{3: in(damaged)}, step{kind: stepRemove, node: 3}},
		"a voter that forgot goes":              {to(1, 2, 3), voters(1, 2, 3), map[NodeID]replicaView{3: in(joining)}, step{kind: stepRemove, node: 3}},
		"also one that was admitted":            {to(1, 2, 3), voters(1, 2, 3), map[NodeID]replicaView{3: in(admitted)}, step{kind: stepRemove, node: 3}},
		"but not while another one lacks":       {to(1, 2, 3), voters(1, 2, 3), map[NodeID]replicaView{3: in(damaged), 2: behind}, step{kind: stepWait}},
		"nor two at a time":                     {to(1, 2, 3), voters(1, 2, 3), map[NodeID]replicaView{3: in(damaged), 2: in(damaged)}, step{kind: stepWait}},
		"a damaged one without a vote is built": {to(1, 2, 3), voters(1, 2), map[NodeID]replicaView{3: in(damaged)}, step{kind: stepRebuild, node: 3, life: 7}},
		"a damaged learner, too":                {to(1, 2, 3), append(voters(1, 2), Member{3, false}), map[NodeID]replicaView{3: in(damaged)}, step{kind: stepRebuild, node: 3, life: 7}},
		"one that cannot open it keeps it":      {to(1, 2, 3), voters(1, 2, 3), map[NodeID]replicaView{3: in(broken)}, step{kind: stepWait}},
		"two replicas, one forgot":              {to(1, 2), voters(1, 2), map[NodeID]replicaView{2: in(damaged)}, step{kind: stepRemove, node: 2}},
	} {
		o := outlook{self: 1, target: c.target, members: c.members, replicas: map[NodeID]replicaView{}}
		for id := NodeID(1); id < 7; id++ {
			o.replicas[id] = well
		}
		maps.Copy(o.replicas, c.replicas)
		got := nextStep(o)
		if got.kind == stepWait && got.why == "" {
			t.Errorf("%s: waits for nothing", name)
		}
		got.why, got.catchingUp = "", false
		if got != c.want {
			t.Errorf("%s: %s %d, want %s %d", name, got.kind, got.node, c.want.kind, c.want.node)
		}
	}
}

// A joining replica can record no vote, neither for others nor for itself.
func TestJoiningReplicaRecordsNoVote(t *testing.T) {
	db, err := openStableDB(t.TempDir() + "/" + StableFile)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	id := GroupID{Partition: 3}
	if err := db.rejoin([]GroupID{id, {Partition: 4}}); err != nil {
		t.Fatal(err)
	}
	stable, err := db.group(id)
	if err != nil {
		t.Fatal(err)
	}
	var j joiner
	if err := j.load(stable); err != nil || !j.joining.Load() || j.life == 0 {
		t.Fatalf("joining %v, life %d, %v", j.joining.Load(), j.life, err)
	}
	guard := votingGuard{stable, &j}
	if err := guard.SetUint64(lastVoteTerm, 3); err == nil {
		t.Error("recorded the term of a vote")
	}
	if err := guard.Set(lastVoteCand, []byte("1")); err == nil {
		t.Error("recorded a vote")
	}
	if err := guard.SetUint64([]byte("CurrentTerm"), 3); err != nil {
		t.Errorf("term: %v", err)
	}
	if err := j.admit(j.life+2, admission{index: 1}); err == nil {
		t.Error("took the admission of another life")
	}
	if ids, err := db.groups(); err != nil || len(ids) != 2 || ids[0] != id {
		t.Errorf("groups %v, %v", ids, err)
	}
	if err := stable.unset(joiningKey); err != nil {
		t.Fatal(err)
	}
	again, err := db.group(id)
	if err != nil || len(again.values) != 1 {
		t.Errorf("%d values left, want the term; %v", len(again.values), err)
	}
}
