package txn

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestRandomTransactions runs producers, some of them zombies, against a coordinator that fails over at any point, and
// partitions that keep Kafka's rules, with markers that come late, twice or from a deposed coordinator. The seed of a
// failure is in its test's name.
func TestRandomTransactions(t *testing.T) {
	seeds := 400
	if testing.Short() {
		seeds = 60
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			runRandomTransactions(t, rand.New(rand.NewPCG(uint64(seed), 3)), 600)
		})
	}
}

func FuzzTransactions(f *testing.F) {
	f.Add(uint64(1), 50)
	f.Fuzz(func(t *testing.T, seed uint64, steps int) {
		runRandomTransactions(t, rand.New(rand.NewPCG(seed, 4)), min(steps, 3000))
	})
}

// attempt is one transaction as a client attempts it.
type attempt struct {
	name     string
	commit   bool // it was asked to commit
	aborted  bool // it was asked to abort
	ended    bool // the coordinator said that it has ended as asked
	outcomes map[bool]int
}

// written is what one attempt wrote to a partition.
type written struct {
	attempt *attempt
	epoch   int16
	ended   bool
}

// modelPartition is a partition with Kafka's rules for markers and transactional batches.
type modelPartition struct {
	epochs       map[int64]int16 // the newest of each producer id
	coordinators map[int64]int32
	open         map[int64][]*written
	markers      map[int64]int // how many were written, for the verification guard
}

func (p *modelPartition) write(id int64, epoch int16, a *attempt) bool {
	if newest, known := p.epochs[id]; known && epoch < newest {
		return false
	}
	if open := p.open[id]; len(open) > 0 && open[0].epoch != epoch {
		return false
	}
	p.epochs[id] = epoch
	p.open[id] = append(p.open[id], &written{attempt: a, epoch: epoch})
	return true
}

// mark ends what is open; false means that the marker is refused for good.
func (p *modelPartition) mark(c Completion) bool {
	newest, known := p.epochs[c.ProducerID]
	if known && (c.Epoch < newest || c.Version >= versionEpochBump && c.Epoch == newest && len(p.open[c.ProducerID]) > 0) {
		return true // late: as good as done, see server's markers
	}
	if c.CoordinatorEpoch < p.coordinators[c.ProducerID] {
		return false
	}
	p.coordinators[c.ProducerID] = c.CoordinatorEpoch
	p.epochs[c.ProducerID] = c.Epoch
	p.markers[c.ProducerID]++
	for _, w := range p.open[c.ProducerID] {
		w.attempt.outcomes[c.Commit]++
		w.ended = true
	}
	delete(p.open, c.ProducerID)
	return true
}

// client is one process with a transactional id.
type client struct {
	id      string
	version int16 // of EndTxn: 4 or 5
	p       producer
	initing bool // it wants a new epoch, and does nothing else before it has one
	asking  bool // InitProducerId is on its way
	attempt *attempt
	ending  *kmsg.Response // EndTxn on its way
	adding  int            // adds on their way
	added   map[Partition]bool
}

// delivery is a completion whose markers are being written.
type delivery struct {
	Completion
	leader *Leader
	left   []Partition
}

type random struct {
	*harness
	rng        *rand.Rand
	clients    []*client
	partitions map[Partition]*modelPartition
	deliveries []*delivery
	attempts   []*attempt
	given      map[producer]string // who got which producer id and epoch from InitProducerId
	begun      int
}

func runRandomTransactions(t *testing.T, rng *rand.Rand, steps int) {
	r := &random{
		harness: newHarness(t), rng: rng, partitions: map[Partition]*modelPartition{}, given: map[producer]string{},
	}
	r.version = []int8{0, 2}[rng.IntN(2)]
	for n := range 4 {
		r.partitions[topic("t", int32(n))] = &modelPartition{
			epochs: map[int64]int16{}, coordinators: map[int64]int32{}, open: map[int64][]*written{}, markers: map[int64]int{},
		}
	}
	for n := range 5 {
		r.clients = append(r.clients, &client{
			id: fmt.Sprint("tx", n%2), version: []int16{4, 5}[rng.IntN(2)], p: nobody, added: map[Partition]bool{},
		})
	}
	if rng.IntN(3) == 0 { // close to where epochs run out
		for _, c := range r.clients[:2] {
			r.init(c)
			r.settle()
			if s := r.state.transactions[c.id]; s != nil {
				s.Epoch = lastEpoch - int16(rng.IntN(4))
				c.p.epoch = s.Epoch
			}
		}
	}
	for range steps {
		r.step()
		r.check()
	}
	r.quiesce()
}

func (r *random) step() {
	c := r.clients[r.rng.IntN(len(r.clients))]
	r.learn(c)
	switch n := r.rng.IntN(100); {
	case n < 5 || c.p == nobody || c.initing:
		r.init(c)
	case n < 45:
		r.produce(c)
	case n < 60:
		r.endTxn(c)
	case n < 75:
		r.deliver()
	case n < 82:
		r.advance(time.Duration(r.rng.IntN(20_000)) * time.Millisecond)
	case n < 85:
		r.hold = true
	case n < 89:
		r.hold = false
		r.settle()
	case n < 93:
		if len(r.held) > 0 {
			r.commitOne()
		}
	case n < 95:
		if len(r.held) > 0 {
			r.refuseOne()
		}
	case n < 97:
		r.failover(r.rng.IntN(len(r.held) + 1))
	default:
		r.noIDs = r.rng.IntN(2) == 0
	}
	for _, completion := range r.completions {
		r.deliveries = append(r.deliveries, &delivery{completion, r.leader, completion.Partitions})
	}
	r.completions = nil
}

// learn takes in the answer to an EndTxn.
func (r *random) learn(c *client) {
	if c.ending == nil || *c.ending == nil {
		return
	}
	p, err := endAnswer(*c.ending)
	c.ending = nil
	switch err {
	case nil:
		c.attempt.ended = true
		c.attempt = nil
		clear(c.added)
		if c.version >= endEpochBump {
			c.p = p
		}
	case kerr.ProducerFenced, kerr.InvalidProducerIDMapping, kerr.InvalidTxnState:
		c.initing = true
	}
}

func (r *random) init(c *client) {
	if c.ending != nil || c.adding > 0 || c.asking {
		return
	}
	c.initing, c.asking = true, true
	expected := nobody
	if c.p != nobody && r.rng.IntN(2) == 0 {
		expected = c.p
	}
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionalID, req.TransactionTimeoutMillis = 5, &c.id, 10_000
	req.ProducerID, req.ProducerEpoch = expected.id, expected.epoch
	r.leader.Handle(r.now, req, func(resp kmsg.Response) {
		c.asking = false
		a := resp.(*kmsg.InitProducerIDResponse)
		if a.ErrorCode != 0 {
			if a.ErrorCode == kerr.ProducerFenced.Code {
				c.p = nobody // somebody starts the process again
			}
			return
		}
		got := producer{a.ProducerID, a.ProducerEpoch}
		if owner, twice := r.given[got]; twice && owner != fmt.Sprint(c.id, expected) {
			r.t.Fatalf("%+v is given to %s with %+v, and before to %s", got, c.id, expected, owner)
		}
		r.given[got] = fmt.Sprint(c.id, expected)
		c.p, c.initing, c.attempt = got, false, nil
		clear(c.added)
	})
	r.collect()
}

// produce writes a record to a partition, as a broker does that leads it.
func (r *random) produce(c *client) {
	if c.ending != nil || c.asking || c.attempt != nil && (c.attempt.commit || c.attempt.aborted) {
		return
	}
	if c.attempt == nil {
		r.begun++
		c.attempt = &attempt{name: fmt.Sprint(c.id, "/", r.begun), outcomes: map[bool]int{}}
		r.attempts = append(r.attempts, c.attempt)
	}
	at := topic("t", int32(r.rng.IntN(4)))
	p, a, who := r.partitions[at], c.attempt, c.p
	old := c.version < endEpochBump // its client adds partitions itself, before it writes to them
	if open := p.open[who.id]; len(open) > 0 && open[0].epoch == who.epoch && (!old || c.added[at]) {
		p.write(who.id, who.epoch, a)
		return
	}
	markers := p.markers[who.id]
	write := func() {
		if p.markers[who.id] == markers { // else the transaction ended meanwhile
			p.write(who.id, who.epoch, a)
		}
	}
	if old && c.added[at] {
		errs, err := r.leader.VerifyPartitions(c.id, who.id, who.epoch, []Partition{at})
		if err == nil && errs[0] == nil {
			write()
		}
		return
	}
	c.adding++
	r.leader.AddPartitions(r.now, AddPartitions{
		TransactionalID: c.id, ProducerID: who.id, Epoch: who.epoch, Partitions: []Partition{at},
		Version: map[bool]int8{false: 2}[old],
	}, func(err *kerr.Error) {
		c.adding--
		switch {
		case err == nil && !old:
			write()
		case err == nil && c.attempt == a:
			c.added[at] = true
		case err == kerr.ProducerFenced || err == kerr.InvalidProducerIDMapping:
			c.initing = true
		}
	})
	r.collect()
}

func (r *random) endTxn(c *client) {
	if c.asking || c.ending != nil || c.adding > 0 || c.attempt == nil {
		return
	}
	a := c.attempt
	commit := r.rng.IntN(3) > 0
	if a.commit || a.aborted {
		commit = a.commit // a repetition
	}
	a.commit, a.aborted = commit, !commit
	c.ending = new(kmsg.Response)
	req := kmsg.NewPtrEndTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = c.version, c.id, c.p.id, c.p.epoch, commit
	answer := c.ending
	r.leader.Handle(r.now, req, func(resp kmsg.Response) { *answer = resp })
	r.collect()
}

// deliver writes one marker of some completion, perhaps one of a leader that is none any more.
func (r *random) deliver() {
	if len(r.deliveries) == 0 {
		return
	}
	n := r.rng.IntN(len(r.deliveries))
	d := r.deliveries[n]
	if len(d.left) > 0 {
		k := r.rng.IntN(len(d.left))
		if !r.partitions[d.left[k]].mark(d.Completion) {
			if d.leader == r.leader {
				r.t.Fatalf("the present coordinator is fenced: %+v", d.Completion)
			}
			return
		}
		if r.rng.IntN(5) == 0 {
			return // the answer is lost: once more
		}
		left := append([]Partition(nil), d.left[:k]...)
		d.left = append(left, d.left[k+1:]...)
		return
	}
	r.deliveries = append(r.deliveries[:n], r.deliveries[n+1:]...)
	if d.leader == r.leader {
		r.leader.Completed(r.now, d.TransactionalID)
		r.collect()
	}
}

// check verifies what must hold at any time.
func (r *random) check() {
	r.t.Helper()
	for _, a := range r.attempts {
		if a.outcomes[true] > 0 && a.outcomes[false] > 0 {
			r.t.Fatalf("transaction %s is committed in part", a.name)
		}
		if a.outcomes[true] > 0 && !a.commit {
			r.t.Fatalf("transaction %s is committed and was not asked to be", a.name)
		}
		if a.ended && a.outcomes[!a.commit] > 0 {
			r.t.Fatalf("transaction %s ended otherwise than its client was told", a.name)
		}
	}
	for id, a := range r.leader.active {
		if t := r.state.transactions[id]; t != nil && t.Status == Ongoing && !a.writing && !a.deadline.Armed() {
			r.t.Fatalf("the open transaction of %s has no deadline", id)
		}
	}
	r.checkSnapshot()
}

// quiesce leaves everything alone: then nothing stays open, and nobody waits.
func (r *random) quiesce() {
	r.hold, r.noIDs = false, false
	if r.rng.IntN(2) == 0 {
		r.failover(r.rng.IntN(len(r.held) + 1))
	}
	r.settle()
	for range 10 {
		r.advance(20 * time.Second)
		for _, completion := range r.completions {
			r.deliveries = append(r.deliveries, &delivery{completion, r.leader, completion.Partitions})
		}
		r.completions = nil
		for range 200 {
			r.deliver()
		}
	}
	r.check()
	for id, s := range r.state.transactions {
		if s.Status.open() {
			r.t.Fatalf("%s is %s after all was left alone", id, s.Status)
		}
	}
	for at, p := range r.partitions {
		for id, open := range p.open {
			r.t.Fatalf("partition %v: transaction %s of producer %d stays open", at.Partition, open[0].attempt.name, id)
		}
	}
	if len(r.leader.active) > 0 {
		r.t.Fatalf("%d transactional ids are active", len(r.leader.active))
	}
	for _, c := range r.clients {
		if c.adding != 0 || c.asking || c.ending != nil && *c.ending == nil {
			r.t.Fatalf("a request of %s was never answered", c.id)
		}
	}
}
