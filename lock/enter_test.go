package lock

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/condaworker/condaworker/store/mem"
)

func TestEnterAndExit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		mine, other := Holder{SessionID: "session-1", WorkerID: "worker-1"}, Holder{SessionID: "session-2", WorkerID: "worker-2"}
		for range 2 { // the second time is a task that is tried again
			if err := Enter(t.Context(), s, Options{Holder: mine}); err != nil {
				t.Fatal(err)
			}
		}
		if who, held, err := Status(t.Context(), s, ""); err != nil || !held || who.Holder != mine || who.Since.IsZero() {
			t.Errorf("%+v, %v, %v", who, held, err)
		}
		time.Sleep(10 * time.Minute)
		if _, _, err := Acquire(t.Context(), s, Options{Holder: other, Timeout: time.Second}); !errors.Is(err, ErrTimeout) {
			t.Errorf("another came in: %v", err)
		}
		if had, err := Exit(t.Context(), s, other, ""); had || err != nil {
			t.Errorf("another gave it back: %v, %v", had, err)
		}
		// A process of the session works within it, and leaves it entered.
		l, _, err := Acquire(t.Context(), s, Options{Holder: mine, Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Release(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(14 * time.Minute)
		if _, _, err := Acquire(t.Context(), s, Options{Holder: other, Timeout: time.Second}); !errors.Is(err, ErrTimeout) {
			t.Errorf("another came in after the session's own work: %v", err)
		}
		for i, want := range []bool{true, false} {
			if had, err := Exit(t.Context(), s, mine, ""); had != want || err != nil {
				t.Errorf("exit %d: %v, %v", i, had, err)
			}
		}
		if _, held, err := Status(t.Context(), s, ""); held || err != nil {
			t.Errorf("held after exit: %v, %v", held, err)
		}
		l, _, err = Acquire(t.Context(), s, Options{Holder: other, Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Release(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	})
}

// A session that never exits is waited for fifteen minutes, no longer.
func TestEnteredAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		if err := Enter(t.Context(), s, Options{Holder: Holder{SessionID: "a"}}); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		l, _, err := Acquire(t.Context(), s, Options{Holder: Holder{SessionID: "b"}, Timeout: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(begun); waited < enteredTTL || waited > enteredTTL+time.Minute {
			t.Errorf("waited %s", waited)
		}
		if err := l.Release(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	})
	if err := Enter(t.Context(), &mem.Store{}, Options{}); err == nil {
		t.Error("entered without a session")
	}
}

// What a process does within the session's lock does not make it the process's.
func TestTheSessionIsShownAfterWorkWithinItsLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		session := Holder{SessionID: "a", JobID: "job-1"}
		if err := Enter(t.Context(), s, Options{Holder: session}); err != nil {
			t.Fatal(err)
		}
		before, _, err := Status(t.Context(), s, "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		work := session
		work.PID = 5
		l, _, err := Acquire(t.Context(), s, Options{Holder: work})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Release(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if after, held, err := Status(t.Context(), s, ""); !held || err != nil || after.Holder != session || !after.Since.Equal(before.Since) {
			t.Errorf("%+v, %t, %v; before %+v", after, held, err, before)
		}
	})
}
