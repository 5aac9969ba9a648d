package crash

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
)

// ID says which record a value is: the seq-th that a producer wrote to a partition, counted from 0.
type ID struct {
	Partition int32
	Producer  int32
	Seq       int64
}

func (id ID) String() string {
	return fmt.Sprintf("record %d of producer %d in partition %d", id.Seq, id.Producer, id.Partition)
}

const (
	valueMagic  = 0x62616c7361 // "balsa"
	valueHeader = 8 + 4 + 4 + 8
	valueMin    = valueHeader + 4 // with the checksum at the end
)

// errValue means that a value is not one that EncodeValue made.
var errValue = errors.New("damaged value")

// EncodeValue makes the value of a record: its identity, filler of random length up to maxFiller, and a checksum over all.
func EncodeValue(id ID, maxFiller int, rng *rand.Rand) []byte {
	v := make([]byte, 0, valueMin+maxFiller)
	v = binary.BigEndian.AppendUint64(v, valueMagic)
	v = binary.BigEndian.AppendUint32(v, uint32(id.Partition))
	v = binary.BigEndian.AppendUint32(v, uint32(id.Producer))
	v = binary.BigEndian.AppendUint64(v, uint64(id.Seq))
	for n := rng.IntN(maxFiller + 1); n > 0; n-- {
		v = append(v, byte(rng.Uint32()))
	}
	return binary.BigEndian.AppendUint32(v, crc32.ChecksumIEEE(v))
}

// DecodeValue returns whose value it is, or an error when a bit of it changed.
func DecodeValue(v []byte) (ID, error) {
	if len(v) < valueMin || binary.BigEndian.Uint64(v) != valueMagic {
		return ID{}, fmt.Errorf("%w: %d bytes without the mark", errValue, len(v))
	}
	body, sum := v[:len(v)-4], binary.BigEndian.Uint32(v[len(v)-4:])
	if crc32.ChecksumIEEE(body) != sum {
		return ID{}, fmt.Errorf("%w: checksum", errValue)
	}
	return ID{
		Partition: int32(binary.BigEndian.Uint32(v[8:])),
		Producer:  int32(binary.BigEndian.Uint32(v[12:])),
		Seq:       int64(binary.BigEndian.Uint64(v[16:])),
	}, nil
}
