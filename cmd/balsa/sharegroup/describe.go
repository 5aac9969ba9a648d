package sharegroup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/protocol"
)

// State is how far a group is in one partition. -1 stands for what is not known.
type State struct {
	Start         int64 // the first record that is not decided about
	Lag           int64 // records that are not decided about
	InFlight      int64
	Delayed       int64
	DeadLettering int64 // given up, but their dead letters are yet to be written
	// Decided is which records after Start nobody gets any more, with DescribeDecided and as far as the broker tells.
	Decided []protocol.OffsetRange
	Err     error // why the partition's leader did not answer
}

// States are those of a group, by topic and partition.
type States map[string]map[int32]State

// describeTime is how long Describe tries again for leaders that do not answer. The group is there all the same.
const describeTime = 2 * time.Second

// Describe returns the states of groups. A group that does not exist has none.
func Describe(ctx context.Context, client *kgo.Client, groups ...string) (map[string]States, error) {
	return describeAll(ctx, client, false, groups)
}

// DescribeDecided is Describe with which records of a group were decided out of order.
func DescribeDecided(ctx context.Context, client *kgo.Client, group string) (States, error) {
	described, err := describeAll(ctx, client, true, []string{group})
	return described[group], err
}

func describeAll(ctx context.Context, client *kgo.Client, decided bool, groups []string) (map[string]States, error) {
	for begun := time.Now(); ; {
		described, err := describe(ctx, client, decided, groups)
		again := err != nil && Temporary(err) || err == nil && leaderless(described) && time.Since(begun) < describeTime
		if !again || !sleep(ctx, retryPause) {
			return described, err
		}
	}
}

// leaderless says whether a state is missing that may be there in a moment.
func leaderless(groups map[string]States) bool {
	for _, states := range groups {
		for _, partitions := range states {
			for _, state := range partitions {
				if state.Err != nil && Temporary(state.Err) {
					return true
				}
			}
		}
	}
	return false
}

func describe(ctx context.Context, client *kgo.Client, decided bool, groups []string) (map[string]States, error) {
	described := make(map[string]States, len(groups))
	if len(groups) == 0 {
		return described, nil
	}
	req := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	for _, group := range groups {
		g := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
		g.GroupID = group
		if decided {
			g.UnknownTags.Set(protocol.TagWantDecided, nil)
		}
		req.Groups = append(req.Groups, g)
	}
	for _, shard := range client.RequestSharded(ctx, req) {
		if shard.Err != nil {
			return nil, fmt.Errorf("describe share groups: %w", shard.Err)
		}
		for _, group := range shard.Resp.(*kmsg.DescribeShareGroupOffsetsResponse).Groups {
			err := codeError(group.ErrorCode, group.ErrorMessage)
			if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
				return nil, fmt.Errorf("describe share group %s: %w", group.GroupID, err)
			}
			described[group.GroupID] = states(group.Topics)
		}
	}
	return described, nil
}

func states(topics []kmsg.DescribeShareGroupOffsetsResponseGroupTopic) States {
	result := States{}
	for _, topic := range topics {
		result[topic.Topic] = map[int32]State{}
		for _, p := range topic.Partitions {
			state := State{Start: p.StartOffset, Lag: p.Lag, InFlight: -1, Delayed: -1, DeadLettering: -1}
			if state.Err = codeError(p.ErrorCode, p.ErrorMessage); state.Err != nil {
				state.Start, state.Lag = -1, -1
			}
			state.counts(&p.UnknownTags)
			state.Decided = protocol.RangesTag(&p.UnknownTags, protocol.TagDecided)
			result[topic.Topic][p.Partition] = state
		}
	}
	return result
}

// counts takes in balsa's own fields, which other brokers do not have.
func (s *State) counts(tags *kmsg.Tags) {
	for tag, count := range map[uint32]*int64{
		protocol.TagInFlight: &s.InFlight, protocol.TagDelayed: &s.Delayed, protocol.TagDeadLettering: &s.DeadLettering,
	} {
		if n, ok := protocol.CountTag(tags, tag); ok {
			*count = n
		}
	}
}
