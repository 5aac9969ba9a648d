package cluster

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// quotaEntity reads "user=u,client-id=<default>".
func quotaEntity(text string) []kmsg.AlterClientQuotasRequestEntryEntity {
	var names []kmsg.AlterClientQuotasRequestEntryEntity
	for _, part := range splitList(text) {
		kind, name, _ := strings.Cut(part, "=")
		e := kmsg.NewAlterClientQuotasRequestEntryEntity()
		e.Type = kind
		if name != "<default>" {
			e.Name = &name
		}
		names = append(names, e)
	}
	return names
}

// setQuota asks for one change; a value of 0 removes the quota.
func (w *world) setQuota(entity, key string, value float64) kmsg.AlterClientQuotasResponseEntry {
	w.t.Helper()
	req := kmsg.NewPtrAlterClientQuotasRequest()
	req.Version = 1
	e := kmsg.NewAlterClientQuotasRequestEntry()
	e.Entity = quotaEntity(entity)
	e.Ops = append(e.Ops, kmsg.AlterClientQuotasRequestEntryOp{Key: key, Value: value, Remove: value == 0})
	req.Entries = append(req.Entries, e)
	return w.do(req).(*kmsg.AlterClientQuotasResponse).Entries[0]
}

func TestAlterClientQuotas(t *testing.T) {
	for _, c := range []struct {
		entity, key string
		value       float64
		code        int16
	}{
		{"client-id=c", QuotaProduceRate, 1024, 0},
		{"user=u,client-id=<default>", QuotaRequestTime, 0.5, 0},
		{"user=<default>", QuotaMutationRate, 1.5, 0},
		{"ip=127.0.0.1", QuotaConnectionRate, 5, 0},
		{"ip=::1", QuotaConnectionRate, 5, 0},
		{"ip=<default>", QuotaConnectionRate, 5, 0},
		{"client-id=c", "no.such.quota", 0, 0}, // removing what is not there
		{"client-id=c", "no.such.quota", 1, kerr.InvalidRequest.Code},
		{"client-id=c", QuotaConnectionRate, 1, kerr.InvalidRequest.Code},
		{"ip=127.0.0.1", QuotaProduceRate, 1, kerr.InvalidRequest.Code},
		{"ip=somewhere", QuotaConnectionRate, 1, kerr.InvalidRequest.Code},
		{"ip=127.0.0.1,user=u", QuotaConnectionRate, 1, kerr.InvalidRequest.Code},
		{"", QuotaProduceRate, 1, kerr.InvalidRequest.Code},
		{"user=", QuotaProduceRate, 1, kerr.InvalidRequest.Code},
		{"group=g", QuotaProduceRate, 1, kerr.InvalidRequest.Code},
		{"client-id=c", QuotaProduceRate, -1, kerr.InvalidRequest.Code},
		{"client-id=c", QuotaProduceRate, 1.5, kerr.InvalidRequest.Code},
		{"client-id=c", QuotaProduceRate, 1e30, kerr.InvalidRequest.Code},
		{"client-id=c", QuotaProduceRate, math.NaN(), kerr.InvalidRequest.Code},
		{"client-id=c", QuotaProduceRate, math.Inf(1), kerr.InvalidRequest.Code},
		{"client-id=c", QuotaRequestTime, math.Inf(1), kerr.InvalidRequest.Code},
		{"ip=127.0.0.1", QuotaConnectionRate, 1e10, kerr.InvalidRequest.Code},
	} {
		w := newWorld(t, 1)
		got := w.setQuota(c.entity, c.key, c.value)
		if got.ErrorCode != c.code || (c.code != 0) != (got.ErrorMessage != nil) {
			t.Errorf("%q %s=%v: %+v, want code %d", c.entity, c.key, c.value, got, c.code)
		}
		if set := len(w.image.Quotas) == 1; set != (c.code == 0 && c.value != 0) {
			t.Errorf("%q %s=%v: quotas %v", c.entity, c.key, c.value, w.image.Quotas)
		}
	}
}

func TestAlterClientQuotasTwice(t *testing.T) {
	w := newWorld(t, 1)
	req := kmsg.NewPtrAlterClientQuotasRequest()
	for _, rate := range []float64{1, 2} {
		e := kmsg.NewAlterClientQuotasRequestEntry()
		e.Entity = quotaEntity("user=u")
		e.Ops = []kmsg.AlterClientQuotasRequestEntryOp{{Key: QuotaProduceRate, Value: rate}, {Key: QuotaFetchRate, Value: rate}}
		req.Entries = append(req.Entries, e)
	}
	resp := w.do(req).(*kmsg.AlterClientQuotasResponse)
	if len(resp.Entries) != 1 || resp.Entries[0].ErrorCode != kerr.InvalidRequest.Code || len(w.image.Quotas) != 0 {
		t.Errorf("%+v", resp.Entries)
	}
	req.Entries = req.Entries[:1]
	if resp := w.do(req).(*kmsg.AlterClientQuotasResponse); resp.Entries[0].ErrorCode != 0 {
		t.Errorf("%+v", resp.Entries)
	}
	req.ValidateOnly = true
	req.Entries[0].Ops[0].Value = 7
	if resp := w.do(req).(*kmsg.AlterClientQuotasResponse); resp.Entries[0].ErrorCode != 0 {
		t.Errorf("%+v", resp.Entries)
	}
	req.Entries[0].Ops[1].Key = QuotaProduceRate
	if resp := w.do(req).(*kmsg.AlterClientQuotasResponse); resp.Entries[0].ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("one quota twice: %+v", resp.Entries)
	}
	want := map[string]float64{QuotaProduceRate: 1, QuotaFetchRate: 1}
	if got := w.image.Quotas[QuotaEntity{User: QuotaName{QuotaNamed, "u"}}]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("quotas %v, want %v", got, want)
	}
	w.setQuota("user=u", QuotaProduceRate, 0)
	w.setQuota("user=u", QuotaFetchRate, 0)
	if len(w.image.Quotas) != 0 {
		t.Errorf("quotas %v after all were removed", w.image.Quotas)
	}
}

func TestDescribeClientQuotas(t *testing.T) {
	w := newWorld(t, 1)
	for _, e := range []string{"user=u", "user=<default>", "client-id=c", "user=u,client-id=c"} {
		w.setQuota(e, QuotaProduceRate, 5)
	}
	w.setQuota("ip=<default>", QuotaConnectionRate, 5)
	name := func(s string) *string { return &s }
	type component = kmsg.DescribeClientQuotasRequestComponent
	user := func(match kmsg.QuotasMatchType, name *string) component {
		return component{EntityType: "user", MatchType: match, Match: name}
	}
	for _, c := range []struct {
		what    string
		strict  bool
		filter  []component
		want    string // entities
		errored bool
	}{
		{"everything", false, nil, "ip=<default>|client-id=c|user=u|client-id=c, user=u|user=<default>", false},
		{"strictly nothing", true, nil, "", false},
		{"user u", false, []component{user(matchExactly, name("u"))}, "user=u|client-id=c, user=u", false},
		{"user u, strictly", true, []component{user(matchExactly, name("u"))}, "user=u", false},
		{"default user", false, []component{user(matchDefault, nil)}, "user=<default>", false},
		{"any user", true, []component{user(matchAny, nil)}, "user=u|user=<default>", false},
		{"user and client", true, []component{user(matchAny, nil), {EntityType: "client-id", MatchType: matchAny}}, "client-id=c, user=u", false},
		{"addresses", false, []component{{EntityType: "ip", MatchType: matchAny}}, "ip=<default>", false},
		{"user twice", false, []component{user(matchAny, nil), user(matchAny, nil)}, "", true},
		{"user and address", false, []component{user(matchAny, nil), {EntityType: "ip", MatchType: matchAny}}, "", true},
		{"unknown kind", false, []component{{EntityType: "group", MatchType: matchAny}}, "", true},
		{"no kind", false, []component{{MatchType: matchAny}}, "", true},
		{"exactly null", false, []component{user(matchExactly, nil)}, "", true},
		{"default with a name", false, []component{user(matchDefault, name("u"))}, "", true},
		{"any with a name", false, []component{user(matchAny, name("u"))}, "", true},
		{"unknown match", false, []component{user(9, nil)}, "", true},
	} {
		req := kmsg.NewPtrDescribeClientQuotasRequest()
		req.Version, req.Components, req.Strict = 1, c.filter, c.strict
		resp := DescribeClientQuotas(w.image, req)
		var got []string
		for _, e := range resp.Entries {
			var parts []string
			for _, n := range e.Entity {
				text := "<default>"
				if n.Name != nil {
					text = *n.Name
				}
				parts = append(parts, n.Type+"="+text)
			}
			got = append(got, strings.Join(parts, ", "))
		}
		if all := strings.Join(got, "|"); all != c.want || (resp.ErrorCode != 0) != c.errored {
			t.Errorf("%s: %s, code %d; want %s", c.what, all, resp.ErrorCode, c.want)
		}
	}
}

// TestClientQuotaPrecedence takes the entities away from the most specific to the least: the next one must count.
func TestClientQuotaPrecedence(t *testing.T) {
	order := []struct {
		entity string
		share  QuotaShare
	}{
		{"user=u,client-id=c", QuotaShare{User: "u", ClientID: "c"}},
		{"user=u,client-id=<default>", QuotaShare{User: "u", ClientID: "c"}},
		{"user=u", QuotaShare{User: "u"}},
		{"user=<default>,client-id=c", QuotaShare{User: "u", ClientID: "c"}},
		{"user=<default>,client-id=<default>", QuotaShare{User: "u", ClientID: "c"}},
		{"user=<default>", QuotaShare{User: "u"}},
		{"client-id=c", QuotaShare{ClientID: "c"}},
		{"client-id=<default>", QuotaShare{ClientID: "c"}},
	}
	w := newWorld(t, 1)
	w.setQuota("user=u,client-id=c", QuotaFetchRate, 1) // another quota does not count
	for i, o := range order {
		w.setQuota(o.entity, QuotaProduceRate, float64(i+1))
	}
	for i, o := range order {
		o.share.Limit = float64(i + 1)
		if got, ok := w.image.ClientQuota(QuotaProduceRate, "u", "c"); !ok || got != o.share {
			t.Errorf("%s: %+v, %v, want %+v", o.entity, got, ok, o.share)
		}
		w.setQuota(o.entity, QuotaProduceRate, 0)
	}
	if got, ok := w.image.ClientQuota(QuotaProduceRate, "u", "c"); ok {
		t.Errorf("no quota left, but %+v", got)
	}
	if n := testing.AllocsPerRun(100, func() { w.image.ClientQuota(QuotaProduceRate, "u", "c") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestConnectionQuota(t *testing.T) {
	w := newWorld(t, 1)
	if _, ok := w.image.ConnectionQuota("127.0.0.1"); ok {
		t.Error("limited without a quota")
	}
	w.setQuota("ip=<default>", QuotaConnectionRate, 5)
	w.setQuota("ip=127.0.0.1", QuotaConnectionRate, 6)
	for ip, want := range map[string]float64{"127.0.0.1": 6, "127.0.0.2": 5} {
		if got, ok := w.image.ConnectionQuota(ip); !ok || got != want {
			t.Errorf("%s: %v, %v, want %v", ip, got, ok, want)
		}
	}
}
