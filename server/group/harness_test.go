package group

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// start is when every test begins.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// fakeTopics is a Topics to change at will.
type fakeTopics struct {
	ids        map[string][16]byte
	partitions map[string]int32
	version    uint64
}

func newFakeTopics(names ...string) *fakeTopics {
	f := &fakeTopics{ids: map[string][16]byte{}, partitions: map[string]int32{}}
	for _, name := range names {
		f.create(name, 3)
	}
	return f
}

func (f *fakeTopics) create(name string, partitions int32) {
	f.version++
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], f.version)
	copy(id[8:], name)
	f.ids[name], f.partitions[name] = id, partitions
}

func (f *fakeTopics) remove(name string) {
	f.version++
	delete(f.ids, name)
	delete(f.partitions, name)
}

func (f *fakeTopics) ByName(name string) ([16]byte, int32, bool) {
	id, ok := f.ids[name]
	return id, f.partitions[name], ok
}

func (f *fakeTopics) ByID(id [16]byte) (string, int32, bool) {
	for name, is := range f.ids {
		if is == id {
			return name, f.partitions[name], true
		}
	}
	return "", 0, false
}

func (f *fakeTopics) Names() iter.Seq[string] { return maps.Keys(f.ids) }

func (f *fakeTopics) Version() uint64 { return f.version }

// harness is a shard without a cluster: what is written is replayed at once, or when the test says so.
type harness struct {
	t       testing.TB
	now     time.Time
	config  Config
	configs map[string]string // by group/name
	topics  *fakeTopics
	state   *State
	leader  *Leader
	held    []Write // proposed, not committed
	hold    bool    // do not commit by itself
	records [][]byte
	ids     int
	shares  *sharePartitions
}

func newHarness(t testing.TB) *harness {
	h := &harness{t: t, now: start, config: DefaultConfig(), topics: newFakeTopics("t", "u"), state: NewState(), shares: newSharePartitions()}
	h.lead()
	return h
}

func (h *harness) env() Environment {
	return Environment{
		Config: h.config,
		Topics: func() Topics { return h.topics },
		GroupConfig: func(group, name string) (string, bool) {
			v, ok := h.configs[group+"/"+name]
			return v, ok
		},
		NewID: func() string {
			h.ids++
			return strconv.Itoa(h.ids)
		},
		Logger: slog.New(slog.DiscardHandler),
	}
}

// lead makes a new leader of what is durable, which must be the same by replay and by snapshot.
func (h *harness) lead() {
	replayed := NewState()
	for _, r := range h.records {
		if err := replayed.Replay(r); err != nil {
			h.t.Fatalf("replay: %v", err)
		}
	}
	if !bytes.Equal(replayed.Snapshot(), h.state.Snapshot()) {
		h.t.Fatal("replayed state differs from the live one")
	}
	restored := NewState()
	if err := restored.Restore(h.state.Snapshot()); err != nil {
		h.t.Fatalf("restore: %v", err)
	}
	if !bytes.Equal(restored.Snapshot(), h.state.Snapshot()) {
		h.t.Fatal("restored state differs from the live one")
	}
	h.state = restored
	h.leader = NewLeader(h.env(), h.state, h.now)
	h.settle()
}

// failover ends the leader as the loss of leadership does; what was in flight is lost.
func (h *harness) failover() {
	held := h.held
	h.held, h.shares.tasks = nil, nil
	for _, w := range held {
		w.Done(h.now, kerr.NotCoordinator)
	}
	h.leader.Close(kerr.NotCoordinator)
	h.lead()
}

// settle commits what was written, does what is asked about share partitions, and what that leads to.
func (h *harness) settle() {
	for {
		h.held = append(h.held, h.leader.TakeWrites()...)
		h.shares.tasks = append(h.shares.tasks, h.leader.TakeShareTasks()...)
		switch {
		case !h.hold && len(h.held) > 0:
			h.commitOne()
		case !h.shares.hold && len(h.shares.tasks) > 0:
			h.doTask()
		default:
			return
		}
	}
}

func (h *harness) commitOne() {
	w := h.held[0]
	h.held = h.held[1:]
	for _, r := range w.Records {
		h.records = append(h.records, r)
		if err := h.state.Replay(r); err != nil {
			h.t.Fatalf("replay: %v", err)
		}
	}
	w.Done(h.now, nil)
}

// advance moves the clock, stopping at every deadline.
func (h *harness) advance(d time.Duration) {
	end := h.now.Add(d)
	for next := h.leader.NextDeadline(); !next.After(end); next = h.leader.NextDeadline() {
		h.now = next
		h.leader.Expire(h.now)
		h.settle()
	}
	h.now = end
}

// send decides a request. The pointer it returns is filled when the answer comes.
func (h *harness) send(client string, req kmsg.Request) *kmsg.Response {
	var answer kmsg.Response
	h.leader.Handle(h.now, Client{ID: client, Host: "/127.0.0.1"}, req, func(r kmsg.Response) {
		if answer != nil {
			h.t.Errorf("%s: second answer %T to one request", client, r)
		}
		if r.GetVersion() != req.GetVersion() {
			h.t.Errorf("%s: %T of version %d answered in version %d", client, req, req.GetVersion(), r.GetVersion())
		}
		answer = r
	})
	h.settle()
	return &answer
}

// errorName is an error as transcripts show it.
func errorName(code int16) string {
	if code == 0 {
		return "ok"
	}
	if err := kerr.TypedErrorForCode(code); err != nil {
		return err.Message
	}
	return fmt.Sprint("error ", code)
}

// subscription is a consumer's subscription to topics.
func subscription(topics ...string) []byte {
	s := kmsg.NewConsumerMemberMetadata()
	s.Topics = topics
	return s.AppendTo(nil)
}
