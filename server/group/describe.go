package group

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// describeNotFound is the first version in which a group that does not exist is an error (KIP-1043).
	describeNotFound = 6
	// classicType is the group type of this protocol in ListGroups.
	classicType = "classic"
)

// authorizedOperations are all operations that exist on groups, as bits by their numbers in the protocol: read, delete,
// describe, describe configs, alter configs. Without an authorizer everybody may do everything.
const authorizedOperations = 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11

// describe answers for one group, req.Groups[0].
func (l *Leader) describe(req *kmsg.DescribeGroupsRequest) *kmsg.DescribeGroupsResponse {
	resp := kmsg.NewPtrDescribeGroupsResponse()
	d := kmsg.NewDescribeGroupsResponseGroup()
	d.Group = req.Groups[0]
	g := l.find(d.Group)
	switch {
	case g != nil:
		g.describe(&d)
	case req.Version >= describeNotFound:
		d.State = stateDead
		d.ErrorCode = kerr.GroupIDNotFound.Code
		d.ErrorMessage = kmsg.StringPtr(fmt.Sprintf("Group %s not found.", d.Group))
		if l.exists(d.Group) {
			d.ErrorMessage = kmsg.StringPtr(fmt.Sprintf("Group %s is not a classic group.", d.Group))
		}
	default:
		d.State = stateDead
	}
	if req.IncludeAuthorizedOperations && d.ErrorCode == 0 {
		d.AuthorizedOperations = authorizedOperations
	}
	resp.Groups = append(resp.Groups, d)
	return resp
}

func (g *liveGroup) describe(d *kmsg.DescribeGroupsResponseGroup) {
	d.State = g.state.String()
	d.ProtocolType = g.protocolType
	if g.state == stateStable {
		d.Protocol = g.protocol
	}
	for _, m := range g.members {
		dm := kmsg.NewDescribeGroupsResponseGroupMember()
		dm.MemberID = m.id
		dm.InstanceID = m.instanceID
		dm.ClientID = m.client.ID
		dm.ClientHost = m.client.Host
		dm.MemberAssignment = m.assignment
		if g.state == stateStable {
			dm.ProtocolMetadata = m.subscription(g.protocol)
		}
		d.Members = append(d.Members, dm)
	}
}

// list answers with the groups of this shard. Filters are matched without regard to case; none means all.
func (l *Leader) list(req *kmsg.ListGroupsRequest) *kmsg.ListGroupsResponse {
	resp := kmsg.NewPtrListGroupsResponse()
	add := func(id, protocolType, state, groupType string) {
		if !passes(req.StatesFilter, state) || !passes(req.TypesFilter, groupType) {
			return
		}
		g := kmsg.NewListGroupsResponseGroup()
		g.Group, g.ProtocolType, g.GroupState, g.GroupType = id, protocolType, state, groupType
		resp.Groups = append(resp.Groups, g)
	}
	for id, g := range sorted(l.consumers) {
		add(id, consumerProtocolType, g.stateName(), consumerType)
	}
	for id, g := range sorted(l.shares) {
		add(id, shareProtocolType, g.stateName(), shareType)
	}
	for id, g := range sorted(l.groups) {
		add(id, g.protocolType, g.state.String(), classicType)
	}
	for id, s := range sorted(l.state.groups) {
		if l.groups[id] != nil || l.consumers[id] != nil || l.shares[id] != nil || l.deleting[id] > 0 {
			continue
		}
		protocolType := ""
		if s.membership != nil {
			protocolType = s.membership.ProtocolType
		}
		add(id, protocolType, stateEmpty.String(), classicType)
	}
	return resp
}

func passes(filter []string, value string) bool {
	for _, f := range filter {
		if strings.EqualFold(f, value) {
			return true
		}
	}
	return len(filter) == 0
}
