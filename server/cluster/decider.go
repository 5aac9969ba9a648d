package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/config"
)

// MaxPartitionsPerRequest is how many partitions one CreateTopics or CreatePartitions request may create, as in Kafka.
const MaxPartitionsPerRequest = 10_000

// MaxEntryBytes bounds what one request may add to the metadata group.
const MaxEntryBytes = 8 << 20

// Decider answers controller requests on the leader of the metadata group: from an image and a request it makes records
// and the response that is right once they are applied. It changes nothing and reads no clock; its only outside
// inputs are in its fields, so that a test can fix them. Not safe for concurrent use, because of Rand.
type Decider struct {
	Config *config.Config
	// Brokers are the ids of the initial brokers: they count as known, and get replicas, before they have registered.
	Brokers []raft.NodeID
	Alive   func(raft.NodeID) bool
	Rand    *rand.Rand

	resolver *Resolver
}

// NewDecider returns the decider of a broker with configuration c.
func NewDecider(c *config.Config, alive func(raft.NodeID) bool, random *rand.Rand) *Decider {
	brokers := make([]raft.NodeID, 0, len(c.Peers))
	for _, id := range c.Brokers() {
		brokers = append(brokers, raft.NodeID(id))
	}
	return &Decider{Config: c, Brokers: brokers, Alive: alive, Rand: random, resolver: NewResolver(c)}
}

// Decision is what a request does: the records to replicate, none when nothing changes, and the response.
type Decision struct {
	Records  []Record
	Response kmsg.Response
}

// ErrNotServed means that a request is not the controller's business.
var ErrNotServed = errors.New("not a controller request")

// Decide answers req from img. The error is ErrNotServed, or one that wraps a *kerr.Error and is the answer to all that the
// request asks for.
func (d *Decider) Decide(img *Image, req kmsg.Request) (Decision, error) {
	decision, err := d.answer(img, req)
	if err != nil {
		return Decision{}, err
	}
	if size := len(appendRecords(nil, decision.Records)); size > MaxEntryBytes {
		return Decision{}, failf(kerr.PolicyViolation, "The request makes %d bytes of cluster metadata; at most %d are allowed.", size, MaxEntryBytes)
	}
	return decision, nil
}

func (d *Decider) answer(img *Image, req kmsg.Request) (Decision, error) {
	switch req := req.(type) {
	case *kmsg.CreateTopicsRequest:
		return d.createTopics(img, req), nil
	case *kmsg.DeleteTopicsRequest:
		return d.deleteTopics(img, req), nil
	case *kmsg.CreatePartitionsRequest:
		return d.createPartitions(img, req), nil
	case *kmsg.AlterConfigsRequest:
		return d.alterConfigs(img, req), nil
	case *kmsg.IncrementalAlterConfigsRequest:
		return d.incrementalAlterConfigs(img, req), nil
	case *kmsg.AlterClientQuotasRequest:
		return d.alterClientQuotas(img, req), nil
	case *kmsg.UpdateFeaturesRequest:
		return d.updateFeatures(img, req), nil
	case *kmsg.AllocateProducerIDsRequest:
		return d.allocateProducerIDs(img, req), nil
	case *kmsg.BrokerRegistrationRequest:
		return d.registerBroker(img, req), nil
	case *kmsg.UnregisterBrokerRequest:
		return d.unregisterBroker(img, req), nil
	case *kmsg.AlterPartitionAssignmentsRequest:
		return d.alterPartitionReassignments(img, req), nil
	case *kmsg.AlterPartitionRequest:
		return d.alterPartition(img, req), nil
	}
	return Decision{}, fmt.Errorf("%w: %T", ErrNotServed, req)
}

// Served says whether Decide answers requests with this API key.
func Served(key int16) bool {
	switch kmsg.Key(key) {
	case kmsg.CreateTopics, kmsg.DeleteTopics, kmsg.CreatePartitions, kmsg.AlterConfigs, kmsg.IncrementalAlterConfigs,
		kmsg.AlterClientQuotas, kmsg.UpdateFeatures, kmsg.AllocateProducerIDs, kmsg.BrokerRegistration, kmsg.UnregisterBroker,
		kmsg.AlterPartitionAssignments, kmsg.AlterPartition:
		return true
	}
	return false
}

// knownBrokers returns the ids of all brokers that can hold replicas, ascending: those that registered and the initial ones,
// without those that were unregistered.
func (d *Decider) knownBrokers(img *Image) []raft.NodeID {
	known := slices.Clone(d.Brokers)
	for id := range img.Brokers {
		known = append(known, id)
	}
	slices.Sort(known)
	return slices.DeleteFunc(slices.Compact(known), func(id raft.NodeID) bool { return img.Unregistered[id] })
}

// openBrokers returns the known brokers that are not cordoned: those that placement may choose.
func (d *Decider) openBrokers(img *Image) []raft.NodeID {
	return slices.DeleteFunc(d.knownBrokers(img), img.Cordoned)
}

// newTopicID returns an id that no topic has and that is none of the reserved ones.
func (d *Decider) newTopicID(img *Image) TopicID {
	for {
		id := TopicID(d.uuid())
		if img.Topics[id] == nil {
			return id
		}
	}
}

// uuid returns a random UUID of version 4. As Kafka, it avoids those whose text begins with a dash, which command
// lines take for an option.
func (d *Decider) uuid() (id [16]byte) {
	for {
		for i := 0; i < len(id); i += 8 {
			v := d.Rand.Uint64()
			for j := range 8 {
				id[i+j] = byte(v >> (8 * j))
			}
		}
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
		if TopicID(id).String()[0] != '-' {
			return id
		}
	}
}

// failure is an error that an answer carries: a code of Kafka's and a message for people.
type failure struct {
	kerr    *kerr.Error
	message string
}

func (f *failure) Error() string { return f.kerr.Message + ": " + f.message }
func (f *failure) Unwrap() error { return f.kerr }

func failf(code *kerr.Error, format string, args ...any) *failure {
	return &failure{kerr: code, message: fmt.Sprintf(format, args...)}
}

// code and text give what goes on the wire; both work on nil, which is success.
func (f *failure) code() int16 {
	if f == nil {
		return 0
	}
	return f.kerr.Code
}

func (f *failure) text() *string {
	if f == nil {
		return nil
	}
	return &f.message
}
