package cluster

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"balsa/internal/invariant"
	"balsa/internal/wire"
	"balsa/raft"
)

// recordVersion is the version of every record kind's layout so far. A kind whose layout changes gets its own.
const recordVersion = 1

// leastRecordBytes is the size of the smallest record: kind, version, length.
const leastRecordBytes = 3

// appendRecords appends a count and the records: kind, version, length of the body, body.
func appendRecords(dst []byte, records []Record) []byte {
	e := encoder{wire.Encoder{B: dst}}
	e.Uvarint(uint64(len(records)))
	var body encoder
	for _, r := range records {
		body.B = body.B[:0]
		body.record(r)
		e.U8(byte(r.kind()))
		e.U8(recordVersion)
		e.Uvarint(uint64(len(body.B)))
		e.B = append(e.B, body.B...)
	}
	return e.B
}

// decodeRecords reads what appendRecords wrote, to the end of b. An unknown kind or version is an error: a broker that skipped
// a fact would have another image than its peers.
func decodeRecords(b []byte) ([]Record, error) {
	d := decoder{wire.Decoder{B: b}}
	n := d.Count(leastRecordBytes)
	records := make([]Record, 0, n)
	for i := range n {
		kind, version := recordKind(d.U8()), d.U8()
		body := decoder{wire.Decoder{B: d.Take(d.Uvarint())}}
		if d.Err != nil {
			return nil, fmt.Errorf("record %d of %d: %w", i, n, d.Err)
		}
		if version != recordVersion {
			return nil, fmt.Errorf("record %d of %d: version %d of kind %d is not known to this release", i, n, version, kind)
		}
		r := body.readRecord(kind)
		if err := body.End(); err != nil {
			return nil, fmt.Errorf("record %d of %d, kind %d: %w", i, n, kind, err)
		}
		records = append(records, r)
	}
	return records, d.End()
}

func (e *encoder) record(r Record) {
	switch r := r.(type) {
	case ClusterIDSet:
		e.Str(r.ID)
	case BrokerRegistered:
		b := r.Broker
		e.Varint(int64(b.ID))
		e.ID(b.Incarnation)
		e.Str(b.Host)
		e.Varint(int64(b.Port))
		e.Str(b.PeerAddress)
		e.Str(b.Rack)
	case TopicCreated:
		e.ID(r.Topic.ID)
		e.Str(r.Topic.Name)
		e.partitions(r.Topic.Partitions)
		e.configs(r.Topic.Configs)
	case TopicDeleted:
		e.ID(r.ID)
	case PartitionsAdded:
		e.ID(r.Topic)
		e.Varint(int64(r.First))
		e.partitions(r.Partitions)
	case ConfigChanged:
		e.configChanged(r)
	case ProducerIDsAllocated:
		e.Varint(r.Next)
	case PartitionChanged:
		e.partitionChanged(r)
	case BrokerUnregistered:
		e.Varint(int64(r.ID))
	case FeatureSet:
		e.Str(r.Name)
		e.Varint(int64(r.Level))
	case QuotaChanged:
		e.quotaChanged(r)
	default:
		invariant.Check(false, "unknown record %T", r)
	}
}

func (d *decoder) readRecord(kind recordKind) Record {
	switch kind {
	case kindClusterIDSet:
		return ClusterIDSet{ID: d.Str()}
	case kindBrokerRegistered:
		return BrokerRegistered{Broker{
			ID: raft.NodeID(d.I32()), Incarnation: d.ID(), Host: d.Str(), Port: d.I32(), PeerAddress: d.Str(), Rack: d.Str(),
		}}
	case kindTopicCreated:
		return TopicCreated{Topic{ID: d.ID(), Name: d.Str(), Partitions: d.partitions(), Configs: d.configs()}}
	case kindTopicDeleted:
		return TopicDeleted{ID: d.ID()}
	case kindPartitionsAdded:
		return PartitionsAdded{Topic: d.ID(), First: d.I32(), Partitions: d.partitions()}
	case kindConfigChanged:
		return d.configChanged()
	case kindProducerIDsAllocated:
		return ProducerIDsAllocated{Next: d.Varint()}
	case kindPartitionChanged:
		return d.partitionChanged()
	case kindBrokerUnregistered:
		return BrokerUnregistered{ID: raft.NodeID(d.I32())}
	case kindFeatureSet:
		return FeatureSet{Name: d.Str(), Level: d.i16()}
	case kindQuotaChanged:
		return d.quotaChanged()
	}
	d.Fail(errors.New("kind is not known to this release"))
	return nil
}

func (e *encoder) partitions(ps []Partition) {
	e.Uvarint(uint64(len(ps)))
	for _, p := range ps {
		e.nodes(p.Replicas)
	}
}

func (d *decoder) partitions() []Partition {
	ps := make([]Partition, d.Count(1))
	for i := range ps {
		ps[i].Replicas = make([]raft.NodeID, d.Count(1))
		d.nodes(ps[i].Replicas)
	}
	return ps
}

func (e *encoder) nodes(ids []raft.NodeID) {
	e.Uvarint(uint64(len(ids)))
	for _, id := range ids {
		e.Varint(int64(id))
	}
}

func (d *decoder) nodes(ids []raft.NodeID) {
	for i := range ids {
		ids[i] = raft.NodeID(d.I32())
	}
}

func (e *encoder) partitionChanged(r PartitionChanged) {
	e.ID(r.Topic)
	e.Varint(int64(r.Number))
	e.Varint(int64(r.Partition.Epoch))
	e.nodes(r.Partition.Replicas)
	e.nodes(r.Partition.Adding)
	e.nodes(r.Partition.Removing)
}

func (d *decoder) partitionChanged() PartitionChanged {
	r := PartitionChanged{Topic: d.ID(), Number: d.I32()}
	p := &r.Partition
	p.Epoch = d.I32()
	for _, list := range []*[]raft.NodeID{&p.Replicas, &p.Adding, &p.Removing} {
		if n := d.Count(1); n > 0 {
			*list = make([]raft.NodeID, n)
			d.nodes(*list)
		}
	}
	if d.Err == nil {
		if err := p.check(); err != nil {
			d.Fail(err)
		}
	}
	return r
}

// i16 takes a signed varint that fits in 16 bits.
func (d *decoder) i16() int16 {
	v := d.Varint()
	if v != int64(int16(v)) {
		d.Fail(fmt.Errorf("number %d does not fit in 16 bits", v))
		return 0
	}
	return int16(v)
}

// configs are written in the order of their keys: the same topic always has the same bytes.
func (e *encoder) configs(configs map[string]string) {
	e.Uvarint(uint64(len(configs)))
	for _, k := range slices.Sorted(maps.Keys(configs)) {
		e.Str(k)
		e.Str(configs[k])
	}
}

func (d *decoder) configs() map[string]string {
	n := d.Count(2)
	if n == 0 {
		return nil
	}
	configs := make(map[string]string, n)
	for range n {
		k := d.Str()
		configs[k] = d.Str()
	}
	return configs
}

func (e *encoder) configChanged(r ConfigChanged) {
	e.U8(byte(r.Scope))
	switch r.Scope {
	case ScopeTopic:
		e.ID(r.Topic)
	case ScopeBroker:
		e.Varint(int64(r.Broker))
	case ScopeGroup:
		e.Str(r.Group)
	case ScopeClientMetrics:
		e.Str(r.Subscription)
	default:
		invariant.Check(false, "config of unknown scope %d", r.Scope)
	}
	e.Str(r.Key)
	if r.Value == nil {
		e.U8(0)
		return
	}
	e.U8(1)
	e.Str(*r.Value)
}

func (d *decoder) configChanged() ConfigChanged {
	r := ConfigChanged{Scope: ConfigScope(d.U8())}
	switch r.Scope {
	case ScopeTopic:
		r.Topic = d.ID()
	case ScopeBroker:
		r.Broker = raft.NodeID(d.I32())
	case ScopeGroup:
		r.Group = d.Str()
	case ScopeClientMetrics:
		r.Subscription = d.Str()
	default:
		d.Fail(fmt.Errorf("config of unknown scope %d", r.Scope))
	}
	r.Key = d.Str()
	switch set := d.U8(); set {
	case 0:
	case 1:
		v := d.Str()
		r.Value = &v
	default:
		d.Fail(fmt.Errorf("a config value is neither set (1) nor removed (0) but %d", set))
	}
	return r
}
