package queue

import (
	"cmp"
	"slices"
)

// holds is the time until which a worker surely has the lock of a delivery: until the lock may have ended, the worker began to
// give the message away, its connection ended or a node was killed. No lock has to outlive those.
func (c *Checker) holds(d *delivery) int64 {
	to := d.until
	if d.gaveUp != 0 {
		to = min(to, d.gaveUp)
	}
	for _, times := range [][]int64{c.lost[d.worker], c.nodes} {
		if i, _ := slices.BinarySearch(times, d.sent); i < len(times) {
			to = min(to, times[i])
		}
	}
	return to
}

// checkDeliveries compares the deliveries of a message with each other.
func (c *Checker) checkDeliveries(p Place, h *history) {
	all := h.deliveries
	slices.SortStableFunc(all, func(a, b *delivery) int { return cmp.Compare(a.count, b.count) })
	for i, d := range all {
		if d.count < 1 || d.count > c.limit {
			c.violate(Miscounted, h, p, "delivery %d of at most %d", d.count, c.limit)
		}
		if i > 0 {
			c.report.Redeliveries++
			c.checkPair(p, h, all[i-1], d)
		}
		if d.gaveUp == 0 || d.gaveUp > d.until {
			c.report.Expired++
		}
		if d.attempt == Accept && d.succeeded == 0 {
			c.report.Unknown++
		}
		c.checkOverlap(p, h, all[:i], d)
	}
	c.checkDecision(p, h)
}

// checkPair checks neighbours by delivery count: each acquisition is of its own, and later than the one before. It happens after the
// request for it was sent and before its answer came.
func (c *Checker) checkPair(p Place, h *history, before, d *delivery) {
	switch {
	case before.count == d.count:
		c.violate(Miscounted, h, p, "two deliveries %d", d.count)
	case d.received < before.sent:
		c.violate(Miscounted, h, p, "delivery %d was before delivery %d", d.count, before.count)
	}
}

// checkOverlap looks for another worker that had the lock when this one got it. The other's delivery was before, by its count; this
// one had the message when the answer arrived, at the latest. If the other's lock surely held on until then, it was with both.
func (c *Checker) checkOverlap(p Place, h *history, before []*delivery, d *delivery) {
	for _, o := range before {
		if o.worker != d.worker && d.received < c.holds(o) {
			c.violate(Shared, h, p, "workers %d and %d at once", o.worker, d.worker)
			return
		}
	}
}

// checkDecision: an acceptance or rejection that was answered with success is the last word, and only who has the lock has it.
// Acknowledgements of what has been decided already are answered with success, too, once the start offset has passed it, as in Kafka.
func (c *Checker) checkDecision(p Place, h *history) {
	var decided *delivery
	for i, d := range h.deliveries {
		if d.succeeded == 0 || d.attempt == Release {
			continue
		}
		if decided == nil || d.succeeded < decided.succeeded {
			decided = d
		}
		for _, later := range h.deliveries[i+1:] {
			if later.worker != d.worker && later.received < d.gaveUp && later.succeeded != 0 && d.succeeded < later.gaveUp {
				c.violate(Usurped, h, p, "by worker %d, when worker %d had it", d.worker, later.worker)
			}
		}
	}
	if decided == nil {
		return
	}
	for _, d := range h.deliveries {
		if d.sent > decided.succeeded {
			c.violate(Redelivered, h, p, "to worker %d, %d ms after worker %d's %s was answered", d.worker, (d.sent-decided.succeeded)/1e6, decided.worker, decided.attempt)
			return
		}
	}
}

// checkFate: what a producer got an acknowledgement for has been decided by somebody. Without a dead-letter topic nothing tells
// what became of a message that was delivered as often as it may be.
func (c *Checker) checkFate(p Place, h *history) {
	if !h.written || len(h.dead) > 0 {
		return
	}
	ended := func(d *delivery) bool { return d.attempt == Accept || !c.deadLetters && d.count == c.limit }
	switch {
	case h.message.Kind != Plain && c.deadLetters:
		c.violate(NotBuried, h, p, "is not in the dead-letter topic")
	case h.message.Kind == Plain && !slices.ContainsFunc(h.deliveries, ended):
		c.violate(MessageLost, h, p, "nobody accepted it")
	}
}

// checkDeadLetters: what is in the dead-letter topic belongs there.
func (c *Checker) checkDeadLetters(p Place, h *history) {
	if len(h.dead) == 0 {
		return
	}
	c.report.Buried[h.message.Kind]++
	c.report.Doubled += int64(len(h.dead) - 1)
	for _, d := range h.deliveries {
		if d.attempt == Accept && d.succeeded != 0 && d.gaveUp < d.until {
			c.violate(WronglyBuried, h, p, "worker %d accepted it", d.worker)
		}
	}
	for _, l := range h.dead {
		switch l.Reason {
		case ReasonLimit:
			if l.Count != c.limit {
				c.violate(WrongCount, h, p, "reached the limit of %d after %d deliveries", c.limit, l.Count)
			}
		case ReasonRejected:
			rejected := func(d *delivery) bool { return d.attempt == Reject && d.count == l.Count }
			if !slices.ContainsFunc(h.deliveries, rejected) {
				c.violate(WrongCount, h, p, "was not rejected at delivery %d", l.Count)
			}
		default:
			c.violate(WronglyBuried, h, p, "for the reason %q", l.Reason)
		}
	}
}
