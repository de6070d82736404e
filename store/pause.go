package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// chanceKey is the context key of WithChance.
type chanceKey struct{}

// WithChance makes what waits a random time under ctx draw it from chance,
// which returns a number from 0 to below n: a simulation repeats itself then.
func WithChance(ctx context.Context, chance func(n int64) int64) context.Context {
	return context.WithValue(ctx, chanceKey{}, chance)
}

// Pause waits a random time from atLeast to below atMost, so that writers that
// met once do not meet again. It returns early, with its cause, when ctx ends.
func Pause(ctx context.Context, atLeast, atMost time.Duration) error {
	span := int64(max(atMost-atLeast, 1))
	chance, ok := ctx.Value(chanceKey{}).(func(int64) int64)
	if !ok {
		chance = rand.Int64N
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(atLeast + time.Duration(chance(span))):
		return nil
	}
}

// Backoff waits before another attempt at what others may be doing too: up to
// a bound that doubles with each attempt, to ten seconds at most.
func Backoff(ctx context.Context, attempt int) error {
	const first, longest = 200 * time.Millisecond, 10 * time.Second
	return Pause(ctx, 0, min(first<<min(attempt, 10), longest))
}

// Whole calls read, which reads an object from its begin to its end, again while
// another writer replaced the object meanwhile, so that read failed with
// ErrConflict: what is there then is as good. It gives up after eight times.
func Whole(ctx context.Context, read func() error) error {
	const times = 8
	for attempt := 1; ; attempt++ {
		err := read()
		if attempt == times || !errors.Is(err, ErrConflict) {
			return err
		}
		if err := Backoff(ctx, attempt); err != nil {
			return err
		}
	}
}
