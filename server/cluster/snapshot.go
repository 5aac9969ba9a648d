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
	for _, b := range img.SortedBrokers() {
		records = append(records, BrokerRegistered{b})
	}
	for _, id := range slices.SortedFunc(maps.Keys(img.Topics), TopicID.Compare) {
		records = append(records, TopicCreated{*img.Topics[id]})
	}
	for _, broker := range slices.Sorted(maps.Keys(img.BrokerConfigs)) {
		records = appendConfigs(records, img.BrokerConfigs[broker], ConfigChanged{Scope: ScopeBroker, Broker: broker})
	}
	for _, group := range slices.Sorted(maps.Keys(img.GroupConfigs)) {
		records = appendConfigs(records, img.GroupConfigs[group], ConfigChanged{Scope: ScopeGroup, Group: group})
	}
	if img.NextProducer != 0 {
		records = append(records, ProducerIDsAllocated{img.NextProducer})
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
	ids, names := map[TopicID]bool{}, map[string]bool{"": false}
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
			if ids[r.Topic.ID] || names[r.Topic.Name] {
				return fmt.Errorf("%w: topic %q (%s) twice", ErrCorrupt, r.Topic.Name, r.Topic.ID)
			}
			ids[r.Topic.ID], names[r.Topic.Name] = true, r.Topic.Name != ""
		case ConfigChanged:
			if r.Scope == ScopeTopic {
				return fmt.Errorf("%w: a topic's config apart from its topic", ErrCorrupt)
			}
		case BrokerRegistered:
		default:
			return fmt.Errorf("%w: a %T in a snapshot", ErrCorrupt, r)
		}
	}
	if clusterIDs > 1 || blocks > 1 {
		return fmt.Errorf("%w: %d cluster ids and %d producer id blocks", ErrCorrupt, clusterIDs, blocks)
	}
	return nil
}
