package server

import (
	"errors"
	"fmt"

	"balsa/internal/wire"
	"balsa/server/cluster"
	"balsa/server/handler"
	"balsa/server/partition"
)

// markersService is the number under which brokers write each other's transaction markers.
const markersService uint8 = 10

// A request is: version 1, the number of markers, then for each topic id, partition, producer id and epoch, coordinator
// epoch, commit (1) or abort (0), transaction version. Its answer is: version 1, the number of markers, then for each an
// error code. Numbers are varints.
const (
	markersVersion = 1
	markerBytes    = 16 + 6 // the least that a marker takes
	codeBytes      = 1
)

var errMarkers = errors.New("malformed transaction markers")

func encodeMarkers(markers []handler.TransactionMarker) []byte {
	e := wire.Encoder{B: make([]byte, 0, 8+len(markers)*(markerBytes+8))}
	e.U8(markersVersion)
	e.Uvarint(uint64(len(markers)))
	for _, m := range markers {
		e.ID(m.Partition.Topic)
		e.Varint(int64(m.Partition.Partition))
		e.Varint(m.ProducerID)
		e.Varint(int64(m.ProducerEpoch))
		e.Varint(int64(m.CoordinatorEpoch))
		e.U8(boolByte(m.Commit))
		e.U8(byte(m.TransactionVersion))
	}
	return e.B
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func decodeMarkers(b []byte) ([]handler.TransactionMarker, error) {
	d := wire.Decoder{B: b}
	if v := d.U8(); d.Err == nil && v != markersVersion {
		return nil, fmt.Errorf("%w: version %d", errMarkers, v)
	}
	markers := make([]handler.TransactionMarker, d.Count(markerBytes))
	for i := range markers {
		markers[i] = handler.TransactionMarker{
			Partition: cluster.TopicPartition{Topic: d.ID(), Partition: d.I32()},
			Marker: partition.Marker{
				ProducerID: d.Varint(), ProducerEpoch: int16(d.I32()), CoordinatorEpoch: d.I32(), Commit: d.U8() == 1,
				TransactionVersion: int8(d.U8()),
			},
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", errMarkers, err)
	}
	return markers, nil
}

func encodeCodes(codes []int16) []byte {
	e := wire.Encoder{B: make([]byte, 0, 4+2*len(codes))}
	e.U8(markersVersion)
	e.Uvarint(uint64(len(codes)))
	for _, c := range codes {
		e.Varint(int64(c))
	}
	return e.B
}

// decodeCodes reads the answer to n markers or partitions.
func decodeCodes(b []byte, n int) ([]int16, error) {
	d := wire.Decoder{B: b}
	if v := d.U8(); d.Err == nil && v != markersVersion {
		return nil, fmt.Errorf("%w: answer of version %d", errMarkers, v)
	}
	codes := make([]int16, d.Count(codeBytes))
	for i := range codes {
		codes[i] = int16(d.I32())
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("%w: answer: %w", errMarkers, err)
	}
	if len(codes) != n {
		return nil, fmt.Errorf("%w: %d answers to %d", errMarkers, len(codes), n)
	}
	return codes, nil
}
