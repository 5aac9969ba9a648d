package coordinator

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
)

func TestSplitAcrossShards(t *testing.T) {
	in(t, 1, 5, func(t *testing.T, c *testCluster) {
		var ids []string
		for i := range 20 {
			id := fmt.Sprint("g", i)
			ids = append(ids, id)
			wantCode(t, "commit", commitCode(c.ask(1, commitRequest(id, int64(i)))), nil)
		}
		fetched := c.ask(1, fetchRequest(8, ids...)).(*kmsg.OffsetFetchResponse)
		for i, g := range fetched.Groups {
			if g.Group != ids[i] || g.Topics[0].Partitions[0].Offset != int64(i) {
				t.Errorf("group %d of the answer is %+v", i, g)
			}
		}
		var listed []string
		for _, g := range c.ask(1, kmsg.NewPtrListGroupsRequest()).(*kmsg.ListGroupsResponse).Groups {
			listed = append(listed, g.Group)
		}
		slices.Sort(listed)
		if want := slices.Sorted(slices.Values(ids)); !slices.Equal(listed, want) {
			t.Errorf("listed %v", listed)
		}
		describe := kmsg.NewPtrDescribeGroupsRequest()
		describe.Groups = []string{"g0", "nobody", "g1"}
		var states []string
		for _, g := range c.ask(1, describe).(*kmsg.DescribeGroupsResponse).Groups {
			states = append(states, g.Group+":"+g.State)
		}
		if got := strings.Join(states, " "); got != "g0:Empty nobody:Dead g1:Empty" {
			t.Errorf("described %s", got)
		}
		del := kmsg.NewPtrDeleteGroupsRequest()
		del.Groups = []string{"g0", "nobody", "g1", "g0"}
		var codes []string
		for _, g := range c.ask(1, del).(*kmsg.DeleteGroupsResponse).Groups {
			codes = append(codes, fmt.Sprint(g.Group, ":", g.ErrorCode))
		}
		if got, want := strings.Join(codes, " "), fmt.Sprintf("g0:0 nobody:%d g1:0", kerr.GroupIDNotFound.Code); got != want {
			t.Errorf("deleted %s, want %s", got, want)
		}
		if n := len(c.ask(1, kmsg.NewPtrListGroupsRequest()).(*kmsg.ListGroupsResponse).Groups); n != 18 {
			t.Errorf("%d groups are left", n)
		}
	})
}

func TestOldOffsetFetch(t *testing.T) {
	in(t, 2, 1, func(t *testing.T, c *testCluster) {
		wantCode(t, "commit", commitCode(c.ask(1, commitRequest("g", 7))), nil)
		for version := int16(1); version < fetchGroups; version++ {
			here := c.ask(1, fetchRequest(version, "g")).(*kmsg.OffsetFetchResponse)
			if here.Version != version || len(here.Groups) != 0 || here.Topics[0].Partitions[0].Offset != 7 {
				t.Errorf("version %d: %+v", version, here)
			}
			// Version 1 has no error for the whole response.
			there := c.ask(2, fetchRequest(version, "g")).(*kmsg.OffsetFetchResponse)
			decoded := kmsg.NewPtrOffsetFetchResponse()
			decoded.Version = version
			if err := decoded.ReadFrom(there.AppendTo(nil)); err != nil {
				t.Fatal(err)
			}
			code := decoded.ErrorCode
			if version < 2 {
				code = decoded.Topics[0].Partitions[0].ErrorCode
			}
			wantCode(t, fmt.Sprint("version ", version), code, kerr.NotCoordinator)
		}
		all := kmsg.NewPtrOffsetFetchRequest()
		all.Version, all.Group, all.Topics = 5, "g", nil
		if got := c.ask(1, all).(*kmsg.OffsetFetchResponse); len(got.Topics) != 1 || got.Topics[0].Topic != "t" {
			t.Errorf("all offsets: %+v", got.Topics)
		}
	})
}

// Every API, in every version, is answered in its own version with the error where that version has it.
func TestErrorsOfAllRequests(t *testing.T) {
	in(t, 2, 1, func(t *testing.T, c *testCluster) {
		for _, key := range []kmsg.Key{
			kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.LeaveGroup, kmsg.OffsetCommit, kmsg.OffsetFetch,
			kmsg.OffsetDelete, kmsg.ListGroups, kmsg.DescribeGroups, kmsg.DeleteGroups,
		} {
			for _, node := range []raft.NodeID{1, 2} {
				for version := int16(0); version <= kmsg.RequestForKey(int16(key)).MaxVersion(); version++ {
					req := kmsg.RequestForKey(int16(key))
					req.SetVersion(version)
					resp := c.ask(node, req)
					if resp == nil || resp.Key() != int16(key) || resp.GetVersion() != version {
						t.Fatalf("%s v%d is answered with %+v", key.Name(), version, resp)
					}
					read := req.ResponseKind()
					if err := read.ReadFrom(resp.AppendTo(nil)); err != nil {
						t.Errorf("%s v%d: %v", key.Name(), version, err)
					}
				}
			}
		}
	})
}
