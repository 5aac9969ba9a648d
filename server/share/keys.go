package share

import (
	"cmp"

	"github.com/google/btree"
)

// keys keeps the order of keys (share.ordering=key). It knows the key of every undecided record of the window, and which of
// them are free: Available now, and no undecided record of their key before them. It is the Leader's alone: whoever leads
// next reads the window's records again and learns their keys.
type keys struct {
	known    Offset // the keys of undecided records below it are known
	byOffset *btree.BTreeG[keyed]
	byKey    *btree.BTreeG[keyed]
	free     *btree.BTreeG[Offset]
	found    []keyed // buffer of placed
}

// keyed is an undecided record; key 0 means that it has none and waits for no other.
type keyed struct {
	offset Offset
	key    uint64
}

func newKeys(start Offset) *keys {
	return &keys{
		known:    start,
		byOffset: btree.NewG(degree, func(a, b keyed) bool { return a.offset < b.offset }),
		byKey: btree.NewG(degree, func(a, b keyed) bool {
			return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.offset, b.offset)) < 0
		}),
		free: btree.NewOrderedG[Offset](degree),
	}
}

// track takes note of an undecided record. It is not free before placed says so.
func (k *keys) track(r Record) {
	k.byOffset.ReplaceOrInsert(keyed{r.Offset, r.Key})
	if r.Key != 0 {
		k.byKey.ReplaceOrInsert(keyed{r.Offset, r.Key})
	}
}

// head returns the first undecided record of a key.
func (k *keys) head(key uint64) (head Offset, ok bool) {
	k.byKey.AscendGreaterOrEqual(keyed{0, key}, func(r keyed) bool {
		head, ok = r.offset, r.key == key
		return false
	})
	return head, ok
}

// busy says whether a record of a key would have to wait for one before it.
func (k *keys) busy(key uint64) bool {
	if key == 0 {
		return false
	}
	_, busy := k.head(key)
	return busy
}

// placed follows the state of a run's records.
func (k *keys) placed(p *Partition, r Run) {
	if !r.undecided() && r.First <= k.known {
		k.known = max(k.known, r.Last+1)
	}
	k.found = k.found[:0]
	k.byOffset.AscendRange(keyed{offset: r.First}, keyed{offset: r.Last + 1}, func(record keyed) bool {
		k.found = append(k.found, record)
		return true
	})
	for _, record := range k.found {
		switch {
		case !r.undecided():
			k.decided(p, record)
		case r.ready():
			k.release(record)
		default:
			k.free.Delete(record.offset)
		}
	}
}

// release makes a record free if it is the first of its key.
func (k *keys) release(r keyed) {
	if head, _ := k.head(r.key); r.key == 0 || head == r.offset {
		k.free.ReplaceOrInsert(r.offset)
	}
}

// decided forgets a record, and frees the next of its key.
func (k *keys) decided(p *Partition, r keyed) {
	k.free.Delete(r.offset)
	k.byOffset.Delete(r)
	if r.key == 0 {
		return
	}
	k.byKey.Delete(r)
	if next, ok := k.head(r.key); ok {
		if at, tracked := p.At(next); tracked && at.ready() {
			k.free.ReplaceOrInsert(next)
		}
	}
}

// missing returns the range of undecided records whose keys are not known.
func (k *keys) missing(p *Partition) (from, to Offset, ok bool) {
	k.known = max(k.known, p.start)
	for k.known < p.end {
		r, _ := p.At(k.known)
		if r.undecided() {
			return k.known, p.end, true
		}
		k.known = r.Last + 1
	}
	return 0, 0, false
}
