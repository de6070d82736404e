package dir_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
)

// A file that cannot be looked at must not seem to be gone: an index would lose
// its package.
func TestAFileThatCannotBeLookedAtIsNotPassedOver(t *testing.T) {
	root := t.TempDir()
	s := dir.Open(root)
	if _, err := s.Put(t.Context(), "linux-64/a-1.0-0.conda", strings.NewReader("x"), store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	loop := filepath.Join(root, "linux-64", "b-1.0-0.conda") // which stat refuses with ELOOP, to root as well
	if err := os.Symlink(loop, loop); err != nil {
		t.Skipf("the file system has no symbolic links: %v", err)
	}
	for _, shallow := range []bool{true, false} {
		var last error
		listed := false
		for in, err := range s.List(t.Context(), "linux-64/", store.ListOptions{Shallow: shallow}) {
			last, listed = err, listed || in.Key == "linux-64/b-1.0-0.conda"
		}
		if listed != shallow || (last == nil) != shallow {
			t.Errorf("shallow %v: listed %v, %v", shallow, listed, last)
		}
	}
	if _, _, err := s.Get(t.Context(), "linux-64/b-1.0-0.conda", 0, -1); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), loop) || !strings.Contains(err.Error(), "move it away") {
		t.Error(err)
	}
}

// Whatever is at a key after a crash between the writing of metadata and of its
// object has its own metadata.
func TestMetadataOfBothVersionsIsKept(t *testing.T) {
	root := t.TempDir()
	s := dir.Open(root)
	put := func(text, meta string) store.Info {
		in, err := s.Put(t.Context(), "k", strings.NewReader(text), store.PutOptions{Meta: map[string]string{"m": meta}})
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	has := func(want string) {
		t.Helper()
		_, in, err := s.Get(t.Context(), "k", 0, 0)
		if err != nil || in.Meta["m"] != want {
			t.Errorf("metadata %v, want %s: %v", in.Meta, want, err)
		}
	}
	put("old", "1")
	old := filepath.Join(root, "saved")
	if err := os.Link(filepath.Join(root, "k"), old); err != nil {
		t.Skipf("the file system has no hard links: %v", err)
	}
	put("new", "2")
	has("2")
	if err := os.Rename(old, filepath.Join(root, "k")); err != nil { // as if the second had never been moved there
		t.Fatal(err)
	}
	has("1")
}

func TestWhatKilledWritersLeftIsRemoved(t *testing.T) {
	root := t.TempDir()
	folders := []string{filepath.Join(root, "noarch"), filepath.Join(root, ".condaworker", "meta", "noarch")}
	before := time.Now().Add(-25 * time.Hour)
	for _, folder := range folders {
		young, old := filepath.Join(folder, ".tmp-young"), filepath.Join(folder, ".tmp-old")
		must(t, os.MkdirAll(folder, 0o700))
		must(t, errors.Join(os.WriteFile(young, []byte("x"), 0o600), os.WriteFile(old, []byte("x"), 0o600)))
		must(t, os.Chtimes(old, before, before))
	}
	_, err := dir.Open(root).Put(t.Context(), "noarch/k", strings.NewReader("x"), store.PutOptions{Meta: map[string]string{"m": "1"}})
	must(t, err)
	for _, folder := range folders {
		if _, err := os.Stat(filepath.Join(folder, ".tmp-old")); err == nil {
			t.Errorf("%s: the old one is there", folder)
		}
		if _, err := os.Stat(filepath.Join(folder, ".tmp-young")); err != nil {
			t.Error("the young one may still be written:", err)
		}
	}
}

// Who believes another's version to be his own writes over it.
func TestAPutTellsOfItsOwnVersion(t *testing.T) {
	s := dir.Open(t.TempDir())
	var writers sync.WaitGroup
	for n := range 4 {
		text := strings.Repeat("x", n+1)
		writers.Go(func() {
			for range 200 {
				in, err := s.Put(t.Context(), "k", strings.NewReader(text), store.PutOptions{})
				if err != nil || in.Size != int64(len(text)) {
					t.Errorf("of %d bytes: %d, %v", len(text), in.Size, err)
					return
				}
			}
		})
	}
	writers.Wait()
}

// A process that hangs under the lock, or a host that is gone, is named to look for.
func TestTheWaitForAnotherWriterEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := t.TempDir()
		file := filepath.Join(root, ".condaworker", "lock")
		must(t, os.Mkdir(filepath.Dir(file), 0o700))
		release, err := dir.Lock(t.Context(), file)
		must(t, err)
		s := dir.Open(root)
		put := func(ctx context.Context) error {
			_, err := s.Put(ctx, "k", strings.NewReader("x"), store.PutOptions{})
			return err
		}
		if err := put(t.Context()); !errors.Is(err, dir.ErrHeld) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "fuser") {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := put(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, dir.ErrHeld) {
			t.Errorf("%v", err)
		}
		must(t, release())
		must(t, put(t.Context()))
	})
}
