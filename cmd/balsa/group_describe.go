package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

type groupDescribeCmd struct {
	connection
	output
	Groups []string `arg:"" name:"group" help:"Groups to describe."`
}

type describedGroup struct {
	Group       string            `json:"group"`
	State       string            `json:"state"`
	Protocol    string            `json:"protocol"`
	Coordinator int32             `json:"coordinator"`
	TotalLag    int64             `json:"total_lag"`
	Members     []describedMember `json:"members"`
	Offsets     []describedOffset `json:"offsets"`
}

type describedMember struct {
	MemberID   string             `json:"member_id"`
	InstanceID string             `json:"instance_id,omitempty"`
	ClientID   string             `json:"client_id"`
	Host       string             `json:"host"`
	Assigned   map[string][]int32 `json:"assigned"`
}

type describedOffset struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"` // -1: none
	End       int64  `json:"end"`       // -1: unknown
	Lag       int64  `json:"lag"`       // -1: unknown
	MemberID  string `json:"member_id,omitempty"`
	ClientID  string `json:"client_id,omitempty"`
}

func isGroupMissing(err error) bool { return errors.Is(err, kerr.GroupIDNotFound) }

// Run shows groups in the order they were named.
func (c *groupDescribeCmd) Run(ctx context.Context, std *streams) error {
	admin, ctx, done, err := c.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	var groups []describedGroup
	for _, name := range c.Groups {
		lag, err := existingGroup(ctx, admin, name)
		if err != nil {
			return err
		}
		groups = append(groups, describeGroup(lag))
	}
	if c.json() {
		return printJSON(std.out, groups)
	}
	for i, group := range groups {
		if i > 0 {
			fmt.Fprintln(std.out)
		}
		group.print(std.out)
	}
	return nil
}

func describeGroup(lag kadm.DescribedGroupLag) describedGroup {
	group := describedGroup{
		Group: lag.Group, State: lag.State, Protocol: lag.Protocol, Coordinator: lag.Coordinator.NodeID,
		Members: []describedMember{}, Offsets: []describedOffset{},
	}
	for _, member := range lag.Members {
		described := describedMember{MemberID: member.MemberID, ClientID: member.ClientID, Host: member.ClientHost, Assigned: map[string][]int32{}}
		if member.InstanceID != nil {
			described.InstanceID = *member.InstanceID
		}
		if assigned, ok := member.Assigned.AsConsumer(); ok {
			for _, topic := range assigned.Topics {
				described.Assigned[topic.Topic] = slices.Sorted(slices.Values(topic.Partitions))
			}
		}
		group.Members = append(group.Members, described)
	}
	consumerProtocol := !slices.ContainsFunc(lag.Members, func(m kadm.DescribedGroupMember) bool {
		_, classic := m.Assigned.AsConsumer()
		return classic
	})
	for _, partition := range lag.Lag.Sorted() {
		offset := describedOffset{
			Topic: partition.Topic, Partition: partition.Partition, Committed: partition.Commit.At, End: -1, Lag: partition.Lag,
		}
		if partition.End.Err == nil {
			offset.End = partition.End.Offset
		}
		if partition.Member != nil {
			offset.MemberID, offset.ClientID = partition.Member.MemberID, partition.Member.ClientID
			if consumerProtocol {
				group.assigned(partition.Member.MemberID, partition.Topic, partition.Partition)
			}
		}
		group.TotalLag += max(0, partition.Lag)
		group.Offsets = append(group.Offsets, offset)
	}
	return group
}

// assigned adds a partition to what a member has. Members of the consumer protocol are described by their partitions alone.
func (d *describedGroup) assigned(member, topic string, partition int32) {
	for i := range d.Members {
		if m := &d.Members[i]; m.MemberID == member {
			m.Assigned[topic] = append(m.Assigned[topic], partition)
		}
	}
}

func (d *describedGroup) print(w io.Writer) {
	fmt.Fprintf(w, "group %s  state %s  coordinator %d  members %d  lag %d\n", d.Group, d.State, d.Coordinator, len(d.Members), d.TotalLag)
	if len(d.Members) > 0 {
		members := newGrid("member", "client", "host", "assigned")
		for _, member := range d.Members {
			members.add(member.MemberID, member.ClientID, member.Host, assignment(member.Assigned))
		}
		members.print(w)
		fmt.Fprintln(w)
	}
	offsets := newGrid("topic", "partition", "committed", "end", "lag", "member")
	for _, offset := range d.Offsets {
		member := offset.MemberID
		if member == "" {
			member = "-"
		}
		offsets.add(offset.Topic, int64(offset.Partition), count(offset.Committed), count(offset.End), count(offset.Lag), member)
	}
	if len(d.Offsets) > 0 {
		offsets.print(w)
	}
}

// assignment writes orders[0,1] payments[2].
func assignment(assigned map[string][]int32) string {
	var parts []string
	for topic, partitions := range assigned {
		ids := make([]string, 0, len(partitions))
		for _, partition := range partitions {
			ids = append(ids, strconv.Itoa(int(partition)))
		}
		parts = append(parts, topic+"["+strings.Join(ids, ",")+"]")
	}
	if len(parts) == 0 {
		return "-"
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}
