package cluster

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
)

// createTopics answers CreateTopics. Each topic succeeds or fails by itself.
func (d *Decider) createTopics(img *Image, req *kmsg.CreateTopicsRequest) Decision {
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	resp.Topics = []kmsg.CreateTopicsResponseTopic{}
	seen := map[string]int{}
	for _, t := range req.Topics {
		seen[t.Topic]++
	}
	// Topics of one request are placed beside each other, so each is applied before the next is decided.
	now := newBuilder(img)
	c := creation{now: now, names: collisions{img: &now.image}, loads: countLoads(img), left: MaxPartitionsPerRequest}
	var records []Record
	for i := range req.Topics {
		t := &req.Topics[i]
		if seen[t.Topic] == 0 {
			continue // answered as a duplicate before
		}
		if seen[t.Topic] > 1 {
			resp.Topics = append(resp.Topics, d.createdTopic(img, t, nil, failf(kerr.InvalidRequest, "Duplicate topic name.")))
			seen[t.Topic] = 0
			continue
		}
		topic, f := d.newTopic(&c, t)
		resp.Topics = append(resp.Topics, d.createdTopic(img, t, topic, f))
		if f != nil {
			continue
		}
		c.left -= len(topic.Partitions)
		c.names.add(topic.Name)
		record := TopicCreated{*topic}
		records = append(records, record)
		now.apply(record)
	}
	if req.ValidateOnly {
		records = nil
	}
	return Decision{Records: records, Response: resp}
}

// creation is the state of one CreateTopics request.
type creation struct {
	now   *builder
	names collisions
	loads loads
	left  int // how many partitions it may still create
}

// newTopic makes a topic from what the request wants, or says why it cannot.
func (d *Decider) newTopic(c *creation, t *kmsg.CreateTopicsRequestTopic) (*Topic, *failure) {
	img := &c.now.image
	if f := checkTopicName(t.Topic); f != nil {
		return nil, f
	}
	if img.TopicsByName[t.Topic] != nil {
		return nil, failf(kerr.TopicAlreadyExists, "Topic '%s' already exists.", t.Topic)
	}
	if other := c.names.find(t.Topic); other != "" {
		return nil, failf(kerr.InvalidTopicException, "Topic '%s' collides with existing topic: %s", t.Topic, other)
	}
	configs, f := newTopicConfigs(t.Configs)
	if f != nil {
		return nil, f
	}
	var partitions []Partition
	if len(t.ReplicaAssignment) > 0 {
		partitions, f = d.assignedByHand(c, t)
	} else {
		partitions, f = d.placed(c, t)
	}
	if f != nil {
		return nil, f
	}
	return &Topic{ID: d.newTopicID(img), Name: t.Topic, Partitions: partitions, Configs: configs}, nil
}

func newTopicConfigs(requested []kmsg.CreateTopicsRequestTopicConfig) (map[string]string, *failure) {
	configs := make(map[string]string, len(requested))
	for _, c := range requested {
		if c.Value == nil {
			return nil, failf(kerr.InvalidConfig, "Null value not supported for topic configs: %s", c.Name)
		}
		if _, twice := configs[c.Name]; twice {
			return nil, failf(kerr.InvalidConfig, "Config %s appears more than once", c.Name)
		}
		configs[c.Name] = *c.Value
	}
	if f := checkTopicConfigs(configs); f != nil {
		return nil, f
	}
	return configs, nil
}

func (d *Decider) placed(c *creation, t *kmsg.CreateTopicsRequestTopic) ([]Partition, *failure) {
	img := &c.now.image
	n, factor := int(t.NumPartitions), int(t.ReplicationFactor)
	if n == -1 {
		n = int(d.Config.NumPartitions)
	}
	if factor == -1 {
		factor = d.defaultReplication(img)
	}
	switch open := len(d.openBrokers(img)); {
	case n <= 0:
		return nil, failf(kerr.InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	case factor <= 0:
		return nil, failf(kerr.InvalidReplicationFactor, "Replication factor was set to an invalid non-positive value.")
	case n > c.left:
		return nil, tooManyPartitions()
	case factor > open:
		return nil, d.tooManyReplicas(img, factor)
	}
	return d.newPlacer(img, c.loads, nil, factor).placeAll(n, factor), nil
}

// defaultReplication is that of topics that do not ask for one: as configured, else as for a cluster of the size that this one has now,
// whichever node decides and however many began it.
func (d *Decider) defaultReplication(img *Image) int {
	if d.Config.Replication > 0 {
		return int(d.Config.Replication)
	}
	return min(3, len(d.knownBrokers(img)))
}

func tooManyPartitions() *failure {
	return failf(kerr.PolicyViolation, "Excessively large number of partitions per request: at most %d are allowed.", MaxPartitionsPerRequest)
}

func (d *Decider) tooManyReplicas(img *Image, factor int) *failure {
	open, why := len(d.openBrokers(img)), ""
	if open < len(d.knownBrokers(img)) {
		why = " or some brokers have all their log directories cordoned"
	}
	return failf(kerr.InvalidReplicationFactor,
		"The target replication factor of %d cannot be reached because only %d broker(s) are registered%s.", factor, open, why)
}

func (d *Decider) assignedByHand(c *creation, t *kmsg.CreateTopicsRequestTopic) ([]Partition, *failure) {
	switch {
	case t.ReplicationFactor != -1:
		return nil, failf(kerr.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1.")
	case t.NumPartitions != -1:
		return nil, failf(kerr.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
	case len(t.ReplicaAssignment) > c.left:
		return nil, tooManyPartitions()
	}
	partitions := make([]Partition, len(t.ReplicaAssignment))
	known := d.knownBrokers(&c.now.image)
	factor := len(t.ReplicaAssignment[0].Replicas)
	for _, a := range t.ReplicaAssignment {
		if a.Partition < 0 || int(a.Partition) >= len(partitions) {
			return nil, failf(kerr.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
		}
		if partitions[a.Partition].Replicas != nil {
			return nil, failf(kerr.InvalidReplicaAssignment, "Found multiple manual partition assignments for partition %d", a.Partition)
		}
		p, f := assigned(a.Replicas, factor, known)
		if f != nil {
			return nil, f
		}
		partitions[a.Partition] = p
	}
	for _, p := range partitions {
		c.loads.add(p)
	}
	return partitions, nil
}

// assigned checks one partition's replicas that a request gives by hand.
func assigned(replicas []int32, factor int, known []raft.NodeID) (Partition, *failure) {
	if len(replicas) == 0 {
		return Partition{}, failf(kerr.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
	}
	if len(replicas) != factor {
		return Partition{}, failf(kerr.InvalidReplicaAssignment,
			"The manual partition assignment includes a partition with %d replica(s), but this is not consistent with previous partitions, which have %d replica(s).",
			len(replicas), factor)
	}
	p := Partition{Replicas: make([]raft.NodeID, 0, len(replicas))}
	for _, r := range replicas {
		id := raft.NodeID(r)
		if _, ok := slices.BinarySearch(known, id); !ok {
			return Partition{}, failf(kerr.InvalidReplicaAssignment,
				"The manual partition assignment includes broker %d, but no such broker is registered.", r)
		}
		if slices.Contains(p.Replicas, id) {
			return Partition{}, failf(kerr.InvalidReplicaAssignment,
				"The manual partition assignment includes the broker %d more than once.", r)
		}
		p.Replicas = append(p.Replicas, id)
	}
	return p, nil
}

// createdTopic is one topic's answer; topic is nil when f is not.
func (d *Decider) createdTopic(img *Image, t *kmsg.CreateTopicsRequestTopic, topic *Topic, f *failure) kmsg.CreateTopicsResponseTopic {
	r := kmsg.NewCreateTopicsResponseTopic()
	r.Topic, r.ErrorCode, r.ErrorMessage = t.Topic, f.code(), f.text()
	r.Configs = []kmsg.CreateTopicsResponseTopicConfig{} // never null: the Java client throws
	r.NumPartitions, r.ReplicationFactor = -1, -1
	if topic == nil {
		return r
	}
	r.TopicID = topic.ID
	r.NumPartitions, r.ReplicationFactor = int32(len(topic.Partitions)), int16(len(topic.Partitions[0].Replicas))
	for _, def := range topicConfigs.sorted {
		if _, set := topic.Configs[def.Name]; def.Hidden && !set {
			continue
		}
		effective := d.resolver.topicLevels(img, topic, def)[0]
		c := kmsg.NewCreateTopicsResponseTopicConfig()
		c.Name, c.Value, c.Source = def.Name, kmsg.StringPtr(effective.value), int8(effective.source)
		r.Configs = append(r.Configs, c)
	}
	return r
}

// Bootstrap returns what a new cluster needs first: its id, its features and the coordinator shards. Their replicas are among the initial
// brokers, whether or not those have registered. No records when it has both.
func (d *Decider) Bootstrap(img *Image) []Record {
	var records []Record
	if img.ClusterID == "" {
		records = append(records, ClusterIDSet{ID: TopicID(d.uuid()).String()})
		records = append(records, bootstrapFeatures()...)
	}
	if img.Topics[CoordinatorTopic] == nil {
		bare := *img
		bare.Brokers = maps.Clone(img.Brokers)
		maps.DeleteFunc(bare.Brokers, func(id raft.NodeID, _ Broker) bool { return !slices.Contains(d.Brokers, id) })
		// At the first start nobody knows yet who is alive, so nobody is preferred.
		all := Decider{Config: d.Config, Brokers: d.Brokers, Alive: func(raft.NodeID) bool { return true }, Rand: d.Rand}
		factor := min(CoordinatorReplicas, len(d.Brokers))
		placed := all.newPlacer(&bare, loads{}, nil, factor).placeAll(CoordinatorShards, factor)
		records = append(records, TopicCreated{Topic{ID: CoordinatorTopic, Partitions: placed}})
	}
	return records
}
