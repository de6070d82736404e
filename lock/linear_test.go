package lock

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/mem"
	"github.com/condaworker/condaworker/store/s3"
	"github.com/condaworker/condaworker/store/s3/s3test"
)

// use is what a worker did with the lock.
type use struct {
	acquire bool
	epoch   int64
}

// mutex is a lock that one has at a time, with epochs that rise. A worker that
// died has let go at some time after.
func mutex() porcupine.Model {
	type state struct {
		epoch int64
		held  bool
	}
	return porcupine.Model{
		Init: func() any { return state{} },
		Step: func(s, input, _ any) (bool, any) {
			was, u := s.(state), input.(use)
			if u.acquire {
				return !was.held && u.epoch > was.epoch, state{u.epoch, true}
			}
			return was.held && was.epoch == u.epoch, state{was.epoch, false}
		},
		DescribeOperation: func(input, _ any) string { return fmt.Sprintf("%+v", input) },
	}
}

// history is what workers did, by one clock.
type history struct {
	mu    sync.Mutex
	begun time.Time
	ops   []porcupine.Operation
}

func (h *history) add(worker int, u use, call, end time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: worker, Input: u, Call: call.Nanoseconds(), Return: end.Nanoseconds()})
}

// compete lets workers take the lock in turns, and some of them die with it.
func compete(t *testing.T, open func() store.Store, key string, workers int) *history {
	h := &history{begun: time.Now()}
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			ctx := store.WithChance(t.Context(), func(int64) int64 { return 0 })
			s := open()
			for turn := range 3 {
				call := time.Since(h.begun)
				l, _, err := Acquire(ctx, s, Options{Key: key, TTL: 400 * time.Millisecond, Holder: Holder{WorkerID: fmt.Sprint(worker)}})
				if err != nil {
					t.Error(err)
					return
				}
				u := use{true, l.record.Epoch}
				h.add(worker, u, call, time.Since(h.begun))
				call = time.Since(h.begun)
				u.acquire = false
				if turn == 1 && rand.IntN(3) == 0 { //nolint:gosec // no secret
					l.cancel(context.Canceled) // it dies
					h.add(worker, u, call, time.Hour)
					return
				}
				if err := l.Release(ctx, false); err != nil { // it lost the lock: it had let go by then
					h.add(worker, u, call, time.Since(h.begun))
					continue
				}
				h.add(worker, u, call, time.Since(h.begun))
			}
		})
	}
	wg.Wait()
	return h
}

func TestTheLockIsLinearizable(t *testing.T) {
	s3test.Each(t, func(t *testing.T, server s3test.Server) {
		t.Setenv("AWS_CA_BUNDLE", "") // of a client that is not the SDK's
		server.Bucket(t, "studio")
		open := func() store.Store {
			s, err := s3.Open(t.Context(), s3.Options{Bucket: "studio", Env: server.Env(), HTTP: s3test.LosesAnswers{}})
			if err != nil {
				t.Error(err)
			}
			return s
		}
		var wg sync.WaitGroup
		slots := make(chan struct{}, 10)
		for i := range s3test.Histories(t) {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				h := compete(t, open, fmt.Sprint("lock-", i), 4)
				if r := porcupine.CheckOperationsTimeout(mutex(), h.ops, time.Minute); r != porcupine.Ok {
					t.Errorf("history %d is %s: %+v", i, r, h.ops)
				}
			})
		}
		wg.Wait()
	})
}

// careless takes no notice of conditions.
type careless struct{ *mem.Store }

func (c careless) Put(ctx context.Context, key string, body io.ReadSeeker, o store.PutOptions) (store.Info, error) {
	o.Cond = store.Always
	time.Sleep(time.Millisecond) // for others to come between
	return c.Store.Put(ctx, key, body, o)
}

func TestACarelessStoreIsFound(t *testing.T) {
	s := careless{&mem.Store{}}
	for i := range 20 {
		h := compete(t, func() store.Store { return s }, fmt.Sprint("lock-", i), 4)
		if porcupine.CheckOperationsTimeout(mutex(), h.ops, time.Minute) == porcupine.Illegal {
			return
		}
	}
	t.Error("no history was illegal")
}
