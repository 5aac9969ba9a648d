package batch

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The bytes are those of Kafka's EndTransactionMarker in a batch: what Java's and librdkafka's consumers look for.
func TestEndTransactionGolden(t *testing.T) {
	for name, tt := range map[string]struct {
		marker EndTransaction
		want   string
	}{
		"commit": {
			EndTransaction{ProducerID: 0x1122, ProducerEpoch: 3, CoordinatorEpoch: 7, Commit: true},
			"0000000000000000" + "00000042" + "00000000" + "02" + "65b3c312" + "0030" + "00000000" +
				"00000000000003e8" + "00000000000003e8" + "0000000000001122" + "0003" + "ffffffff" + "00000001" +
				"20" + "000000" + "08" + "00000001" + "0c" + "000000000007" + "00",
		},
		"abort": {
			EndTransaction{ProducerID: 0x1122, ProducerEpoch: 3, CoordinatorEpoch: 7},
			"0000000000000000" + "00000042" + "00000000" + "02" + "918d155a" + "0030" + "00000000" +
				"00000000000003e8" + "00000000000003e8" + "0000000000001122" + "0003" + "ffffffff" + "00000001" +
				"20" + "000000" + "08" + "00000000" + "0c" + "000000000007" + "00",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := tt.marker.Build(1000)
			if got := hex.EncodeToString(b); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if !b.CheckCRC() {
				t.Error("wrong CRC")
			}
			got, ok, err := ParseEndTransaction(b)
			if err != nil || !ok || got != tt.marker {
				t.Errorf("parsed %+v, %v, %v", got, ok, err)
			}
		})
	}
}

// franz-go's decoder, written from Kafka's message definitions, reads the same.
func TestEndTransactionAsOthersReadIt(t *testing.T) {
	b := EndTransaction{ProducerID: 5, ProducerEpoch: 1, CoordinatorEpoch: 9, Commit: true}.Build(1000)
	r := b.Records(1 << 10)
	defer r.Close()
	if !r.Next() {
		t.Fatal(r.Err())
	}
	var key kmsg.ControlRecordKey
	if err := key.ReadFrom(r.Record().Key); err != nil || key.Type != kmsg.ControlRecordKeyTypeCommit || key.Version != 0 {
		t.Errorf("key %+v, %v", key, err)
	}
	var value kmsg.EndTxnMarker
	if err := value.ReadFrom(r.Record().Value); err != nil || value.CoordinatorEpoch != 9 || value.Version != 0 {
		t.Errorf("value %+v, %v", value, err)
	}
}

func TestOtherControlRecords(t *testing.T) {
	control := func(key, value []byte) Batch {
		b, err := BuildRecords([]Record{{Key: key, Value: value}}, BuildOptions{Control: true})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	empty := EndTransaction{ProducerID: 1}.Build(1)
	empty = empty[:HeaderLen]
	empty.putHeader(1, 1, 1, BuildOptions{Control: true, Transactional: true})
	binary.BigEndian.PutUint32(empty[posCount:], 0)
	empty.seal()
	for name, tt := range map[string]struct {
		b   Batch
		err error
	}{
		"a leader change":       {control([]byte{0, 0, 0, 2}, []byte{0, 0}), nil},
		"emptied by compaction": {empty, nil},
		"a short key":           {control([]byte{0, 0, 0}, nil), ErrInvalidRecord},
		"no key":                {control(nil, nil), ErrInvalidRecord},
		"a short value":         {control([]byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 1}), ErrInvalidRecord},
	} {
		if _, ok, err := ParseEndTransaction(tt.b); ok || !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
}

func FuzzParseEndTransaction(f *testing.F) {
	f.Add([]byte(EndTransaction{ProducerID: 1, ProducerEpoch: 2, CoordinatorEpoch: 3, Commit: true}.Build(4)))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, ok, err := ParseEndTransaction(b)
		if ok && err != nil {
			t.Fatal("a marker with an error")
		}
		if !ok {
			return
		}
		again, ok, err := ParseEndTransaction(e.Build(1))
		if err != nil || !ok || again != e {
			t.Fatalf("%+v became %+v, %v, %v", e, again, ok, err)
		}
	})
}
