package eos

import (
	"errors"
	"fmt"
	"hash/crc32"
)

// Input is the identity of an input record: the Seq-th of its partition, counted from 0.
type Input struct {
	Partition int32
	Seq       int64
}

// Value is what the input topic holds for it.
func (in Input) Value() []byte { return fmt.Appendf(nil, "%d/%d", in.Partition, in.Seq) }

// errOutput means that a value of the output topic is not one that Transform made.
var errOutput = errors.New("damaged output")

// Transform is the workers' job: it makes the output value of an input value. The output goes to the partition with
// the number of the input's, so that the order of the inputs must be that of the outputs.
func Transform(input []byte) []byte {
	return fmt.Appendf(nil, "%s %08x", input, crc32.ChecksumIEEE(input))
}

// ParseOutput returns whose output a value is.
func ParseOutput(value []byte) (Input, error) {
	var in Input
	var sum uint32
	if _, err := fmt.Sscanf(string(value), "%d/%d %x", &in.Partition, &in.Seq, &sum); err != nil {
		return Input{}, fmt.Errorf("%w: %q: %w", errOutput, value, err)
	}
	if string(Transform(in.Value())) != string(value) {
		return Input{}, fmt.Errorf("%w: %q", errOutput, value)
	}
	return in, nil
}
