package crash

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Verify reads the whole topic from offset 0 to its end and returns what the checker says.
func Verify(ctx context.Context, brokers []string, topic string, partitions int32, c *Checker) (*Report, error) {
	from := map[int32]kgo.Offset{}
	for p := range partitions {
		from[p] = kgo.NewOffset().At(0)
	}
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // an offset that is gone is an error, not a reason to skip
	)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	defer cl.Close()
	left, err := records(ctx, kadm.NewClient(cl), topic)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("verify: %d records before the end: %w", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			c.Add(r.Partition, Stored{r.Offset, r.Value})
			left--
		})
	}
	return c.Finish(), nil
}

// records counts the records of a topic that starts at offset 0. It tries again while a leader moves.
func records(ctx context.Context, adm *kadm.Client, topic string) (int64, error) {
	for {
		ends, err := adm.ListEndOffsets(ctx, topic)
		if err == nil {
			err = ends.Error()
		}
		if err == nil {
			var n int64
			ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
			return n, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("list end offsets: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
