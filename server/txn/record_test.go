package txn

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
)

// golden are records as they lie on disks.
var golden = []struct {
	record record
	hex    string
}{
	{
		transactionChanged{"tx", Transaction{
			Status: PrepareCommit, ProducerID: 1000, PreviousProducerID: 1000, NextProducerID: 2000, Epoch: 32767, LastEpoch: 32766,
			Timeout: 60_000, StartTime: 1_700_000_000_000, UpdateTime: 1_700_000_000_500, Version: 2,
		}},
		"4001 02 7478 02 d00f d00f a01f feff03 fcff03 c0a907 80a0abfef962 e8a7abfef962 02",
	},
	{
		transactionChanged{"", Transaction{PreviousProducerID: -1, NextProducerID: -1, LastEpoch: -1, StartTime: -1}},
		"4001 00 00 00 01 01 00 01 00 01 00 00",
	},
	{
		partitionsAdded{id: "tx", metadata: 300, partitions: []Partition{{Topic: [16]byte{1, 15: 2}, Partition: 7}, {Topic: [16]byte{15: 1}}}},
		"4101 02 7478 ac02 02 01000000000000000000000000000002 0e 00000000000000000000000000000001 00",
	},
	{transactionDeleted{"tx"}, "4201 02 7478"},
}

func TestRecordsOnDisk(t *testing.T) {
	for _, test := range golden {
		want, err := hex.DecodeString(strings.ReplaceAll(test.hex, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := encodeRecord(test.record); !bytes.Equal(got, want) {
			t.Errorf("%#v\nis   %x\nwant %x", test.record, got, want)
		}
		read, err := decodeRecord(want)
		if err != nil || !reflect.DeepEqual(read, test.record) {
			t.Errorf("%x\nreads %#v, %v\nwant  %#v", want, read, err, test.record)
		}
		for n := range want { // cut short anywhere
			if r, err := decodeRecord(want[:n]); err == nil {
				t.Errorf("%d bytes of %x read %#v", n, want, r)
			}
		}
		if _, err := decodeRecord(append(bytes.Clone(want), 0)); err == nil {
			t.Errorf("%x00 reads", want)
		}
	}
}

func TestBadRecords(t *testing.T) {
	changed := encodeRecord(golden[0].record)
	later := bytes.Clone(changed)
	later[1] = 2
	status := bytes.Clone(changed)
	status[5] = byte(Dead)
	s := NewState()
	for what, b := range map[string][]byte{
		"a later version": later, "a status that no record has": status, "an unknown kind": {80, 1}, "nothing": nil,
		"a record of the groups": {1, 1, 0}, "more partitions than bytes": {0x41, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"an epoch of 17 bits": {0x40, 1, 0, 0, 0, 0, 0, 0x80, 0x80, 0x04, 0, 0, 0, 0, 0},
	} {
		if err := s.Replay(b); err == nil {
			t.Errorf("%s is replayed", what)
		}
	}
	if len(s.transactions) != 0 {
		t.Error("a bad record has an effect")
	}
}

func TestReplay(t *testing.T) {
	s := NewState()
	replay := func(r record) {
		t.Helper()
		if err := s.Replay(encodeRecord(r)); err != nil {
			t.Fatal(err)
		}
	}
	add := partitionsAdded{id: "tx", partitions: []Partition{topic("a", 0)}, metadata: 9}
	replay(add) // of an id that was deleted
	if len(s.transactions) != 0 || s.metadata != 9 {
		t.Errorf("%+v", s)
	}
	replay(transactionChanged{"tx", Transaction{Status: Empty}})
	replay(add)
	if n := len(s.transactions["tx"].partitions); n != 0 {
		t.Errorf("%d partitions without a transaction", n)
	}
	replay(transactionChanged{"tx", Transaction{Status: Ongoing}})
	replay(add)
	replay(transactionChanged{"tx", Transaction{Status: PrepareAbort}})
	if n := len(s.transactions["tx"].partitions); n != 1 {
		t.Errorf("%d partitions to end", n)
	}
	restored := NewState()
	if err := restored.Restore(s.Snapshot()); err != nil || !reflect.DeepEqual(restored, s) {
		t.Errorf("restored %+v, %v", restored, err)
	}
	replay(transactionChanged{"tx", Transaction{Status: CompleteAbort}})
	if n := len(s.transactions["tx"].partitions); n != 0 {
		t.Errorf("%d partitions after the end", n)
	}
	replay(transactionDeleted{"tx"})
	if len(s.transactions) != 0 {
		t.Error("deleted and there")
	}
}

func TestBadSnapshots(t *testing.T) {
	s := NewState()
	for _, b := range [][]byte{{}, {2}, {1}, {1, 0, 5}, {1, 0, 2, 80, 1}, {1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}} {
		if err := s.Restore(b); err == nil {
			t.Errorf("%x is restored", b)
		}
	}
	if err := s.Restore(nil); err != nil {
		t.Error(err)
	}
}

func FuzzReplay(f *testing.F) {
	for _, g := range golden {
		f.Add(encodeRecord(g.record))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := NewState()
		if s.Replay(b) == nil {
			again := NewState()
			if err := again.Restore(s.Snapshot()); err != nil || !bytes.Equal(again.Snapshot(), s.Snapshot()) {
				t.Errorf("%x does not survive a snapshot: %v", b, err)
			}
		}
		_ = s.Restore(b)
	})
}
