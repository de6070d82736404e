package lock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/condaworker/condaworker/store/mem"
)

// farm is what many workers did with one lock.
type farm struct {
	runs    int
	longest time.Duration
}

// fortyWorkers arrive within a minute; each needs one run, of half a minute to
// a minute, that begins after it came. Some die in the middle of theirs and
// come again.
func fortyWorkers(t *testing.T, seed uint64, deadly float64) farm {
	t.Helper()
	var f farm
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{Delay: 40 * time.Millisecond}
		draw := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test repeats itself
		var mu sync.Mutex
		var begun []time.Time // of runs that were finished
		var wg sync.WaitGroup
		for w := range 40 {
			arrive, run, dies := time.Duration(draw.Int64N(int64(time.Minute))), 30*time.Second+time.Duration(draw.Int64N(int64(30*time.Second))), draw.Float64() < deadly
			wg.Go(func() {
				time.Sleep(arrive)
				came := time.Now()
				for {
					life, kill := context.WithCancel(t.Context())
					l, _, err := Acquire(life, s, Options{Holder: Holder{WorkerID: fmt.Sprint(w)}, Share: true})
					if errors.Is(err, ErrServed) {
						kill()
						break
					}
					if err != nil {
						t.Error(err)
						kill()
						return
					}
					at := time.Now()
					if dies {
						dies = false
						time.Sleep(run / 2)
						kill() // a killed process renews no more
						continue
					}
					time.Sleep(run)
					mu.Lock()
					f.runs++
					begun = append(begun, at)
					mu.Unlock()
					if err := l.Release(t.Context(), true); err != nil {
						t.Error(err)
					}
					kill()
					break
				}
				mu.Lock()
				defer mu.Unlock()
				f.longest = max(f.longest, time.Since(came))
				if !slices.ContainsFunc(begun, func(at time.Time) bool { return !at.Before(came) }) {
					t.Errorf("worker %d came after %s and was sent away without a run that began later", w, arrive)
				}
			})
		}
		wg.Wait()
	})
	return f
}

func TestFortyWorkersShareAFewRuns(t *testing.T) {
	for seed := range uint64(20) {
		if f := fortyWorkers(t, seed, 0); f.runs > 4 {
			t.Errorf("seed %d: %d runs, the longest wait %s", seed, f.runs, f.longest)
		}
	}
	var worst farm
	for seed := range uint64(20) {
		f := fortyWorkers(t, seed, 0.2)
		worst = farm{max(worst.runs, f.runs), max(worst.longest, f.longest)}
	}
	if worst.runs > 4 {
		t.Errorf("with 20 %% dying: %d runs", worst.runs)
	}
	t.Logf("with 20 %% dying: at most %d runs, the longest wait %s", worst.runs, worst.longest)
}

func TestWhatIsServed(t *testing.T) {
	for _, tt := range []struct {
		s     served
		epoch int64
		scope []string
		want  bool
	}{
		{served{5, nil}, 4, nil, true},
		{served{5, nil}, 5, nil, false},
		{served{5, nil}, 4, []string{"linux-64"}, true},
		{served{5, []string{"linux-64"}}, 4, nil, false},
		{served{5, []string{"linux-64", "noarch"}}, 4, []string{"linux-64"}, true},
		{served{5, []string{"linux-64"}}, 4, []string{"linux-64", "win-64"}, false},
		{served{}, 0, nil, false},
	} {
		if got := tt.s.covers(tt.epoch, tt.scope); got != tt.want {
			t.Errorf("%+v after %d on %q: %v", tt.s, tt.epoch, tt.scope, got)
		}
	}
}

// Finished work is known on, through the hands of later holders.
func TestServedGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		take := func(o Options) *Lease {
			t.Helper()
			l, _, err := Acquire(t.Context(), s, o)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		first := take(Options{})
		result := make(chan error)
		go func() {
			_, _, err := Acquire(t.Context(), s, Options{Share: true, Scope: []string{"linux-64"}})
			result <- err
		}()
		synctest.Wait()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(first.Release(t.Context(), true)) // began before the other came
		second := take(Options{Scope: []string{"linux-64", "noarch"}})
		must(second.Release(t.Context(), true))
		third := take(Options{}) // knows of it, and does no work
		time.Sleep(time.Minute)
		if err := <-result; !errors.Is(err, ErrServed) {
			t.Errorf("%v", err)
		}
		must(third.Release(t.Context(), false))
		cur, err := read(t.Context(), s, Key)
		if err != nil || cur.served.Epoch != second.record.Epoch || !slices.Equal(cur.served.Scope, []string{"linux-64", "noarch"}) {
			t.Errorf("%+v, %v", cur.served, err)
		}
		own := take(Options{Share: true}) // what was done before it came is not for it
		must(own.Release(t.Context(), true))
	})
}
