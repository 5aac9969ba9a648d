package cluster

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func featureRequest(version int16, updates ...kmsg.UpdateFeaturesRequestFeatureUpdate) *kmsg.UpdateFeaturesRequest {
	req := kmsg.NewPtrUpdateFeaturesRequest()
	req.Version, req.FeatureUpdates = version, updates
	return req
}

func featureTo(name string, level int16, kind int8) kmsg.UpdateFeaturesRequestFeatureUpdate {
	u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
	u.Feature, u.MaxVersionLevel, u.UpgradeType = name, level, kind
	return u
}

func TestFeaturesOfANewCluster(t *testing.T) {
	w := newWorld(t, 1)
	for _, f := range SupportedFeatures() {
		if level, recorded := w.image.Features[f.Name]; !recorded || level != f.Default || w.image.Feature(f.Name) != level {
			t.Errorf("%s: level %d (recorded %v), want %d", f.Name, level, recorded, f.Default)
		}
	}
}

// TestFeaturesOfAnOlderCluster: a cluster that recorded no features works at the levels of the release that began to.
func TestFeaturesOfAnOlderCluster(t *testing.T) {
	img := NewImage()
	if g, tx, m := img.Feature(FeatureGroup), img.Feature(FeatureTransaction), img.Feature(FeatureMetadata); g != 1 || tx != 2 || m != 30 {
		t.Errorf("group.version %d, transaction.version %d, metadata.version %d", g, tx, m)
	}
	for _, name := range []string{FeatureShare, "no.such.version"} {
		if level := img.Feature(name); level != 0 {
			t.Errorf("%s, which nobody recorded, has level %d", name, level)
		}
	}
}

// TestShareGroupsComeWithAnUpgrade: a cluster of a release that knew none serves them once it is told to.
func TestShareGroupsComeWithAnUpgrade(t *testing.T) {
	w := newWorld(t, 1)
	delete(w.image.Features, FeatureShare)
	resp := w.do(featureRequest(2, featureTo(FeatureShare, 1, upgradeFeature))).(*kmsg.UpdateFeaturesResponse)
	if level := w.image.Feature(FeatureShare); resp.ErrorCode != 0 || level != 1 {
		t.Errorf("code %d, level %d", resp.ErrorCode, level)
	}
}

func TestUpdateFeatures(t *testing.T) {
	for _, c := range []struct {
		name   string
		update kmsg.UpdateFeaturesRequestFeatureUpdate
		code   int16
	}{
		{"the same", featureTo(FeatureGroup, 1, upgradeFeature), 0},
		{"unknown", featureTo("no.such.version", 1, upgradeFeature), kerr.InvalidUpdateVersion.Code},
		{"too high", featureTo(FeatureGroup, 2, upgradeFeature), kerr.InvalidUpdateVersion.Code},
		{"negative", featureTo(FeatureGroup, -1, downgradeUnsafely), kerr.InvalidUpdateVersion.Code},
		{"lower without saying so", featureTo(FeatureTransaction, 1, upgradeFeature), kerr.InvalidUpdateVersion.Code},
		{"lower, safely", featureTo(FeatureTransaction, 1, downgradeSafely), 0},
		{"off, unsafely", featureTo(FeatureGroup, 0, downgradeUnsafely), 0},
		{"no kind", featureTo(FeatureGroup, 1, 0), kerr.InvalidUpdateVersion.Code},
		{"metadata.version lower", featureTo(FeatureMetadata, 29, downgradeUnsafely), kerr.InvalidUpdateVersion.Code},
	} {
		w := newWorld(t, 1)
		before := w.image.Version
		check := featureRequest(2, c.update)
		check.ValidateOnly = true
		if resp := w.do(check).(*kmsg.UpdateFeaturesResponse); resp.ErrorCode != c.code || w.image.Version != before {
			t.Errorf("%s, only validated: code %d, want %d; image %d, was %d", c.name, resp.ErrorCode, c.code, w.image.Version, before)
		}
		old := w.image.Feature(c.update.Feature)
		resp := w.do(featureRequest(2, c.update)).(*kmsg.UpdateFeaturesResponse)
		want := c.update.MaxVersionLevel
		if c.code != 0 {
			want = old
		}
		if got := w.image.Feature(c.update.Feature); resp.ErrorCode != c.code || got != want {
			t.Errorf("%s: code %d, want %d; level %d, want %d", c.name, resp.ErrorCode, c.code, got, want)
		}
	}
}

// TestUpdateFeaturesIsAllOrNothing: one bad update keeps the good one from happening.
func TestUpdateFeaturesIsAllOrNothing(t *testing.T) {
	w := newWorld(t, 1)
	req := featureRequest(1, featureTo(FeatureTransaction, 1, downgradeSafely), featureTo(FeatureGroup, 9, upgradeFeature))
	if resp := w.do(req).(*kmsg.UpdateFeaturesResponse); resp.ErrorCode == 0 || len(resp.Results) != 0 || w.image.Feature(FeatureTransaction) != 2 {
		t.Errorf("%+v; transaction.version %d", resp, w.image.Feature(FeatureTransaction))
	}
}

// TestUpdateFeaturesVersion0 has a flag where later versions have a kind.
func TestUpdateFeaturesVersion0(t *testing.T) {
	w := newWorld(t, 1)
	u := featureTo(FeatureTransaction, 1, 0)
	if resp := w.do(featureRequest(0, u)).(*kmsg.UpdateFeaturesResponse); resp.ErrorCode != kerr.InvalidUpdateVersion.Code {
		t.Errorf("without allowing a downgrade: %+v", resp)
	}
	u.AllowDowngrade = true
	resp := w.do(featureRequest(0, u)).(*kmsg.UpdateFeaturesResponse)
	if resp.ErrorCode != 0 || len(resp.Results) != 1 || w.image.Feature(FeatureTransaction) != 1 {
		t.Errorf("%+v; transaction.version %d", resp, w.image.Feature(FeatureTransaction))
	}
}
