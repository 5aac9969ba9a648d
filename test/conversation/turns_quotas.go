package conversation

import (
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// entity is a quota entity as type, name pairs; the name "<default>" stands for the default entity.
type entity []string

const anyDefault = "<default>"

func nameOf(s string) *string {
	if s == anyDefault {
		return nil
	}
	return &s
}

type quotaOp struct {
	key    string
	value  float64
	remove bool
}

func alterQuotas(name string, version int16, of entity, ops ...quotaOp) Turn {
	return turn(name, version, kmsg.NewPtrAlterClientQuotasRequest(), func(r *kmsg.AlterClientQuotasRequest) {
		e := kmsg.NewAlterClientQuotasRequestEntry()
		for i := 0; i < len(of); i += 2 {
			e.Entity = append(e.Entity, kmsg.AlterClientQuotasRequestEntryEntity{Type: of[i], Name: nameOf(of[i+1])})
		}
		for _, o := range ops {
			e.Ops = append(e.Ops, kmsg.AlterClientQuotasRequestEntryOp{Key: o.key, Value: o.value, Remove: o.remove})
		}
		r.Entries = append(r.Entries, e)
	})
}

// filter is one component of a DescribeClientQuotas request: how 0 is exactly, 1 the default, 2 any.
type filter struct {
	kind string
	how  kmsg.QuotasMatchType
	name *string
}

func describeQuotas(name string, version int16, strict bool, filters ...filter) Turn {
	return turn(name, version, kmsg.NewPtrDescribeClientQuotasRequest(), func(r *kmsg.DescribeClientQuotasRequest) {
		for _, f := range filters {
			r.Components = append(r.Components, kmsg.DescribeClientQuotasRequestComponent{EntityType: f.kind, MatchType: f.how, Match: f.name})
		}
		r.Strict = strict
	})
}

func quotaTurns() []Turn {
	const produce, consume = "producer_byte_rate", "consumer_byte_rate"
	rate := quotaOp{key: produce, value: 1e9}
	// A turn for each kind of entity is all that can be compared: the order of several in an answer is Kafka's hash order.
	return []Turn{
		describeQuotas("no quotas yet", 0, false),
		describeQuotas("no quotas yet", 1, false),
		alterQuotas("quota of a client", 0, entity{"client-id", "c"}, rate, quotaOp{key: consume, value: 2e9}),
		describeQuotas("quotas of clients", 1, false, filter{"client-id", 2, nil}),
		describeQuotas("quotas of one client", 1, true, filter{"client-id", 0, ptr("c")}),
		describeQuotas("quotas of another client", 1, true, filter{"client-id", 0, ptr("d")}),
		alterQuotas("quota removed", 1, entity{"client-id", "c"}, quotaOp{key: consume, remove: true}),
		describeQuotas("quotas after removal", 1, false),
		alterQuotas("quota of a user and a client", 1, entity{"user", "u", "client-id", "c"}, quotaOp{key: "request_percentage", value: 50}),
		describeQuotas("strict about the user", 1, true, filter{"user", 0, ptr("u")}),
		describeQuotas("not strict about the user", 1, false, filter{"user", 0, ptr("u")}),
		describeQuotas("user and default client", 1, true, filter{"user", 0, ptr("u")}, filter{"client-id", 1, nil}),
		alterQuotas("quota of all addresses", 1, entity{"ip", anyDefault}, quotaOp{key: "connection_creation_rate", value: 1e6}),
		describeQuotas("quotas of addresses", 1, false, filter{"ip", 1, nil}),
		alterQuotas("controller mutations", 1, entity{"user", anyDefault}, quotaOp{key: "controller_mutation_rate", value: 1e6}),
		describeQuotas("quotas of all users", 1, true, filter{"user", 1, nil}),
		alterQuotas("negative", 1, entity{"client-id", "x"}, quotaOp{key: produce, value: -1}),
		alterQuotas("zero", 1, entity{"client-id", "x"}, quotaOp{key: produce, value: 0}),
		alterQuotas("a fraction of a byte", 1, entity{"client-id", "x"}, quotaOp{key: produce, value: 1.5}),
		alterQuotas("too large", 1, entity{"client-id", "x"}, quotaOp{key: produce, value: 1e30}),
		alterQuotas("not a number", 1, entity{"client-id", "x"}, quotaOp{key: produce, value: math.NaN()}),
		alterQuotas("a fraction of connections", 1, entity{"ip", "127.0.0.9"}, quotaOp{key: "connection_creation_rate", value: 0.5}),
		alterQuotas("unknown quota", 1, entity{"client-id", "x"}, quotaOp{key: "no_such_rate", value: 1}),
		alterQuotas("unknown quota removed", 1, entity{"client-id", "x"}, quotaOp{key: "no_such_rate", remove: true}),
		alterQuotas("quota of the wrong kind", 1, entity{"ip", "127.0.0.1"}, rate),
		alterQuotas("quota of the other wrong kind", 1, entity{"user", "u"}, quotaOp{key: "connection_creation_rate", value: 1}),
		alterQuotas("no address", 1, entity{"ip", "not an address"}, quotaOp{key: "connection_creation_rate", value: 1}),
		alterQuotas("unknown kind of entity", 1, entity{"group", "g"}, rate),
		alterQuotas("address and user", 1, entity{"ip", "127.0.0.1", "user", "u"}, rate),
		alterQuotas("the same kind twice", 1, entity{"user", "u", "user", "v"}, rate),
		alterQuotas("no entity", 1, entity{}, rate),
		alterQuotas("empty name", 1, entity{"user", ""}, rate),
		alterQuotas("the same quota twice", 1, entity{"client-id", "x"}, rate, quotaOp{key: produce, value: 5}),
		turn("the same entity twice", 1, kmsg.NewPtrAlterClientQuotasRequest(), func(r *kmsg.AlterClientQuotasRequest) {
			for range 2 {
				e := kmsg.NewAlterClientQuotasRequestEntry()
				e.Entity = append(e.Entity, kmsg.AlterClientQuotasRequestEntryEntity{Type: "user", Name: ptr("v")})
				e.Ops = append(e.Ops, kmsg.AlterClientQuotasRequestEntryOp{Key: produce, Value: 1e9})
				r.Entries = append(r.Entries, e)
			}
		}),
		alterQuotas("nothing to do", 1, entity{"client-id", "x"}),
		describeQuotas("filter by the same kind twice", 1, false, filter{"user", 2, nil}, filter{"user", 2, nil}),
		describeQuotas("filter by address and user", 1, false, filter{"ip", 2, nil}, filter{"user", 2, nil}),
		describeQuotas("filter by an unknown kind", 1, false, filter{"group", 2, nil}),
		describeQuotas("filter by no kind", 1, false, filter{"", 2, nil}),
		describeQuotas("filter with a name and any", 1, false, filter{"user", 2, ptr("u")}),
		describeQuotas("filter exactly without a name", 1, false, filter{"user", 0, nil}),
		describeQuotas("filter in an unknown way", 1, false, filter{"user", 9, nil}),
		describeQuotas("filter by default with a name", 1, false, filter{"user", 1, ptr("u")}),
		describeQuotas("filter that matches nothing", 1, false, filter{"user", 0, ptr("nobody")}),
	}
}

func featureTurns() []Turn {
	update := func(name string, version int16, check bool, updates ...kmsg.UpdateFeaturesRequestFeatureUpdate) Turn {
		return turn(name, version, kmsg.NewPtrUpdateFeaturesRequest(), func(r *kmsg.UpdateFeaturesRequest) {
			r.FeatureUpdates, r.ValidateOnly, r.TimeoutMillis = updates, check, 10_000
		})
	}
	to := func(feature string, level int16, how int8) kmsg.UpdateFeaturesRequestFeatureUpdate {
		u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		u.Feature, u.MaxVersionLevel, u.UpgradeType = feature, level, how
		return u
	}
	const upgrade, safe, unsafe = 1, 2, 3
	var turns []Turn
	for v := int16(0); v <= 2; v++ {
		turns = append(turns,
			update("nothing", v, false),
			update("the same level", v, true, to("group.version", 1, upgrade)),
			update("unknown feature", v, true, to("no.such.version", 1, upgrade)),
			update("too high", v, true, to("group.version", 9, upgrade)),
			update("one good, one bad", v, true, to("group.version", 1, upgrade), to("transaction.version", 9, upgrade)),
		)
	}
	return append(turns,
		update("downgrade as upgrade", 2, true, to("transaction.version", 1, upgrade)),
		update("safe downgrade", 2, true, to("transaction.version", 1, safe)),
		update("unsafe downgrade", 2, true, to("transaction.version", 1, unsafe)),
		update("off", 2, true, to("group.version", 0, upgrade)),
		update("off, safe", 2, true, to("group.version", 0, safe)),
		update("off, unsafe", 2, true, to("group.version", 0, unsafe)),
		update("no kind of upgrade", 2, true, to("group.version", 1, 0)),
		update("unknown kind of upgrade", 2, true, to("group.version", 1, 9)),
		update("negative level", 2, true, to("group.version", -1, safe)),
		update("no name", 2, true, to("", 1, upgrade)),
		update("twice", 2, true, to("group.version", 1, upgrade), to("group.version", 1, upgrade)),
		update("metadata.version lower", 2, true, to("metadata.version", 29, upgrade)),
		update("metadata.version lower, safe", 2, true, to("metadata.version", 29, safe)),
		update("metadata.version lower, unsafe", 2, true, to("metadata.version", 29, unsafe)),
		update("metadata.version too low", 2, true, to("metadata.version", 3, unsafe)),
		update("metadata.version higher", 2, true, to("metadata.version", 31, upgrade)),
		update("metadata.version off", 2, true, to("metadata.version", 0, unsafe)),
		update("kraft.version", 2, true, to("kraft.version", 1, upgrade)),
		update("streams.version off", 2, true, to("streams.version", 0, safe)),
		update("transaction.version down", 2, false, to("transaction.version", 1, safe)),
		turn("features after a change", 4, kmsg.NewPtrApiVersionsRequest(), func(r *kmsg.ApiVersionsRequest) {
			r.ClientSoftwareName, r.ClientSoftwareVersion = "conversation", "1.0"
		}),
		update("transaction.version up", 2, false, to("transaction.version", 2, upgrade)),
	)
}
