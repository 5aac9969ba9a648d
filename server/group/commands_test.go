package group

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// join NAME [group=g] [v=9] [id=MEMBER] [instance=ID] [session=10s] [rebalance=60s] [type=consumer]
// [protocols=range:t+u,sticky:t]
func (s *script) joinCommand(o options) {
	name := o.args[0]
	a := s.actor(name)
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version = int16(o.num("v", 9))
	req.Group = o.str("group", "g")
	req.MemberID = o.str("id", a.member)
	req.InstanceID = o.optional("instance")
	req.SessionTimeoutMillis = o.millis("session", "10s")
	req.RebalanceTimeoutMillis = o.millis("rebalance", "60s")
	req.ProtocolType = o.str("type", "consumer")
	for _, p := range strings.Split(o.str("protocols", "range:t"), ",") {
		if p == "" {
			continue
		}
		rp := kmsg.NewJoinGroupRequestProtocol()
		var topics string
		rp.Name, topics, _ = strings.Cut(p, ":")
		rp.Metadata = []byte(topics)
		if req.ProtocolType == consumerProtocolType {
			rp.Metadata = subscription(strings.Split(topics, "+")...)
		}
		req.Protocols = append(req.Protocols, rp)
	}
	s.request(name, req, func(r kmsg.Response) {
		resp := r.(*kmsg.JoinGroupResponse)
		if resp.ErrorCode != 0 {
			s.printf("%s: join %s member=%q generation=%d protocol=%s", name, errorName(resp.ErrorCode), resp.MemberID,
				resp.Generation, show(resp.Protocol))
			if errorName(resp.ErrorCode) == "MEMBER_ID_REQUIRED" {
				a.member = resp.MemberID
			}
			return
		}
		a.member, a.generation, a.protocol, a.ptype = resp.MemberID, resp.Generation, resp.Protocol, resp.ProtocolType
		members := make([]string, 0, len(resp.Members))
		for _, m := range resp.Members {
			members = append(members, m.MemberID)
		}
		skip := ""
		if resp.SkipAssignment {
			skip = " skip-assignment"
		}
		s.printf("%s: joined member=%s generation=%d type=%s protocol=%s leader=%s members=%v%s", name, resp.MemberID,
			resp.Generation, show(resp.ProtocolType), show(resp.Protocol), resp.LeaderID, members, skip)
	})
}

// sync NAME [v=N] [generation=N] [instance=ID] [type=T] [protocol=P] [MEMBER-OR-NAME:ASSIGNMENT ...]
func (s *script) syncCommand(o options) {
	name := o.args[0]
	a := s.actor(name)
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version = 5
	if a.ptype == nil { // joined by a version that does not tell
		req.Version = 4
	}
	req.Version = int16(o.num("v", int(req.Version)))
	req.Group = o.str("group", "g")
	req.MemberID = o.str("id", a.member)
	req.Generation = int32(o.num("generation", int(a.generation)))
	req.InstanceID = o.optional("instance")
	req.ProtocolType, req.Protocol = a.ptype, a.protocol
	if t := o.optional("type"); t != nil {
		req.ProtocolType = t
	}
	if p := o.optional("protocol"); p != nil {
		req.Protocol = p
	}
	for _, word := range o.args[1:] {
		ra := kmsg.NewSyncGroupRequestGroupAssignment()
		who, what, _ := strings.Cut(word, ":")
		ra.MemberID, ra.MemberAssignment = who, []byte(what)
		if other := s.actors[who]; other != nil {
			ra.MemberID = other.member
		}
		req.GroupAssignment = append(req.GroupAssignment, ra)
	}
	s.request(name, req, func(r kmsg.Response) {
		resp := r.(*kmsg.SyncGroupResponse)
		if resp.ErrorCode != 0 {
			s.printf("%s: sync %s", name, errorName(resp.ErrorCode))
			return
		}
		s.printf("%s: synced assignment=%q type=%s protocol=%s", name, resp.MemberAssignment, show(resp.ProtocolType),
			show(resp.Protocol))
	})
}

// heartbeat NAME [generation=N] [instance=ID] [id=MEMBER]
func (s *script) heartbeatCommand(o options) {
	name := o.args[0]
	a := s.actor(name)
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version = int16(o.num("v", 4))
	req.Group = o.str("group", "g")
	req.MemberID = o.str("id", a.member)
	req.Generation = int32(o.num("generation", int(a.generation)))
	req.InstanceID = o.optional("instance")
	s.request(name, req, func(r kmsg.Response) {
		s.printf("%s: heartbeat %s", name, errorName(r.(*kmsg.HeartbeatResponse).ErrorCode))
	})
}

// leave NAME [v=5] [NAME-OR-MEMBER ...] [instances=ID,ID]; without further words the client itself leaves.
func (s *script) leaveCommand(o options) {
	name := o.args[0]
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version = int16(o.num("v", 5))
	req.Group = o.str("group", "g")
	who := o.args[1:]
	if len(who) == 0 && len(o.list("instances")) == 0 {
		who = o.args
	}
	for _, w := range who {
		m := kmsg.NewLeaveGroupRequestMember()
		m.MemberID = w
		if a := s.actors[w]; a != nil {
			m.MemberID = a.member
		}
		m.InstanceID = o.optional("instance")
		req.MemberID = m.MemberID
		req.Members = append(req.Members, m)
	}
	for _, instance := range o.list("instances") {
		m := kmsg.NewLeaveGroupRequestMember()
		m.InstanceID = &instance
		req.Members = append(req.Members, m)
	}
	s.request(name, req, func(r kmsg.Response) {
		resp := r.(*kmsg.LeaveGroupResponse)
		line := fmt.Sprintf("%s: leave %s", name, errorName(resp.ErrorCode))
		for _, m := range resp.Members {
			line += fmt.Sprintf(" %q/%s=%s", m.MemberID, show(m.InstanceID), errorName(m.ErrorCode))
		}
		s.printf("%s", line)
	})
}

// partition splits TOPIC/PARTITION.
func (s *script) partition(word string) (topic string, partition int32) {
	topic, p, _ := strings.Cut(word, "/")
	n, err := strconv.ParseInt(p, 10, 32)
	if err != nil {
		s.t.Fatalf("%q: %v", word, err)
	}
	return topic, int32(n)
}

// commit NAME [v=9] [generation=N] [id=MEMBER] [metadata=M] [metadata-length=N] [retention=1h] TOPIC/PARTITION@OFFSET ...
func (s *script) commitCommand(o options) {
	name := o.args[0]
	a := s.actor(name)
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version = int16(o.num("v", 9))
	req.Group = o.str("group", "g")
	req.MemberID = o.str("id", a.member)
	req.Generation = int32(o.num("generation", int(a.generation)))
	req.InstanceID = o.optional("instance")
	if _, ok := o.vals["retention"]; ok {
		req.RetentionTimeMillis = int64(o.millis("retention", ""))
	}
	for _, word := range o.args[1:] {
		where, at, _ := strings.Cut(word, "@")
		topic, partition := s.partition(where)
		offset, _ := strconv.ParseInt(at, 10, 64)
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch = partition, offset, int32(o.num("epoch", -1))
		p.Metadata = o.optional("metadata")
		if n := o.num("metadata-length", -1); n >= 0 {
			p.Metadata = kmsg.StringPtr(strings.Repeat("é", n))
		}
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic, t.TopicID, t.Partitions = topic, s.topics.ids[topic], []kmsg.OffsetCommitRequestTopicPartition{p}
		req.Topics = append(req.Topics, t)
	}
	s.request(name, req, func(r kmsg.Response) {
		line := name + ": commit"
		for i, t := range r.(*kmsg.OffsetCommitResponse).Topics {
			for _, p := range t.Partitions {
				line += fmt.Sprintf(" %s/%d=%s", req.Topics[i].Topic, p.Partition, errorName(p.ErrorCode))
			}
		}
		s.printf("%s", line)
	})
}

// fetch NAME [v=9] [group=g] [stable=1] [TOPIC/PARTITION ...]; without partitions everything.
func (s *script) fetchCommand(o options) {
	name := o.args[0]
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = int16(o.num("v", 9))
	req.RequireStable = o.num("stable", 0) == 1
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = o.str("group", "g")
	for _, word := range o.args[1:] {
		topic, partition := s.partition(word)
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic, t.TopicID, t.Partitions = topic, s.topics.ids[topic], []int32{partition}
		g.Topics = append(g.Topics, t)
	}
	req.Groups = append(req.Groups, g)
	s.request(name, req, func(r kmsg.Response) {
		rg := r.(*kmsg.OffsetFetchResponse).Groups[0]
		line := fmt.Sprintf("%s: fetch %s", name, errorName(rg.ErrorCode))
		for i, t := range rg.Topics {
			topic := t.Topic
			if topic == "" && g.Topics != nil {
				topic = g.Topics[i].Topic
			} else if topic == "" {
				topic, _, _ = s.topics.ByID(t.TopicID)
			}
			for _, p := range t.Partitions {
				line += fmt.Sprintf(" %s/%d@%d", topic, p.Partition, p.Offset)
				if p.ErrorCode != 0 {
					line += " " + errorName(p.ErrorCode)
				}
				if p.LeaderEpoch != -1 {
					line += fmt.Sprintf(" epoch=%d", p.LeaderEpoch)
				}
				switch {
				case p.Metadata != nil && len(*p.Metadata) > 50:
					line += fmt.Sprintf(" metadata of %d bytes", len(*p.Metadata))
				case p.Metadata == nil || *p.Metadata != "":
					line += " metadata=" + show(p.Metadata)
				}
			}
		}
		s.printf("%s", line)
	})
}

// offset-delete NAME TOPIC/PARTITION ...
func (s *script) offsetDeleteCommand(o options) {
	name := o.args[0]
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = o.str("group", "g")
	for _, word := range o.args[1:] {
		topic, partition := s.partition(word)
		p := kmsg.NewOffsetDeleteRequestTopicPartition()
		p.Partition = partition
		t := kmsg.NewOffsetDeleteRequestTopic()
		t.Topic, t.Partitions = topic, []kmsg.OffsetDeleteRequestTopicPartition{p}
		req.Topics = append(req.Topics, t)
	}
	s.request(name, req, func(r kmsg.Response) {
		resp := r.(*kmsg.OffsetDeleteResponse)
		line := fmt.Sprintf("%s: offset-delete %s", name, errorName(resp.ErrorCode))
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				line += fmt.Sprintf(" %s/%d=%s", t.Topic, p.Partition, errorName(p.ErrorCode))
			}
		}
		s.printf("%s", line)
	})
}

// delete-group NAME GROUP
func (s *script) deleteGroupCommand(o options) {
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Version = 2
	req.Groups = []string{o.args[1]}
	s.request(o.args[0], req, func(r kmsg.Response) {
		g := r.(*kmsg.DeleteGroupsResponse).Groups[0]
		s.printf("%s: delete-group %s %s", o.args[0], g.Group, errorName(g.ErrorCode))
	})
}

// describe [v=6] GROUP
func (s *script) describeCommand(o options) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Version = int16(o.num("v", 6))
	req.Groups = o.args[:1]
	req.IncludeAuthorizedOperations = o.num("operations", 0) == 1
	s.request("admin", req, func(r kmsg.Response) {
		g := r.(*kmsg.DescribeGroupsResponse).Groups[0]
		line := fmt.Sprintf("%s: %s %s type=%q protocol=%q", g.Group, errorName(g.ErrorCode), g.State, g.ProtocolType, g.Protocol)
		if g.ErrorMessage != nil {
			line += " message=" + show(g.ErrorMessage)
		}
		if g.AuthorizedOperations != -2147483648 {
			line += fmt.Sprintf(" operations=%#x", g.AuthorizedOperations)
		}
		s.printf("%s", line)
		for _, m := range g.Members {
			s.printf("  %s instance=%s client=%s host=%s subscription=%d bytes assignment=%q", m.MemberID, show(m.InstanceID),
				m.ClientID, m.ClientHost, len(m.ProtocolMetadata), m.MemberAssignment)
		}
	})
}

// list [states=S,S] [types=T,T]
func (s *script) listCommand(o options) {
	req := kmsg.NewPtrListGroupsRequest()
	req.Version = 5
	req.StatesFilter, req.TypesFilter = o.list("states"), o.list("types")
	s.request("admin", req, func(r kmsg.Response) {
		var groups []string
		for _, g := range r.(*kmsg.ListGroupsResponse).Groups {
			groups = append(groups, fmt.Sprintf("%s(%s,%q,%s)", g.Group, g.GroupState, g.ProtocolType, g.GroupType))
		}
		s.printf("groups: %s", sortedFields(groups))
	})
}
