package log

import (
	"crypto/sha256"
	"encoding/binary"
)

// keyHash stands for a record's key. It is 128 bits of SHA-256, as long as Kafka's MD5: two keys with one hash would make
// compaction remove a record that it must keep, so nobody may be able to make such keys.
type keyHash [16]byte

func hashKey(key []byte) keyHash {
	sum := sha256.Sum256(key)
	return keyHash(sum[:])
}

// mapSlotSize is the memory of one slot of an offset map.
const mapSlotSize = 24

// offsetMap finds the last offset of each key (Kafka's SkimpyOffsetMap): a table of fixed size with open addressing, which
// holds hashes only, so that its memory does not depend on the keys.
type offsetMap struct {
	slots []mapSlot
	n     int
	most  int
}

type mapSlot struct {
	hash keyHash
	next Offset // the offset after the key's last record; 0 when the slot is free
}

// mapKeys is how many keys a map of so many bytes takes: a fifth stays free, so that searches are short.
func mapKeys(bytes int64) int { return int(bytes / mapSlotSize * 4 / 5) }

// newOffsetMap makes a map for so many keys.
func newOffsetMap(keys int) *offsetMap {
	return &offsetMap{slots: make([]mapSlot, keys*5/4+1), most: keys}
}

// slot returns the key's slot, or the free one where it belongs.
func (m *offsetMap) slot(h keyHash) *mapSlot {
	at := int(binary.BigEndian.Uint64(h[:]) % uint64(len(m.slots)))
	for m.slots[at].next != 0 && m.slots[at].hash != h {
		if at++; at == len(m.slots) {
			at = 0
		}
	}
	return &m.slots[at]
}

// put notes that the key has a record at o. Offsets come in order; the caller sees to it that there is room.
func (m *offsetMap) put(key []byte, o Offset) {
	h := hashKey(key)
	s := m.slot(h)
	if s.next == 0 {
		m.n++
		s.hash = h
	}
	s.next = o + 1
}

// last returns the offset of the key's last record, -1 when it has none.
func (m *offsetMap) last(key []byte) Offset { return m.slot(hashKey(key)).next - 1 }

// room says whether so many keys more have room.
func (m *offsetMap) room(keys int) bool { return m.n+keys <= m.most }
