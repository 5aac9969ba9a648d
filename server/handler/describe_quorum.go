package handler

import (
	"context"
	"net"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/cluster"
)

// metadataTopicName is the name of the metadata group in DescribeQuorum: that of Kafka's log of metadata.
const metadataTopicName = "__cluster_metadata"

// describeQuorum answers DescribeQuorum (KIP-595, KIP-836): the leader of the metadata group, its voters and its other members.
func (b *Broker) describeQuorum(ctx context.Context, _ Client, req *kmsg.DescribeQuorumRequest) kmsg.Response {
	resp := newResponse[*kmsg.DescribeQuorumResponse](req)
	resp.Topics, resp.Nodes = []kmsg.DescribeQuorumResponseTopic{}, []kmsg.DescribeQuorumResponseNode{}
	if !asksForQuorum(req) {
		resp.Topics = refusedQuorum(req, kerr.UnknownTopicOrPartition)
		return resp
	}
	state, err := b.Quorum.DescribeQuorum(ctx)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = errorCode(err), kmsg.StringPtr(err.Error())
		return resp
	}
	p := kmsg.NewDescribeQuorumResponseTopicPartition()
	p.LeaderID, p.LeaderEpoch, p.HighWatermark = int32(state.Leader), state.Epoch, state.HighWatermark
	p.CurrentVoters, p.Observers = []kmsg.DescribeQuorumResponseTopicPartitionReplicaState{}, []kmsg.DescribeQuorumResponseTopicPartitionReplicaState{}
	img := b.Metadata.Image()
	for _, m := range state.Members {
		replica := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		replica.ReplicaID, replica.LogEndOffset = int32(m.Node), m.LogEnd
		replica.LastFetchTimestamp, replica.LastCaughtUpTimestamp = m.LastFetch, m.LastCaughtUp
		if !m.Voter {
			p.Observers = append(p.Observers, replica)
			continue
		}
		p.CurrentVoters = append(p.CurrentVoters, replica)
		resp.Nodes = append(resp.Nodes, quorumNode(img, m.Node))
	}
	t := kmsg.NewDescribeQuorumResponseTopic()
	t.Topic, t.Partitions = metadataTopicName, []kmsg.DescribeQuorumResponseTopicPartition{p}
	resp.Topics = append(resp.Topics, t)
	return resp
}

// asksForQuorum says whether a request names exactly the one partition that there is to describe.
func asksForQuorum(req *kmsg.DescribeQuorumRequest) bool {
	return len(req.Topics) == 1 && req.Topics[0].Topic == metadataTopicName &&
		len(req.Topics[0].Partitions) == 1 && req.Topics[0].Partitions[0].Partition == 0
}

func refusedQuorum(req *kmsg.DescribeQuorumRequest, err *kerr.Error) []kmsg.DescribeQuorumResponseTopic {
	topics := make([]kmsg.DescribeQuorumResponseTopic, 0, len(req.Topics))
	for _, rt := range req.Topics {
		t := kmsg.NewDescribeQuorumResponseTopic()
		t.Topic = rt.Topic
		t.Partitions = []kmsg.DescribeQuorumResponseTopicPartition{}
		for _, rp := range rt.Partitions {
			p := kmsg.NewDescribeQuorumResponseTopicPartition()
			p.Partition, p.ErrorCode, p.ErrorMessage = rp.Partition, err.Code, kmsg.StringPtr(err.Description)
			p.CurrentVoters, p.Observers = []kmsg.DescribeQuorumResponseTopicPartitionReplicaState{}, []kmsg.DescribeQuorumResponseTopicPartitionReplicaState{}
			t.Partitions = append(t.Partitions, p)
		}
		topics = append(topics, t)
	}
	return topics
}

// quorumNode says where a voter listens for the others.
func quorumNode(img *cluster.Image, id raft.NodeID) kmsg.DescribeQuorumResponseNode {
	node := kmsg.NewDescribeQuorumResponseNode()
	node.NodeID = int32(id)
	node.Listeners = []kmsg.DescribeQuorumResponseNodeListener{}
	host, port, err := net.SplitHostPort(img.Brokers[id].PeerAddress)
	if err != nil {
		return node // a single node, or one that has not registered
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		l := kmsg.NewDescribeQuorumResponseNodeListener()
		l.Name, l.Host, l.Port = cluster.PeerListener, host, uint16(n)
		node.Listeners = append(node.Listeners, l)
	}
	return node
}
