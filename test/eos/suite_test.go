//go:build eos

package eos

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

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
	*testing.T
	dir      string
	brokers  []string
	cluster  *harness.Cluster // nil: not ours
	client   *kgo.Client
	adm      *kadm.Client
	rng      *rand.Rand
	group    string
	consumer bool // protocol of the group
	worker   string
	slots    []*slot
	inputs   []int64 // written, by partition
	pacer    pacer
}

func newSuite(t *testing.T, consumer bool) *suite {
	t.Helper()
	s := &suite{T: t, consumer: consumer, rng: rand.New(rand.NewPCG(*seed, 0)), group: "eos-group", inputs: make([]int64, partitions)}
	s.pacer.calm, s.pacer.limit = calm, patience
	var err error
	s.dir, err = os.MkdirTemp("", "balsa-eos-")
	s.must(err)
	t.Logf("seed %d, data in %s", *seed, s.dir)
	t.Cleanup(func() {
		if !t.Failed() && !*keep {
			os.RemoveAll(s.dir)
		}
	})
	s.worker, err = harness.BuildPackage(s.dir, "worker", "./test/eos/worker")
	s.must(err)
	s.brokers = strings.Split(*seeds, ",")
	if *seeds == "" {
		s.startCluster()
	}
	s.client, err = kgo.NewClient(
		kgo.SeedBrokers(s.brokers...), kgo.MetadataMinAge(50*time.Millisecond), kgo.DialTimeout(time.Second),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(inputTopic),
		kgo.UnknownTopicRetries(-1), // another cluster may take its time to create it
		kgo.RecordDeliveryTimeout(patience),
	)
	s.must(err)
	t.Cleanup(s.client.Close)
	s.adm = kadm.NewClient(s.client)
	// An earlier run may have left its topics on a cluster that is not ours.
	_, _ = s.adm.DeleteTopics(s.within(patience), inputTopic, outputTopic)
	_, _ = s.adm.DeleteGroup(s.within(patience), s.group)
	s.eventually("create the topics", func(ctx context.Context) error {
		created, err := s.adm.CreateTopics(ctx, partitions, int16(*replicas), nil, inputTopic, outputTopic)
		if err != nil {
			return err
		}
		return created.Error()
	})
	return s
}

func (s *suite) startCluster() {
	s.Helper()
	binary, err := harness.Build(s.dir)
	s.must(err)
	s.cluster, err = harness.New(harness.Options{Binary: binary, Dir: s.dir, Nodes: 3, Flags: []string{
		// By the consumer protocol the broker decides of the session timeout. With its default, 45 s, the partitions of
		// killed workers would hardly be worked on: see pacer.
		"--group-consumer-session-timeout", session.String(), "--group-consumer-heartbeat-interval", (sessionTimeout / 6).String(),
	}})
	s.must(err)
	s.Cleanup(func() { s.cluster.Close() })
	s.must(s.cluster.Start(s.within(patience)))
	s.brokers = s.cluster.Addresses()
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// within is a context that ends after d or with the test.
func (s *suite) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(s.Context(), d)
	s.Cleanup(cancel)
	return ctx
}

// eventually repeats an attempt until it succeeds.
func (s *suite) eventually(what string, attempt func(context.Context) error) {
	s.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
		err := attempt(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("%s: %v", what, err)
		}
	}
}

// write adds n inputs, evenly over the partitions.
func (s *suite) write(n int64) {
	s.Helper()
	promise := kgo.AbortingFirstErrPromise(s.client)
	for i := range n {
		p := int32(i % partitions)
		in := Input{p, s.inputs[p]}
		s.inputs[p]++
		s.client.Produce(s.Context(), &kgo.Record{Partition: p, Key: fmt.Append(nil, in.Seq), Value: in.Value()}, promise.Promise())
	}
	s.must(promise.Err())
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
		s.Cleanup(func() {
			if sl.Running() {
				_ = sl.Kill()
			}
		})
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
		Log:  filepath.Join(s.dir, fmt.Sprintf("worker-%d.log", i)),
		Argv: []string{
			s.worker, "-brokers", strings.Join(s.brokers, ","), "-group", s.group, "-transactional-id", sl.transactionalID,
			"-in", inputTopic, "-out", outputTopic, fmt.Sprintf("-consumer-protocol=%t", s.consumer),
			"-session-timeout", sessionTimeout.String(), "-transaction-timeout", transactionTimeout.String(),
		},
	}
	if i%2 == 1 && (s.cluster != nil || !s.consumer) {
		sl.Argv = append(sl.Argv, "-instance-id", fmt.Sprintf("eos-instance-%d", i))
	}
	s.must(sl.Start())
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
	offsets, err := s.adm.FetchOffsets(ctx, s.group)
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
