package protocol

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// randomFetch returns the same answer in our form and in kmsg's, and the records of each partition that has some.
func randomFetch(rng *rand.Rand, version int16) (ours FetchResponse, theirs *kmsg.FetchResponse, records [][]byte) {
	ours = FetchResponse{Version: version, ThrottleMillis: rng.Int32()}
	if version >= 7 {
		ours.ErrorCode, ours.SessionID = int16(rng.Int32()), rng.Int32()
	}
	theirs = kmsg.NewPtrFetchResponse()
	theirs.Version, theirs.ThrottleMillis, theirs.ErrorCode, theirs.SessionID = version, ours.ThrottleMillis, ours.ErrorCode, ours.SessionID
	for range rng.IntN(4) {
		t := FetchTopic{}
		if version <= 12 {
			t.Topic = string(bytes.Repeat([]byte{'t'}, rng.IntN(249)))
		} else {
			t.TopicID = [16]byte{byte(rng.Int32()), 15: byte(rng.Int32())}
		}
		kt := kmsg.NewFetchResponseTopic()
		kt.Topic, kt.TopicID = t.Topic, t.TopicID
		for range rng.IntN(4) {
			p, kp := randomPartition(rng, version)
			if len(kp.RecordBatches) > 0 {
				records = append(records, kp.RecordBatches)
			}
			t.Partitions = append(t.Partitions, p)
			kt.Partitions = append(kt.Partitions, kp)
		}
		ours.Topics = append(ours.Topics, t)
		theirs.Topics = append(theirs.Topics, kt)
	}
	if version >= 16 {
		for range rng.IntN(3) {
			n := NodeEndpoint{NodeID: rng.Int32(), Host: "broker.example", Port: 9092}
			if rng.IntN(2) == 0 {
				n.Rack = kmsg.StringPtr("rack")
			}
			ours.NodeEndpoints = append(ours.NodeEndpoints, n)
			kb := kmsg.NewFetchResponseBroker()
			kb.NodeID, kb.Host, kb.Port, kb.Rack = n.NodeID, n.Host, n.Port, n.Rack
			theirs.Brokers = append(theirs.Brokers, kb)
		}
	}
	return ours, theirs, records
}

func randomPartition(rng *rand.Rand, version int16) (FetchPartition, kmsg.FetchResponseTopicPartition) {
	p := NewFetchPartition(rng.Int32())
	p.ErrorCode = int16(rng.Int32())
	p.HighWatermark, p.LastStableOffset, p.LogStartOffset = rng.Int64(), rng.Int64(), rng.Int64()
	p.PreferredReadReplica = rng.Int32()
	if version >= 12 && rng.IntN(2) == 0 {
		p.DivergingEpoch, p.DivergingEnd = rng.Int32(), rng.Int64()
	}
	if version >= 12 && rng.IntN(2) == 0 {
		p.CurrentLeader, p.CurrentLeaderEpoch = rng.Int32(), rng.Int32()
	}
	kp := kmsg.NewFetchResponseTopicPartition()
	if rng.IntN(2) == 0 {
		p.Aborted, kp.AbortedTransactions = []AbortedTransaction{}, []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
		for range rng.IntN(3) {
			a := AbortedTransaction{ProducerID: rng.Int64(), FirstOffset: rng.Int64()}
			ka := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
			ka.ProducerID, ka.FirstOffset = a.ProducerID, a.FirstOffset
			p.Aborted, kp.AbortedTransactions = append(p.Aborted, a), append(kp.AbortedTransactions, ka)
		}
	}
	kp.RecordBatches = make([]byte, rng.IntN(2)*rng.IntN(200)) // often none; never null
	for i := range kp.RecordBatches {
		kp.RecordBatches[i] = byte(rng.Int32())
	}
	p.RecordBytes = int32(len(kp.RecordBatches))
	kp.Partition, kp.ErrorCode, kp.PreferredReadReplica = p.Partition, p.ErrorCode, p.PreferredReadReplica
	kp.HighWatermark, kp.LastStableOffset, kp.LogStartOffset = p.HighWatermark, p.LastStableOffset, p.LogStartOffset
	kp.DivergingEpoch.Epoch, kp.DivergingEpoch.EndOffset = p.DivergingEpoch, p.DivergingEnd
	kp.CurrentLeader.LeaderID, kp.CurrentLeader.LeaderEpoch = p.CurrentLeader, p.CurrentLeaderEpoch
	return p, kp
}

// The hand-written encoding, with the records put into its holes, is kmsg's to the byte, in every version that is served.
func TestFetchEncodingMatchesKmsg(t *testing.T) {
	for version := int16(4); version <= 18; version++ {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, uint64(version)))
			for range 500 {
				ours, theirs, records := randomFetch(rng, version)
				frame, cuts, ok := AppendFetchResponse(nil, 77, &ours)
				if !ok || len(cuts) != len(records) {
					t.Fatalf("ok %v, %d cuts for %d record sets", ok, len(cuts), len(records))
				}
				got := splice(frame, cuts, records)
				want := AppendResponse(nil, 77, theirs)
				if !bytes.Equal(got, want) {
					t.Fatalf("got\n%x\nwant\n%x\nof %+v", got, want, theirs)
				}
				back := kmsg.NewPtrFetchResponse()
				back.Version = version
				header := 8
				if version >= 12 {
					header++
				}
				if err := back.ReadFrom(got[header:]); err != nil {
					t.Fatalf("read back: %v", err)
				}
			}
		})
	}
}

func splice(frame []byte, cuts []int, records [][]byte) []byte {
	var out []byte
	from := 0
	for i, cut := range cuts {
		out = append(out, frame[from:cut]...)
		out = append(out, records[i]...)
		from = cut
	}
	return append(out, frame[from:]...)
}

func TestFetchEncodingGolden(t *testing.T) {
	p := NewFetchPartition(1)
	p.HighWatermark, p.LastStableOffset, p.LogStartOffset, p.RecordBytes = 3, 3, 0, 61
	r := FetchResponse{Version: 4, Topics: []FetchTopic{{Topic: "t", Partitions: []FetchPartition{p}}}}
	frame, cuts, ok := AppendFetchResponse(nil, 9, &r)
	want := "0000006e" + "00000009" + "00000000" + "00000001" + "000174" + "00000001" +
		"00000001" + "0000" + "0000000000000003" + "0000000000000003" + "ffffffff" + "0000003d"
	if got := fmt.Sprintf("%x", frame); got != want || !ok || len(cuts) != 1 || cuts[0] != len(frame) {
		t.Errorf("got %s, cuts %v; want %s", got, cuts, want)
	}
}

func TestFetchEncodingTooLarge(t *testing.T) {
	p := NewFetchPartition(0)
	p.RecordBytes = 1 << 30
	r := FetchResponse{Version: 4, Topics: []FetchTopic{{Partitions: []FetchPartition{p, p}}}}
	if _, _, ok := AppendFetchResponse(nil, 0, &r); ok {
		t.Error("a frame of more than 2 GiB was encoded")
	}
	r.Topics[0].Partitions = r.Topics[0].Partitions[:1]
	frame, _, ok := AppendFetchResponse(nil, 0, &r)
	if n := binary.BigEndian.Uint32(frame); !ok || n != uint32(1<<30+len(frame)-4) {
		t.Errorf("length %d, ok %v", n, ok)
	}
}
