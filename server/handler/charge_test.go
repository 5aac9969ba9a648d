package handler

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
)

// limit sets a quota of the client id that the tests' clients have.
func (w *world) limit(key string, rate float64) {
	e := cluster.QuotaEntity{ClientID: cluster.QuotaName{Match: cluster.QuotaNamed, Name: "test"}}
	if w.image.Quotas[e] == nil {
		w.image.Quotas[e] = map[string]float64{}
	}
	w.image.Quotas[e][key] = rate
}

// answerWith returns a response with what the connection is told besides.
func (w *world) answerWith(req kmsg.Request) (kmsg.Response, time.Duration) {
	w.t.Helper()
	p := w.start(context.Background(), req)
	reply := p.Finish(context.Background())
	defer p.Release()
	defer reply.Release()
	raw := encoded(w.t, p, &reply)
	if raw == nil {
		return nil, reply.Throttle
	}
	resp := req.ResponseKind()
	body := raw[8:]
	if resp.IsFlexible() {
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		w.t.Fatal(err)
	}
	return resp, reply.Throttle
}

func smallProduce(acks int16) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version = 9
	fillSmall(req)
	req.Acks = acks
	return req
}

func TestProduceQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		size := float64(len(kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, smallProduce(-1), 1)) - 4)
		w.limit(cluster.QuotaProduceRate, size) // a request per second, ten at once
		for i := range 10 {
			resp, wait := w.answerWith(smallProduce(-1))
			if ms := resp.(*kmsg.ProduceResponse).ThrottleMillis; ms != 0 || wait != 0 {
				t.Fatalf("request %d: throttled for %d ms, %v", i, ms, wait)
			}
		}
		resp, wait := w.answerWith(smallProduce(-1))
		r := resp.(*kmsg.ProduceResponse)
		if r.ThrottleMillis < 999 || r.ThrottleMillis > 1001 || wait.Round(time.Millisecond) != time.Second {
			t.Errorf("throttled for %d ms, %v, want a second", r.ThrottleMillis, wait)
		}
		if r.Topics[0].Partitions[0].ErrorCode != 0 {
			t.Errorf("code %d: what is throttled is done all the same", r.Topics[0].Partitions[0].ErrorCode)
		}
		if resp, wait := w.answerWith(smallProduce(0)); resp != nil || wait.Round(time.Millisecond) != 2*time.Second {
			t.Errorf("without acks: answer %v, muted for %v, want 2 s", resp, wait)
		}
		time.Sleep(5 * time.Second)
		if resp, _ := w.answerWith(smallProduce(-1)); resp.(*kmsg.ProduceResponse).ThrottleMillis != 0 {
			t.Errorf("still throttled: %+v", resp)
		}
	})
}

func TestFetchQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		batch := records(10)
		w.limit(cluster.QuotaFetchRate, float64(len(batch))) // a batch per second
		for range 12 {
			w.replica(idT, 0).commit(records(10))
		}
		at := t0
		fetch := func() (*kmsg.FetchResponse, time.Duration) {
			resp, wait := w.answerWith(fetchFrom(12, at))
			return resp.(*kmsg.FetchResponse), wait
		}
		first, wait := fetch()
		if n := len(partitionsOf(first)[0].RecordBatches); n != 10*len(batch) || wait != 0 || first.ThrottleMillis != 0 {
			t.Errorf("%d bytes, throttled for %d ms, %v; want all that may be saved up, %d", n, first.ThrottleMillis, wait, 10*len(batch))
		}
		at.offset = 100
		second, wait := fetch() // two batches, not paid for
		if n := len(partitionsOf(second)[0].RecordBatches); n != 2*len(batch) || wait.Round(time.Millisecond) != 2*time.Second || second.ThrottleMillis != 2000 {
			t.Errorf("%d bytes, throttled for %d ms, %v; want 2 batches and 2 s", n, second.ThrottleMillis, wait)
		}
		third, wait := fetch()
		if len(third.Topics) != 0 || third.ThrottleMillis < 1999 || third.SessionID != 0 || wait == 0 {
			t.Errorf("a client that does not wait gets %+v, %v", third, wait)
		}
		time.Sleep(2 * time.Second)
		if fourth, _ := fetch(); len(partitionsOf(fourth)[0].RecordBatches) == 0 {
			t.Error("nothing after the wait")
		}
	})
}

// TestFetchQuotaAndSessions: a throttled fetch opens no session, and leaves one that is open as the client knows it.
func TestFetchQuotaAndSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.replica(idT, 0).commit(records(10))
		open := func() *kmsg.FetchResponse {
			req := fetchFrom(12, t0)
			req.SessionEpoch = initialEpoch
			resp, _ := w.answerWith(req)
			return resp.(*kmsg.FetchResponse)
		}
		session := open()
		if session.SessionID == noSession {
			t.Fatal("no session")
		}
		w.limit(cluster.QuotaFetchRate, 1)
		overdraw := fetchFrom(12, t0)
		w.answerWith(overdraw)
		if r := open(); r.SessionID != noSession || len(w.broker.sessions.sessions) != 1 || r.ThrottleMillis == 0 {
			t.Errorf("session %d, throttled for %d ms; %d sessions", r.SessionID, r.ThrottleMillis, len(w.broker.sessions.sessions))
		}
		next := fetchFrom(12)
		next.SessionID, next.SessionEpoch, next.MaxWaitMillis = session.SessionID, 1, 0
		resp, _ := w.answerWith(next)
		if r := resp.(*kmsg.FetchResponse); r.SessionID != session.SessionID || r.ErrorCode != 0 || len(r.Topics) != 0 || r.ThrottleMillis == 0 {
			t.Errorf("incremental: %+v", r)
		}
		clear(w.image.Quotas)
		next.SessionEpoch = 2
		resp, _ = w.answerWith(next)
		if r := resp.(*kmsg.FetchResponse); r.ErrorCode != 0 || len(r.Topics) != 1 {
			t.Errorf("after the quota is gone: %+v", r)
		}
	})
}

// TestRequestQuota: the controller takes 30 s here, which do not count.
func TestRequestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limit(cluster.QuotaRequestTime, 1e-9)
		w.control = func(req kmsg.Request) (kmsg.Response, error) {
			time.Sleep(30 * time.Second)
			return req.ResponseKind(), nil
		}
		if _, wait := w.answerWith(kmsg.NewPtrUpdateFeaturesRequest()); wait != 0 {
			t.Errorf("waiting for the controller was charged: %v", wait)
		}
		fetch := fetchFrom(12, t0)
		fetch.MaxWaitMillis = 30_000
		if _, wait := w.answerWith(fetch); wait != 0 {
			t.Errorf("waiting for records was charged: %v", wait)
		}
		s := stopwatch{total: time.Second}
		r := &Request{Client: Client{ID: "test"}, work: s}
		if wait := w.broker.useTime(w.image, r); wait != longestForTime {
			t.Errorf("a second of work: %v", wait)
		}
		if resp, wait := w.answerWith(fetch); wait != longestForTime || resp.(*kmsg.FetchResponse).ThrottleMillis != 1000 {
			t.Errorf("a fetch after that: %v", wait)
		}
		versions := kmsg.NewPtrMetadataRequest()
		versions.Version = 12
		if resp, _ := w.answerWith(versions); resp.(*kmsg.MetadataResponse).ThrottleMillis != 1000 {
			t.Errorf("another request after that: %+v", resp)
		}
	})
}

func TestMutationQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limit(cluster.QuotaMutationRate, 1)
		failing := int16(0)
		w.control = func(req kmsg.Request) (kmsg.Response, error) {
			switch req := req.(type) {
			case *kmsg.CreateTopicsRequest:
				resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
				for _, t := range req.Topics {
					resp.Topics = append(resp.Topics, kmsg.CreateTopicsResponseTopic{Topic: t.Topic, ErrorCode: failing})
				}
				return resp, nil
			case *kmsg.DeleteTopicsRequest:
				resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
				for _, t := range req.Topics {
					resp.Topics = append(resp.Topics, kmsg.DeleteTopicsResponseTopic{Topic: t.Topic})
				}
				return resp, nil
			}
			return req.ResponseKind(), nil
		}
		create := func(version int16, validate bool, sizes ...int32) *kmsg.CreateTopicsResponse {
			req := kmsg.NewPtrCreateTopicsRequest()
			req.Version, req.ValidateOnly = version, validate
			for i, n := range sizes {
				rt := kmsg.NewCreateTopicsRequestTopic()
				rt.Topic, rt.NumPartitions, rt.ReplicationFactor = string(rune('a'+i)), n, 1
				req.Topics = append(req.Topics, rt)
			}
			resp, _ := w.answerWith(req)
			return resp.(*kmsg.CreateTopicsResponse)
		}
		over := kerr.ThrottlingQuotaExceeded.Code
		if r := create(7, true, 1000); r.ThrottleMillis != 0 {
			t.Errorf("only validated: throttled for %d ms", r.ThrottleMillis)
		}
		failing = kerr.TopicAlreadyExists.Code
		if r := create(7, false, 1000); r.ThrottleMillis != 0 || r.Topics[0].ErrorCode != failing {
			t.Errorf("failed: %+v", r)
		}
		failing = 0
		// Ten tokens: the first topic fits, the second overdraws, the third is refused.
		r := create(7, false, 9, 3, 1)
		if r.Topics[0].ErrorCode != 0 || r.Topics[1].ErrorCode != 0 || r.Topics[2].ErrorCode != over || r.ThrottleMillis != 2000 {
			t.Errorf("%+v", r)
		}
		// Older versions are not refused, and wait for longer.
		if r := create(5, false, 1); r.Topics[0].ErrorCode != 0 || r.ThrottleMillis != 3000 {
			t.Errorf("version 5: %+v", r)
		}
		del := kmsg.NewPtrDeleteTopicsRequest()
		del.Version = 6
		for _, name := range []string{"t", "far"} {
			dt := kmsg.NewDeleteTopicsRequestTopic()
			dt.Topic = &name
			del.Topics = append(del.Topics, dt)
		}
		resp, _ := w.answerWith(del)
		if d := resp.(*kmsg.DeleteTopicsResponse); len(d.Topics) != 2 || d.Topics[0].ErrorCode != over || d.Topics[1].ErrorCode != over {
			t.Errorf("delete: %+v", d)
		}
		time.Sleep(3 * time.Second)
		resp, _ = w.answerWith(del) // 2 partitions with 0 tokens left: the second topic is refused
		if d := resp.(*kmsg.DeleteTopicsResponse); d.Topics[0].ErrorCode != 0 || d.Topics[1].ErrorCode != over || d.ThrottleMillis != 2000 {
			t.Errorf("delete after the wait: %+v", d)
		}
		more := kmsg.NewPtrCreatePartitionsRequest()
		more.Version = 3
		rt := kmsg.NewCreatePartitionsRequestTopic()
		rt.Topic, rt.Count = "t", 5
		more.Topics = append(more.Topics, rt)
		resp, _ = w.answerWith(more)
		if p := resp.(*kmsg.CreatePartitionsResponse); len(p.Topics) != 1 || p.Topics[0].ErrorCode != over {
			t.Errorf("more partitions: %+v", p)
		}
	})
}

func TestConnectionQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := cluster.QuotaEntity{IP: cluster.QuotaName{Match: cluster.QuotaNamed, Name: "10.0.0.1"}}
		w.image.Quotas[e] = map[string]float64{cluster.QuotaConnectionRate: 2}
		allowed := 0
		for range 100 {
			if w.dispatcher.Connect("10.0.0.1") == 0 {
				allowed++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if allowed < 38 || allowed > 42 { // 20 saved up, and 2 per second
			t.Errorf("%d connections in 10 s at 2 per second", allowed)
		}
		if wait := w.dispatcher.Connect("10.0.0.2"); wait != 0 {
			t.Errorf("another address waits for %v", wait)
		}
	})
}
