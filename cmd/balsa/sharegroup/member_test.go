package sharegroup

import (
	"context"
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/protocol"
)

// queue is a topic "q" of three partitions with a leader each, and a group "g" that reads it from its start.
type queue struct {
	*testing.T
	cluster *kfake.Cluster
	client  *kgo.Client
}

func newQueue(t *testing.T, configs map[string]string) *queue {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(3, "q"), kfake.BrokerConfigs(configs))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cluster.SetGroupConfigs("g", map[string]string{"share.auto.offset.reset": "earliest"})
	for partition := range int32(3) {
		if err := cluster.MoveTopicPartition("q", partition, partition); err != nil {
			t.Fatal(err)
		}
	}
	q := &queue{T: t, cluster: cluster}
	q.client = q.connect()
	return q
}

func (q *queue) connect(opts ...kgo.Opt) *kgo.Client {
	q.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(q.cluster.ListenAddrs()...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(10*time.Millisecond))...)
	if err != nil {
		q.Fatal(err)
	}
	q.Cleanup(client.Close)
	return client
}

// member has a client of its own: on one connection requests wait for those before them.
func (q *queue) member(lock time.Duration) *Member {
	q.Helper()
	m, err := New(q.Context(), Config{Client: q.connect(), Topic: "q", Group: "g", Lock: lock, Patience: 10 * time.Second})
	if err != nil {
		q.Fatal(err)
	}
	q.Cleanup(func() { _, _ = m.Close(context.WithoutCancel(q.Context()), 0) })
	return m
}

// send produces a message for each value, which begins with the number of its partition.
func (q *queue) send(values ...string) {
	q.Helper()
	for _, value := range values {
		record := &kgo.Record{Topic: "q", Partition: int32(value[0] - '0'), Value: []byte(value)}
		if err := q.client.ProduceSync(q.Context(), record).FirstErr(); err != nil {
			q.Fatal(err)
		}
	}
}

func (q *queue) receive(m *Member, limit int, wait time.Duration) []Message {
	q.Helper()
	messages, err := m.Receive(q.Context(), limit, wait)
	if err != nil {
		q.Fatal(err)
	}
	return messages
}

// done acknowledges, which must succeed.
func (q *queue) done(m *Member, kind Kind, messages ...Message) {
	q.Helper()
	if failed := m.Acknowledge(q.Context(), kind, 0, places(messages)); len(failed) > 0 {
		q.Errorf("failed to acknowledge: %v", failed)
	}
}

func (q *queue) lag() int64 {
	q.Helper()
	groups, err := Describe(q.Context(), q.client, "g")
	if err != nil {
		q.Fatal(err)
	}
	lag := int64(0)
	for _, state := range groups["g"]["q"] {
		lag += state.Lag
	}
	return lag
}

func places(messages []Message) []Place {
	var list []Place
	for _, message := range messages {
		list = append(list, Place{message.Partition, message.Offset})
	}
	return list
}

func values(messages []Message) string {
	var list []string
	for _, message := range messages {
		list = append(list, string(message.Value))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func TestReceiveTakesNoMoreThanAsked(t *testing.T) {
	q := newQueue(t, nil)
	q.send("0a", "0b", "1a", "1b", "2a", "2b")
	m := q.member(0)
	var all []Message
	for range 3 {
		got := q.receive(m, 2, time.Minute)
		if len(got) != 2 {
			t.Fatalf("received %q, want two messages", values(got))
		}
		all = append(all, got...)
	}
	if values(all) != "0a 0b 1a 1b 2a 2b" {
		t.Errorf("received %q", values(all))
	}
	if got := q.receive(m, 10, 0); got != nil {
		t.Errorf("received %q twice", values(got))
	}
	q.done(m, Accept, all[:3]...)
	q.done(m, Release, all[3:]...)
	again := q.receive(q.member(0), 10, time.Minute)
	if values(again) != values(all[3:]) {
		t.Errorf("after a release of %q: %q", values(all[3:]), values(again))
	}
	for _, message := range again {
		if message.Deliveries != 2 {
			t.Errorf("delivery %d of %s", message.Deliveries, message.Value)
		}
	}
}

func TestReceiveWaitsAtAllLeaders(t *testing.T) {
	q := newQueue(t, nil)
	m := q.member(0)
	for _, value := range []string{"2x", "0x", "1x", "0y"} {
		got := make(chan []Message)
		go func() {
			messages, err := m.Receive(t.Context(), 1, time.Minute)
			if err != nil {
				t.Error(err)
			}
			got <- messages
		}()
		q.send(value)
		if messages := <-got; values(messages) != value {
			t.Fatalf("received %q, want %s", values(messages), value)
		}
	}
}

func TestCloseGivesBackWhatWasNotAskedFor(t *testing.T) {
	q := newQueue(t, nil)
	m := q.member(0)
	got := make(chan []Message)
	go func() {
		messages, _ := m.Receive(t.Context(), 1, time.Minute)
		got <- messages
	}()
	q.send("0x", "1x", "2x")
	first := <-got
	more, err := m.Close(t.Context(), 0)
	if err != nil || len(first) != 1 || len(more) != 0 {
		t.Fatalf("received %q and %q, %v", values(first), values(more), err)
	}
	rest := q.receive(q.member(0), 10, time.Minute)
	if values(append(rest, first...)) != "0x 1x 2x" {
		t.Errorf("after %q the others are %q", values(first), values(rest))
	}
}

func TestAcknowledgeSaysWhichMessagesAreNotHeld(t *testing.T) {
	q := newQueue(t, nil)
	for i := range 20 {
		q.send("1-" + strconv.Itoa(i))
	}
	q.send("0-0", "2-0")
	m := q.member(0)
	all := q.receive(m, 100, time.Minute)
	if len(all) != 22 {
		t.Fatalf("received %q", values(all))
	}
	other := q.member(0)
	lost := []Place{{1, 3}, {1, 19}}
	if failed := m.Acknowledge(t.Context(), Release, 0, lost); len(failed) > 0 {
		t.Fatal(failed)
	}
	q.receive(other, 100, time.Minute)
	failed := m.Acknowledge(t.Context(), Accept, 0, append(places(all), lost...))
	if len(failed) != 2 || !errors.Is(failed[lost[0]], kerr.InvalidRecordState) || !errors.Is(failed[lost[1]], kerr.InvalidRecordState) {
		t.Errorf("failed to acknowledge: %v", failed)
	}
	if lag := q.lag(); lag != 2 {
		t.Errorf("%d messages are left, want 2", lag)
	}
}

func TestRenewedMessagesStayLocked(t *testing.T) {
	q := newQueue(t, map[string]string{"group.share.record.lock.duration.ms": "1000", "share.record.lock.sweep.interval.ms": "10"})
	q.send("0kept", "1left")
	m := q.member(0)
	held := q.receive(m, 2, time.Minute)
	slices.SortFunc(held, func(a, b Message) int { return int(a.Partition - b.Partition) })
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	wg.Go(func() {
		for ctx.Err() == nil {
			q.done(m, Renew, held[0])
		}
	})
	if got := q.receive(q.member(0), 2, time.Minute); values(got) != "1left" || got[0].Deliveries != 2 {
		t.Errorf("received %q", values(got))
	}
	stop()
	wg.Wait()
	q.done(m, Accept, held[0])
}

func TestLeadersMove(t *testing.T) {
	q := newQueue(t, nil)
	q.send("0a", "1a", "2a")
	m := q.member(0)
	held := q.receive(m, 10, time.Minute)
	for partition := range int32(3) {
		if err := q.cluster.MoveTopicPartition("q", partition, (partition+1)%3); err != nil {
			t.Fatal(err)
		}
	}
	q.done(m, Accept, held...)
	q.send("0b", "1b", "2b")
	held = nil
	for len(held) < 3 {
		held = append(held, q.receive(m, 10, time.Minute)...)
	}
	q.done(m, Accept, held...)
	if lag := q.lag(); lag != 0 {
		t.Errorf("%d messages are left", lag)
	}
}

func TestSessionsAreOpenedAnew(t *testing.T) {
	q := newQueue(t, nil)
	q.send("0a", "1a", "2a")
	m := q.member(0)
	for _, code := range []*kerr.Error{kerr.ShareSessionNotFound, kerr.InvalidShareSessionEpoch} {
		for _, key := range []int16{int16(kmsg.ShareFetch), int16(kmsg.ShareAcknowledge)} {
			q.cluster.ControlKey(key, func(req kmsg.Request) (kmsg.Response, error, bool) {
				resp := req.ResponseKind()
				switch r := resp.(type) {
				case *kmsg.ShareFetchResponse:
					r.ErrorCode = code.Code
				case *kmsg.ShareAcknowledgeResponse:
					r.ErrorCode = code.Code
				}
				return resp, nil, true
			})
		}
		got := q.receive(m, 1, time.Minute)
		if len(got) != 1 {
			t.Fatalf("received %q", values(got))
		}
		q.done(m, Accept, got...)
	}
	if got := q.receive(m, 10, time.Minute); len(got) != 1 {
		t.Errorf("%q are left, want one", values(got))
	}
}

func TestGroupIsSubscribedWhereItHasNoPlace(t *testing.T) {
	q := newQueue(t, nil)
	q.send("0a")
	var epochs []int32 // of the heartbeats; kfake calls controls one at a time
	q.cluster.ControlKey(int16(kmsg.ShareGroupHeartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
		q.cluster.KeepControl()
		epochs = append(epochs, req.(*kmsg.ShareGroupHeartbeatRequest).MemberEpoch)
		return nil, nil, false
	})
	q.cluster.ControlKey(int16(kmsg.ShareFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		q.cluster.KeepControl()
		if len(epochs) > 0 {
			return nil, nil, false
		}
		r := req.(*kmsg.ShareFetchRequest)
		resp := r.ResponseKind().(*kmsg.ShareFetchResponse)
		topic := kmsg.NewShareFetchResponseTopic()
		topic.TopicID = r.Topics[0].TopicID
		p := kmsg.NewShareFetchResponseTopicPartition()
		p.Partition, p.ErrorCode = r.Topics[0].Partitions[0].Partition, kerr.UnknownTopicOrPartition.Code
		topic.Partitions = append(topic.Partitions, p)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	if got := q.receive(q.member(0), 1, time.Minute); values(got) != "0a" {
		t.Errorf("received %q", values(got))
	}
	q.cluster.GroupInfo("g") // after which the cluster has heard all that was said before
	if want := []int32{0, leaveEpoch}; !slices.Equal(epochs, want) {
		t.Errorf("heartbeats with epochs %v, want a join and a leave", epochs)
	}
}

// Offsets without a record, such as those of transaction markers, are not messages. Nobody else could acknowledge them.
func TestMarkersAreNoMessages(t *testing.T) {
	q := newQueue(t, nil)
	client := q.connect(kgo.TransactionalID("x"))
	for _, value := range []string{"a", "b"} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "q", Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	m := q.member(0)
	got := q.receive(m, 10, time.Minute)
	if values(got) != "a b" || got[1].Offset != 2 {
		t.Errorf("received %q", values(got))
	}
	q.done(m, Accept, got...)
	if lag := q.lag(); lag != 0 {
		t.Errorf("%d offsets are left", lag)
	}
}

func TestTagsOfOurOwn(t *testing.T) {
	q := newQueue(t, nil)
	q.send("0a")
	seen := make(chan map[uint32]uint32, 100)
	note := func(tags kmsg.Tags) (kmsg.Response, error, bool) {
		q.cluster.KeepControl()
		found := map[uint32]uint32{}
		tags.Each(func(key uint32, value []byte) { found[key] = binary.BigEndian.Uint32(value) })
		if len(found) > 0 {
			seen <- found
		}
		return nil, nil, false
	}
	q.cluster.ControlKey(int16(kmsg.ShareFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		return note(req.(*kmsg.ShareFetchRequest).UnknownTags)
	})
	q.cluster.ControlKey(int16(kmsg.ShareAcknowledge), func(req kmsg.Request) (kmsg.Response, error, bool) {
		return note(req.(*kmsg.ShareAcknowledgeRequest).UnknownTags)
	})
	m := q.member(90 * time.Second)
	got := q.receive(m, 1, time.Minute)
	if tags := <-seen; len(tags) != 1 || tags[protocol.TagVisibility] != 90_000 {
		t.Errorf("a fetch has tags %v", tags)
	}
	for len(seen) > 0 {
		<-seen
	}
	for _, test := range []struct {
		kind Kind
		tag  uint32
	}{{Renew, protocol.TagRenewLock}, {Release, protocol.TagReleaseDelay}} {
		if failed := m.Acknowledge(t.Context(), test.kind, 5*time.Minute, places(got)); len(failed) > 0 {
			t.Error(failed)
		}
		if tags := <-seen; len(tags) != 1 || tags[test.tag] != 300_000 {
			t.Errorf("an acknowledgement of kind %d has tags %v", test.kind, tags)
		}
	}
}

func TestDescribeReadsTags(t *testing.T) {
	q := newQueue(t, nil)
	q.cluster.ControlKey(int16(kmsg.DescribeShareGroupOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		q.cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.DescribeShareGroupOffsetsResponse)
		group := kmsg.NewDescribeShareGroupOffsetsResponseGroup()
		group.GroupID = "g"
		topic := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopic()
		topic.Topic = "q"
		p := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopicPartition()
		p.Partition, p.StartOffset, p.Lag = 1, 5, 9
		p.UnknownTags.Set(protocol.TagInFlight, binary.BigEndian.AppendUint64(nil, 3))
		p.UnknownTags.Set(protocol.TagDelayed, binary.BigEndian.AppendUint64(nil, 2))
		p.UnknownTags.Set(protocol.TagDeadLettering, binary.BigEndian.AppendUint64(nil, 1))
		p.UnknownTags.Set(99_999, []byte("unknown"))
		if protocol.HasTag(&req.(*kmsg.DescribeShareGroupOffsetsRequest).Groups[0].UnknownTags, protocol.TagWantDecided) {
			protocol.SetRangesTag(&p.UnknownTags, protocol.TagDecided, []protocol.OffsetRange{{First: 7, Last: 9}})
		}
		topic.Partitions = append(topic.Partitions, p)
		group.Topics = append(group.Topics, topic)
		resp.Groups = append(resp.Groups, group)
		return resp, nil, true
	})
	groups, err := Describe(t.Context(), q.client, "g")
	want := State{Start: 5, Lag: 9, InFlight: 3, Delayed: 2, DeadLettering: 1}
	if got := groups["g"]["q"][1]; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("described %+v, %v", got, err)
	}
	want.Decided = []protocol.OffsetRange{{First: 7, Last: 9}}
	if states, err := DescribeDecided(t.Context(), q.client, "g"); err != nil || !reflect.DeepEqual(states["q"][1], want) {
		t.Errorf("described %+v, %v", states, err)
	}
	if groups, err := Describe(t.Context(), q.client, "nobody"); err != nil || len(groups["nobody"]) > 0 {
		t.Errorf("a group that does not exist has states %v, %v", groups, err)
	}
}

// While leaders and coordinators change, who asks is told to come back.
func TestFailover(t *testing.T) {
	q := newQueue(t, nil)
	unavailable := func(key kmsg.Key, refuse func(kmsg.Request) kmsg.Response) {
		q.cluster.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) { return refuse(req), nil, true })
	}
	code := kerr.CoordinatorNotAvailable.Code
	unavailable(kmsg.ShareGroupHeartbeat, func(req kmsg.Request) kmsg.Response {
		resp := req.ResponseKind().(*kmsg.ShareGroupHeartbeatResponse)
		resp.ErrorCode = code
		return resp
	})
	if err := Subscribe(t.Context(), q.client, "g", "q", 10*time.Second); err != nil {
		t.Error(err)
	}
	q.send("0a")
	m := q.member(0)
	q.done(m, Accept, q.receive(m, 1, time.Minute)...)
	group := func(req kmsg.Request) (*kmsg.DescribeShareGroupOffsetsResponse, *kmsg.DescribeShareGroupOffsetsResponseGroup) {
		resp := req.ResponseKind().(*kmsg.DescribeShareGroupOffsetsResponse)
		resp.Groups = append(resp.Groups, kmsg.NewDescribeShareGroupOffsetsResponseGroup())
		resp.Groups[0].GroupID = "g"
		return resp, &resp.Groups[0]
	}
	unavailable(kmsg.DescribeShareGroupOffsets, func(req kmsg.Request) kmsg.Response {
		resp, g := group(req)
		g.ErrorCode = code
		return resp
	})
	unavailable(kmsg.DescribeShareGroupOffsets, func(req kmsg.Request) kmsg.Response {
		resp, g := group(req)
		topic := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopic()
		p := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopicPartition()
		topic.Topic, p.ErrorCode = "q", kerr.NotLeaderForPartition.Code
		topic.Partitions = append(topic.Partitions, p)
		g.Topics = append(g.Topics, topic)
		return resp
	})
	groups, err := Describe(t.Context(), q.client, "g")
	if got := groups["g"]["q"][0]; err != nil || got.Start < 0 || got.Err != nil {
		t.Errorf("described %+v, %v", got, err)
	}
}

func TestWithoutTheTopic(t *testing.T) {
	q := newQueue(t, nil)
	if _, err := New(t.Context(), Config{Client: q.client, Topic: "nowhere", Group: "g"}); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("a member of a topic that does not exist: %v", err)
	}
	m := q.member(0)
	if _, err := kadm.NewClient(q.client).DeleteTopic(t.Context(), "q"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Receive(t.Context(), 1, time.Minute); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("receiving from a topic that was deleted: %v", err)
	}
	failed := m.Acknowledge(t.Context(), Accept, 0, []Place{{0, 0}})
	if !errors.Is(failed[Place{0, 0}], kerr.UnknownTopicOrPartition) {
		t.Errorf("acknowledging: %v", failed)
	}
}

func TestSupported(t *testing.T) {
	q := newQueue(t, nil)
	if err := Supported(t.Context(), q.client); err != nil {
		t.Error(err)
	}
	q.cluster.ControlKey(int16(kmsg.ApiVersions), func(req kmsg.Request) (kmsg.Response, error, bool) {
		q.cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
		key := kmsg.NewApiVersionsResponseApiKey()
		key.ApiKey, key.MaxVersion = int16(kmsg.ApiVersions), 3
		resp.ApiKeys = append(resp.ApiKeys, key)
		return resp, nil, true
	})
	if err := Supported(t.Context(), q.connect()); !errors.Is(err, ErrUnsupported) {
		t.Errorf("without share groups: %v", err)
	}
}
