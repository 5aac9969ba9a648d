package cluster

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/protocol"
	"balsa/raft"
)

// TestReplayEqualsLive makes random requests and checks after each that what was applied live, what a restored snapshot plus the rest
// of the entries gives, and what all entries from nothing give, is the same image; and that the image makes sense.
func TestReplayEqualsLive(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, seed))
			w := newWorld(t, 1+random.IntN(5))
			w.decider.Rand = rand.New(rand.NewPCG(seed, 7))
			live, replica := NewMachine(), NewMachine()
			var entries []raft.Entry
			start := w.image.Snapshot()
			restore(t, live, start)
			for step := range 60 {
				w.dead[raft.NodeID(random.IntN(5))] = random.IntN(3) == 0
				d, err := w.decider.Decide(live.Image(), randomRequest(random))
				if err != nil {
					t.Fatal(err)
				}
				if len(d.Records) > 0 {
					base := live.Image().Version
					if random.IntN(5) == 0 {
						base-- // a stale leader
					}
					e := entryAt(live.Image().Version+1+random.Uint64N(3), Entry{Base: base, Records: d.Records})
					entries = append(entries, e)
					live.Apply([]raft.Entry{e})
				}
				if random.IntN(10) == 0 {
					restore(t, replica, live.Snapshot())
				} else if len(d.Records) > 0 && len(replica.Image().Topics) > 0 {
					replica.Apply(entries[len(entries)-1:])
				}
				if len(replica.Image().Topics) > 0 {
					same(t, step, replica.Image(), live.Image())
				}
				sane(t, live.Image())
			}
			all := NewMachine()
			restore(t, all, start)
			all.Apply(entries)
			same(t, -1, all.Image(), live.Image())
		})
	}
}

func restore(t *testing.T, m *Machine, state []byte) {
	t.Helper()
	if err := m.Restore(state); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.Snapshot(), state) {
		t.Fatal("the snapshot of a restored image differs")
	}
}

func same(t *testing.T, step int, got, want *Image) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("step %d:\ngot  %+v\nwant %+v", step, got, want)
	}
}

// sane checks what must hold of every image.
func sane(t *testing.T, img *Image) {
	t.Helper()
	if len(img.TopicsByName) != len(img.Topics) {
		t.Fatalf("%d topics by name and %d by id", len(img.TopicsByName), len(img.Topics))
	}
	for name, topic := range img.TopicsByName {
		if topic.Name != name || img.Topics[topic.ID] != topic || len(topic.Partitions) == 0 {
			t.Fatalf("topic %q: %+v", name, topic)
		}
		for i, p := range topic.Partitions {
			p.Epoch = max(p.Epoch, 1) // 0 is right for one that never changed
			if err := p.check(); err != nil {
				t.Fatalf("partition %d of %q: %v", i, name, err)
			}
		}
		if f := checkTopicConfigs(topic.Configs); f != nil {
			t.Fatalf("topic %q has %v: %v", name, topic.Configs, f)
		}
	}
	if len(img.Topics[CoordinatorTopic].Partitions) != CoordinatorShards {
		t.Fatal("the coordinator shards changed")
	}
}

func randomRequest(r *rand.Rand) kmsg.Request {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	name := pick("a", "b", "c.d", "c_d", "e", "", "bad name")
	switch r.IntN(11) {
	case 7, 8:
		if r.IntN(4) == 0 {
			return reassignment(name, r.Int32N(3))
		}
		var to []int32
		for range r.IntN(4) {
			to = append(to, 1+r.Int32N(5))
		}
		return reassignment(name, r.Int32N(3), to...)
	case 9:
		req := kmsg.NewPtrUnregisterBrokerRequest()
		req.BrokerID = r.Int32N(7)
		return req
	case 10:
		return incremental(onBroker, pick("", "1", "2"), pick("cordoned.log.dirs=*", "-cordoned.log.dirs", "cordoned.log.dirs=/x"))
	case 0, 1:
		return creation7(
			topicRequest(name, r.Int32N(6)-1, int16(r.IntN(6)-1), pick("retention.ms", "segment.bytes", "nonsense"), pick("-1", "2000000", "x")),
			topicRequest(pick("a", "f"), 2, 1))
	case 2:
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version, req.TopicNames = 5, []string{name}
		return req
	case 3:
		return morePartitions(name, r.Int32N(9))
	case 4:
		return incremental(onTopic, name, pick("retention.ms=5", "-retention.ms", "cleanup.policy+=compact", "cleanup.policy-=delete", "flush.ms=x"))
	case 5:
		if r.IntN(2) == 0 {
			return alterAll(onBroker, pick("", "1", "9"), pick("log.retention.ms", "nonsense"), pick("5", "x"))
		}
		return incremental(onGroup, pick("g", "h", ""), pick("share.isolation.level=read_committed", "-share.isolation.level"))
	default:
		return kmsg.NewPtrAllocateProducerIDsRequest()
	}
}

// FuzzDecide: whatever a peer forwards, the decision returns, and its records can be applied and encoded.
func FuzzDecide(f *testing.F) {
	for i := range uint64(40) {
		req := randomRequest(rand.New(rand.NewPCG(i, i)))
		f.Add(req.Key(), req.GetVersion(), req.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		if !Served(key) {
			return
		}
		// As what clients send: kmsg alone would spin over a count of tagged fields that no bytes back.
		req, err := protocol.DecodeRequest(protocol.RequestHeader{Key: key, Version: version}, body)
		if err != nil {
			return
		}
		w := newWorld(t, 2)
		w.create("a", 1, 1)
		w.do(req)
		sane(t, w.image)
		restored, err := RestoreImage(w.image.Snapshot())
		if err != nil || !reflect.DeepEqual(restored, w.image) {
			t.Fatalf("%v: restored %+v, want %+v", err, restored, w.image)
		}
	})
}
