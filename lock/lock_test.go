package lock

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
	"github.com/condaworker/condaworker/store/mem"
	"github.com/condaworker/condaworker/store/storetest"
)

func TestOneHolderAtATime(t *testing.T) {
	for _, faulty := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &mem.Store{Delay: 10 * time.Millisecond}
			if faulty {
				s.Fault = loseAnswers()
			}
			var inside, took atomic.Int32
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					l, ctx, err := Acquire(t.Context(), s, Options{Holder: Holder{PID: i}})
					for err != nil { // the store gave up: the farm runs the task again
						l, ctx, err = Acquire(t.Context(), s, Options{Holder: Holder{PID: i}})
					}
					if n := inside.Add(1); n != 1 {
						t.Errorf("%d holders", n)
					}
					time.Sleep(3 * time.Minute) // several renewals
					if ctx.Err() != nil {
						t.Error(context.Cause(ctx))
					}
					inside.Add(-1)
					took.Add(1)
					if err := l.Release(t.Context(), false); errors.Is(err, ErrLost) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if took.Load() != 20 {
				t.Errorf("%d of 20 got it", took.Load())
			}
		})
	}
}

// A record that is replaced while it is read is read anew.
func TestARecordThatIsReplacedWhileItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		l, _, err := Acquire(t.Context(), s, Options{})
		if err != nil {
			t.Fatal(err)
		}
		released := make(chan error, 1)
		torn := &storetest.Torn{Store: s, Key: Key, Replace: func() { released <- l.Release(t.Context(), false) }}
		next, _, err := Acquire(t.Context(), torn, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(<-released, next.Release(t.Context(), false)); err != nil {
			t.Error(err)
		}
	})
}

// loseAnswers loses a third of the answers, half of them after the write landed.
func loseAnswers() func(string) (bool, error) {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(1, 2))
	return func(string) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		if r.IntN(3) > 0 {
			return true, nil
		}
		return r.IntN(2) == 0, errors.New("answer lost")
	}
}

func TestDeadHolderIsReplacedAndLearnsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		var cut atomic.Bool
		s.Fault = func(string) (bool, error) {
			if cut.Load() {
				return false, errors.New("network gone")
			}
			return true, nil
		}
		l, ctx, err := Acquire(t.Context(), s, Options{})
		if err != nil {
			t.Fatal(err)
		}
		cut.Store(true)
		start := time.Now()
		<-ctx.Done()
		if err := context.Cause(ctx); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "gave up") || time.Since(start) >= defaultTTL {
			t.Errorf("cause %v after %v", err, time.Since(start))
		}
		cut.Store(false)
		next, _, err := Acquire(t.Context(), s, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Release(t.Context(), false); !errors.Is(err, ErrLost) {
			t.Errorf("Release = %v, want ErrLost", err)
		}
		if err := next.Release(t.Context(), false); err != nil {
			t.Error(err)
		}
	})
}

func TestAnOutageShorterThanTheLeaseCostsNothing(t *testing.T) {
	for _, lands := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &mem.Store{}
			var out atomic.Bool
			s.Fault = func(string) (bool, error) {
				if !out.Load() {
					return true, nil
				}
				return lands, errors.New("answer lost")
			}
			l, ctx, err := Acquire(t.Context(), s, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for range 5 {
				time.Sleep(defaultTTL / 4)
				out.Store(true)
				time.Sleep(defaultTTL / 3)
				out.Store(false)
			}
			time.Sleep(defaultTTL / 4)
			out.Store(true)
			time.Sleep(defaultTTL / 3) // Release meets a renewal of unknown end
			out.Store(false)
			if ctx.Err() != nil {
				t.Error(context.Cause(ctx))
			}
			if err := l.Release(t.Context(), false); err != nil {
				t.Error(err)
			}
		})
	}
}

// losingAnAnswer is a context that a signal ends in the midst of the next request to
// s: that is carried out, and nobody gets its answer.
func losingAnAnswer(t *testing.T, s *mem.Store) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	s.Fault = func(string) (bool, error) {
		if ctx.Err() == nil {
			cancel()
			return true, errors.New("answer lost")
		}
		return true, nil
	}
	return ctx
}

// A signal while the lock is taken: the answer never comes, and the lock was
// taken all the same.
func TestATakingOfUnknownEndIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		ctx := losingAnAnswer(t, s)
		if _, _, err := Acquire(ctx, s, Options{}); err == nil {
			t.Fatal("got the lock after the end")
		}
		start := time.Now()
		l, _, err := Acquire(t.Context(), s, Options{})
		if err != nil || time.Since(start) > time.Second || l.record.Epoch <= start.UnixMilli() {
			t.Errorf("the next one got it after %v: %v", time.Since(start), err)
		}
		if err := l.Release(t.Context(), false); err != nil {
			t.Error(err)
		}
	})
}

func TestPausedHolderCannotStealBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var writes atomic.Int32
		s := &mem.Store{Fault: func(string) (bool, error) {
			if writes.Add(1) == 2 { // the first renewal hangs, then lands
				time.Sleep(5 * time.Minute)
			}
			return true, nil
		}}
		l, ctx, err := Acquire(t.Context(), s, Options{})
		if err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		next, nextCtx, err := Acquire(t.Context(), s, Options{})
		if err != nil {
			t.Fatal(err)
		}
		epoch := next.record.Epoch
		for range 600 { // more often than the new holder renews, which would cover what landed
			time.Sleep(time.Second)
			if cur, err := read(t.Context(), s, Key); err != nil || cur.epoch != epoch {
				t.Fatalf("the lock is that of epoch %d, not of %d: %v", cur.epoch, epoch, err)
			}
		}
		if nextCtx.Err() != nil {
			t.Error("the new holder lost its lease to the paused one")
		}
		if err := l.Release(t.Context(), false); !errors.Is(err, ErrLost) {
			t.Errorf("Release = %v, want ErrLost", err)
		}
		if err := next.Release(t.Context(), false); err != nil {
			t.Error(err)
		}
	})
}

func TestTimeoutNamesTheHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		l, _, err := Acquire(t.Context(), s, Options{Holder: Holder{JobID: "job-1", Host: "w7"}})
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		start := time.Now()
		_, _, err = Acquire(t.Context(), s, Options{Timeout: 2 * time.Minute, Waiting: func(h Held) { told = append(told, h.String()) }})
		if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "job job-1, host w7") {
			t.Error(err)
		}
		if waited := time.Since(start); waited < 2*time.Minute || waited > 3*time.Minute {
			t.Errorf("waited %v", waited)
		}
		if len(told) != 1 || !strings.Contains(told[0], "job-1") {
			t.Errorf("told %q", told)
		}
		if err := l.Release(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	})
}

func TestOlderScriptsRecordHoldsFor900Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		seed := `{"farmId": "f", "queueId": "q", "fleetId": "l", "jobId": "j", "sessionId": "s", "workerId": "w"}`
		if _, err := s.Put(t.Context(), Key, strings.NewReader(seed), store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		l, _, err := Acquire(t.Context(), s, Options{})
		if err != nil || time.Since(start) < 900*time.Second || time.Since(start) > 920*time.Second {
			t.Errorf("got it after %v: %v", time.Since(start), err)
		}
		if err := l.Release(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		again, before := time.Now(), l.record.Epoch
		l, _, err = Acquire(t.Context(), s, Options{})
		if err != nil || time.Since(again) > 0 || l.record.Epoch != before+1 {
			t.Errorf("a tombstone is free at once, and the epoch rises: %v %v %d", time.Since(again), err, l.record.Epoch)
		}
		if err := l.Release(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	})
}

// Who comes long after a holder died does not wait for the whole lease again,
// if the store says how old the lock is; a holder that lives is never taken for
// one that died, whatever the store says.
func TestALateComerToADeadHolder(t *testing.T) {
	for text, ttl := range map[string]time.Duration{
		`{"jobId": "j", "sessionId": "s"}`:                             900 * time.Second,
		`{"v": 2, "state": "held", "ttlMs": 60000, "jobId": "j"}`:      60 * time.Second,
		`{"v": 2, "entered": true, "ttlMs": 900000, "sessionId": "s"}`: 900 * time.Second,
	} {
		for late, want := range map[time.Duration]time.Duration{0: ttl, ttl - 30*time.Second: 35 * time.Second, 24 * time.Hour: watchAtLeast} {
			synctest.Test(t, func(t *testing.T) {
				s := &mem.Store{}
				if _, err := s.Put(t.Context(), Key, strings.NewReader(text), store.PutOptions{}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(late)
				start := time.Now()
				l, _, err := Acquire(t.Context(), s, Options{})
				if waited := time.Since(start); err != nil || waited < want || waited > want+5*time.Second {
					t.Errorf("%s, %s late: waited %s, %v; want %s", text, late, waited, err, want)
				}
				if err := l.Release(t.Context(), true); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// aged is a store whose clock is mad: all that it has is a day old.
type aged struct{ store.Store }

func (s aged) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	body, in, err := s.Store.Get(ctx, key, off, n)
	in.Age = 24 * time.Hour
	return body, in, err
}

func TestAMadClockOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := aged{&mem.Store{}}
		l, ctx, err := Acquire(t.Context(), s, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := Acquire(t.Context(), s, Options{Timeout: time.Hour}); !errors.Is(err, ErrTimeout) || ctx.Err() != nil {
			t.Errorf("a holder that lives: %v, %v", err, context.Cause(ctx))
		}
		if err := l.Release(t.Context(), true); err != nil {
			t.Error(err)
		}
	})
}

func TestInAFolder(t *testing.T) {
	s := dir.Open(t.TempDir())
	for range 2 {
		l, ctx, err := Acquire(t.Context(), s, Options{TTL: 4 * time.Second, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond) // a renewal
		lost := ctx.Err() != nil
		if err := l.Release(t.Context(), false); err != nil || lost || l.record.Beat < 2 {
			t.Errorf("%v, lost %v, %d writes", err, lost, l.record.Beat)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"v":2,"state":"held","ttlMs":60000}`))
	f.Add([]byte(tombstoneMark + "7 op=x\n"))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if c := decode(text, store.Info{Version: "v"}); c.state == held && c.ttl <= 0 {
			t.Fatalf("%q is held for %v", text, c.ttl)
		}
	})
}

// A write that takes longer than a lease is believed in gives one under which
// nothing may begin, not even before the watchdog runs.
func TestALeaseThatCameTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{Fault: func(string) (bool, error) {
			time.Sleep(2 * defaultTTL)
			return true, nil
		}}
		l, ctx, err := Acquire(t.Context(), s, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(context.Cause(ctx), ErrLost) {
			t.Errorf("work may begin: %v", context.Cause(ctx))
		}
		if err := l.Release(t.Context(), true); !errors.Is(err, ErrLost) {
			t.Errorf("released: %v", err)
		}
	})
}
