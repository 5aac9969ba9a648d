package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// alterReplicaLogDirs answers AlterReplicaLogDirs. A broker has one log directory, so all that can be moved to is where the
// replicas are.
func (b *Broker) alterReplicaLogDirs(_ context.Context, _ Client, req *kmsg.AlterReplicaLogDirsRequest) kmsg.Response {
	resp := newResponse[*kmsg.AlterReplicaLogDirsResponse](req)
	img := b.Metadata.Image()
	for _, d := range req.Dirs {
		for _, asked := range d.Topics {
			t := kmsg.NewAlterReplicaLogDirsResponseTopic()
			t.Topic = asked.Topic
			for _, partition := range asked.Partitions {
				p := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
				p.Partition = partition
				if _, err := b.namedReplica(img, asked.Topic, partition); d.Dir != b.LogDir {
					p.ErrorCode = kerr.LogDirNotFound.Code
				} else if code := errorCode(err); code == kerr.NotLeaderForPartition.Code {
					p.ErrorCode = kerr.ReplicaNotAvailable.Code // it exists, elsewhere
				} else {
					p.ErrorCode = code
				}
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
	}
	return resp
}
