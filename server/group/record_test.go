package group

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// goldenRecords are records as they are on disk. They must decode for ever; never change a line, only add.
var goldenRecords = []struct {
	name string
	hex  string
	want record
}{
	{
		"offset committed", "01010167017402" + "00000000000000000000000000000007" + "d209" + "06" + "046d657461" + "80a0d5edee66" + "01" + "09",
		offsetCommitted{"g", "t", 1, Offset{
			TopicID: [16]byte{15: 7}, Offset: 617, LeaderEpoch: 3, Metadata: "meta", CommitTime: 1767225600000, ExpireTime: noTime,
		}, 9},
	},
	{"offset deleted", "0201016701740a", offsetDeleted{"g", "t", 5}},
	{
		"group stored", "030101670408636f6e73756d65720572616e676503612d31" + "80a0d5edee66" + "01" +
			"03612d31" + "0369" + "31" + "0161" + "0a2f3132372e302e302e31" + "c0a907" + "a09c01" + "027362" + "0161",
		groupStored{"g", Membership{
			Generation: 2, ProtocolType: "consumer", Protocol: "range", Leader: "a-1", StateTime: 1767225600000,
			Members: []Member{{
				ID: "a-1", InstanceID: text("i1"), ClientID: "a", ClientHost: "/127.0.0.1",
				RebalanceTimeout: 60000, SessionTimeout: 10000, Subscription: []byte("sb"), Assignment: []byte("a"),
			}},
		}},
	},
	{"empty group stored", "0301016706000000" + "01" + "00", groupStored{"g", Membership{Generation: 3, StateTime: noTime}}},
	{"group deleted", "04010167", groupDeleted{"g"}},
	{
		"offset pending", "05018e3e06" + "0167017402" + "00000000000000000000000000000007" + "d209" + "06" + "046d657461" + "80a0d5edee66" + "01" + "09",
		offsetPending{3975, 3, offsetCommitted{"g", "t", 1, Offset{
			TopicID: [16]byte{15: 7}, Offset: 617, LeaderEpoch: 3, Metadata: "meta", CommitTime: 1767225600000, ExpireTime: noTime,
		}, 9}},
	},
	{"transaction ended", "06018e3e08040180a0d5edee66", transactionEnded{3975, 4, 2, true, 1767225600000}},
	{"producer forgotten", "07018e3e", producerForgotten{3975}},
	{
		"consumer group stored", "080101670a080102030405060708",
		consumerGroupStored{"g", 5, 4, 0x0102030405060708},
	},
	{
		"consumer member stored", "09010167016d0269000163022f68c0a907020174017503782e2a0572616e676500",
		consumerMemberStored{"g", memberSubscription{
			id: "m", instanceID: text("i"), client: Client{"c", "/h"}, rebalanceTimeout: 60000, topics: []string{"t", "u"},
			regex: "x.*", assignor: "range",
		}},
	},
	{
		"classic member of a consumer group stored", "09010167016d0002720163022f68c0a907010174000001a09c01010572616e6765027362",
		consumerMemberStored{"g", memberSubscription{
			id: "m", rackID: text("r"), client: Client{"c", "/h"}, rebalanceTimeout: 60000, topics: []string{"t"},
			classic: &classicSubscription{10000, []protocol{{"range", []byte("sb")}}},
		}},
	},
	{
		"consumer target stored", "0a010167016d0100000000000000000000000000000007020004",
		consumerTargetStored{"g", "m", assignment{topicID{15: 7}: {0, 2}}},
	},
	{
		"consumer assignment stored", "0b010167016d0604010100000000000000000000000000000007010004010000000000000000000000000000000801d80402",
		consumerAssignmentStored{"g", "m", memberAssignment{
			3, 2, memberRevoking, ownership{topicID{15: 7}: {0: 2}}, ownership{topicID{15: 8}: {300: 1}},
		}},
	},
	{
		"consumer member removed", "0c010167016d",
		consumerMemberRemoved{"g", "m"},
	},
	{
		"share group stored", "0d0101670a080102030405060708",
		shareGroupStored{"g", 5, 4, 0x0102030405060708},
	},
	{
		"share member stored", "0e010167016d02720163022f680201740175",
		shareMemberStored{"g", shareSubscription{id: "m", rackID: text("r"), client: Client{"c", "/h"}, topics: []string{"t", "u"}}},
	},
	{
		"share target stored", "0f010167016d0100000000000000000000000000000007020004",
		shareTargetStored{"g", "m", assignment{topicID{15: 7}: {0, 2}}},
	},
	{
		"share assignment stored", "10010167016d06040100000000000000000000000000000007020004",
		shareAssignmentStored{"g", "m", shareAssignment{3, 2, assignment{topicID{15: 7}: {0, 2}}}},
	},
	{
		"share member removed", "11010167016d",
		shareMemberRemoved{"g", "m"},
	},
	{
		"share partitions moved", "1201016702010000000000000000000000000000000702000409",
		sharePartitionsMoved{"g", shareInitialized, assignment{topicID{15: 7}: {0, 2}}, 9},
	},
}

func text(s string) *string { return &s }

func TestRecordGolden(t *testing.T) {
	for _, g := range goldenRecords {
		t.Run(g.name, func(t *testing.T) {
			if got := hex.EncodeToString(encodeRecord(g.want)); got != g.hex {
				t.Errorf("encoded\n got %s\nwant %s", got, g.hex)
			}
			b, err := hex.DecodeString(g.hex)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeRecord(b)
			if err != nil || !reflect.DeepEqual(got, g.want) {
				t.Errorf("decoded\n got %+v, %v\nwant %+v", got, err, g.want)
			}
			for n := range b {
				if r, err := decodeRecord(b[:n]); err == nil {
					t.Errorf("the first %d of %d bytes decoded to %+v", n, len(b), r)
				}
			}
			if _, err := decodeRecord(append(b, 0)); err == nil {
				t.Error("a byte too many was accepted")
			}
		})
	}
}

func TestRecordRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":           {},
		"unknown kind":      {99, recordVersion},
		"unknown state":     {byte(recordSharePartitionsMoved), recordVersion, 1, 'g', byte(sharePartitionStates), 0, 0},
		"later version":     {byte(recordGroupDeleted), recordVersion + 1, 1, 'g'},
		"kind zero":         {0, recordVersion},
		"a lying count":     {byte(recordGroupStored), recordVersion, 1, 'g', 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xf},
		"a lying length":    {byte(recordGroupDeleted), recordVersion, 0xff, 0xff, 0xff, 0xff, 0xf, 'g'},
		"an endless varint": {byte(recordGroupDeleted), recordVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewState()
			if err := s.Replay(b); err == nil {
				t.Error("accepted")
			}
			if !bytes.Equal(s.Snapshot(), NewState().Snapshot()) {
				t.Error("a refused record changed the state")
			}
		})
	}
}

func FuzzRecord(f *testing.F) {
	for _, g := range goldenRecords {
		f.Add(encodeRecord(g.want))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b)
		if err != nil {
			return
		}
		// Varints have several encodings; what was read must be written and read as the same.
		again, err := decodeRecord(encodeRecord(r))
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("read %+v, after encoding %+v (%v)", r, again, err)
		}
		s := NewState()
		r.apply(s)
		restored := NewState()
		if err := restored.Restore(s.Snapshot()); err != nil {
			t.Fatalf("restore: %v", err)
		}
		if !bytes.Equal(restored.Snapshot(), s.Snapshot()) {
			t.Fatal("restored state differs")
		}
	})
}

func FuzzSnapshot(f *testing.F) {
	s := NewState()
	for _, g := range goldenRecords[:3] {
		g.want.apply(s)
	}
	f.Add(s.Snapshot())
	for _, g := range goldenRecords {
		g.want.apply(s)
	}
	f.Add(s.Snapshot())
	f.Add(NewState().Snapshot())
	f.Fuzz(func(t *testing.T, b []byte) {
		s := NewState()
		before := s.Snapshot()
		if err := s.Restore(b); err != nil {
			if !bytes.Equal(s.Snapshot(), before) {
				t.Fatal("a refused snapshot changed the state")
			}
			return
		}
		again := NewState()
		if err := again.Restore(s.Snapshot()); err != nil || !bytes.Equal(again.Snapshot(), s.Snapshot()) {
			t.Fatalf("a snapshot of a restored state restores to another (%v)", err)
		}
	})
}

func FuzzSubscription(f *testing.F) {
	f.Add(subscription("t", "u"))
	f.Add(subscription())
	f.Add([]byte{0, 1, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 1, 't'})
	f.Fuzz(func(t *testing.T, b []byte) {
		topics, err := parseSubscription(b)
		if err == nil && len(topics) > len(b)/2 {
			t.Fatalf("%d topics in %d bytes", len(topics), len(b))
		}
	})
}

func FuzzConsumerProtocol(f *testing.F) {
	f.Add(subscription("t", "u"))
	f.Add(appendAssignment(3, map[string][]int32{"t": {0, 1}, "u": {2}}))
	f.Add([]byte{0, 3, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 'r'})
	f.Add([]byte{0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 1, 't'})
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseConsumerSubscription(b); err == nil && len(s.topics) > len(b)/2 {
			t.Fatalf("%d topics in %d bytes", len(s.topics), len(b))
		}
		a, err := parseAssignment(b)
		if err != nil {
			return
		}
		again, err := parseAssignment(appendAssignment(1, a))
		if err != nil || !reflect.DeepEqual(again, a) && len(again)+len(a) > 0 {
			t.Fatalf("%v was read back as %v (%v)", a, again, err)
		}
	})
}

func TestConsumerProtocol(t *testing.T) {
	s := kmsg.NewConsumerMemberMetadata()
	s.Version, s.Topics, s.UserData, s.Generation, s.Rack = 3, []string{"t", "u"}, []byte("x"), 5, text("r")
	s.OwnedPartitions = []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: "t", Partitions: []int32{0, 2}}}
	got, err := parseConsumerSubscription(s.AppendTo(nil))
	want := consumerSubscription{3, []string{"t", "u"}, map[string][]int32{"t": {0, 2}}, text("r")}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	var a kmsg.ConsumerMemberAssignment
	if err := a.ReadFrom(appendAssignment(1, map[string][]int32{"u": {2}, "t": {0, 1}})); err != nil {
		t.Fatal(err)
	}
	if a.Version != 1 || len(a.Topics) != 2 || a.Topics[0].Topic != "t" || len(a.Topics[0].Partitions) != 2 || a.Topics[1].Topic != "u" {
		t.Errorf("%+v", a)
	}
}

func TestSubscription(t *testing.T) {
	got, err := parseSubscription(subscription("t", "uvw", ""))
	if err != nil || !reflect.DeepEqual(got, []string{"t", "uvw", ""}) {
		t.Errorf("got %q, %v", got, err)
	}
	for _, b := range [][]byte{nil, {0}, {0xff, 0xff, 0, 0, 0, 0}, {0, 0, 0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 0, 0, 1, 0, 9, 'x'}} {
		if got, err := parseSubscription(b); err == nil {
			t.Errorf("%x was read as %q", b, got)
		}
	}
}
