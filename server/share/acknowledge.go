package share

import "fmt"

// Acknowledge decides about records that a member holds: all of what it asks, or nothing and an error that wraps
// ErrInvalidRequest or ErrInvalidRecordState. Offsets below Start are passed over: they are decided or gone, and nothing is
// wrong with saying so twice. But they cannot be renewed (Kafka passes over that too): a member must not believe that it still holds
// what another has accepted meanwhile.
func (l *Leader) Acknowledge(args AcknowledgeArgs) (Change, error) {
	d := decision{Leader: l}
	for i, ack := range args.Acks {
		if err := ack.validate(args.Policy); err != nil {
			return Change{}, err
		}
		if i > 0 && ack.First <= args.Acks[i-1].Last {
			return Change{}, fmt.Errorf("%w: offset %d after %d", ErrInvalidRequest, ack.First, args.Acks[i-1].Last)
		}
		if err := d.holds(args, ack); err != nil {
			return Change{}, err
		}
	}
	for _, ack := range args.Acks {
		if len(ack.Types) == 1 {
			d.acknowledge(args, ack.First, ack.Last, ack.Types[0])
			continue
		}
		for i := 0; i < len(ack.Types); {
			begin := i
			for i < len(ack.Types) && ack.Types[i] == ack.Types[begin] {
				i++
			}
			d.acknowledge(args, ack.First+Offset(begin), ack.First+Offset(i)-1, ack.Types[begin])
		}
	}
	return d.done(), nil
}

func (ack Ack) validate(policy Policy) error {
	if ack.First < 0 || ack.Last < ack.First {
		return fmt.Errorf("%w: offsets %d to %d", ErrInvalidRequest, ack.First, ack.Last)
	}
	if n := len(ack.Types); n != 1 && int64(n) != int64(ack.Last-ack.First)+1 {
		return fmt.Errorf("%w: %d types for offsets %d to %d", ErrInvalidRequest, n, ack.First, ack.Last)
	}
	for _, t := range ack.Types {
		if t > Renew {
			return fmt.Errorf("%w: unknown type %d", ErrInvalidRequest, t)
		}
		if t == Renew && !policy.Renew {
			return fmt.Errorf("%w: the group allows no renewal", ErrInvalidRecordState)
		}
	}
	return nil
}

// typeOf returns what is said of one of the offsets.
func (ack Ack) typeOf(o Offset) AckType {
	if len(ack.Types) == 1 {
		return ack.Types[0]
	}
	return ack.Types[o-ack.First]
}

// holds checks that a member holds what it acknowledges.
func (d *decision) holds(args AcknowledgeArgs, ack Ack) error {
	for o := ack.First; o <= ack.Last && o < d.p.start; o++ {
		if ack.typeOf(o) == Renew {
			return fmt.Errorf("%w: offset %d is decided", ErrInvalidRecordState, o)
		}
		if len(ack.Types) == 1 {
			break
		}
	}
	if ack.Last < d.p.start {
		return nil
	}
	if ack.Last >= d.p.end {
		return fmt.Errorf("%w: offset %d was never delivered", ErrInvalidRequest, ack.Last)
	}
	for r := range d.p.Runs(max(ack.First, d.p.start)) {
		if r.First > ack.Last {
			break
		}
		if r.State != Acquired || r.Member != args.Member || r.Until <= args.Now {
			return fmt.Errorf("%w: the member does not hold offset %d", ErrInvalidRecordState, max(r.First, ack.First))
		}
	}
	return nil
}

func (d *decision) acknowledge(args AcknowledgeArgs, first, last Offset, t AckType) {
	for _, r := range d.pieces(first, last) {
		switch t {
		case Gap:
			r.State = Archived
		case Accept:
			r.State = Acknowledged
		case Release:
			var until int64
			if args.DelayMs > 0 {
				until = args.Now + args.DelayMs
			}
			r = r.released(args.Policy, until)
		case Reject:
			r = r.givenUp(args.Policy, Rejected)
		case Renew:
			r.Until = args.Now + orDefault(args.LockMs, args.Policy.LockMs)
		}
		d.set(r.normal())
	}
}

// released returns what becomes of an acquired run that is given back, to be delivered again not before a time.
func (r Run) released(policy Policy, until int64) Run {
	if policy.DeliveryLimit > 0 && r.DeliveryCount >= policy.DeliveryLimit {
		return r.givenUp(policy, DeliveryLimit)
	}
	r.State, r.Until = Available, until
	return r.normal()
}

// givenUp returns what becomes of a run that nobody shall get any more.
func (r Run) givenUp(policy Policy, why Reason) Run {
	r.State = Archived
	if policy.DeadLetters {
		r.State, r.Reason = Archiving, why
	}
	return r.normal()
}
