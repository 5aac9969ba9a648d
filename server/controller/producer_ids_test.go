package controller

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// blocks answers AllocateProducerIDs with blocks of n ids.
func blocks(n int64) (do func(context.Context, kmsg.Request) (kmsg.Response, error), given func() int) {
	var mu sync.Mutex
	count := int64(0)
	do = func(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		resp, _ := req.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
		resp.ProducerIDStart, resp.ProducerIDLen = count*n, int32(n)
		count++
		return resp, nil
	}
	return do, func() int { mu.Lock(); defer mu.Unlock(); return int(count) }
}

func TestProducerIDs(t *testing.T) {
	for _, size := range []int64{1, 3, 10, 1000} {
		do, given := blocks(size)
		ids := NewProducerIDs(1, do)
		for want := range int64(1005) {
			id, err := ids.Next(context.Background())
			if err != nil || id != want {
				t.Fatalf("blocks of %d: got %d, %v, want %d", size, id, err, want)
			}
		}
		ids.Close()
		if most := int(1005/size) + 2; given() > most {
			t.Errorf("%d blocks of %d for 1005 ids", given(), size)
		}
	}
}

func TestProducerIDsOfManyAreUnique(t *testing.T) {
	do, _ := blocks(3)
	ids := NewProducerIDs(1, do)
	defer ids.Close()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var seen []int64
	for i := range 100 {
		wg.Go(func() {
			id, ok := int64(0), false
			if i%2 == 0 {
				id, ok = ids.Take()
			}
			if !ok {
				var err error
				if id, err = ids.Next(context.Background()); err != nil {
					t.Error(err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if seen = append(seen, id); slices.Contains(seen[:len(seen)-1], id) {
				t.Errorf("id %d twice", id)
			}
		})
	}
	wg.Wait()
}

func TestProducerIDsFail(t *testing.T) {
	bad := kmsg.NewPtrAllocateProducerIDsResponse()
	bad.ErrorCode = kerr.NotController.Code
	empty := kmsg.NewPtrAllocateProducerIDsResponse()
	for _, answer := range []func() (kmsg.Response, error){
		func() (kmsg.Response, error) { return nil, errors.New("nobody") },
		func() (kmsg.Response, error) { return bad, nil },
		func() (kmsg.Response, error) { return empty, nil },
	} {
		ids := NewProducerIDs(1, func(context.Context, kmsg.Request) (kmsg.Response, error) { return answer() })
		if id, err := ids.Next(context.Background()); !errors.Is(err, kerr.CoordinatorLoadInProgress) {
			t.Errorf("%d, %v", id, err)
		}
		ids.Await(context.Background())
		if id, ok := ids.Take(); ok {
			t.Errorf("id %d out of nothing", id)
		}
		ids.Close()
	}
}

// The next block is there before the first is used up, and nobody who gives up waiting disturbs the others.
func TestProducerIDsAreFetchedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		do, given := blocks(1000)
		hold := make(chan struct{})
		ids := NewProducerIDs(1, func(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
			select {
			case <-hold:
				return do(ctx, req)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		over, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := ids.Next(over); !errors.Is(err, context.Canceled) {
			t.Errorf("gave up with %v", err)
		}
		hold <- struct{}{}
		for range 899 {
			if _, err := ids.Next(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := given(); n != 1 {
			t.Fatalf("%d blocks after 899 ids", n)
		}
		for range 2 {
			_, _ = ids.Take()
		}
		hold <- struct{}{} // with 100 left, somebody asks
		synctest.Wait()
		for want := int64(901); want < 1100; want++ {
			if id, ok := ids.Take(); !ok || id != want {
				t.Fatalf("got %d, %v, want %d", id, ok, want)
			}
		}
		ids.Close()
	})
}
