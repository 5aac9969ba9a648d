package cluster

import (
	"fmt"
	"maps"
	"slices"

	"balsa/internal/invariant"
	"balsa/raft"
)

// recordVersion is the version of every record kind's layout so far. A kind whose layout changes gets its own.
const recordVersion = 1

// leastRecordBytes is the size of the smallest record: kind, version, length.
const leastRecordBytes = 3

// appendRecords appends a count and the records: kind, version, length of the body, body.
func appendRecords(dst []byte, records []Record) []byte {
	e := encoder{b: dst}
	e.uvarint(uint64(len(records)))
	var body encoder
	for _, r := range records {
		body.b = body.b[:0]
		body.record(r)
		e.u8(byte(r.kind()))
		e.u8(recordVersion)
		e.uvarint(uint64(len(body.b)))
		e.b = append(e.b, body.b...)
	}
	return e.b
}

// decodeRecords reads what appendRecords wrote, to the end of b. An unknown kind or version is an error: a broker that skipped
// a fact would have another image than its peers.
func decodeRecords(b []byte) ([]Record, error) {
	d := decoder{b: b}
	n := d.count(leastRecordBytes)
	records := make([]Record, 0, n)
	for i := range n {
		kind, version := recordKind(d.u8()), d.u8()
		body := decoder{b: d.take(d.uvarint())}
		if d.err != nil {
			return nil, fmt.Errorf("record %d of %d: %w", i, n, d.err)
		}
		if version != recordVersion {
			return nil, fmt.Errorf("record %d of %d: version %d of kind %d is not known to this release", i, n, version, kind)
		}
		r := body.readRecord(kind)
		if err := body.end(); err != nil {
			return nil, fmt.Errorf("record %d of %d, kind %d: %w", i, n, kind, err)
		}
		records = append(records, r)
	}
	return records, d.end()
}

func (e *encoder) record(r Record) {
	switch r := r.(type) {
	case ClusterIDSet:
		e.str(r.ID)
	case BrokerRegistered:
		b := r.Broker
		e.varint(int64(b.ID))
		e.id(b.Incarnation)
		e.str(b.Host)
		e.varint(int64(b.Port))
		e.str(b.PeerAddress)
		e.str(b.Rack)
	case TopicCreated:
		e.id(r.Topic.ID)
		e.str(r.Topic.Name)
		e.partitions(r.Topic.Partitions)
		e.configs(r.Topic.Configs)
	case TopicDeleted:
		e.id(r.ID)
	case PartitionsAdded:
		e.id(r.Topic)
		e.varint(int64(r.First))
		e.partitions(r.Partitions)
	case ConfigChanged:
		e.configChanged(r)
	case ProducerIDsAllocated:
		e.varint(r.Next)
	default:
		invariant.Check(false, "unknown record %T", r)
	}
}

func (d *decoder) readRecord(kind recordKind) Record {
	switch kind {
	case kindClusterIDSet:
		return ClusterIDSet{ID: d.str()}
	case kindBrokerRegistered:
		return BrokerRegistered{Broker{
			ID: raft.NodeID(d.i32()), Incarnation: d.id(), Host: d.str(), Port: d.i32(), PeerAddress: d.str(), Rack: d.str(),
		}}
	case kindTopicCreated:
		return TopicCreated{Topic{ID: d.id(), Name: d.str(), Partitions: d.partitions(), Configs: d.configs()}}
	case kindTopicDeleted:
		return TopicDeleted{ID: d.id()}
	case kindPartitionsAdded:
		return PartitionsAdded{Topic: d.id(), First: d.i32(), Partitions: d.partitions()}
	case kindConfigChanged:
		return d.configChanged()
	case kindProducerIDsAllocated:
		return ProducerIDsAllocated{Next: d.varint()}
	}
	d.fail("kind is not known to this release")
	return nil
}

func (e *encoder) partitions(ps []Partition) {
	e.uvarint(uint64(len(ps)))
	for _, p := range ps {
		e.uvarint(uint64(len(p.Replicas)))
		for _, r := range p.Replicas {
			e.varint(int64(r))
		}
	}
}

func (d *decoder) partitions() []Partition {
	ps := make([]Partition, d.count(1))
	for i := range ps {
		ps[i].Replicas = make([]raft.NodeID, d.count(1))
		for j := range ps[i].Replicas {
			ps[i].Replicas[j] = raft.NodeID(d.i32())
		}
	}
	return ps
}

// configs are written in the order of their keys: the same topic always has the same bytes.
func (e *encoder) configs(configs map[string]string) {
	e.uvarint(uint64(len(configs)))
	for _, k := range slices.Sorted(maps.Keys(configs)) {
		e.str(k)
		e.str(configs[k])
	}
}

func (d *decoder) configs() map[string]string {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	configs := make(map[string]string, n)
	for range n {
		k := d.str()
		configs[k] = d.str()
	}
	return configs
}

func (e *encoder) configChanged(r ConfigChanged) {
	e.u8(byte(r.Scope))
	switch r.Scope {
	case ScopeTopic:
		e.id(r.Topic)
	case ScopeBroker:
		e.varint(int64(r.Broker))
	case ScopeGroup:
		e.str(r.Group)
	default:
		invariant.Check(false, "config of unknown scope %d", r.Scope)
	}
	e.str(r.Key)
	if r.Value == nil {
		e.u8(0)
		return
	}
	e.u8(1)
	e.str(*r.Value)
}

func (d *decoder) configChanged() ConfigChanged {
	r := ConfigChanged{Scope: ConfigScope(d.u8())}
	switch r.Scope {
	case ScopeTopic:
		r.Topic = d.id()
	case ScopeBroker:
		r.Broker = raft.NodeID(d.i32())
	case ScopeGroup:
		r.Group = d.str()
	default:
		d.fail("config of unknown scope %d", r.Scope)
	}
	r.Key = d.str()
	switch set := d.u8(); set {
	case 0:
	case 1:
		v := d.str()
		r.Value = &v
	default:
		d.fail("a config value is neither set (1) nor removed (0) but %d", set)
	}
	return r
}
