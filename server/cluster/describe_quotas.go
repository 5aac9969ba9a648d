package cluster

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// quotaFilter is what a DescribeClientQuotas request asks for, by kind of entity.
type quotaFilter struct {
	wanted map[string]quotaMatch
	strict bool // only entities of exactly these kinds
}

// quotaMatch is one component of a filter: a name, the default, or any of them.
type quotaMatch struct {
	any  bool
	name QuotaName
}

func (m quotaMatch) matches(n QuotaName) bool {
	if m.any {
		return n.Match != QuotaUnbound
	}
	return n == m.name
}

func (f *quotaFilter) matches(e QuotaEntity) bool {
	for kind, want := range f.wanted {
		if !want.matches(*e.part(kind)) {
			return false
		}
	}
	if f.strict {
		for kind := range e.parts {
			if _, asked := f.wanted[kind]; !asked {
				return false
			}
		}
	}
	return true
}

// DescribeClientQuotas answers DescribeClientQuotas from an image.
func DescribeClientQuotas(img *Image, req *kmsg.DescribeClientQuotasRequest) *kmsg.DescribeClientQuotasResponse {
	resp := req.ResponseKind().(*kmsg.DescribeClientQuotasResponse)
	filter, failed := quotaFilterOf(req)
	if failed != nil {
		resp.ErrorCode, resp.ErrorMessage = failed.code(), failed.text()
		return resp
	}
	resp.ErrorMessage = kmsg.StringPtr("") // as Kafka
	resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{}
	for _, entity := range slices.SortedFunc(maps.Keys(img.Quotas), QuotaEntity.compare) {
		if !filter.matches(entity) {
			continue
		}
		entry := kmsg.NewDescribeClientQuotasResponseEntry()
		for kind, name := range entity.parts {
			e := kmsg.NewDescribeClientQuotasResponseEntryEntity()
			e.Type, e.Name = kind, name.pointer()
			entry.Entity = append(entry.Entity, e)
		}
		quotas := img.Quotas[entity]
		for _, key := range slices.Sorted(maps.Keys(quotas)) {
			v := kmsg.NewDescribeClientQuotasResponseEntryValue()
			v.Key, v.Value = key, quotas[key]
			entry.Values = append(entry.Values, v)
		}
		resp.Entries = append(resp.Entries, entry)
	}
	return resp
}

func quotaFilterOf(req *kmsg.DescribeClientQuotasRequest) (*quotaFilter, *failure) {
	f := &quotaFilter{wanted: make(map[string]quotaMatch, len(req.Components)), strict: req.Strict}
	for _, c := range req.Components {
		_, twice := f.wanted[c.EntityType]
		switch {
		case c.EntityType == "":
			return nil, failf(kerr.InvalidRequest, "Invalid empty entity type.")
		case twice:
			return nil, failf(kerr.InvalidRequest, "Entity type %s cannot appear more than once in the filter.", c.EntityType)
		case (&QuotaEntity{}).part(c.EntityType) == nil:
			return nil, failf(kerr.UnsupportedVersion, "Unsupported entity type %s", c.EntityType)
		}
		m, failed := quotaMatchOf(c)
		if failed != nil {
			return nil, failed
		}
		f.wanted[c.EntityType] = m
	}
	if _, ip := f.wanted[entityIP]; ip && len(f.wanted) > 1 {
		return nil, failf(kerr.InvalidRequest, "Invalid entity filter component combination. "+
			"IP filter component should not be used with user or clientId filter component.")
	}
	return f, nil
}

// The ways in which a component of a filter matches.
const (
	matchExactly = 0
	matchDefault = 1
	matchAny     = 2
)

func quotaMatchOf(c kmsg.DescribeClientQuotasRequestComponent) (quotaMatch, *failure) {
	switch {
	case c.MatchType == matchExactly && c.Match == nil:
		return quotaMatch{}, failf(kerr.InvalidRequest, "Request specified MATCH_TYPE_EXACT, but set match string to null.")
	case c.MatchType == matchExactly:
		return quotaMatch{name: quotaNameOf(c.Match)}, nil
	case c.MatchType == matchDefault && c.Match != nil:
		return quotaMatch{}, failf(kerr.InvalidRequest, "Request specified MATCH_TYPE_DEFAULT, but also specified a match string.")
	case c.MatchType == matchDefault:
		return quotaMatch{name: QuotaName{Match: QuotaDefault}}, nil
	case c.MatchType == matchAny && c.Match != nil:
		return quotaMatch{}, failf(kerr.InvalidRequest, "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.")
	case c.MatchType == matchAny:
		return quotaMatch{any: true}, nil
	}
	return quotaMatch{}, failf(kerr.InvalidRequest, "Unknown match type %d", c.MatchType)
}
