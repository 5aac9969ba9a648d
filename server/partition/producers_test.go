package partition

import (
	"errors"
	"math"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/log/batch"
)

func produced(epoch int16, sequence, count int32, base log.Offset) batch.Header {
	return batch.Header{
		BaseOffset: base, ProducerID: 1, ProducerEpoch: epoch, BaseSequence: sequence, LastOffsetDelta: count - 1,
		Count: count, MaxTimestamp: 1000 + int64(base),
	}
}

func TestProducerCheck(t *testing.T) {
	sixBatches := newProducerTable()
	for i := range int32(6) {
		sixBatches.applied(produced(3, 10*i, 10, log.Offset(100+10*i)))
	}
	atWrap := newProducerTable()
	atWrap.applied(produced(0, math.MaxInt32-4, 10, 50)) // its last record has sequence 4

	tests := map[string]struct {
		table     *producerTable
		h         batch.Header
		duplicate log.Offset // of the original; -1 none
		err       error
	}{
		"nothing known: any sequence":    {newProducerTable(), produced(0, 77, 1, 0), -1, nil},
		"the next":                       {sixBatches, produced(3, 60, 1, 0), -1, nil},
		"a gap":                          {sixBatches, produced(3, 61, 1, 0), -1, kerr.OutOfOrderSequenceNumber},
		"the last again":                 {sixBatches, produced(3, 50, 10, 0), 150, nil},
		"the fifth last again":           {sixBatches, produced(3, 10, 10, 0), 110, nil},
		"the sixth last is forgotten":    {sixBatches, produced(3, 0, 10, 0), -1, kerr.OutOfOrderSequenceNumber},
		"same start, another length":     {sixBatches, produced(3, 50, 9, 0), -1, kerr.OutOfOrderSequenceNumber},
		"older epoch":                    {sixBatches, produced(2, 60, 1, 0), -1, kerr.InvalidProducerEpoch},
		"newer epoch from 0":             {sixBatches, produced(4, 0, 1, 0), -1, nil},
		"newer epoch, not from 0":        {sixBatches, produced(4, 60, 1, 0), -1, kerr.OutOfOrderSequenceNumber},
		"after the wrap within a batch":  {atWrap, produced(0, 5, 1, 0), -1, nil},
		"the wrapped batch again":        {atWrap, produced(0, math.MaxInt32-4, 10, 0), 50, nil},
		"a gap after the wrap":           {atWrap, produced(0, 6, 1, 0), -1, kerr.OutOfOrderSequenceNumber},
		"before the wrap, not a repeat":  {atWrap, produced(0, math.MaxInt32, 1, 0), -1, kerr.OutOfOrderSequenceNumber},
		"another producer is not judged": {sixBatches, batch.Header{ProducerID: 2, BaseSequence: 9}, -1, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d, err := tt.table.producers[tt.h.ProducerID].check(tt.h, nil)
			if !errors.Is(err, tt.err) {
				t.Errorf("err = %v, want %v", err, tt.err)
			}
			got := log.Offset(-1)
			if d != nil {
				got = d.base
			}
			if got != tt.duplicate {
				t.Errorf("duplicate of %d, want %d", got, tt.duplicate)
			}
		})
	}
}

func TestLastSequenceAtWrap(t *testing.T) {
	atWrap := newProducerTable()
	atWrap.applied(produced(0, math.MaxInt32, 1, 0))
	if d, err := atWrap.producers[1].check(produced(0, 0, 1, 0), nil); d != nil || err != nil {
		t.Errorf("sequence 0 after MaxInt32: duplicate %v, err %v", d, err)
	}
}

func TestProducerTableSurvivesEncoding(t *testing.T) {
	want := newProducerTable()
	for i := range int64(20) {
		for j := range int32(i % 7) {
			h := produced(int16(i), j, 1, log.Offset(i)*10+log.Offset(j))
			h.ProducerID = i
			want.applied(h)
		}
	}
	got, err := decodeProducers(want.appendTo(nil), machineVersion)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.producers, want.producers) {
		t.Errorf("got  %+v\nwant %+v", got.producers, want.producers)
	}
}

func TestProducersExpireOnlyWhenIdle(t *testing.T) {
	table := newProducerTable()
	table.applied(produced(0, 0, 1, 0))
	other := produced(0, 0, 1, 1)
	other.ProducerID = 2
	table.applied(other)
	for i := range int32(10) {
		table.expire(5)
		table.applied(produced(0, i+1, 1, log.Offset(i+2)))
	}
	if table.producers[1] == nil {
		t.Error("a producer in use was forgotten")
	}
	if table.producers[2] != nil {
		t.Error("an idle producer was kept beyond its time")
	}
}

func FuzzDecodeProducers(f *testing.F) {
	table := newProducerTable()
	table.applied(produced(1, 5, 2, 9))
	f.Add(table.appendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		decoded, err := decodeProducers(b, machineVersion)
		if err != nil {
			return
		}
		again, err := decodeProducers(decoded.appendTo(nil), machineVersion)
		if err != nil || !reflect.DeepEqual(again.producers, decoded.producers) {
			t.Errorf("not stable: %v", err)
		}
	})
}
