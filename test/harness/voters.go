package harness

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// MetadataVoters returns the brokers that vote on the metadata.
func MetadataVoters(ctx context.Context, cl *kgo.Client) ([]int32, error) {
	req := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic = "__cluster_metadata"
	topic.Partitions = append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, errors.New("the quorum is not described")
	}
	var voters []int32
	for _, v := range resp.Topics[0].Partitions[0].CurrentVoters {
		voters = append(voters, v.ReplicaID)
	}
	return voters, nil
}
