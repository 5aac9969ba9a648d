package log

import "sort"

// EpochStart says where an epoch begins. Epochs without an entry are not listed.
type EpochStart struct {
	Epoch  Epoch
	Index  Index
	Offset Offset
}

// epochs is the epoch history of a log, oldest first: each epoch with its first entry.
type epochs []EpochStart

// last returns the newest epoch, or none when there is no entry.
func (e epochs) last(none Epoch) Epoch {
	if len(e) == 0 {
		return none
	}
	return e[len(e)-1].Epoch
}

// at returns the epoch of entry i, or before when i lies before the history.
func (e epochs) at(i Index, before Epoch) Epoch {
	k := sort.Search(len(e), func(k int) bool { return e[k].Index > i })
	if k == 0 {
		return before
	}
	return e[k-1].Epoch
}

// end returns the largest epoch up to `epoch` and the offset where it ends.
func (e epochs) end(epoch Epoch, next Offset) (Epoch, Offset, bool) {
	k := sort.Search(len(e), func(k int) bool { return e[k].Epoch > epoch })
	switch {
	case k == 0:
		return 0, 0, false
	case k == len(e):
		return e[k-1].Epoch, next, true
	default:
		return e[k-1].Epoch, e[k].Offset, true
	}
}

// truncate returns the history of a log whose entries from i on are removed.
func (e epochs) truncate(i Index) epochs {
	k := sort.Search(len(e), func(k int) bool { return e[k].Index >= i })
	return e[:k:k]
}

// trim returns the history of a log that begins with entry i, at offset o. next is the index after its last entry.
func (e epochs) trim(i Index, o Offset, next Index) epochs {
	if i >= next {
		return nil
	}
	k := sort.Search(len(e), func(k int) bool { return e[k].Index > i })
	if k == 0 {
		return e
	}
	kept := append(epochs(nil), e[k-1:]...)
	if kept[0].Index < i {
		kept[0].Index, kept[0].Offset = i, o
	}
	return kept
}
