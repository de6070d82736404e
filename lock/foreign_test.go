package lock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/mem"
)

// Whatever lies at the lock's key is held or free as the older scripts take it,
// nobody waits for it longer than for them, and it is said what it was.
func TestWhatIsNoRecord(t *testing.T) {
	for text, want := range map[string]struct {
		wait    time.Duration
		foreign bool
	}{
		"":                         {},
		"null":                     {0, true},
		"hello":                    {0, true},
		"{\"jobId\":":              {0, true},
		"\x00\xff":                 {0, true},
		strings.Repeat("[", 1<<17): {0, true},
		"[1, 2]":                   {900 * time.Second, true},
		"5":                        {900 * time.Second, true},
		"{}":                       {900 * time.Second, true},
		`{"a": 1}`:                 {900 * time.Second, true},
		`{"jobId": 5}`:             {900 * time.Second, true},
		`{"jobId": "j"}`:           {900 * time.Second, false},
		`{"v": 2, "state": "held", "ttlMs": 9223372036854775807, "jobId": "j"}`: {60 * time.Second, false},
		`{"v": 2, "state": "held", "ttlMs": 999999999999, "jobId": "j"}`:        {900 * time.Second, false},
		`{"v": 2, "state": "held", "ttlMs": -5, "epoch": -3, "jobId": "j"}`:     {60 * time.Second, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &mem.Store{}
			if _, err := s.Put(t.Context(), Key, strings.NewReader(text), store.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			var warned, told []string
			o := Options{Warn: func(s string) { warned = append(warned, s) }, Waiting: func(h Held) { told = append(told, h.String()) }}
			start := time.Now()
			if _, held, err := Status(t.Context(), s, ""); held != (want.wait > 0) || err != nil {
				t.Errorf("%.40q: held %t, %v", text, held, err)
			}
			l, _, err := Acquire(t.Context(), s, o)
			if err != nil {
				t.Fatal(err)
			}
			if waited := time.Since(start); waited < want.wait || waited > want.wait+5*time.Second {
				t.Errorf("%.40q: waited %v, want %v", text, waited, want.wait)
			}
			if foreign := len(warned) == 1 && strings.Contains(warned[0], Key); foreign != want.foreign {
				t.Errorf("%.40q: warned %q", text, warned)
			}
			if len(told) > 0 && strings.Contains(told[0], "no record of a lock") != want.foreign {
				t.Errorf("%.40q: told %q", text, told)
			}
			if err := l.Release(t.Context(), true); err != nil {
				t.Error(err)
			}
		})
	}
}

// Epochs rise (S4) also when the older scripts delete the lock's object, and when
// somebody has written one that has no next.
func TestEpochsRiseWhenTheObjectIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		last := int64(0)
		for _, text := range []string{"", "", "no record", "#condaworker-lock v2 free epoch=9223372036854775807 op=x", "#condaworker-lock v2 free epoch=-4 op=x"} {
			if err := s.Delete(t.Context(), Key); err != nil {
				t.Fatal(err)
			}
			if text != "" {
				if _, err := s.Put(t.Context(), Key, strings.NewReader(text), store.PutOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
			l, _, err := Acquire(t.Context(), s, Options{})
			if err != nil || l.record.Epoch <= last {
				t.Fatalf("%q: epoch %d after %d, %v", text, l.record.Epoch, last, err)
			}
			last = l.record.Epoch
			if err := l.Release(t.Context(), true); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Whoever waits for a script is told since when it holds the lock.
func TestAScriptsRecordSaysSinceWhen(t *testing.T) {
	s := &mem.Store{}
	if _, err := s.Put(t.Context(), Key, strings.NewReader(`{"jobId": "job-7", "workerId": "w", "sessionId": "s"}`), store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	_, _, err := Acquire(t.Context(), s, Options{Timeout: time.Millisecond})
	if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "held by job job-7, worker w, session s since 2") {
		t.Error(err)
	}
}

// Work that was finished later than it can have begun is none: nobody leaves with
// success for it.
func TestNobodyIsServedByWorkThatCannotBe(t *testing.T) {
	for _, text := range []string{
		`{"v": 2, "state": "held", "epoch": -5, "ttlMs": 60000, "sessionId": "z"}`,
		`{"v": 2, "state": "held", "epoch": 5, "ttlMs": 60000, "sessionId": "z", "served": {"epoch": 9}}`,
		"#condaworker-lock v2 free epoch=-3 op=x served=5 scope=\n",
		"#condaworker-lock v2 free epoch=3 op=x served=5 scope=\n",
		"#condaworker-lock v2 free epoch=9223372036854775807 op=x served=9223372036854775807 scope=\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &mem.Store{}
			if _, err := s.Put(t.Context(), Key, strings.NewReader(text), store.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second finds what the first left that failed
				l, _, err := Acquire(t.Context(), s, Options{Share: true})
				if err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				if err := l.Release(t.Context(), false); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// closed refuses each write over what it gives to read: a folder at the lock's key on
// some servers, or one whose ETags cannot be given back to it.
type closed struct{ *mem.Store }

func (c closed) Put(_ context.Context, key string, _ io.ReadSeeker, _ store.PutOptions) (store.Info, error) {
	return store.Info{}, fmt.Errorf("put %s: %w", key, store.ErrConflict)
}

func TestALockThatCannotBeTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := closed{&mem.Store{}}
		if _, _, err := Acquire(t.Context(), s, Options{}); err == nil || !strings.Contains(err.Error(), "move away what lies there") {
			t.Error(err)
		}
		if _, _, err := Acquire(t.Context(), s, Options{Timeout: time.Millisecond}); !errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
	})
}
