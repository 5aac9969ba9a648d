package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type consumeCmd struct {
	connection
	Topics    []string `arg:"" name:"topic" help:"Topics to read."`
	From      string   `placeholder:"POSITION" help:"start, end, offset:N, end-N (the last N of each partition), time:RFC3339, or -1h (default start; a group continues where it committed)."`
	Group     string   `short:"g" help:"Read as a member of this consumer group and commit what was printed."`
	Partition []int32  `short:"p" help:"Only these partitions (not with --group)."`
	Max       int64    `short:"n" placeholder:"N" help:"End after N records."`
	Follow    bool     `negatable:"" default:"true" help:"Wait for new records (the default)."`
	Exit      bool     `short:"e" help:"End when everything that was there at the start is printed, same as --no-follow."`
	Format    string   `short:"f" placeholder:"FORMAT" help:"How to print a record, see above (default '%v\\n')."`
	Output    string   `short:"o" enum:"text,json" default:"text" help:"text, or json: one object per line."`
	Committed bool     `help:"Only records of committed transactions (isolation level read_committed)."`
}

// Help is shown below the flags.
func (c *consumeCmd) Help() string {
	return `Formats are those of kcat: %v or %s value, %k key, %h headers, %t topic, %p partition, %o offset, %T time in
milliseconds, %V or %S and %K the length of value and key, %% a percent sign, and \n \t \0 \xNN.

Examples:
  balsa consume orders --from start --exit
  balsa consume orders --from -1h --format '%p/%o %k: %v\n'
  balsa consume orders --group billing --output json`
}

// Run prints records until the end that was asked for, or until it is interrupted, which is a success.
func (c *consumeCmd) Run(ctx context.Context, std *streams) error {
	print, err := c.printer()
	if err != nil {
		return err
	}
	if c.Group != "" && len(c.Partition) > 0 {
		return usagef("the group decides who reads which partition", "--partition and --group exclude each other")
	}
	if c.Max < 0 {
		return usagef("", "--max must be positive")
	}
	follow := c.Follow && !c.Exit
	from, err := parsePosition(c.From, time.Now())
	if err != nil {
		return err
	}
	progress := newProgress()
	client, err := c.connect(ctx, from, follow, progress)
	if err != nil {
		return err
	}
	defer client.Close()
	out := bufio.NewWriterSize(std.out, 64<<10)
	loop := consumeLoop{client: client, out: out, print: print, progress: progress, group: c.Group != "", left: c.Max, follow: follow}
	if c.Max == 0 {
		loop.left = -1
	}
	err = loop.run(ctx)
	if flushErr := out.Flush(); flushErr != nil {
		return errors.Join(err, flushErr)
	}
	if c.Group != "" {
		err = errors.Join(err, leave(ctx, client, c.Timeout))
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// connect checks the topics, resolves the positions and returns a client that reads.
func (c *consumeCmd) connect(ctx context.Context, from position, follow bool, progress *progress, options ...kgo.Opt) (*kgo.Client, error) {
	admin, limited, done, err := c.admin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	topics, err := knownTopics(limited, admin, c.Topics...)
	if err != nil {
		return nil, err
	}
	options = append(options, kgo.ConsumeResetOffset(from.offset()))
	list := admin.ListEndOffsets
	if c.Committed {
		options = append(options, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		list = admin.ListCommittedOffsets
	}
	if !follow {
		// The end is fixed now; a producer that is faster than this reader must not keep it from ending. Control
		// records are kept because the last offset of a partition may be a transaction marker.
		ends, err := list(limited, c.Topics...)
		if err == nil {
			err = ends.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("find the end of %v: %w", c.Topics, err)
		}
		progress.setEnds(ends)
		options = append(options, kgo.KeepControlRecords())
	}
	if c.Group != "" {
		options = append(options, c.groupOptions(progress)...)
		return c.dial(ctx, options...)
	}
	start, err := c.startOffsets(limited, admin, topics, from)
	if err != nil {
		return nil, err
	}
	for topic, partitions := range start {
		for partition, at := range partitions {
			progress.assign(topic, partition, at)
		}
	}
	return c.dial(ctx, append(options, kgo.ConsumePartitions(kgoOffsets(start)))...)
}

// groupOptions make the client commit exactly what was printed: records are marked after printing, and a rebalance
// waits until the marks are made.
func (c *consumeCmd) groupOptions(progress *progress) []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumerGroup(c.Group),
		kgo.ConsumeTopics(c.Topics...),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(time.Second),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(progress.assigned),
		kgo.OnPartitionsLost(progress.lost),
		kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
			// Setting this callback turns off the commit that kgo would make here.
			_ = client.CommitMarkedOffsets(ctx)
			progress.lost(ctx, client, partitions)
		}),
	}
}

// leave commits what was printed and says goodbye, so that the other members need not wait for a session timeout.
func leave(ctx context.Context, client *kgo.Client, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if err := client.CommitMarkedOffsets(ctx); err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	return client.LeaveGroupContext(ctx)
}

// startOffsets resolves the position for each partition that is to be read.
func (c *consumeCmd) startOffsets(ctx context.Context, admin *kadm.Client, topics kadm.TopicDetails, from position) (map[string]map[int32]int64, error) {
	for _, partition := range c.Partition {
		for _, topic := range c.Topics {
			if _, ok := topics[topic].Partitions[partition]; !ok {
				return nil, usagef("see `balsa topic describe "+topic+"`", "topic %s has no partition %d", topic, partition)
			}
		}
	}
	starts, err := admin.ListStartOffsets(ctx, c.Topics...)
	if err != nil {
		return nil, err
	}
	ends, err := admin.ListEndOffsets(ctx, c.Topics...)
	if err != nil {
		return nil, err
	}
	var times kadm.ListedOffsets
	if from.kind == fromTime {
		if times, err = admin.ListOffsetsAfterMilli(ctx, from.millis, c.Topics...); err != nil {
			return nil, err
		}
	}
	result := map[string]map[int32]int64{}
	for _, topic := range c.Topics {
		result[topic] = map[int32]int64{}
		for _, detail := range topics[topic].Partitions.Sorted() {
			p := detail.Partition
			if len(c.Partition) > 0 && !slices.Contains(c.Partition, p) {
				continue
			}
			start, end := offsetOf(starts, topic, p), offsetOf(ends, topic, p)
			if start < 0 || end < 0 {
				return nil, failf("see `balsa topic describe "+topic+"`", "partition %s/%d has no leader that answers", topic, p)
			}
			result[topic][p] = from.resolve(start, end, offsetOf(times, topic, p))
		}
	}
	return result, nil
}

func kgoOffsets(offsets map[string]map[int32]int64) map[string]map[int32]kgo.Offset {
	result := make(map[string]map[int32]kgo.Offset, len(offsets))
	for topic, partitions := range offsets {
		result[topic] = make(map[int32]kgo.Offset, len(partitions))
		for partition, at := range partitions {
			result[topic][partition] = kgo.NewOffset().At(at)
		}
	}
	return result
}
