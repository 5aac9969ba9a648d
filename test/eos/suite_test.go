//go:build eos

package eos

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/test/fixture"
	"balsa/test/harness"
)

var (
	records  = flag.Int64("records", 1_000_000, "inputs to process, per protocol")
	faults   = flag.Int("faults", 40, "faults to cause at least, per protocol; inputs are added until they have happened")
	workers  = flag.Int("workers", 4, "worker processes")
	seeds    = flag.String("seeds", "", "use this cluster (host:port,...) instead of three fresh nodes of balsa; then only workers are faulted")
	replicas = flag.Int("replication-factor", 3, "of the topics")
	seed     = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the choice of faults and moments")
	session  = flag.Duration("session", sessionTimeout, "group.consumer.session.timeout.ms of our nodes")
	keep     = flag.Bool("keep", false, "keep data and logs also on success")
)

const (
	inputTopic  = "eos-input"
	outputTopic = "eos-output"
	partitions  = 6

	sessionTimeout     = 6 * time.Second
	transactionTimeout = 10 * time.Second
	// patience bounds every wait. It is no measure of quality.
	patience = 2 * time.Minute
	// calm is how long nothing may get on before faults stop. The death of a worker takes a session and the end of its
	// transaction to get over.
	calm = sessionTimeout + transactionTimeout + 4*time.Second
)

// suite is a cluster, a topic of inputs, and the workers that process it.
type suite struct {
	*fixture.Fixture
	producer *kgo.Client // of inputs
	group    string
	consumer bool // protocol of the group
	worker   string
	slots    []*slot
	inputs   []int64 // written, by partition
	pacer    pacer
}

func newSuite(t *testing.T, consumer bool) *suite {
	t.Helper()
	s := &suite{
		Fixture:  fixture.New(t, fixture.Options{Name: "eos", Keep: *keep, Seed: *seed}),
		consumer: consumer, group: "eos-group", inputs: make([]int64, partitions), pacer: pacer{calm: calm, limit: patience},
	}
	var err error
	s.worker, err = harness.BuildPackage(s.Dir, "worker", "./test/eos/worker")
	s.Must(err)
	s.Use(*seeds, harness.Options{Nodes: 3, Flags: []string{
		// By the consumer protocol the broker decides of the session timeout. With its default, 45 s, the partitions of
		// killed workers would hardly be worked on: see pacer.
		"--group-consumer-session-timeout", session.String(), "--group-consumer-heartbeat-interval", (sessionTimeout / 6).String(),
	}})
	s.producer = s.NewClient(s.Brokers,
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(inputTopic),
		kgo.UnknownTopicRetries(-1), // another cluster may take its time to create it
		kgo.RecordDeliveryTimeout(patience),
	)
	_, _ = s.Admin.DeleteGroup(s.Within(patience), s.group) // an earlier run may have left it on a cluster that is not ours
	s.CreateTopic(inputTopic, partitions, *replicas)
	s.CreateTopic(outputTopic, partitions, *replicas)
	return s
}

// write adds n inputs, evenly over the partitions.
func (s *suite) write(n int64) {
	s.Helper()
	promise := kgo.AbortingFirstErrPromise(s.producer)
	for i := range n {
		p := int32(i % partitions)
		in := Input{p, s.inputs[p]}
		s.inputs[p]++
		s.producer.Produce(s.Context(), &kgo.Record{Partition: p, Key: fmt.Append(nil, in.Seq), Value: in.Value()}, promise.Promise())
	}
	s.Must(promise.Err())
}

// slot is the place of one worker: a transactional id, and the process that uses it now.
type slot struct {
	*harness.Process
	transactionalID string
	starts          int
}

// startWorkers fills the slots. Half of the workers are static members, whose partitions wait for them; but by the consumer
// protocol a static member that was killed can return only after its session timeout, which another cluster has at 45 s.
func (s *suite) startWorkers() {
	s.Helper()
	for i := range *workers {
		sl := &slot{transactionalID: fmt.Sprintf("eos-worker-%d", i)}
		s.slots = append(s.slots, sl)
		s.fill(i)
	}
}

// fill starts a new process in slot i. The one before may still exist: then it is a zombie from now on.
func (s *suite) fill(i int) {
	s.Helper()
	sl := s.slots[i]
	sl.starts++
	sl.Process = &harness.Process{
		Name: fmt.Sprintf("worker %d", i),
		Log:  filepath.Join(s.Dir, fmt.Sprintf("worker-%d.log", i)),
		Argv: []string{
			s.worker, "-brokers", strings.Join(s.Brokers, ","), "-group", s.group, "-transactional-id", sl.transactionalID,
			"-in", inputTopic, "-out", outputTopic, fmt.Sprintf("-consumer-protocol=%t", s.consumer),
			"-session-timeout", sessionTimeout.String(), "-transaction-timeout", transactionTimeout.String(),
		},
	}
	if i%2 == 1 && (s.Cluster != nil || !s.consumer) {
		sl.Argv = append(sl.Argv, "-instance-id", fmt.Sprintf("eos-instance-%d", i))
	}
	s.Spawn(sl.Process)
}

// refill starts workers anew that ended by themselves, as an application's supervisor would, and returns how many did.
func (s *suite) refill() int {
	s.Helper()
	ended := 0
	for i, sl := range s.slots {
		if !sl.Running() {
			ended++
			s.fill(i)
		}
	}
	return ended
}

// committed is the group's progress over all partitions.
func (s *suite) committed() (int64, error) {
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
	defer cancel()
	offsets, err := s.Admin.FetchOffsets(ctx, s.group)
	if err != nil {
		return 0, err
	}
	sum := int64(0)
	for p := range int32(partitions) {
		if o, ok := offsets.Lookup(inputTopic, p); ok && o.At > 0 {
			sum += o.At
		}
	}
	return sum, nil
}
