package e2e

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log/batch"
)

var (
	kafkaSeeds = flag.String("kafka", "", "host:port of an Apache Kafka, of which to record the transcripts instead of comparing with them")
	transcript = "testdata/transactions-kafka-4.3.1.txt"
)

// TestTransactionProtocol has every step of the transaction protocol, also the wrong ones, answered as Apache Kafka 4.3.1
// answered it: testdata holds the transcript that was recorded with
//
//	go test ./test/e2e -run TestTransactionProtocol -kafka 127.0.0.1:9092
//
// against one node with transaction.abort.timed.out.transaction.cleanup.interval.ms=200. Producer ids are numbered in the
// order in which they appear.
func TestTransactionProtocol(t *testing.T) {
	address := *kafkaSeeds
	if address == "" {
		address = start(t, 1).Nodes[0].Address
	}
	var got strings.Builder
	for _, s := range dialogues() {
		fmt.Fprintf(&got, "# %s\n", s.name)
		d := newDialogue(t, address, &got)
		s.run(d)
		d.client.Close()
	}
	if *kafkaSeeds != "" {
		must(t, os.WriteFile(transcript, []byte(got.String()), 0o600))
		return
	}
	want, err := os.ReadFile(transcript)
	must(t, err)
	gotLines, wantLines := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
	title := ""
	for i, line := range wantLines {
		if strings.HasPrefix(line, "#") {
			title = line
		}
		if i >= len(gotLines) || gotLines[i] != line {
			other := "nothing"
			if i < len(gotLines) {
				other = gotLines[i]
			}
			t.Errorf("%s\nline %d: %s\nKafka:  %s", title, i+1, other, line)
		}
	}
}

// dialogue speaks the transaction protocol request by request, and writes down what is answered.
type dialogue struct {
	t      *testing.T
	client *kgo.Client
	out    *strings.Builder
	topic  string
	ids    []int64 // producer ids in the order of their appearance
	unique string
}

// pid is a producer id and epoch.
type pid struct {
	id    int64
	epoch int16
}

var none = pid{-1, -1}

func newDialogue(t *testing.T, address string, out *strings.Builder) *dialogue {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(address))
	must(t, err)
	d := &dialogue{t: t, client: cl, out: out, unique: fmt.Sprint(time.Now().UnixNano())}
	d.topic = "t" + d.unique
	req := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = d.topic, 3, 1
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(within(t), cl)
	must(t, err)
	must(t, kerr.ErrorForCode(resp.Topics[0].ErrorCode))
	for partition := range int32(3) { // until each is led
		_ = d.endOffset(partition, 0)
	}
	return d
}

// say writes one line: what was done, and the outcome.
func (d *dialogue) say(code int16, format string, args ...any) {
	outcome := "ok"
	if e := kerr.TypedErrorForCode(code); e != nil {
		outcome = e.Message
	}
	fmt.Fprintf(d.out, "%s -> %s\n", fmt.Sprintf(format, args...), outcome)
}

// show is how a producer appears in the transcript.
func (d *dialogue) show(p pid) string {
	if p.id < 0 {
		return fmt.Sprintf("none/%d", p.epoch)
	}
	for i, id := range d.ids {
		if id == p.id {
			return fmt.Sprintf("p%d/%d", i, p.epoch)
		}
	}
	d.ids = append(d.ids, p.id)
	return fmt.Sprintf("p%d/%d", len(d.ids)-1, p.epoch)
}

func (d *dialogue) name(id string) string { return id + d.unique }

// ask sends a request, of exactly its version, to the only node; answers that mean "not yet" are asked for again.
func ask[R kmsg.Response](d *dialogue, req kmsg.Request, code func(R) int16) R {
	d.t.Helper()
	for {
		d.client.ForceMetadataRefresh()
		version := req.GetVersion()
		var resp R
		r, err := d.client.SeedBrokers()[0].Request(within(d.t), versioned{req, version})
		if err != nil {
			d.t.Fatalf("%T v%d: %v", req, version, err)
		}
		resp = r.(R)
		switch code(resp) {
		case kerr.NotLeaderForPartition.Code, kerr.LeaderNotAvailable.Code, kerr.UnknownTopicOrPartition.Code:
			if _, listing := any(resp).(*kmsg.ListOffsetsResponse); listing { // a new topic
				time.Sleep(50 * time.Millisecond)
				continue
			}
		case kerr.NotCoordinator.Code, kerr.CoordinatorNotAvailable.Code, kerr.CoordinatorLoadInProgress.Code:
			time.Sleep(50 * time.Millisecond) // Kafka makes its internal topics when they are first asked for
			continue
		}
		return resp
	}
}

// versioned keeps the client from choosing a version.
type versioned struct {
	kmsg.Request
	version int16
}

func (v versioned) SetVersion(int16)  { v.Request.SetVersion(v.version) }
func (v versioned) GetVersion() int16 { return v.version }

func (d *dialogue) init(version int16, id string, p pid) pid {
	d.t.Helper()
	return d.initTimeout(version, id, p, 60_000)
}

func (d *dialogue) initTimeout(version int16, id string, p pid, timeout int32) pid {
	d.t.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionTimeoutMillis = version, timeout
	req.TransactionalID = kmsg.StringPtr(d.name(id))
	if id == "" {
		req.TransactionalID = kmsg.StringPtr("")
	}
	req.ProducerID, req.ProducerEpoch = p.id, p.epoch
	find := kmsg.NewPtrFindCoordinatorRequest() // Kafka makes the topic then
	find.CoordinatorType, find.CoordinatorKey = 1, "x"
	find.CoordinatorKeys = []string{"x"}
	_, err := find.RequestWith(within(d.t), d.client)
	must(d.t, err)
	resp := ask(d, req, func(r *kmsg.InitProducerIDResponse) int16 { return r.ErrorCode })
	got := pid{resp.ProducerID, resp.ProducerEpoch}
	was := d.show(p)
	d.say(resp.ErrorCode, "init v%d %s as %s: %s", version, id, was, d.show(got))
	return got
}

func (d *dialogue) add(version int16, id string, p pid, topic string, partitions ...int32) {
	d.t.Helper()
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch = version, d.name(id), p.id, p.epoch
	rt := kmsg.NewAddPartitionsToTxnRequestTopic()
	rt.Topic, rt.Partitions = topic, partitions
	req.Topics = append(req.Topics, rt)
	d.sayAdded(ask(d, req, func(r *kmsg.AddPartitionsToTxnResponse) int16 { return r.Topics[0].Partitions[0].ErrorCode }), id, p)
}

func (d *dialogue) sayAdded(resp *kmsg.AddPartitionsToTxnResponse, id string, p pid) {
	for _, t := range resp.Topics {
		slices.SortFunc(t.Partitions, func(a, b kmsg.AddPartitionsToTxnResponseTopicPartition) int {
			return cmp.Compare(a.Partition, b.Partition) // Kafka's order is a hash table's
		})
		for _, sp := range t.Partitions {
			d.say(sp.ErrorCode, "add v%d %s %s partition %d", resp.Version, id, d.show(p), sp.Partition)
		}
	}
}

func (d *dialogue) addOffsets(version int16, id string, p pid, group string) {
	d.t.Helper()
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch = version, d.name(id), p.id, p.epoch
	req.Group = d.name(group)
	resp := ask(d, req, func(r *kmsg.AddOffsetsToTxnResponse) int16 { return r.ErrorCode })
	d.say(resp.ErrorCode, "add offsets v%d %s %s", version, id, d.show(p))
}

func (d *dialogue) commitOffset(version int16, id string, p pid, group string, offset int64) {
	d.t.Helper()
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey, find.CoordinatorKeys = "x", []string{"x"}
	_, err := find.RequestWith(within(d.t), d.client)
	must(d.t, err)
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch = version, d.name(id), p.id, p.epoch
	req.Group = d.name(group)
	rt := kmsg.NewTxnOffsetCommitRequestTopic()
	rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	rp.Offset = offset
	rt.Topic, rt.Partitions = d.topic, append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp := ask(d, req, func(r *kmsg.TxnOffsetCommitResponse) int16 { return r.Topics[0].Partitions[0].ErrorCode })
	d.say(resp.Topics[0].Partitions[0].ErrorCode, "commit offset %d v%d %s %s", offset, version, id, d.show(p))
}

// offset says what a group has committed.
func (d *dialogue) offset(group string, stable bool) {
	d.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.RequireStable = 8, stable
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = d.name(group)
	rt := kmsg.NewOffsetFetchRequestGroupTopic()
	rt.Topic, rt.Partitions = d.topic, []int32{0}
	g.Topics = append(g.Topics, rt)
	req.Groups = append(req.Groups, g)
	resp := ask(d, req, func(r *kmsg.OffsetFetchResponse) int16 { return r.Groups[0].ErrorCode })
	p := resp.Groups[0].Topics[0].Partitions[0]
	d.say(p.ErrorCode, "offset of the group, stable %v: %d", stable, p.Offset)
}

// produce writes one transactional record.
func (d *dialogue) produce(version int16, id string, p pid, partition, sequence int32) {
	d.t.Helper()
	b, err := batch.BuildRecords([]batch.Record{{Value: []byte("v"), Timestamp: time.Now().UnixMilli()}},
		batch.BuildOptions{Producer: &batch.Producer{ID: p.id, Epoch: p.epoch, Sequence: sequence}, Transactional: id != ""})
	must(d.t, err)
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, -1, 10_000
	if id != "" {
		req.TransactionID = kmsg.StringPtr(d.name(id))
	}
	rt := kmsg.NewProduceRequestTopic()
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = partition, b
	rt.Topic, rt.Partitions = d.topic, append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp := ask(d, req, func(*kmsg.ProduceResponse) int16 { return 0 })
	got := resp.Topics[0].Partitions[0]
	d.say(got.ErrorCode, "produce v%d %q %s partition %d sequence %d: offset %d", version, id, d.show(p), partition, sequence, got.BaseOffset)
}

func (d *dialogue) end(version int16, id string, p pid, commit bool) pid {
	d.t.Helper()
	req := kmsg.NewPtrEndTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = version, d.name(id), p.id, p.epoch, commit
	resp := ask(d, req, func(r *kmsg.EndTxnResponse) int16 { return r.ErrorCode })
	got := pid{resp.ProducerID, resp.ProducerEpoch}
	d.say(resp.ErrorCode, "end v%d %s %s commit %v: %s", version, id, d.show(p), commit, d.show(got))
	d.settled(id)
	return got
}

// settled waits until nothing is being completed.
func (d *dialogue) settled(id string) {
	d.t.Helper()
	for ctx := within(d.t); ; time.Sleep(5 * time.Millisecond) {
		if s := d.describe(id); !strings.HasPrefix(s.State, "Prepare") {
			return
		}
		if ctx.Err() != nil {
			d.t.Fatalf("transaction %s is not completed", id)
		}
	}
}

// ended waits until no transaction is open.
func (d *dialogue) ended(id string) {
	d.t.Helper()
	for ctx := within(d.t); d.describe(id).State == "Ongoing"; time.Sleep(5 * time.Millisecond) {
		if ctx.Err() != nil {
			d.t.Fatalf("transaction %s is not aborted", id)
		}
	}
	d.settled(id)
}

func (d *dialogue) describe(id string) kmsg.DescribeTransactionsResponseTransactionState {
	d.t.Helper()
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{d.name(id)}
	return ask(d, req, func(r *kmsg.DescribeTransactionsResponse) int16 { return r.TransactionStates[0].ErrorCode }).TransactionStates[0]
}

func (d *dialogue) sayState(id string) {
	d.t.Helper()
	s := d.describe(id)
	partitions := 0
	for _, t := range s.Topics {
		partitions += len(t.Partitions)
	}
	d.say(s.ErrorCode, "describe %s: %s %s timeout %d started %v, %d topics, %d partitions", id, s.State,
		d.show(pid{s.ProducerID, s.ProducerEpoch}), s.TimeoutMillis, s.StartTimestamp >= 0, len(s.Topics), partitions)
}

// list says which transactional ids of this dialogue are listed.
func (d *dialogue) list(version int16, what string, change func(*kmsg.ListTransactionsRequest)) {
	d.t.Helper()
	req := kmsg.NewPtrListTransactionsRequest()
	req.Version = version
	change(req)
	resp := ask(d, req, func(r *kmsg.ListTransactionsResponse) int16 { return r.ErrorCode })
	var found []string
	for _, s := range resp.TransactionStates {
		if id, ours := strings.CutSuffix(s.TransactionalID, d.unique); ours {
			found = append(found, id+"="+s.TransactionState)
		}
	}
	d.say(resp.ErrorCode, "list v%d %s: %d of ours, unknown %v", version, what, len(found), resp.UnknownStateFilters)
}

// ends says where a partition ends, for readers of either kind.
func (d *dialogue) ends(partition int32) {
	d.t.Helper()
	d.say(0, "partition %d ends at %d, stable at %d", partition, d.endOffset(partition, 0), d.endOffset(partition, 1))
}

func (d *dialogue) endOffset(partition int32, isolation int8) int64 {
	d.t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID, req.IsolationLevel = 7, -1, isolation
	rt := kmsg.NewListOffsetsRequestTopic()
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = partition, -1, -1
	rt.Topic, rt.Partitions = d.topic, append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp := ask(d, req, func(r *kmsg.ListOffsetsResponse) int16 { return r.Topics[0].Partitions[0].ErrorCode })
	must(d.t, kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode))
	return resp.Topics[0].Partitions[0].Offset
}

// mark sends a marker as an administrator does.
func (d *dialogue) mark(p pid, coordinatorEpoch int32, commit bool, partition int32) {
	d.t.Helper()
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	req.Version = 1
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.ProducerEpoch, m.Committed, m.CoordinatorEpoch = p.id, p.epoch, commit, coordinatorEpoch
	rt := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
	rt.Topic, rt.Partitions = d.topic, []int32{partition}
	m.Topics = append(m.Topics, rt)
	req.Markers = append(req.Markers, m)
	resp := ask(d, req, func(*kmsg.WriteTxnMarkersResponse) int16 { return 0 })
	d.say(resp.Markers[0].Topics[0].Partitions[0].ErrorCode, "mark %s commit %v partition %d", d.show(p), commit, partition)
}
