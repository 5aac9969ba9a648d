package protocol

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// randomShareFetch returns the same answer in our form and in kmsg's, and the records of each partition that has some.
func randomShareFetch(rng *rand.Rand, version int16) (ours ShareFetchResponse, theirs *kmsg.ShareFetchResponse, records [][]byte) {
	ours = ShareFetchResponse{
		ThrottleMillis: rng.Int32(), ErrorCode: int16(rng.Int32()), ErrorMessage: randomMessage(rng), LockMillis: rng.Int32(),
	}
	theirs = kmsg.NewPtrShareFetchResponse()
	theirs.Version, theirs.ThrottleMillis, theirs.ErrorCode = version, ours.ThrottleMillis, ours.ErrorCode
	theirs.ErrorMessage, theirs.AcquisitionLockTimeoutMillis = ours.ErrorMessage, ours.LockMillis
	for range rng.IntN(4) {
		t := ShareFetchTopic{TopicID: [16]byte{byte(rng.Int32()), 15: byte(rng.Int32())}}
		kt := kmsg.NewShareFetchResponseTopic()
		kt.TopicID = t.TopicID
		for range rng.IntN(4) {
			p, kp := randomSharePartition(rng)
			if len(kp.Records) > 0 {
				records = append(records, kp.Records)
			}
			t.Partitions, kt.Partitions = append(t.Partitions, p), append(kt.Partitions, kp)
		}
		ours.Topics, theirs.Topics = append(ours.Topics, t), append(theirs.Topics, kt)
	}
	for range rng.IntN(3) {
		n := NodeEndpoint{NodeID: rng.Int32(), Host: "broker.example", Port: 9092, Rack: randomMessage(rng)}
		kn := kmsg.NewShareFetchResponseNodeEndpoint()
		kn.NodeID, kn.Host, kn.Port, kn.Rack = n.NodeID, n.Host, n.Port, n.Rack
		ours.NodeEndpoints, theirs.NodeEndpoints = append(ours.NodeEndpoints, n), append(theirs.NodeEndpoints, kn)
	}
	return ours, theirs, records
}

func randomMessage(rng *rand.Rand) *string {
	if rng.IntN(2) == 0 {
		return nil
	}
	return kmsg.StringPtr(string(bytes.Repeat([]byte{'m'}, rng.IntN(200))))
}

func randomSharePartition(rng *rand.Rand) (ShareFetchPartition, kmsg.ShareFetchResponseTopicPartition) {
	p := NewShareFetchPartition(rng.Int32())
	p.ErrorCode, p.ErrorMessage = int16(rng.Int32()), randomMessage(rng)
	p.AcknowledgeErrorCode, p.AcknowledgeErrorMessage = int16(rng.Int32()), randomMessage(rng)
	if rng.IntN(2) == 0 {
		p.CurrentLeader, p.CurrentLeaderEpoch = rng.Int32(), rng.Int32()
	}
	kp := kmsg.NewShareFetchResponseTopicPartition()
	kp.Records = make([]byte, rng.IntN(2)*rng.IntN(200)) // often none; never null
	for i := range kp.Records {
		kp.Records[i] = byte(rng.Int32())
	}
	p.RecordBytes = int32(len(kp.Records))
	for range rng.IntN(3) {
		a := AcquiredRecords{FirstOffset: rng.Int64(), LastOffset: rng.Int64(), DeliveryCount: int16(rng.Int32())}
		ka := kmsg.NewShareFetchResponseTopicPartitionAcquiredRecord()
		ka.FirstOffset, ka.LastOffset, ka.DeliveryCount = a.FirstOffset, a.LastOffset, a.DeliveryCount
		p.Acquired, kp.AcquiredRecords = append(p.Acquired, a), append(kp.AcquiredRecords, ka)
	}
	kp.Partition, kp.ErrorCode, kp.ErrorMessage = p.Partition, p.ErrorCode, p.ErrorMessage
	kp.AcknowledgeErrorCode, kp.AcknowledgeErrorMessage = p.AcknowledgeErrorCode, p.AcknowledgeErrorMessage
	kp.CurrentLeader.LeaderID, kp.CurrentLeader.LeaderEpoch = p.CurrentLeader, p.CurrentLeaderEpoch
	return p, kp
}

// The hand-written encoding, with the records put into its holes, is kmsg's to the byte, in both versions.
func TestShareFetchEncodingMatchesKmsg(t *testing.T) {
	for version := int16(1); version <= 2; version++ {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, uint64(version)))
			for range 500 {
				ours, theirs, records := randomShareFetch(rng, version)
				frame, cuts, ok := AppendShareFetchResponse(nil, 77, &ours)
				if !ok || len(cuts) != len(records) {
					t.Fatalf("ok %v, %d cuts for %d record sets", ok, len(cuts), len(records))
				}
				if got, want := splice(frame, cuts, records), AppendResponse(nil, 77, theirs); !bytes.Equal(got, want) {
					t.Fatalf("got\n%x\nwant\n%x\nof %+v", got, want, theirs)
				}
			}
		})
	}
}

func TestShareFetchEncodingGolden(t *testing.T) {
	p := NewShareFetchPartition(1)
	p.RecordBytes, p.Acquired = 61, []AcquiredRecords{{FirstOffset: 5, LastOffset: 9, DeliveryCount: 2}}
	r := ShareFetchResponse{LockMillis: 30_000, Topics: []ShareFetchTopic{{TopicID: [16]byte{15: 7}, Partitions: []ShareFetchPartition{p}}}}
	frame, cuts, ok := AppendShareFetchResponse([]byte{0xaa}, 9, &r)
	before := "aa" + "0000008b" + "00000009" + "00" + "00000000" + "0000" + "00" + "00007530" + "02" + "00000000000000000000000000000007" + "02" +
		"00000001" + "0000" + "00" + "0000" + "00" + "ffffffff" + "ffffffff" + "00" + "3e"
	after := "02" + "0000000000000005" + "0000000000000009" + "0002" + "00" + "00" + "00" + "01" + "00"
	if got := fmt.Sprintf("%x", frame); got != before+after || !ok || len(cuts) != 1 || cuts[0] != len(before)/2 {
		t.Errorf("got %s, cuts %v; want %s", got, cuts, before+after)
	}
}

func TestShareFetchEncodingTooLarge(t *testing.T) {
	p := NewShareFetchPartition(0)
	p.RecordBytes = 1 << 30
	r := ShareFetchResponse{Topics: []ShareFetchTopic{{Partitions: []ShareFetchPartition{p, p}}}}
	if frame, _, ok := AppendShareFetchResponse([]byte{1}, 0, &r); ok || len(frame) != 1 {
		t.Errorf("a frame of more than 2 GiB was encoded: %d bytes", len(frame))
	}
	r.Topics[0].Partitions = r.Topics[0].Partitions[:1]
	if _, _, ok := AppendShareFetchResponse(nil, 0, &r); !ok {
		t.Error("a frame of 1 GiB was refused")
	}
}
