package cluster

import (
	"cmp"
	"fmt"
	"math"
	"strings"

	"balsa/internal/invariant"
)

// QuotaEntity is whom a client quota applies to (KIP-546). It is comparable: a key of Image.Quotas.
type QuotaEntity struct {
	User, ClientID, IP QuotaName
}

// QuotaName is one part of a QuotaEntity.
type QuotaName struct {
	Match QuotaMatch
	Name  string // only with QuotaNamed
}

// QuotaMatch says which names a QuotaName stands for. The numbers are on disk.
type QuotaMatch byte

const (
	// QuotaUnbound means that the entity says nothing about this part. The zero value.
	QuotaUnbound QuotaMatch = 0
	// QuotaNamed means exactly the name.
	QuotaNamed QuotaMatch = 1
	// QuotaDefault means all names for which there is no entity of their own.
	QuotaDefault QuotaMatch = 2
)

func (e *encoder) quotaName(n QuotaName) {
	e.U8(byte(n.Match))
	if n.Match == QuotaNamed {
		e.Str(n.Name)
	}
}

func (d *decoder) quotaName() QuotaName {
	n := QuotaName{Match: QuotaMatch(d.U8())}
	switch n.Match {
	case QuotaUnbound, QuotaDefault:
	case QuotaNamed:
		n.Name = d.Str()
	default:
		d.Fail(fmt.Errorf("quota entity of unknown kind %d", n.Match))
	}
	return n
}

func (e *encoder) quotaChanged(r QuotaChanged) {
	invariant.Check(r.Value == nil || !math.IsNaN(*r.Value), "quota %s is no number", r.Key)
	e.quotaName(r.Entity.User)
	e.quotaName(r.Entity.ClientID)
	e.quotaName(r.Entity.IP)
	e.Str(r.Key)
	if r.Value == nil {
		e.U8(0)
		return
	}
	e.U8(1)
	e.U64(math.Float64bits(*r.Value))
}

func (d *decoder) quotaChanged() QuotaChanged {
	r := QuotaChanged{Entity: QuotaEntity{User: d.quotaName(), ClientID: d.quotaName(), IP: d.quotaName()}, Key: d.Str()}
	switch set := d.U8(); set {
	case 0:
	case 1:
		v := math.Float64frombits(d.U64())
		if math.IsNaN(v) {
			d.Fail(fmt.Errorf("quota %s is no number", r.Key))
		}
		r.Value = &v
	default:
		d.Fail(fmt.Errorf("a quota is neither set (1) nor removed (0) but %d", set))
	}
	return r
}

// compare orders entities, so that equal images have equal snapshots.
func (e QuotaEntity) compare(other QuotaEntity) int {
	return cmp.Or(e.User.compare(other.User), e.ClientID.compare(other.ClientID), e.IP.compare(other.IP))
}

func (n QuotaName) compare(other QuotaName) int {
	return cmp.Or(cmp.Compare(n.Match, other.Match), strings.Compare(n.Name, other.Name))
}
