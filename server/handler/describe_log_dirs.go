package handler

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
)

// describeLogDirs answers DescribeLogDirs: how large this broker's replicas are, and the disk they are on.
func (b *Broker) describeLogDirs(_ context.Context, _ Client, req *kmsg.DescribeLogDirsRequest) kmsg.Response {
	resp := newResponse[*kmsg.DescribeLogDirsResponse](req)
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = b.LogDir
	dir.TotalBytes, dir.UsableBytes = -1, -1
	if b.DiskUsage != nil {
		if total, usable, err := b.DiskUsage(); err == nil {
			dir.TotalBytes, dir.UsableBytes = total, usable
		}
	}
	dir.Topics = []kmsg.DescribeLogDirsResponseDirTopic{}
	img := b.Metadata.Image()
	dir.IsCordoned = img.Cordoned(b.Node)
	if req.Topics == nil {
		for _, t := range img.SortedTopics() {
			all := make([]int32, len(t.Partitions))
			for i := range all {
				all[i] = int32(i)
			}
			dir.Topics = b.appendSizes(dir.Topics, t, all)
		}
	}
	for _, rt := range req.Topics {
		if t, err := topicNamed(img, rt.Topic); err == nil {
			dir.Topics = b.appendSizes(dir.Topics, t, rt.Partitions)
		}
	}
	resp.Dirs = []kmsg.DescribeLogDirsResponseDir{dir}
	return resp
}

// appendSizes adds the partitions of t that have a replica here.
func (b *Broker) appendSizes(
	topics []kmsg.DescribeLogDirsResponseDirTopic, t *cluster.Topic, partitions []int32,
) []kmsg.DescribeLogDirsResponseDirTopic {
	st := kmsg.NewDescribeLogDirsResponseDirTopic()
	st.Topic = t.Name
	for _, p := range partitions {
		if p < 0 || int(p) >= len(t.Partitions) || !slices.Contains(t.Partitions[p].Replicas, b.Node) {
			continue
		}
		size, ok := b.Partitions.Size(t.ID, p)
		if !ok {
			continue
		}
		sp := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		sp.Partition, sp.Size = p, size
		st.Partitions = append(st.Partitions, sp)
	}
	if len(st.Partitions) == 0 {
		return topics
	}
	return append(topics, st)
}
