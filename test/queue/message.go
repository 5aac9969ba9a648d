package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Kind says what happens to whoever gets a message.
type Kind uint8

// The kinds of messages. All but Plain are poison: nobody accepts them, so they must end in the dead-letter topic.
const (
	Plain     Kind = iota // can be processed
	Rejected              // is rejected by whoever gets it
	Returned              // is released by whoever gets it
	Hanging               // takes longer than the lock lasts
	Deadly                // kills the worker
	kindCount             // how many there are
)

func (k Kind) String() string {
	return [...]string{"plain", "rejected", "returned", "hanging", "deadly"}[k]
}

// Message is the identity of a message: the Seq-th of its producer, counted from 0.
type Message struct {
	Producer int32
	Seq      int64
	Kind     Kind
}

func (m Message) String() string {
	return fmt.Sprintf("%v message %d of producer %d", m.Kind, m.Seq, m.Producer)
}

const (
	valueMagic  = 0x71756575 // "queu"
	valueHeader = 4 + 4 + 8 + 1
	valueMin    = valueHeader + 4 // with the checksum at the end
)

// errValue means that a value is not one that AppendValue made.
var errValue = errors.New("damaged value")

// AppendValue appends the value of a message: its identity, filler, and a checksum over all.
func (m Message) AppendValue(v, filler []byte) []byte {
	start := len(v)
	v = binary.BigEndian.AppendUint32(v, valueMagic)
	v = binary.BigEndian.AppendUint32(v, uint32(m.Producer))
	v = binary.BigEndian.AppendUint64(v, uint64(m.Seq))
	v = append(v, byte(m.Kind))
	v = append(v, filler...)
	return binary.BigEndian.AppendUint32(v, crc32.ChecksumIEEE(v[start:]))
}

// ParseValue returns whose value it is, or an error when a bit of it changed.
func ParseValue(v []byte) (Message, error) {
	if len(v) < valueMin || binary.BigEndian.Uint32(v) != valueMagic {
		return Message{}, fmt.Errorf("%w: %d bytes without the mark", errValue, len(v))
	}
	body, sum := v[:len(v)-4], binary.BigEndian.Uint32(v[len(v)-4:])
	if crc32.ChecksumIEEE(body) != sum || v[16] >= byte(kindCount) {
		return Message{}, fmt.Errorf("%w: checksum or kind", errValue)
	}
	return Message{
		Producer: int32(binary.BigEndian.Uint32(v[4:])),
		Seq:      int64(binary.BigEndian.Uint64(v[8:])),
		Kind:     Kind(v[16]),
	}, nil
}
