package group

// State is a shard's durable state: groups by id. It changes only by Replay and Restore.
type State struct {
	groups map[string]*stored
	// producers are those with pending offsets, and for a while those that had some.
	producers map[int64]*producer
	// metadata is the highest Image.Version by which a committed topic was known. A leader whose image is older cannot
	// tell a deleted topic from one that it has not heard of.
	metadata uint64
}

// stored is what is durable of one group.
type stored struct {
	membership *Membership    // of a group of the classic protocol; nil for a simple group, which only has offsets
	consumer   *consumerState // of a group of the consumer protocol
	share      *shareState    // of a share group
	offsets    map[string]map[int32]Offset
	// pending holds, by partition, the offsets of transactions that have not ended, in the order of their commits. Those
	// that are superseded come first.
	pending map[string]map[int32][]pendingOffset
}

// Membership is a group as its last completed rebalance left it.
type Membership struct {
	Generation   int32
	ProtocolType string
	Protocol     string // the assignor chosen; empty without members
	Leader       string
	StateTime    int64 // ms: when the group came into its state
	Members      []Member
}

// Member is the durable part of a member.
type Member struct {
	ID               string
	InstanceID       *string // group.instance.id
	ClientID         string
	ClientHost       string
	RebalanceTimeout int32 // ms
	SessionTimeout   int32 // ms
	Subscription     []byte
	Assignment       []byte
}

// noTime stands for "no expiry" and "time unknown".
const noTime = -1

// Offset is a committed offset.
type Offset struct {
	TopicID     [16]byte
	Offset      int64
	LeaderEpoch int32 // -1: not given
	Metadata    string
	CommitTime  int64 // ms
	ExpireTime  int64 // ms; noTime unless the client asked for a retention of its own (OffsetCommit v2 to v4)
}

// NewState returns an empty state.
func NewState() *State {
	return &State{groups: map[string]*stored{}, producers: map[int64]*producer{}}
}

// Replay applies one record. It is a function of the state and the record alone. An error means that the record is not
// one of ours or of a later release; the state is unchanged then.
func (s *State) Replay(b []byte) error {
	r, err := decodeRecord(b)
	if err != nil {
		return err
	}
	r.apply(s)
	return nil
}

// simple says whether a group is nothing but its offsets, which were committed by consumers that assign partitions themselves.
func (g *stored) simple() bool { return g.membership == nil && g.consumer == nil && g.share == nil }

func (s *State) obtain(group string) *stored {
	g := s.groups[group]
	if g == nil {
		g = &stored{offsets: map[string]map[int32]Offset{}, pending: map[string]map[int32][]pendingOffset{}}
		s.groups[group] = g
	}
	return g
}

func (r offsetCommitted) apply(s *State) {
	g := s.obtain(r.group)
	g.setOffset(r.topic, r.partition, r.offset)
	supersede(g.pending[r.topic][r.partition])
	s.metadata = max(s.metadata, r.metadata)
}

func (r offsetDeleted) apply(s *State) {
	g := s.groups[r.group]
	if g == nil {
		return
	}
	delete(g.offsets[r.topic], r.partition)
	if len(g.offsets[r.topic]) == 0 {
		delete(g.offsets, r.topic)
	}
	s.dropPending(r.group, r.topic, r.partition)
	s.dropIfNothing(r.group)
}

// dropIfNothing deletes a simple group without offsets: it is nothing but them.
func (s *State) dropIfNothing(group string) {
	if g := s.groups[group]; g.simple() && len(g.offsets) == 0 && len(g.pending) == 0 {
		delete(s.groups, group)
	}
}

func (r groupStored) apply(s *State) {
	m := r.membership
	g := s.obtain(r.group)
	g.membership, g.consumer = &m, nil
}

func (r groupDeleted) apply(s *State) {
	g := s.groups[r.group]
	if g == nil {
		return
	}
	for topic, partitions := range g.pending {
		for partition := range partitions {
			s.dropPending(r.group, topic, partition)
		}
	}
	delete(s.groups, r.group)
}

func (g *stored) setOffset(topic string, partition int32, o Offset) {
	partitions := g.offsets[topic]
	if partitions == nil {
		partitions = map[int32]Offset{}
		g.offsets[topic] = partitions
	}
	partitions[partition] = o
}

// offset returns the committed offset of a partition.
func (g *stored) offset(topic string, partition int32) (Offset, bool) {
	if g == nil {
		return Offset{}, false
	}
	o, ok := g.offsets[topic][partition]
	return o, ok
}
