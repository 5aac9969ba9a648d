package eos

import (
	"testing"
	"time"
)

// TestPacerLetsSessionsEnd has a model of a group of the consumer protocol as it once did not get through this suite: a worker
// that had all partitions is killed, and the coordinator every 25 s, while sessions take 45 s and start over with each
// coordinator. Without pauses nothing is ever processed; with them, everything is.
func TestPacerLetsSessionsEnd(t *testing.T) {
	const (
		session = 45 * time.Second
		between = 25 * time.Second
		inputs  = 100
	)
	process := func(calm time.Duration) (done int64, outcome verdict, p *pacer) {
		start := time.Unix(0, 0)
		p = &pacer{calm: calm, limit: 2 * time.Minute, since: start}
		coordinator := start // when it took over
		for now := start; now.Before(start.Add(2 * time.Hour)); now = now.Add(time.Second) {
			if now.Sub(coordinator) >= session {
				done++
			}
			if done == inputs {
				return done, disturb, p
			}
			switch p.observe(now, done, inputs) {
			case stuck:
				return done, stuck, p
			case disturb:
				if now.Sub(coordinator) >= between {
					coordinator = now
				}
			}
		}
		return done, wait, p
	}
	if done, outcome, _ := process(time.Hour); done != 0 || outcome != stuck {
		t.Errorf("without pauses %d inputs are processed, verdict %d: the model has not the problem", done, outcome)
	}
	done, outcome, p := process(20 * time.Second)
	if done != inputs || outcome != disturb {
		t.Errorf("%d of %d inputs are processed, verdict %d", done, inputs, outcome)
	}
	if p.pauses == 0 || p.longest < session {
		t.Errorf("%d pauses, longest time without progress %v", p.pauses, p.longest)
	}
}

func TestPacer(t *testing.T) {
	start := time.Unix(0, 0)
	p := pacer{calm: 20 * time.Second, limit: time.Minute, since: start}
	for _, step := range []struct {
		at   int // seconds
		done int64
		want verdict
	}{
		{0, 0, disturb},
		{19, 0, disturb},
		{20, 0, wait},
		{30, -1, wait},
		{59, 0, wait},
		{60, 5, disturb},
		{70, -1, disturb},
		{75, 5, disturb},
		{80, 5, wait},
		{81, 4, wait}, // progress is never undone, but an older answer may come
		{82, 6, disturb},
		{141, 6, wait},
		{142, 6, stuck},
	} {
		if got := p.observe(start.Add(time.Duration(step.at)*time.Second), step.done, 7); got != step.want {
			t.Errorf("at %d s, %d processed: verdict %d, want %d", step.at, step.done, got, step.want)
		}
	}
	if p.pauses != 3 || p.longest != time.Minute {
		t.Errorf("%d pauses, longest time without progress %v", p.pauses, p.longest)
	}
	p.restart(start.Add(150 * time.Second))
	if got := p.observe(start.Add(160*time.Second), 6, 7); got != disturb {
		t.Errorf("after new inputs: verdict %d", got)
	}
	for _, at := range []int{165, 300, 310} {
		if got := p.observe(start.Add(time.Duration(at)*time.Second), 7, 7); got != disturb {
			t.Errorf("at %d s, with all processed: verdict %d", at, got)
		}
	}
	if got := p.observe(start.Add(320*time.Second), 7, 8); got != disturb {
		t.Errorf("with inputs again: verdict %d", got)
	}
}
