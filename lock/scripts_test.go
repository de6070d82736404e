package lock

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/mem"
)

// script is the older scripts' mutex as it is described, of which the farms
// that change over still run some: a queue of objects beside the lock object,
// an unconditional write of it after a look, and a lease by age alone.
type script struct {
	s   store.Store
	ids Holder
}

const (
	scriptLease   = 900 * time.Second
	scriptPoll    = 20 * time.Second
	scriptRenew   = 100 * time.Second // after which a place in the queue is taken anew
	scriptExpires = 120 * time.Second // after which it is ignored
)

func (c script) queueKey() string { return Key + "." + c.ids.SessionID }

func (c script) put(ctx context.Context, key string, body []byte) error {
	_, err := c.s.Put(ctx, key, bytes.NewReader(body), store.PutOptions{})
	return err
}

// locked tells whether the lock object says so: a JSON object that is younger
// than its lease.
func (c script) locked(ctx context.Context) (who Holder, locked bool, err error) {
	body, info, err := c.s.Get(ctx, Key, 0, -1)
	if errors.Is(err, fs.ErrNotExist) {
		return Holder{}, false, nil
	}
	if err != nil {
		return Holder{}, false, err
	}
	text, err := io.ReadAll(body)
	var ids *Holder
	if err != nil || time.Since(info.Modified) >= scriptLease || json.Unmarshal(text, &ids) != nil || ids == nil {
		return Holder{}, false, err
	}
	return *ids, true, nil
}

// first tells whether c's place in the queue is the oldest.
func (c script) first(ctx context.Context) (bool, error) {
	var queue []store.Info
	mine := false
	for in, err := range c.s.List(ctx, Key+".", store.ListOptions{}) {
		if err != nil {
			return false, err
		}
		if age := time.Since(in.Modified); in.Key == c.queueKey() && age < scriptRenew {
			mine = true
			queue = append(queue, in)
		} else if age < scriptExpires {
			queue = append(queue, in)
		}
	}
	if !mine {
		return false, c.put(ctx, c.queueKey(), nil)
	}
	slices.SortFunc(queue, func(a, b store.Info) int {
		if n := a.Modified.Compare(b.Modified); n != 0 {
			return n
		}
		return strings.Compare(a.Key, b.Key)
	})
	return queue[0].Key == c.queueKey(), nil
}

func (c script) enter(ctx context.Context) error {
	if err := c.put(ctx, c.queueKey(), nil); err != nil {
		return err
	}
	for {
		_, locked, err := c.locked(ctx)
		if err != nil {
			return err
		}
		if !locked {
			if first, err := c.first(ctx); err != nil || first {
				break
			}
		}
		time.Sleep(scriptPoll)
	}
	text, err := json.Marshal(c.ids)
	if err != nil {
		return err
	}
	return errors.Join(c.put(ctx, Key, text), c.s.Delete(ctx, c.queueKey()))
}

func (c script) exit(ctx context.Context) error {
	who, locked, err := c.locked(ctx)
	if err != nil || !locked || who != c.ids {
		return err
	}
	return c.s.Delete(ctx, Key)
}

// Ours and theirs wait for one another, in both directions.
func TestScriptsAndWeWaitForOneAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{Delay: 40 * time.Millisecond}
		old := script{s, Holder{FarmID: "farm", SessionID: "old"}}
		if err := old.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		go func() {
			time.Sleep(5 * time.Minute)
			if err := old.exit(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		l, _, err := Acquire(t.Context(), s, Options{Holder: Holder{SessionID: "new"}})
		if err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(begun); waited < 5*time.Minute || waited > 6*time.Minute {
			t.Errorf("we waited %s", waited)
		}
		begun = time.Now()
		go func() {
			time.Sleep(30 * time.Minute) // longer than their lease: ours is renewed
			if err := l.Release(t.Context(), true); err != nil {
				t.Error(err)
			}
		}()
		if err := old.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(begun); waited < 30*time.Minute || waited > 31*time.Minute {
			t.Errorf("they waited %s", waited)
		}
		if err := old.exit(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// A script whose host died is taken over when its lease has ended by our own
// watching; one that is locked out of its own lock by ours gives nothing back.
func TestADeadScriptIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		old := script{s, Holder{SessionID: "old"}}
		if err := old.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		l, _, err := Acquire(t.Context(), s, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(begun); waited < scriptLease || waited > scriptLease+time.Minute {
			t.Errorf("waited %s", waited)
		}
		if err := old.exit(t.Context()); err != nil { // it lived after all
			t.Fatal(err)
		}
		if _, held, err := Status(t.Context(), s, ""); !held || err != nil {
			t.Errorf("their exit freed our lock: %v", err)
		}
		if err := l.Release(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	})
}

// What a session does within the lock that a script has entered for it leaves the
// script's record as it was: the script's exit gives the lock back, and ours does.
func TestWithinAScriptsLock(t *testing.T) {
	ids := Holder{FarmID: "farm", QueueID: "queue", FleetID: "fleet", JobID: "job", SessionID: "session", WorkerID: "worker"}
	ours := ids
	ours.Host, ours.PID = "host", 7
	other := Options{Holder: Holder{SessionID: "other", WorkerID: "other"}, Timeout: time.Second}
	for name, exit := range map[string]func(context.Context, store.Store) error{
		"theirs": func(ctx context.Context, s store.Store) error { return script{s, ids}.exit(ctx) },
		"ours": func(ctx context.Context, s store.Store) error {
			had, err := Exit(ctx, s, ours, "")
			if !had {
				err = errors.Join(err, errors.New("the session did not have it"))
			}
			return err
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &mem.Store{Delay: 40 * time.Millisecond}
			if err := (script{s, ids}).enter(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := object(t, s)
			time.Sleep(10 * time.Minute)
			for range 2 {
				l, lctx, err := Acquire(t.Context(), s, Options{Holder: ours, Timeout: time.Second})
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Minute) // longer than the script's lease: ours is renewed
				if _, _, err := Acquire(t.Context(), s, other); !errors.Is(err, ErrTimeout) || lctx.Err() != nil {
					t.Errorf("%s: another came in during the work: %v", name, err)
				}
				if err := l.Release(t.Context(), true); err != nil {
					t.Fatal(err)
				}
				if after := object(t, s); after != before {
					t.Errorf("%s: left %s, was %s", name, after, before)
				}
			}
			time.Sleep(14 * time.Minute)
			if err := Enter(t.Context(), s, Options{Holder: ours, Timeout: time.Second}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(14 * time.Minute)
			if _, _, err := Acquire(t.Context(), s, other); !errors.Is(err, ErrTimeout) {
				t.Errorf("%s: another came in after the work: %v", name, err)
			}
			if err := exit(t.Context(), s); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if who, held, err := Status(t.Context(), s, ""); held || err != nil {
				t.Errorf("%s: held after exit: %s, %v", name, who, err)
			}
		})
	}
}

// A taking within a script's lock whose end is not known leaves the lock to the
// session.
func TestATakingOfUnknownEndWithinAScriptsLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		ids := Holder{SessionID: "session", WorkerID: "worker"}
		if err := (script{s, ids}).enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := object(t, s)
		ctx := losingAnAnswer(t, s)
		if _, _, err := Acquire(ctx, s, Options{Holder: ids}); err == nil {
			t.Fatal("got the lock after the end")
		}
		if after := object(t, s); after != before {
			t.Errorf("left %s, was %s", after, before)
		}
	})
}

// A script of another session, or of no session, is waited for.
func TestAScriptOfAnotherSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, ids := range []Holder{{SessionID: "session", WorkerID: "other"}, {SessionID: "other", WorkerID: "worker"}, {WorkerID: "worker"}} {
			s := &mem.Store{}
			if err := (script{s, ids}).enter(t.Context()); err != nil {
				t.Fatal(err)
			}
			mine := Holder{SessionID: "session", WorkerID: "worker"}
			if ids.SessionID == "" {
				mine.SessionID = ""
			}
			if _, _, err := Acquire(t.Context(), s, Options{Holder: mine, Timeout: time.Second}); !errors.Is(err, ErrTimeout) {
				t.Errorf("%+v: %v", ids, err)
			}
		}
	})
}

func object(t *testing.T, s store.Store) string {
	t.Helper()
	body, _, err := s.Get(t.Context(), Key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Many of both kinds: each gets its turn, and no two of ours are inside at once.
// Theirs may be beside one another and beside one of ours, which they overwrite
// without a look: that is the defect for which they are replaced, and why the
// index does not depend on the lock.
func TestScriptsAmongUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{Delay: 40 * time.Millisecond}
		var mu sync.Mutex
		ours, done := 0, 0
		count := func(by int) {
			mu.Lock()
			defer mu.Unlock()
			if ours += by; ours > 1 {
				t.Errorf("%d of ours inside at once", ours)
			}
		}
		var wg sync.WaitGroup
		for w := range 12 {
			wg.Go(func() {
				time.Sleep(time.Duration(w) * 17 * time.Second)
				ids := Holder{SessionID: fmt.Sprint("session-", w)}
				if w%2 == 0 {
					old := script{s, ids}
					if err := old.enter(t.Context()); err != nil {
						t.Error(err)
					}
					time.Sleep(45 * time.Second)
					if err := old.exit(t.Context()); err != nil {
						t.Error(err)
					}
				} else {
					l, lctx, err := Acquire(t.Context(), s, Options{Holder: ids})
					if err != nil {
						t.Error(err)
						return
					}
					count(1)
					select {
					case <-time.After(45 * time.Second):
					case <-lctx.Done(): // overwritten
					}
					count(-1)
					if err := l.Release(t.Context(), true); err != nil && !errors.Is(err, ErrLost) {
						t.Error(err)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				done++
			})
		}
		wg.Wait()
		if done != 12 {
			t.Errorf("%d of 12 got their turn", done)
		}
	})
}
