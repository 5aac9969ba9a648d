package cluster

import (
	"math"
	"net/netip"

	"github.com/twmb/franz-go/pkg/kerr"
)

// The client quotas (KIP-546), by Kafka's names.
const (
	// QuotaProduceRate bounds the bytes of Produce requests per second and broker.
	QuotaProduceRate = "producer_byte_rate"
	// QuotaFetchRate bounds the bytes of fetched records per second and broker.
	QuotaFetchRate = "consumer_byte_rate"
	// QuotaRequestTime bounds the time that requests take, per broker, in percent of one processor (KIP-124).
	QuotaRequestTime = "request_percentage"
	// QuotaMutationRate bounds the partitions that are created and deleted per second (KIP-599).
	QuotaMutationRate = "controller_mutation_rate"
	// QuotaConnectionRate bounds the connections that are opened from one address per second and broker (KIP-612).
	QuotaConnectionRate = "connection_creation_rate"
)

// The kinds of entity that a client quota can apply to.
const (
	entityUser     = "user"
	entityClientID = "client-id"
	entityIP       = "ip"
)

// part returns the part of e that a kind of entity names; nil for a kind that does not exist.
func (e *QuotaEntity) part(kind string) *QuotaName {
	switch kind {
	case entityUser:
		return &e.User
	case entityClientID:
		return &e.ClientID
	case entityIP:
		return &e.IP
	}
	return nil
}

// parts walks the parts of e that are bound, in the order in which Kafka's answers have them.
func (e QuotaEntity) parts(yield func(kind string, name QuotaName) bool) {
	for _, kind := range [...]string{entityClientID, entityUser, entityIP} {
		if name := *e.part(kind); name.Match != QuotaUnbound && !yield(kind, name) {
			return
		}
	}
}

// pointer returns the name as the protocol has it: null for the default.
func (n QuotaName) pointer() *string {
	if n.Match == QuotaDefault {
		return nil
	}
	return &n.Name
}

// quotaNameOf is the inverse of pointer.
func quotaNameOf(name *string) QuotaName {
	if name == nil {
		return QuotaName{Match: QuotaDefault}
	}
	return QuotaName{Match: QuotaNamed, Name: *name}
}

// check says what is wrong with an entity as such.
func (e QuotaEntity) check() *failure {
	switch {
	case e == QuotaEntity{}:
		return failf(kerr.InvalidRequest, "Invalid empty client quota entity")
	case e.IP.Match != QuotaUnbound && (e.User.Match != QuotaUnbound || e.ClientID.Match != QuotaUnbound):
		return failf(kerr.InvalidRequest, "Invalid quota entity combination, IP entity should not be combined with User or ClientId")
	}
	for kind, name := range e.parts {
		if name.Match == QuotaNamed && name.Name == "" {
			return failf(kerr.InvalidRequest, "Empty %s not supported", kind)
		}
	}
	if e.IP.Match == QuotaNamed {
		// Kafka resolves host names, once; a decision does not ask the network.
		if _, err := netip.ParseAddr(e.IP.Name); err != nil {
			return failf(kerr.InvalidRequest, "%s is not a valid IP or resolvable host.", e.IP.Name)
		}
	}
	return nil
}

// checkQuota says what is wrong with the value of a quota of e.
func (e QuotaEntity) checkQuota(key string, value float64) *failure {
	var most float64
	kind := "DOUBLE"
	switch {
	case e.IP.Match == QuotaUnbound && (key == QuotaProduceRate || key == QuotaFetchRate):
		most, kind = math.MaxInt64, "LONG"
	case e.IP.Match == QuotaUnbound && (key == QuotaRequestTime || key == QuotaMutationRate):
		most = math.MaxFloat64
	case e.IP.Match != QuotaUnbound && key == QuotaConnectionRate:
		most, kind = math.MaxInt32, "INT"
	default:
		return failf(kerr.InvalidRequest, "Invalid configuration key %s", key)
	}
	switch {
	case !(value > 0): // also what is no number
		return failf(kerr.InvalidRequest, "Quota %s must be greater than 0", key)
	case value > most:
		return failf(kerr.InvalidRequest, "Proposed value for %s is too large for a %s.", key, kind)
	case kind != "DOUBLE" && value != math.Trunc(value):
		return failf(kerr.InvalidRequest, "%s cannot be a fractional value.", key)
	}
	return nil
}
