package group

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

var (
	errBadSubscription = errors.New("not a consumer subscription")
	errBadAssignment   = errors.New("not a consumer assignment")
)

// consumerSubscription is what a consumer of the classic protocol says about itself (ConsumerProtocolSubscription).
type consumerSubscription struct {
	version int16
	topics  []string
	owned   map[string][]int32
	rackID  *string
}

// parseConsumerSubscription reads a consumer's subscription. The bytes come from a client: any are accepted without
// panicking, and no more is allocated than they hold.
func parseConsumerSubscription(b []byte) (consumerSubscription, error) {
	r := clientReader{b: b}
	s := consumerSubscription{version: r.i16()}
	for range r.count(2) {
		s.topics = append(s.topics, r.str())
	}
	r.bytes() // user data: between the clients
	if s.version >= 1 {
		s.owned = r.partitions()
	}
	if s.version >= 2 {
		r.i32() // generation
	}
	if s.version >= 3 {
		s.rackID = r.optional()
	}
	if r.failed || s.version < 0 {
		return consumerSubscription{}, errBadSubscription
	}
	return s, nil
}

// parseSubscription returns the topics of a consumer's subscription alone, which are the same in all versions. Consumers
// whose other fields cannot be read are understood that far.
func parseSubscription(b []byte) ([]string, error) {
	r := clientReader{b: b}
	version := r.i16()
	topics := []string{}
	for range r.count(2) {
		topics = append(topics, r.str())
	}
	if r.failed || version < 0 {
		return nil, errBadSubscription
	}
	return topics, nil
}

// parseAssignment reads what a consumer was assigned (ConsumerProtocolAssignment). Empty bytes are an empty assignment.
func parseAssignment(b []byte) (map[string][]int32, error) {
	if len(b) == 0 {
		return nil, nil
	}
	r := clientReader{b: b}
	version := r.i16()
	partitions := r.partitions()
	if r.failed || version < 0 {
		return nil, errBadAssignment
	}
	return partitions, nil
}

// appendAssignment encodes an assignment for a consumer that speaks a version of the protocol.
func appendAssignment(version int16, partitions map[string][]int32) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(len(partitions)))
	for _, topic := range slices.Sorted(maps.Keys(partitions)) {
		b = binary.BigEndian.AppendUint16(b, uint16(len(topic)))
		b = append(b, topic...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(partitions[topic])))
		for _, p := range partitions[topic] {
			b = binary.BigEndian.AppendUint32(b, uint32(p))
		}
	}
	return binary.BigEndian.AppendUint32(b, 0xffffffff) // no user data
}

// clientReader takes fields off bytes that a client made. After the first failure it returns zero values.
type clientReader struct {
	b      []byte
	failed bool
}

func (r *clientReader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.failed, r.b = true, nil
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *clientReader) i16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *clientReader) i32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *clientReader) str() string { return string(r.take(int(r.i16()))) }

func (r *clientReader) optional() *string {
	n := r.i16()
	if n < 0 || r.failed {
		return nil
	}
	s := string(r.take(int(n)))
	return &s
}

func (r *clientReader) bytes() {
	if n := r.i32(); n > 0 {
		r.take(int(n))
	}
}

// count takes the length of a list whose elements take at least `least` bytes each.
func (r *clientReader) count(least int) int {
	n := int(r.i32())
	if n < 0 || n > len(r.b)/least {
		r.failed, r.b = true, nil
		return 0
	}
	return n
}

func (r *clientReader) partitions() map[string][]int32 {
	m := map[string][]int32{}
	for range r.count(6) {
		topic := r.str()
		for range r.count(4) {
			m[topic] = append(m[topic], r.i32())
		}
	}
	return m
}
