package cluster

import (
	"fmt"
	"maps"
	"slices"
)

// Snapshot returns the image as bytes, in the format of FORMAT.md: its version and the shortest list of records that makes
// it from nothing, so that there is one codec to keep compatible. Equal images have equal bytes.
func (img *Image) Snapshot() []byte {
	e := encoder{}
	e.U8(formatVersion)
	e.U64(img.Version)
	return seal(appendRecords(e.B, img.records()))
}

// RestoreImage is the inverse of Snapshot.
func RestoreImage(b []byte) (*Image, error) {
	d, err := unseal(b)
	if err != nil {
		return nil, fmt.Errorf("restore metadata snapshot: %w", err)
	}
	version := d.U64()
	if d.Err != nil {
		return nil, fmt.Errorf("restore metadata snapshot: %w", d.Err)
	}
	records, err := decodeRecords(d.B)
	if err != nil {
		return nil, fmt.Errorf("restore metadata snapshot: %w", err)
	}
	if err := restorable(records); err != nil {
		return nil, fmt.Errorf("restore metadata snapshot: %w", err)
	}
	return NewImage().Apply(version, records), nil
}

func (img *Image) records() []Record {
	var records []Record
	if img.ClusterID != "" {
		records = append(records, ClusterIDSet{img.ClusterID})
	}
	for _, id := range slices.Sorted(maps.Keys(img.Unregistered)) {
		records = append(records, BrokerUnregistered{id})
	}
	for _, b := range img.SortedBrokers() {
		records = append(records, BrokerRegistered{b})
	}
	for _, id := range slices.SortedFunc(maps.Keys(img.Topics), TopicID.Compare) {
		t := *img.Topics[id]
		if t.Internal() {
			t.Name = "" // that clients find it under a name is no fact of the log
		}
		records = append(records, TopicCreated{t})
		for i, p := range t.Partitions {
			if p.Epoch > 0 {
				records = append(records, PartitionChanged{Topic: id, Number: int32(i), Partition: p})
			}
		}
	}
	for _, broker := range slices.Sorted(maps.Keys(img.BrokerConfigs)) {
		records = appendConfigs(records, img.BrokerConfigs[broker], ConfigChanged{Scope: ScopeBroker, Broker: broker})
	}
	for _, group := range slices.Sorted(maps.Keys(img.GroupConfigs)) {
		records = appendConfigs(records, img.GroupConfigs[group], ConfigChanged{Scope: ScopeGroup, Group: group})
	}
	for _, name := range slices.Sorted(maps.Keys(img.ClientMetrics)) {
		records = appendConfigs(records, img.ClientMetrics[name], ConfigChanged{Scope: ScopeClientMetrics, Subscription: name})
	}
	if img.NextProducer != 0 {
		records = append(records, ProducerIDsAllocated{img.NextProducer})
	}
	for _, name := range slices.Sorted(maps.Keys(img.Features)) {
		records = append(records, FeatureSet{Name: name, Level: img.Features[name]})
	}
	for _, entity := range slices.SortedFunc(maps.Keys(img.Quotas), QuotaEntity.compare) {
		quotas := img.Quotas[entity]
		for _, key := range slices.Sorted(maps.Keys(quotas)) {
			v := quotas[key]
			records = append(records, QuotaChanged{Entity: entity, Key: key, Value: &v})
		}
	}
	return records
}

func appendConfigs(records []Record, configs map[string]string, r ConfigChanged) []Record {
	for _, k := range slices.Sorted(maps.Keys(configs)) {
		v := configs[k]
		r.Key, r.Value = k, &v
		records = append(records, r)
	}
	return records
}

// restorable checks what Apply takes for granted, because a snapshot comes from a disk or a peer: facts that a snapshot
// consists of, each once.
func restorable(records []Record) error {
	var clusterIDs, blocks int
	names := map[string]bool{"": false}
	unchanged := map[TopicID][2]int{} // from which number on a topic's partitions have not changed yet, and how many it has
	for _, r := range records {
		switch r := r.(type) {
		case ClusterIDSet:
			clusterIDs++
		case ProducerIDsAllocated:
			blocks++
			if r.Next < 0 {
				return fmt.Errorf("%w: next producer id %d", ErrCorrupt, r.Next)
			}
		case TopicCreated:
			if _, twice := unchanged[r.Topic.ID]; twice || names[r.Topic.Name] {
				return fmt.Errorf("%w: topic %q (%s) twice", ErrCorrupt, r.Topic.Name, r.Topic.ID)
			}
			unchanged[r.Topic.ID], names[r.Topic.Name] = [2]int{0, len(r.Topic.Partitions)}, r.Topic.Name != ""
		case PartitionChanged:
			if left := unchanged[r.Topic]; int(r.Number) < left[0] || int(r.Number) >= left[1] {
				return fmt.Errorf("%w: partition %d of topic %s twice, or of no topic", ErrCorrupt, r.Number, r.Topic)
			}
			unchanged[r.Topic] = [2]int{int(r.Number) + 1, unchanged[r.Topic][1]}
		case ConfigChanged:
			if r.Scope == ScopeTopic {
				return fmt.Errorf("%w: a topic's config apart from its topic", ErrCorrupt)
			}
		case BrokerRegistered, BrokerUnregistered, FeatureSet, QuotaChanged:
		default:
			return fmt.Errorf("%w: a %T in a snapshot", ErrCorrupt, r)
		}
	}
	if clusterIDs > 1 || blocks > 1 {
		return fmt.Errorf("%w: %d cluster ids and %d producer id blocks", ErrCorrupt, clusterIDs, blocks)
	}
	return nil
}
