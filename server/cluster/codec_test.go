package cluster

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"balsa/raft"
)

func value(s string) *string { return &s }

func bound(v float64) *float64 { return &v }

// goldenRecords has one record of every kind and variant, with the bytes that it must have for ever.
var goldenRecords = []struct {
	name   string
	record Record
	bytes  string
}{
	{"cluster id", ClusterIDSet{"abc"}, "01 01 04 03616263"},
	{
		"broker",
		BrokerRegistered{Broker{
			ID: 300, Incarnation: [16]byte{1, 2, 15: 3}, Host: "h", Port: 9092, PeerAddress: "p:1", Rack: "r",
		}},
		"02 01 1d d804 01020000000000000000000000000003 0168 888e01 03703a31 0172",
	},
	{
		"topic",
		TopicCreated{Topic{
			ID: TopicID{9}, Name: "t", Partitions: []Partition{{Replicas: []raft.NodeID{1, 2}}, {Replicas: []raft.NodeID{2}}},
			Configs: map[string]string{"b": "2", "a": ""},
		}},
		"03 01 20 09000000000000000000000000000000 0174 02 02 02 04 01 04 02 0161 00 0162 0132",
	},
	{"topic deleted", TopicDeleted{TopicID{15: 7}}, "04 01 10 00000000000000000000000000000007"},
	{
		"partitions",
		PartitionsAdded{Topic: TopicID{9}, First: 2, Partitions: []Partition{{Replicas: []raft.NodeID{3}}}},
		"05 01 14 09000000000000000000000000000000 04 01 01 06",
	},
	{
		"topic config",
		ConfigChanged{Scope: ScopeTopic, Topic: TopicID{9}, Key: "k", Value: value("v")},
		"06 01 16 02 09000000000000000000000000000000 016b 01 0176",
	},
	{
		"broker config removed",
		ConfigChanged{Scope: ScopeBroker, Broker: raft.NoNode, Key: "k"},
		"06 01 05 04 01 016b 00",
	},
	{
		"group config empty",
		ConfigChanged{Scope: ScopeGroup, Group: "g", Key: "k", Value: value("")},
		"06 01 07 20 0167 016b 01 00",
	},
	{
		"subscription config",
		ConfigChanged{Scope: ScopeClientMetrics, Subscription: "m", Key: "k", Value: value("1")},
		"06 01 08 10 016d 016b 01 0131",
	},
	{"producer ids", ProducerIDsAllocated{1000}, "07 01 02 d00f"},
	{
		"partition moves",
		PartitionChanged{Topic: TopicID{9}, Number: 3, Partition: Partition{
			Replicas: []raft.NodeID{4, 2, 1}, Adding: []raft.NodeID{4}, Removing: []raft.NodeID{1}, Epoch: 70,
		}},
		"08 01 1b 09000000000000000000000000000000 06 8c01 03080402 0108 0102",
	},
	{
		"partition settled",
		PartitionChanged{Topic: TopicID{9}, Partition: Partition{Replicas: []raft.NodeID{300}, Epoch: 1}},
		"08 01 17 09000000000000000000000000000000 00 02 01d804 00 00",
	},
	{"broker unregistered", BrokerUnregistered{300}, "09 01 02 d804"},
	{"feature", FeatureSet{"group.version", 1}, "0a 01 0f 0d67726f75702e76657273696f6e 02"},
	{
		"quota",
		QuotaChanged{
			Entity: QuotaEntity{User: QuotaName{Match: QuotaNamed, Name: "u"}, ClientID: QuotaName{Match: QuotaDefault}},
			Key:    "k", Value: bound(1.5),
		},
		"0b 01 10 010175 02 00 016b 01 3ff8000000000000",
	},
	{
		"quota removed",
		QuotaChanged{Entity: QuotaEntity{IP: QuotaName{Match: QuotaNamed, Name: ""}}, Key: "k"},
		"0b 01 07 00 00 0100 016b 00",
	},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecordGolden(t *testing.T) {
	for _, g := range goldenRecords {
		t.Run(g.name, func(t *testing.T) {
			want := append([]byte{1}, unhex(t, g.bytes)...) // a list of one
			if got := appendRecords(nil, []Record{g.record}); !bytes.Equal(got, want) {
				t.Errorf("encoded\n %x, want\n %x", got, want)
			}
			got, err := decodeRecords(want)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, []Record{g.record}) {
				t.Errorf("decoded %+v, want %+v", got, g.record)
			}
		})
	}
}

func TestEntryGolden(t *testing.T) {
	e := Entry{Base: 5, Nonce: 0x0102030405060708, Records: []Record{ProducerIDsAllocated{1000}}}
	want := unhex(t, "01 0000000000000005 0102030405060708 01 070102d00f 21d8df84")
	if got := e.Encode(); !bytes.Equal(got, want) {
		t.Errorf("encoded\n %x, want\n %x", got, want)
	}
	got, err := DecodeEntry(want)
	if err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("decoded %+v, %v", got, err)
	}
}

func TestSnapshotGolden(t *testing.T) {
	img := NewImage().Apply(9, []Record{ClusterIDSet{"abc"}, ProducerIDsAllocated{1000}})
	want := unhex(t, "01 0000000000000009 02 01010403616263 070102d00f 45222f5e")
	if got := img.Snapshot(); !bytes.Equal(got, want) {
		t.Errorf("encoded\n %x, want\n %x", got, want)
	}
}

// TestEveryBitCounts flips each bit of an entry and of a snapshot: none may be read as if nothing had happened.
func TestEveryBitCounts(t *testing.T) {
	var records []Record
	for _, g := range goldenRecords[:3] {
		records = append(records, g.record)
	}
	entry := Entry{Base: 1, Nonce: 2, Records: records}.Encode()
	snapshot := NewImage().Apply(3, records).Snapshot()
	for i := range len(entry) * 8 {
		b := bytes.Clone(entry)
		b[i/8] ^= 1 << (i % 8)
		if _, err := DecodeEntry(b); err == nil {
			t.Fatalf("entry with bit %d flipped was read", i)
		}
	}
	for i := range len(snapshot) * 8 {
		b := bytes.Clone(snapshot)
		b[i/8] ^= 1 << (i % 8)
		if _, err := RestoreImage(b); err == nil {
			t.Fatalf("snapshot with bit %d flipped was restored", i)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, list := range map[string]string{
		"empty":                          "",
		"truncated":                      "01 07 01 02 d0",
		"a list longer than data":        "ff01 07 01 02 d00f",
		"unknown kind":                   "01 63 01 00",
		"unknown version":                "01 07 02 02 d00f",
		"body too long":                  "01 07 01 03 d00f00",
		"bytes after the list":           "01 07 01 02 d00f 00",
		"lying string":                   "01 01 01 02 ff61",
		"lying partitions":               "01 05 01 13 09000000000000000000000000000000 04 ff7f",
		"unknown config scope":           "01 06 01 05 05 01 016b 00",
		"config neither set nor removed": "01 06 01 05 04 01 016b 02",
		"broker id of 33 bits":           "01 06 01 09 04 8080808020 016b 00",
		"endless varint":                 "01 07 01 0b ffffffffffffffffffffff",
		"partition without replicas":     "01 08 01 15 09000000000000000000000000000000 00 02 00 00 00",
		"replica twice":                  "01 08 01 17 09000000000000000000000000000000 00 02 020202 00 00",
		"adding that is no replica":      "01 08 01 18 09000000000000000000000000000000 00 02 020204 0106 00",
		"all removed":                    "01 08 01 17 09000000000000000000000000000000 00 02 0102 00 0102",
		"all new":                        "01 08 01 17 09000000000000000000000000000000 00 02 0102 0102 00",
		"partition epoch 0":              "01 08 01 16 09000000000000000000000000000000 00 00 0102 00 00",
		"feature level of 17 bits":       "01 0a 01 05 0166 808008",
		"quota entity of unknown kind":   "01 0b 01 06 03 00 00 016b 00",
		"quota neither set nor removed":  "01 0b 01 06 00 00 00 016b 02",
		"quota not a number":             "01 0b 01 0e 00 00 00 016b 01 7ff8000000000001",
	} {
		if r, err := decodeRecords(unhex(t, list)); err == nil {
			t.Errorf("%s: decoded %+v", name, r)
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	topic := TopicCreated{Topic{ID: TopicID{1}, Name: "t"}}
	moved := Partition{Replicas: []raft.NodeID{2}, Epoch: 1}
	for name, records := range map[string][]Record{
		"topic twice":           {topic, topic},
		"name twice":            {topic, TopicCreated{Topic{ID: TopicID{2}, Name: "t"}}},
		"deletion":              {topic, TopicDeleted{TopicID{1}}},
		"partitions":            {topic, PartitionsAdded{Topic: TopicID{1}}},
		"stray topic config":    {ConfigChanged{Scope: ScopeTopic, Key: "k", Value: value("v")}},
		"two cluster ids":       {ClusterIDSet{"a"}, ClusterIDSet{"b"}},
		"partition of no topic": {PartitionChanged{Topic: TopicID{1}, Partition: moved}},
		"partition twice": {
			TopicCreated{Topic{ID: TopicID{1}, Name: "t", Partitions: []Partition{{Replicas: []raft.NodeID{1}}}}},
			PartitionChanged{Topic: TopicID{1}, Partition: moved},
			PartitionChanged{Topic: TopicID{1}, Partition: moved},
		},
		"producer ids twice":    {ProducerIDsAllocated{5}, ProducerIDsAllocated{4}},
		"negative producer ids": {ProducerIDsAllocated{-5}},
	} {
		e := encoder{}
		e.U8(formatVersion)
		e.U64(1)
		if _, err := RestoreImage(seal(appendRecords(e.B, records))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
}

// FuzzDecodeEntry: whatever the bytes, decoding returns; and what it accepts, it would write again with the same meaning.
func FuzzDecodeEntry(f *testing.F) {
	for _, g := range goldenRecords {
		f.Add(append(make([]byte, 16), append([]byte{1}, unhex(f, g.bytes)...)...))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = DecodeEntry(body) // as it comes, mostly a wrong checksum
		e, err := DecodeEntry(seal(append([]byte{formatVersion}, body...)))
		if err != nil {
			return
		}
		again, err := DecodeEntry(e.Encode())
		if err != nil {
			t.Fatalf("cannot read what was written: %v", err)
		}
		if !reflect.DeepEqual(e, again) {
			t.Fatalf("%+v became %+v", e, again)
		}
	})
}

// FuzzRestoreImage: whatever the bytes, restoring returns; and what it accepts is a state of which the snapshot is a fixed point.
func FuzzRestoreImage(f *testing.F) {
	for _, g := range goldenRecords {
		f.Add(append(make([]byte, 8), append([]byte{1}, unhex(f, g.bytes)...)...))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = RestoreImage(body)
		img, err := RestoreImage(seal(append([]byte{formatVersion}, body...)))
		if err != nil {
			return
		}
		again, err := RestoreImage(img.Snapshot())
		if err != nil {
			t.Fatalf("cannot restore what was saved: %v", err)
		}
		if !reflect.DeepEqual(img, again) {
			t.Fatalf("%+v became %+v", img, again)
		}
	})
}
