package cluster

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The features that change what the broker does (KIP-584), by Kafka's names.
const (
	// FeatureGroup is group.version: from level 1 on, consumer groups of the new protocol are served (KIP-848).
	FeatureGroup = "group.version"
	// FeatureTransaction is transaction.version: from level 2 on, every transaction has its own producer epoch, and partitions are
	// added to it by writing to them (KIP-890). Level 1 changes nothing here; in Kafka it changes a record format.
	FeatureTransaction = "transaction.version"
	// FeatureShare is share.version: from level 1 on, share groups are served (KIP-932).
	FeatureShare = "share.version"
	// FeatureMetadata is metadata.version. Kafka's tools and clients want to see one; nothing here depends on it.
	FeatureMetadata = "metadata.version"
)

// Feature is a feature that this release supports, in which levels, and the level that a new cluster finalizes.
type Feature struct {
	Name              string
	Min, Max, Default int16
}

// SupportedFeatures returns the features of this release, by name. The metadata versions are those of Kafka 4.3.
func SupportedFeatures() []Feature {
	return []Feature{
		{FeatureGroup, 0, 1, 1},
		{FeatureMetadata, 7, 30, 30},
		{FeatureShare, 0, 1, 1},
		{FeatureTransaction, 0, 2, 2},
	}
}

// unrecordedFeature returns the level of a feature that the cluster's metadata does not name: the cluster was made by a release
// that recorded none, and works at the levels of the first release that did. These numbers never change. A feature that came
// later is off until it is asked for: brokers of before know nothing of it.
func unrecordedFeature(name string) int16 {
	switch name {
	case FeatureGroup:
		return 1
	case FeatureTransaction:
		return 2
	case FeatureMetadata:
		return 30
	}
	return 0
}

// Feature returns the finalized level of a feature (KIP-584), 0 when it is off or unknown.
func (img *Image) Feature(name string) int16 {
	if level, ok := img.Features[name]; ok {
		return level
	}
	return unrecordedFeature(name)
}

// bootstrapFeatures returns what finalizes the features of a new cluster.
func bootstrapFeatures() []Record {
	var records []Record
	for _, f := range SupportedFeatures() {
		records = append(records, FeatureSet{Name: f.Name, Level: f.Default})
	}
	return records
}

// The kinds of change of UpdateFeatures (KIP-778).
const (
	upgradeFeature    = 1
	downgradeSafely   = 2 // only if nothing is lost by it
	downgradeUnsafely = 3
)

// updateFeatures answers UpdateFeatures: all of its changes, or none.
func (d *Decider) updateFeatures(img *Image, req *kmsg.UpdateFeaturesRequest) Decision {
	resp := req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	var records []Record
	for _, u := range requestedFeatures(req) {
		if f := d.checkFeature(img, u); f != nil {
			resp.ErrorCode = f.kerr.Code
			resp.ErrorMessage = kmsg.StringPtr("The update failed for all features since the following feature had an error: " + f.message)
			resp.Results = nil
			return Decision{Response: resp}
		}
		if img.Feature(u.Feature) != u.MaxVersionLevel {
			records = append(records, FeatureSet{Name: u.Feature, Level: u.MaxVersionLevel})
		}
		r := kmsg.NewUpdateFeaturesResponseResult()
		r.Feature, r.ErrorMessage = u.Feature, kmsg.StringPtr("NONE") // as Kafka
		resp.Results = append(resp.Results, r)
	}
	if req.ValidateOnly {
		records = nil
	}
	return Decision{Records: records, Response: resp}
}

// requestedFeatures returns the updates of a request with their kind, which version 0 words differently. As in Kafka, the last
// one counts of several for the same feature.
func requestedFeatures(req *kmsg.UpdateFeaturesRequest) []kmsg.UpdateFeaturesRequestFeatureUpdate {
	updates := make([]kmsg.UpdateFeaturesRequestFeatureUpdate, 0, len(req.FeatureUpdates))
	at := make(map[string]int, len(req.FeatureUpdates))
	for _, u := range req.FeatureUpdates {
		if req.Version == 0 {
			u.UpgradeType = upgradeFeature
			if u.AllowDowngrade {
				u.UpgradeType = downgradeSafely
			}
		}
		if i, twice := at[u.Feature]; twice {
			updates[i] = u
			continue
		}
		at[u.Feature] = len(updates)
		updates = append(updates, u)
	}
	return updates
}

// checkFeature says why a feature cannot get a level, in Kafka's words; nil: it can.
func (d *Decider) checkFeature(img *Image, u kmsg.UpdateFeaturesRequestFeatureUpdate) *failure {
	refuse := func(format string, args ...any) *failure {
		return failf(kerr.InvalidUpdateVersion, "Invalid update version %d for feature %s. "+format,
			append([]any{u.MaxVersionLevel, u.Feature}, args...)...)
	}
	if u.UpgradeType < upgradeFeature || u.UpgradeType > downgradeUnsafely {
		return refuse("The controller does not support the given upgrade type.")
	}
	if u.MaxVersionLevel < 0 {
		return refuse("A feature version cannot be less than 0.")
	}
	supported := SupportedFeatures()
	at := slices.IndexFunc(supported, func(f Feature) bool { return f.Name == u.Feature })
	if at < 0 {
		return refuse("Local controller %d does not support this feature.", d.Config.NodeID)
	}
	if f := supported[at]; u.MaxVersionLevel < f.Min || u.MaxVersionLevel > f.Max {
		return refuse("Local controller %d only supports versions %d-%d", d.Config.NodeID, f.Min, f.Max)
	}
	current := img.Feature(u.Feature)
	if u.MaxVersionLevel >= current {
		return nil
	}
	switch {
	case u.UpgradeType == upgradeFeature:
		return refuse("Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.")
	case u.Feature == FeatureMetadata && u.UpgradeType == downgradeSafely:
		return failf(kerr.InvalidUpdateVersion, "Unsupported metadata.version downgrade from %d to %d. "+
			"Refusing to perform the requested downgrade because it might delete metadata information.", current, u.MaxVersionLevel)
	case u.Feature == FeatureMetadata:
		return failf(kerr.InvalidUpdateVersion, "Unsupported metadata.version downgrade from %d to %d. "+
			"Unsafe metadata downgrade is not supported in this version.", current, u.MaxVersionLevel)
	}
	return nil
}
