package cluster

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// alterClientQuotas answers AlterClientQuotas. Each entity succeeds or fails by itself; one that is named twice fails.
func (d *Decider) alterClientQuotas(img *Image, req *kmsg.AlterClientQuotasRequest) Decision {
	resp := req.ResponseKind().(*kmsg.AlterClientQuotasResponse)
	var records []Record
	times := make(map[QuotaEntity]int, len(req.Entries))
	for i := range req.Entries {
		if entity, f := quotaEntityOf(req.Entries[i].Entity); f == nil {
			times[entity]++
		}
	}
	for i := range req.Entries {
		asked := &req.Entries[i]
		entity, f := quotaEntityOf(asked.Entity)
		var changes []Record
		switch {
		case f != nil:
		case times[entity] == 0:
			continue // answered as a duplicate before
		case times[entity] > 1:
			f = duplicateQuota(entity)
			times[entity] = 0
		default:
			changes, f = quotaChanges(img, entity, asked.Ops)
		}
		records = append(records, changes...)
		answer := kmsg.NewAlterClientQuotasResponseEntry()
		answer.ErrorCode, answer.ErrorMessage = f.code(), f.text()
		answer.Entity = echoEntity(asked.Entity)
		resp.Entries = append(resp.Entries, answer)
	}
	if req.ValidateOnly {
		records = nil
	}
	return Decision{Records: records, Response: resp}
}

// quotaEntityOf returns the entity that a request names, of several names of one kind the last.
func quotaEntityOf(names []kmsg.AlterClientQuotasRequestEntryEntity) (QuotaEntity, *failure) {
	var e QuotaEntity
	for _, n := range names {
		part := e.part(n.Type)
		if part == nil {
			return e, failf(kerr.InvalidRequest, "Unhandled client quota entity type: %s", n.Type)
		}
		*part = quotaNameOf(n.Name)
	}
	return e, e.check()
}

// echoEntity returns the names of a request as its answer shows them.
func echoEntity(names []kmsg.AlterClientQuotasRequestEntryEntity) []kmsg.AlterClientQuotasResponseEntryEntity {
	var known QuotaEntity
	var echo []kmsg.AlterClientQuotasResponseEntryEntity
	add := func(kind string, name *string) {
		e := kmsg.NewAlterClientQuotasResponseEntryEntity()
		e.Type, e.Name = kind, name
		echo = append(echo, e)
	}
	for _, n := range names {
		if part := known.part(n.Type); part != nil {
			*part = quotaNameOf(n.Name)
		} else {
			add(n.Type, n.Name)
		}
	}
	for kind, name := range known.parts {
		add(kind, name.pointer())
	}
	return echo
}

func duplicateQuota(e QuotaEntity) *failure {
	return failf(kerr.InvalidRequest, "Ignoring duplicate entity %v", e)
}

// quotaChanges returns the records of what is asked for one entity.
func quotaChanges(img *Image, entity QuotaEntity, ops []kmsg.AlterClientQuotasRequestEntryOp) ([]Record, *failure) {
	var records []Record
	named := make(map[string]bool, len(ops))
	for _, op := range ops {
		if named[op.Key] {
			return nil, duplicateQuota(entity)
		}
		named[op.Key] = true
		current, set := img.Quotas[entity][op.Key]
		if op.Remove { // as in Kafka, also what does not exist
			if set {
				records = append(records, QuotaChanged{Entity: entity, Key: op.Key})
			}
			continue
		}
		if f := entity.checkQuota(op.Key, op.Value); f != nil {
			return nil, f
		}
		if value := op.Value; !set || current != value {
			records = append(records, QuotaChanged{Entity: entity, Key: op.Key, Value: &value})
		}
	}
	return records, nil
}

// String shows an entity as Kafka does.
func (e QuotaEntity) String() string {
	var parts []string
	for kind, name := range e.parts {
		text := "<default>"
		if name.Match == QuotaNamed {
			text = name.Name
		}
		parts = append(parts, kind+"="+text)
	}
	return fmt.Sprintf("ClientQuotaEntity(entries={%s})", strings.Join(parts, ", "))
}
