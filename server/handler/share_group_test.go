package handler

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
	"balsa/server/share"
)

func TestShareGroupNeedsItsFeature(t *testing.T) {
	w := newWorld(t)
	beat := kmsg.NewPtrShareGroupHeartbeatRequest()
	beat.Version, beat.MemberID = 1, "m"
	describe := kmsg.NewPtrShareGroupDescribeRequest()
	describe.Version, describe.GroupIDs = 1, []string{"g"}
	offsets := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	offsets.Version, offsets.Groups = 1, []kmsg.DescribeShareGroupOffsetsRequestGroup{{GroupID: "g"}}
	for level, want := range map[int16]int16{0: kerr.UnsupportedVersion.Code, 1: 0} {
		w.image.Features = map[string]int16{cluster.FeatureShare: level}
		if r := ask[*kmsg.ShareGroupHeartbeatResponse](w, beat); r.ErrorCode != want || r.Version != 1 {
			t.Errorf("level %d: %+v", level, r)
		}
		if r := ask[*kmsg.AlterShareGroupOffsetsResponse](w, kmsg.NewPtrAlterShareGroupOffsetsRequest()); r.ErrorCode != want {
			t.Errorf("level %d: %+v", level, r)
		}
		if r := ask[*kmsg.DeleteShareGroupOffsetsResponse](w, kmsg.NewPtrDeleteShareGroupOffsetsRequest()); r.ErrorCode != want {
			t.Errorf("level %d: %+v", level, r)
		}
		if level > 0 {
			continue
		}
		if r := ask[*kmsg.ShareGroupDescribeResponse](w, describe); len(r.Groups) != 1 || r.Groups[0].ErrorCode != want {
			t.Errorf("level %d: %+v", level, r)
		}
		if r := ask[*kmsg.DescribeShareGroupOffsetsResponse](w, offsets); len(r.Groups) != 1 || r.Groups[0].ErrorCode != want {
			t.Errorf("level %d: %+v", level, r)
		}
	}
}

func TestShareGroupMemberID(t *testing.T) {
	w := newWorld(t)
	beat := kmsg.NewPtrShareGroupHeartbeatRequest()
	beat.Version = 1
	for id, want := range map[string]int16{
		"":                      kerr.InvalidRequest.Code,
		strings.Repeat("é", 36): 0,
		strings.Repeat("m", 37): kerr.InvalidRequest.Code,
		share.DetachedPrefix + strings.Repeat("m", 36): 0,
		share.DetachedPrefix + strings.Repeat("m", 37): kerr.InvalidRequest.Code,
	} {
		beat.MemberID = id
		r := ask[*kmsg.ShareGroupHeartbeatResponse](w, beat)
		if r.ErrorCode != want || want != 0 && *r.ErrorMessage != "Invalid member id in the request." {
			t.Errorf("%q: %+v", id, r)
		}
	}
}
