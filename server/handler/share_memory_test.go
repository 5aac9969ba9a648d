package handler

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/partition"
	"balsa/server/share"
)

// A fetch for whose records there is no memory waits until another's answer is sent, or its time is over. It acknowledges all the same.
func TestShareFetchWaitsForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		size := len(records(1))
		w.broker.ShareMemory = partition.NewShareMemory(int64(2 * size))
		r := w.replica(idT, 0)
		ask := func(req *kmsg.ShareFetchRequest, wait time.Duration) string {
			req.MinBytes, req.MaxWaitMillis = 1, int32(wait.Milliseconds())
			return sharesText(w.answer(w.start(context.Background(), req), req).(*kmsg.ShareFetchResponse))
		}
		r.commit(records(1))
		first := w.start(context.Background(), sharesFrom("m", 0, t0))
		defer first.Release()
		sent := first.Finish(context.Background())
		if len(sent.Records) != 1 {
			t.Fatalf("%d pieces of records", len(sent.Records))
		}
		r.commit(records(2)) // for which there is no room while the first one is being sent
		began := time.Now()
		if got := ask(piggyback(sharesFrom("m", 1), t0, 0, 0, int8(share.Accept)), time.Second); got != "t0" || time.Since(began) != time.Second {
			t.Errorf("%q after %v", got, time.Since(began))
		}
		time.AfterFunc(2*time.Second, sent.Release)
		began = time.Now()
		if got := ask(sharesFrom("m", 2), 10*time.Second); got != "t0 1-2" || time.Since(began) != 2*time.Second {
			t.Errorf("%q after %v", got, time.Since(began))
		}
		if !w.broker.ShareMemory.Claim().Grow(int64(2 * size)) {
			t.Error("memory is not given back")
		}
	})
}
