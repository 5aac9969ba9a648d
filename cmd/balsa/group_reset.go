package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

type groupResetCmd struct {
	connection
	output
	Group string   `arg:"" help:"Group to move. It must have no members."`
	Topic []string `short:"t" sep:"none" placeholder:"TOPIC[:P,P]" help:"Topic, or some of its partitions, may be repeated (default: all topics with a commit)."`

	ToEarliest bool   `xor:"to" help:"To the first record."`
	ToLatest   bool   `xor:"to" help:"Behind the last record."`
	ToOffset   *int64 `xor:"to" placeholder:"N" help:"To this offset."`
	ToTime     string `xor:"to" placeholder:"TIME" help:"To the first record at or after a time: RFC 3339, a date, or -1h."`
	ShiftBy    *int64 `xor:"to" placeholder:"N" help:"Forward by N records, or back if negative."`

	Execute bool `help:"Do it. Without this flag the plan is only shown."`
}

// Help is shown below the flags.
func (c *groupResetCmd) Help() string {
	return `Offsets outside of a partition's log are moved to its nearest end.

Examples:
  balsa group reset-offsets billing --to-earliest
  balsa group reset-offsets billing --topic orders:0,1 --to-time 2026-01-31T08:00:00Z --execute`
}

// plannedOffset is one line of the plan.
type plannedOffset struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"` // -1: none
	New       int64  `json:"new"`
	End       int64  `json:"end"`
	Lag       int64  `json:"lag"` // after the reset
}

// Run shows the plan and carries it out if told to.
func (c *groupResetCmd) Run(ctx context.Context, std *streams) error {
	if !c.ToEarliest && !c.ToLatest && c.ToOffset == nil && c.ToTime == "" && c.ShiftBy == nil {
		return usagef("", "say where to: --to-earliest, --to-latest, --to-offset, --to-time or --shift-by")
	}
	admin, ctx, done, err := c.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	group, err := c.group(ctx, admin)
	if err != nil {
		return err
	}
	plan, err := c.plan(ctx, admin, group)
	if err != nil {
		return err
	}
	if len(group.Members) > 0 {
		return failf("stop its consumers first; `balsa group describe "+c.Group+"` shows them",
			"group %s has %s, which would overwrite the reset", c.Group, plural(int64(len(group.Members)), "member"))
	}
	if c.Execute {
		if err := c.commit(ctx, admin, plan); err != nil {
			return err
		}
	}
	if c.json() {
		return printJSON(std.out, map[string]any{"group": c.Group, "executed": c.Execute, "offsets": plan})
	}
	c.print(std, plan)
	return nil
}

// group accepts a group that does not exist yet if topics are named: preparing a group's start is a use of reset.
func (c *groupResetCmd) group(ctx context.Context, admin *kadm.Client) (kadm.DescribedGroupLag, error) {
	group, err := existingGroup(ctx, admin, c.Group)
	if err != nil && (group.State == "Dead" || isGroupMissing(group.DescribeErr)) && len(c.Topic) > 0 {
		return group, nil
	}
	return group, err
}

func (c *groupResetCmd) plan(ctx context.Context, admin *kadm.Client, group kadm.DescribedGroupLag) ([]plannedOffset, error) {
	wanted, err := c.partitions(ctx, admin, group)
	if err != nil {
		return nil, err
	}
	topics := wanted.Topics()
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	ends, err := admin.ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	var times kadm.ListedOffsets
	if c.ToTime != "" {
		at, err := parseTime(strings.TrimPrefix(c.ToTime, "time:"), time.Now())
		if err != nil {
			return nil, usagef("write RFC 3339 such as 2026-01-31T08:00:00Z, a date, or -1h", "--to-time %s is not a time", c.ToTime)
		}
		if times, err = admin.ListOffsetsAfterMilli(ctx, at.UnixMilli(), topics...); err != nil {
			return nil, err
		}
	}
	var plan []plannedOffset
	for _, topic := range wanted.Sorted() {
		for _, p := range slices.Sorted(slices.Values(topic.Partitions)) {
			start, end := offsetOf(starts, topic.Topic, p), offsetOf(ends, topic.Topic, p)
			if start < 0 || end < 0 {
				return nil, failf("see `balsa topic describe "+topic.Topic+"`", "partition %s/%d has no leader that answers", topic.Topic, p)
			}
			committed := int64(-1)
			if lag, ok := group.Lag.Lookup(topic.Topic, p); ok {
				committed = lag.Commit.At
			}
			to := c.target(committed, start, end, offsetOf(times, topic.Topic, p))
			plan = append(plan, plannedOffset{topic.Topic, p, committed, to, end, end - to})
		}
	}
	return plan, nil
}

// target is the new offset of one partition.
func (c *groupResetCmd) target(committed, start, end, atTime int64) int64 {
	to := start
	switch {
	case c.ToLatest:
		to = end
	case c.ToOffset != nil:
		to = *c.ToOffset
	case c.ToTime != "" && atTime >= 0:
		to = atTime
	case c.ToTime != "":
		to = end
	case c.ShiftBy != nil:
		to = max(committed, start) + *c.ShiftBy
	}
	return max(start, min(to, end))
}

// partitions is what --topic names, or everything the group has committed.
func (c *groupResetCmd) partitions(ctx context.Context, admin *kadm.Client, group kadm.DescribedGroupLag) (kadm.TopicsSet, error) {
	wanted := kadm.TopicsSet{}
	if len(c.Topic) == 0 {
		for _, lag := range group.Lag.Sorted() {
			wanted.Add(lag.Topic, lag.Partition)
		}
		if len(wanted) == 0 {
			return nil, usagef("name topics with --topic", "group %s has no commits", c.Group)
		}
		return wanted, nil
	}
	for _, entry := range c.Topic {
		name, list, some := strings.Cut(entry, ":")
		details, err := knownTopics(ctx, admin, name)
		if err != nil {
			return nil, err
		}
		if !some {
			wanted.Add(name, details[name].Partitions.Numbers()...)
			continue
		}
		for text := range strings.SplitSeq(list, ",") {
			number, err := strconv.ParseInt(text, 10, 32)
			if _, ok := details[name].Partitions[int32(number)]; err != nil || !ok {
				return nil, usagef("see `balsa topic describe "+name+"`", "topic %s has no partition %q", name, text)
			}
			wanted.Add(name, int32(number))
		}
	}
	return wanted, nil
}

func (c *groupResetCmd) commit(ctx context.Context, admin *kadm.Client, plan []plannedOffset) error {
	offsets := kadm.Offsets{}
	for _, planned := range plan {
		offsets.AddOffset(planned.Topic, planned.Partition, planned.New, -1)
	}
	if err := admin.CommitAllOffsets(ctx, c.Group, offsets); err != nil {
		return fmt.Errorf("commit offsets of group %s: %w", c.Group, err)
	}
	return nil
}

func (c *groupResetCmd) print(std *streams, plan []plannedOffset) {
	g := newGrid("topic", "partition", "committed", "new", "end", "lag")
	for _, planned := range plan {
		g.add(planned.Topic, int64(planned.Partition), count(planned.Committed), count(planned.New), count(planned.End), count(planned.Lag))
	}
	g.print(std.out)
	if c.Execute {
		fmt.Fprintf(std.err, "group %s: %s reset\n", c.Group, plural(int64(len(plan)), "partition"))
		return
	}
	fmt.Fprintln(std.err, "nothing changed yet; add --execute to do it")
}
