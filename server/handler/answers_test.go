package handler

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
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
	blocks := int64(0)
	w.control = func(req kmsg.Request) (kmsg.Response, error) {
		r, _ := req.(*kmsg.AllocateProducerIDsRequest)
		if r.BrokerID != 1 {
			t.Errorf("asked as broker %d", r.BrokerID)
		}
		resp, _ := r.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
		resp.ProducerIDStart, resp.ProducerIDLen = 1000+blocks*10, 10
		blocks++
		return resp, nil
	}
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.ProducerID, req.ProducerEpoch = 5, -1, -1
	for i := range int64(25) {
		r := ask[*kmsg.InitProducerIDResponse](w, req)
		if r.ErrorCode != 0 || r.ProducerID != 1000+i || r.ProducerEpoch != 0 {
			t.Fatalf("%+v", r)
		}
	}
	if blocks != 3 {
		t.Errorf("%d blocks for 25 ids of blocks of 10", blocks)
	}
	for id, want := range map[string]int16{"tx": kerr.UnsupportedVersion.Code, "": kerr.InvalidRequest.Code} {
		req.TransactionalID = &id
		if r := ask[*kmsg.InitProducerIDResponse](w, req); r.ErrorCode != want || r.ProducerID != -1 {
			t.Errorf("transactional id %q: %+v", id, r)
		}
	}
}

func TestInitProducerIDFails(t *testing.T) {
	bad := kmsg.NewPtrAllocateProducerIDsResponse()
	bad.ErrorCode = kerr.NotController.Code
	empty := kmsg.NewPtrAllocateProducerIDsResponse()
	for _, control := range []func(kmsg.Request) (kmsg.Response, error){
		func(kmsg.Request) (kmsg.Response, error) { return nil, errors.New("nobody") },
		func(kmsg.Request) (kmsg.Response, error) { return bad, nil },
		func(kmsg.Request) (kmsg.Response, error) { return empty, nil },
	} {
		w := newWorld(t)
		w.control = control
		r := ask[*kmsg.InitProducerIDResponse](w, kmsg.NewPtrInitProducerIDRequest())
		if r.ErrorCode != kerr.CoordinatorLoadInProgress.Code || r.ProducerID != -1 {
			t.Errorf("%+v", r)
		}
	}
}

// Nobody gets an id that another got, and giving up does not lose one.
func TestProducerIDsAreUnique(t *testing.T) {
	w := newWorld(t)
	start := int64(0)
	w.control = func(kmsg.Request) (kmsg.Response, error) {
		resp := kmsg.NewPtrAllocateProducerIDsResponse()
		resp.ProducerIDStart, resp.ProducerIDLen = start, 3
		start += 3
		return resp, nil
	}
	ids := newProducerIDs(1, w)
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := make(map[int64]bool)
	for range 100 {
		wg.Go(func() {
			id, err := ids.next(context.Background())
			mu.Lock()
			defer mu.Unlock()
			if err != nil || seen[id] {
				t.Errorf("id %d, %v", id, err)
			}
			seen[id] = true
		})
	}
	wg.Wait()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	ids.turn <- struct{}{} // somebody is waiting for a block
	if _, err := ids.next(over); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
