package eos

import "time"

// pacer decides whether the run can take another fault, from how many inputs are processed.
//
// Faults that come faster than a cluster gets over them keep it from ever doing so, and prove nothing. A coordinator that takes
// over knows the members of a group but not when they were heard last, so it gives each of them a full session: balsa as
// well as Kafka (GroupMetadataManager.onLoaded). When the coordinator is killed more often than sessions end, those of killed
// workers never do; their partitions stay theirs, and the group fills with the dead. So faults stop while nothing gets
// on, and a cluster that does not get on in peace has failed.
type pacer struct {
	calm  time.Duration // without progress: no more faults
	limit time.Duration // without progress: the run has failed

	best    int64 // most inputs processed so far
	since   time.Time
	calmed  bool
	pauses  int           // how often faults had to stop
	longest time.Duration // without progress
}

// verdict is what a pacer makes of the progress.
type verdict uint8

const (
	disturb verdict = iota // go on with faults
	wait                   // cause no more of them
	stuck                  // give up
)

// restart begins to wait for progress anew: there were no inputs to process.
func (p *pacer) restart(now time.Time) { p.since, p.calmed = now, false }

// observe takes in that so many of the inputs are processed, or negative, that it is not known.
func (p *pacer) observe(now time.Time, done, inputs int64) verdict {
	if done == inputs && done == p.best {
		p.restart(now) // nothing to do is no lack of progress
		return disturb
	}
	idle := now.Sub(p.since)
	p.longest = max(p.longest, idle)
	switch {
	case done > p.best:
		p.best = done
		p.restart(now)
		return disturb
	case idle >= p.limit:
		return stuck
	case idle < p.calm:
		return disturb
	}
	if !p.calmed {
		p.calmed = true
		p.pauses++
	}
	return wait
}
