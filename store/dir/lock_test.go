package dir_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/condaworker/condaworker/store/dir"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheWaitForALockEndsWithItsContext(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("folders are not locked")
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "lock")
	for name, lock := range map[string]func(context.Context) (func() error, error){
		"a file":   func(ctx context.Context) (func() error, error) { return dir.Lock(ctx, file) },
		"a folder": func(ctx context.Context) (func() error, error) { return dir.LockFolder(ctx, folder) },
	} {
		t.Run(name, func(t *testing.T) {
			release, err := lock(t.Context())
			must(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if _, err := lock(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a held lock was got, or %v", err)
			}
			must(t, release())
			release, err = lock(t.Context())
			must(t, err)
			must(t, release())
		})
	}
	if _, err := dir.LockFolder(t.Context(), filepath.Join(folder, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// Those who share a lock wait for the one who has it alone, and that for all of them.
func TestASharedLock(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	var shares []func() error
	for range 2 {
		release, err := dir.Share(t.Context(), file)
		must(t, err)
		shares = append(shares, release)
	}
	for _, release := range shares {
		if _, err := dir.TryLock(file); !errors.Is(err, dir.ErrHeld) {
			t.Errorf("a shared lock was got, or %v", err)
		}
		must(t, release())
	}
	release, err := dir.TryLock(file)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := dir.Share(ctx, file); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a held lock was shared, or %v", err)
	}
	must(t, release())
}

// A lock whose holders remove its file at the end still has one at a time.
func TestALockThatIsRemovedIsHeldByOneAtATime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	holders, most := 0, 0
	var mu sync.Mutex
	count := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		holders += by
		most = max(most, holders)
	}
	var work sync.WaitGroup
	for i := range 50 {
		work.Go(func() {
			release, err := dir.Lock(t.Context(), file)
			if err != nil {
				t.Error(err)
				return
			}
			count(1)
			time.Sleep(time.Millisecond)
			count(-1)
			if runtime.GOOS != "windows" && i%2 == 0 {
				err = os.Remove(file)
			}
			if err := errors.Join(err, release()); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	if most != 1 {
		t.Errorf("%d held it at one time", most)
	}
}
