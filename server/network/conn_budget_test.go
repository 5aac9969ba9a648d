package network

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// asking runs acquire on its own; the result tells whether it has been granted.
func asking(ctx context.Context, b *byteBudget, c *claim, n int64) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := b.acquire(ctx, c, n)
		done <- err
	}()
	synctest.Wait()
	return done
}

func granted(t *testing.T, what string, done <-chan error, want bool) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		if err != nil || !want {
			t.Errorf("%s: granted, %v", what, err)
		}
	default:
		if want {
			t.Errorf("%s: still waits", what)
		}
	}
}

func TestBudgetIsFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newByteBudget(100)
		var first, large, small claim
		granted(t, "first", asking(t.Context(), b, &first, 60), true)
		largeDone := asking(t.Context(), b, &large, 50)
		smallDone := asking(t.Context(), b, &small, 10)
		granted(t, "large", largeDone, false)
		granted(t, "small, which would fit", smallDone, false)
		b.release(&first)
		granted(t, "large", largeDone, true)
		granted(t, "small", smallDone, true)
		if b.held != 60 {
			t.Errorf("%d bytes held", b.held)
		}
	})
}

// Requests that have been read in part fill the budget: one of them at a time gets beyond it.
func TestBudgetDoesNotDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newByteBudget(100)
		var parts [3]claim
		for i := range parts {
			granted(t, "part", asking(t.Context(), b, &parts[i], 30), true)
		}
		var fresh claim
		freshDone := asking(t.Context(), b, &fresh, 20)
		over := asking(t.Context(), b, &parts[0], 50)
		granted(t, "the one beyond", over, true)
		second, third := asking(t.Context(), b, &parts[1], 50), asking(t.Context(), b, &parts[2], 50)
		granted(t, "second", second, false)
		granted(t, "the one beyond, again", asking(t.Context(), b, &parts[0], 50), true)
		if b.held != 190 {
			t.Errorf("%d bytes held", b.held)
		}
		b.release(&parts[0])
		granted(t, "second", second, true)
		granted(t, "third", third, false)
		granted(t, "fresh, behind those that hold something", freshDone, false)
		b.release(&parts[1])
		granted(t, "third", third, true)
		granted(t, "fresh", freshDone, true)
		b.release(&parts[2])
		b.release(&fresh)
		if b.held != 0 {
			t.Errorf("%d bytes held at the end", b.held)
		}
	})
}

func TestBudgetWaitingEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newByteBudget(100)
		var first, gone, next claim
		b.take(&first, 150) // beyond the limit at once
		ctx, cancel := context.WithCancel(t.Context())
		goneDone := asking(ctx, b, &gone, 90)
		nextDone := asking(t.Context(), b, &next, 20)
		cancel()
		if err := <-goneDone; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		granted(t, "next", nextDone, false)
		b.release(&first)
		granted(t, "next", nextDone, true)
		if b.held != 20 || gone.bytes != 0 {
			t.Errorf("%d bytes held, %d by who has gone", b.held, gone.bytes)
		}
	})
}
