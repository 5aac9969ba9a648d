package handler

import (
	"fmt"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log"
	"balsa/raft"
	"balsa/server/cluster"
)

func TestFindCoordinator(t *testing.T) {
	for version := range int16(7) {
		w := newWorld(t)
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.Version, req.CoordinatorKey, req.CoordinatorKeys = version, "g", []string{"g"}
		find := func(kind int8) (int16, int32, string) {
			req.CoordinatorType = kind
			r := ask[*kmsg.FindCoordinatorResponse](w, req)
			if version >= 4 {
				c := r.Coordinators[0]
				return c.ErrorCode, c.NodeID, c.Host
			}
			return r.ErrorCode, r.NodeID, r.Host
		}
		if code, node, host := find(groupCoordinator); code != 0 || node != 2 || host != "b2" {
			t.Errorf("v%d: %d, node %d %s", version, code, node, host)
		}
		if version >= 1 {
			if code, node, _ := find(transactionCoordinator); code != 0 || node != 2 {
				t.Errorf("v%d, transactions: %d, node %d", version, code, node)
			}
			if code, node, _ := find(2); code != kerr.InvalidRequest.Code || node != -1 {
				t.Errorf("v%d, share: %d, node %d", version, code, node)
			}
		}
		w.leaders[replicaKey{cluster.CoordinatorTopic, 7}] = raft.Leadership{Leader: raft.NoNode}
		if code, node, _ := find(groupCoordinator); code != kerr.CoordinatorNotAvailable.Code || node != -1 {
			t.Errorf("v%d, no leader: %d, node %d", version, code, node)
		}
		w.leaders[replicaKey{cluster.CoordinatorTopic, 7}] = raft.Leadership{Leader: 3}
		if code, _, _ := find(groupCoordinator); code != kerr.CoordinatorNotAvailable.Code {
			t.Errorf("v%d, dead leader: %d", version, code)
		}
	}
}

func TestListOffsets(t *testing.T) {
	for version := int16(1); version <= 11; version++ {
		w := newWorld(t)
		w.replica(idT, 0).listed = log.TimestampedOffset{Timestamp: 1000, Offset: 7, Epoch: 5}
		list := func(topic string, partition int32, timestamp int64) kmsg.ListOffsetsResponseTopicPartition {
			req := kmsg.NewPtrListOffsetsRequest()
			req.Version, req.ReplicaID = version, -1
			rp := kmsg.NewListOffsetsRequestTopicPartition()
			rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = partition, timestamp, -1
			rt := kmsg.NewListOffsetsRequestTopic()
			rt.Topic, rt.Partitions = topic, []kmsg.ListOffsetsRequestTopicPartition{rp}
			req.Topics = []kmsg.ListOffsetsRequestTopic{rt}
			return ask[*kmsg.ListOffsetsResponse](w, req).Topics[0].Partitions[0]
		}
		for ts, since := range map[int64]int16{500: 1, -1: 1, -2: 1, -3: 7, -4: 8} {
			p := list("t", 0, ts)
			if version >= since && (p.ErrorCode != 0 || p.Offset != 7 || p.Timestamp != 1000) {
				t.Errorf("v%d, timestamp %d: %+v", version, ts, p)
			}
			if version < since && (p.ErrorCode != kerr.UnsupportedVersion.Code || p.Offset != -1) {
				t.Errorf("v%d, timestamp %d: %+v", version, ts, p)
			}
		}
		if p := list("t", 0, -5); version >= 9 && (p.ErrorCode != 0 || p.Offset != -1) {
			t.Errorf("v%d, tiered: %+v", version, p)
		}
		if p := list("t", 0, -6); (version >= 11) != (p.ErrorCode == 0) || p.Offset != -1 {
			t.Errorf("v%d, pending upload: %+v", version, p)
		}
		if p := list("t", 0, math.MinInt64); p.ErrorCode != kerr.UnsupportedVersion.Code {
			t.Errorf("v%d, nonsense: %+v", version, p)
		}
		if p := list("none", 0, -1); p.ErrorCode != kerr.UnknownTopicOrPartition.Code || p.Offset != -1 {
			t.Errorf("v%d, unknown topic: %+v", version, p)
		}
		w.replica(idT, 1).listErr = kerr.FencedLeaderEpoch
		if p := list("t", 1, -1); p.ErrorCode != kerr.FencedLeaderEpoch.Code || p.Offset != -1 {
			t.Errorf("v%d, fenced: %+v", version, p)
		}
	}
}

func TestOffsetForLeaderEpoch(t *testing.T) {
	w := newWorld(t)
	w.replica(idT, 0).commit(records(4))
	w.replica(idT, 1).listErr = kerr.UnknownLeaderEpoch
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.Version = 4
	rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
	rt.Topic = "t"
	for p := range int32(3) {
		rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		rp.Partition, rp.LeaderEpoch = p, 5
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{rt}
	ps := ask[*kmsg.OffsetForLeaderEpochResponse](w, req).Topics[0].Partitions
	if ps[0].ErrorCode != 0 || ps[0].LeaderEpoch != 5 || ps[0].EndOffset != 4 {
		t.Errorf("%+v", ps[0])
	}
	if ps[1].ErrorCode != kerr.UnknownLeaderEpoch.Code || ps[1].EndOffset != -1 {
		t.Errorf("%+v", ps[1])
	}
	if ps[2].ErrorCode != kerr.UnknownTopicOrPartition.Code || ps[2].LeaderEpoch != -1 {
		t.Errorf("%+v", ps[2])
	}
}

func TestDeleteRecords(t *testing.T) {
	w := newWorld(t)
	w.replica(idT, 1).deleteErr = kerr.OffsetOutOfRange
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Version, req.TimeoutMillis = 2, 1000
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = "t"
	for p := range int32(3) {
		rp := kmsg.NewDeleteRecordsRequestTopicPartition()
		rp.Partition, rp.Offset = p, 9
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = []kmsg.DeleteRecordsRequestTopic{rt}
	ps := ask[*kmsg.DeleteRecordsResponse](w, req).Topics[0].Partitions
	got := fmt.Sprint(ps[0].ErrorCode, ps[0].LowWatermark, ps[1].ErrorCode, ps[1].LowWatermark, ps[2].ErrorCode, ps[2].LowWatermark)
	if want := "0 9 1 -1 3 -1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDescribeLogDirs(t *testing.T) {
	w := newWorld(t)
	req := kmsg.NewPtrDescribeLogDirsRequest()
	req.Version = 4
	dir := ask[*kmsg.DescribeLogDirsResponse](w, req).Dirs[0]
	if dir.Dir != "/data" || dir.TotalBytes != 1000 || dir.UsableBytes != 400 {
		t.Errorf("%+v", dir)
	}
	// "lost" has a replica here too, by its assignment, but none is open; "far" has none.
	if len(dir.Topics) != 1 || dir.Topics[0].Topic != "t" || len(dir.Topics[0].Partitions) != 2 || dir.Topics[0].Partitions[1].Size != 123 {
		t.Errorf("%+v", dir.Topics)
	}
	rt := kmsg.NewDescribeLogDirsRequestTopic()
	rt.Topic, rt.Partitions = "t", []int32{1, 5, -1}
	req.Topics = []kmsg.DescribeLogDirsRequestTopic{rt}
	dir = ask[*kmsg.DescribeLogDirsResponse](w, req).Dirs[0]
	if len(dir.Topics) != 1 || len(dir.Topics[0].Partitions) != 1 || dir.Topics[0].Partitions[0].Partition != 1 {
		t.Errorf("asked for one: %+v", dir.Topics)
	}
	req.Topics = []kmsg.DescribeLogDirsRequestTopic{}
	if dir := ask[*kmsg.DescribeLogDirsResponse](w, req).Dirs[0]; len(dir.Topics) != 0 {
		t.Errorf("asked for none: %+v", dir.Topics)
	}
}

func TestDescribeCluster(t *testing.T) {
	w := newWorld(t)
	req := kmsg.NewPtrDescribeClusterRequest()
	req.Version, req.IncludeClusterAuthorizedOperations = 2, true
	req.EndpointType = brokerEndpoints
	r := ask[*kmsg.DescribeClusterResponse](w, req)
	if r.ErrorCode != 0 || r.ClusterID != "cluster" || r.ControllerID != 2 || len(r.Brokers) != 2 || r.ClusterAuthorizedOperations != 8096 {
		t.Errorf("%+v", r)
	}
	req.IncludeFencedBrokers = true
	if r := ask[*kmsg.DescribeClusterResponse](w, req); len(r.Brokers) != 3 || !r.Brokers[2].IsFenced || r.Brokers[0].IsFenced {
		t.Errorf("with fenced: %+v", r.Brokers)
	}
	req.EndpointType = 2
	if r := ask[*kmsg.DescribeClusterResponse](w, req); r.ErrorCode != kerr.MismatchedEndpointType.Code {
		t.Errorf("controllers: %+v", r)
	}
	req.EndpointType = 3
	if r := ask[*kmsg.DescribeClusterResponse](w, req); r.ErrorCode != kerr.UnsupportedEndpointType.Code {
		t.Errorf("neither: %+v", r)
	}
}

func TestInitProducerID(t *testing.T) {
	w := newWorld(t)
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.ProducerID, req.ProducerEpoch = 5, -1, -1
	for i := range int64(3) {
		r := ask[*kmsg.InitProducerIDResponse](w, req)
		if r.ErrorCode != 0 || r.ProducerID != 1000+i || r.ProducerEpoch != 0 {
			t.Fatalf("%+v", r)
		}
	}
	w.producerID = func() (int64, error) { return 0, fmt.Errorf("nobody: %w", kerr.CoordinatorLoadInProgress) }
	if r := ask[*kmsg.InitProducerIDResponse](w, req); r.ErrorCode != kerr.CoordinatorLoadInProgress.Code || r.ProducerID != -1 {
		t.Errorf("%+v", r)
	}
	// Half a producer is none, with or without a transactional id.
	req.ProducerID = 7
	if r := ask[*kmsg.InitProducerIDResponse](w, req); r.ErrorCode != kerr.InvalidRequest.Code || r.ProducerID != -1 {
		t.Errorf("%+v", r)
	}
}
