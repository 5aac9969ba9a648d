package sharegroup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ErrUnsupported is what brokers without share groups are refused with.
var ErrUnsupported = errors.New("the brokers do not serve share groups")

// Supported fails with ErrUnsupported if the brokers lack what a Member needs.
func Supported(ctx context.Context, client *kgo.Client) error {
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("ask what the brokers serve: %w", err)
	}
	needed := map[int16]bool{
		int16(kmsg.ShareGroupHeartbeat): true, int16(kmsg.ShareFetch): true, int16(kmsg.ShareAcknowledge): true,
	}
	for _, key := range resp.ApiKeys {
		delete(needed, key.ApiKey)
	}
	if len(needed) > 0 {
		return ErrUnsupported
	}
	return nil
}

// Subscribe gives a group its place in every partition of a topic, so that nothing that is produced from then on is missed
// by it. It joins the group for as long as that takes: the coordinator assigns no partition that the group has no place in.
func Subscribe(ctx context.Context, client *kgo.Client, group, topic string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	details, err := kadm.NewClient(client).ListTopicsWithInternal(ctx, topic)
	if err != nil {
		return fmt.Errorf("find the partitions of %s: %w", topic, err)
	}
	detail, ok := details[topic]
	if !ok || len(detail.Partitions) == 0 {
		return &gone{topic: topic}
	}
	s := subscription{client: client, group: group, topic: topic, id: newID()}
	defer s.leave(ctx)
	for {
		done, err := s.attempt(ctx, detail)
		if done || err != nil && !Temporary(err) {
			return err
		}
		if !sleep(ctx, retryPause) {
			return fmt.Errorf("subscribe group %s to %s: its coordinator assigns no partitions: %w", group, topic, cmp.Or(err, ctx.Err()))
		}
	}
}

// attempt sends a heartbeat and says whether the group has all its places.
func (s *subscription) attempt(ctx context.Context, topic kadm.TopicDetail) (done bool, err error) {
	assigned, err := s.beat(ctx, s.epoch)
	if errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.FencedMemberEpoch) {
		s.epoch = 0 // another coordinator, who did not hear of this member
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("subscribe group %s to %s: %w", s.group, s.topic, err)
	}
	if assigned[topic.ID] == len(topic.Partitions) {
		return true, nil
	}
	// Other members may have their part. Then the offsets say whether the group has its places.
	all, err := s.placed(ctx, len(topic.Partitions))
	return all, err
}

// subscription is a member for as long as Subscribe takes.
type subscription struct {
	client           *kgo.Client
	group, topic, id string
	epoch            int32
}

// leaveEpoch is what a member leaves with.
const leaveEpoch = -1

// beat sends a heartbeat and returns how many partitions of each topic the member has.
func (s *subscription) beat(ctx context.Context, epoch int32) (map[kadm.TopicID]int, error) {
	req := kmsg.NewPtrShareGroupHeartbeatRequest()
	req.GroupID, req.MemberID, req.MemberEpoch = s.group, s.id, epoch
	if epoch != leaveEpoch {
		req.SubscribedTopicNames = []string{s.topic} // also later: then the answer has the assignment
	}
	resp, err := req.RequestWith(ctx, s.client)
	if err != nil {
		return nil, err
	}
	if err := codeError(resp.ErrorCode, resp.ErrorMessage); err != nil {
		return nil, err
	}
	s.epoch = resp.MemberEpoch
	assigned := map[kadm.TopicID]int{}
	if resp.Assignment != nil {
		for _, topic := range resp.Assignment.TopicPartitions {
			assigned[topic.TopicID] = len(topic.Partitions)
		}
	}
	return assigned, nil
}

// leave says goodbye, also after the context has ended. Who cannot is forgotten after the session timeout.
func (s *subscription) leave(ctx context.Context) {
	if s.epoch <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = s.beat(ctx, leaveEpoch)
}

func (s *subscription) placed(ctx context.Context, partitions int) (bool, error) {
	groups, err := Describe(ctx, s.client, s.group)
	if err != nil {
		return false, err
	}
	placed := 0
	for _, state := range groups[s.group][s.topic] {
		if state.Start >= 0 {
			placed++
		}
	}
	return placed == partitions, nil
}
