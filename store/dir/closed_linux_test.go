package dir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
)

const nobody = 65534

// asAnother does something as a user who is not root: nothing is closed to that one.
func asAnother(t *testing.T, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		do()
		return
	}
	runtime.LockOSThread() // it is this thread's user alone that changes
	defer runtime.UnlockOSThread()
	must(t, syscall.Setfsuid(nobody))
	defer syscall.Setfsuid(0)
	do()
}

// closedTo is a channel with a folder that its user may not read, and links into
// it and in circles, at the top and in a subdir.
func closedTo(t *testing.T) (root string) {
	t.Helper()
	top := t.TempDir()
	root = filepath.Join(top, "channel")
	must(t, errors.Join(os.Chmod(filepath.Dir(top), 0o755), os.Chmod(top, 0o755))) //nolint:gosec // another user comes here
	s := dir.Open(root)
	for _, key := range []string{"linux-64/a-1.0-0.conda", "linux-64/shut/x", "lost+found/x/y"} {
		_, err := s.Put(t.Context(), key, strings.NewReader("x"), store.PutOptions{})
		must(t, err)
	}
	shut := filepath.Join(root, "linux-64", "shut")
	for link, to := range map[string]string{
		"osx-64": filepath.Join(shut, "folder"), "loop": "loop",
		"linux-64/b-1.0-0.conda": filepath.Join(shut, "x"), "linux-64/c-1.0-0.conda": "c-1.0-0.conda", "linux-64/notes.txt": "notes.txt",
	} {
		must(t, os.Symlink(to, filepath.Join(root, link)))
	}
	for _, closed := range []string{shut, filepath.Join(root, "lost+found")} {
		must(t, os.Chmod(closed, 0))
		t.Cleanup(func() { _ = os.Chmod(closed, 0o700) }) //nolint:gosec // to be removed
	}
	return root
}

// A stray folder or link that another user made does not end what is done with the
// channel. What may be an object, or a folder of objects, does not seem to be gone.
func TestWhatCannotBeLookedAtIsListed(t *testing.T) {
	s := dir.Open(closedTo(t))
	asAnother(t, func() {
		for prefix, want := range map[string][]string{
			"": {"linux-64/", "loop", "loop/", "lost+found/", "osx-64", "osx-64/"},
			"linux-64/": {
				"linux-64/a-1.0-0.conda", "linux-64/b-1.0-0.conda", "linux-64/b-1.0-0.conda/", "linux-64/c-1.0-0.conda", "linux-64/c-1.0-0.conda/",
				"linux-64/notes.txt", "linux-64/notes.txt/", "linux-64/shut/",
			},
		} {
			var got []string
			for in, err := range s.List(t.Context(), prefix, store.ListOptions{Shallow: true}) {
				must(t, err)
				got = append(got, in.Key)
				if known := strings.HasSuffix(in.Key, "/a-1.0-0.conda") || strings.HasSuffix(in.Key, "/"); !known && (in.Size != -1 || store.IfVersion(in) == store.Always) {
					t.Errorf("%+v", in)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("list %q: %q, want %q", prefix, got, want)
			}
		}
	})
}

// A folder that cannot be listed must not seem to be empty, nor a part of it to be all.
func TestAListingThatWouldLackObjectsFails(t *testing.T) {
	s := dir.Open(closedTo(t))
	asAnother(t, func() {
		for prefix, shallow := range map[string]bool{"lost+found/": true, "loop/": true, "osx-64/": true, "linux-64/shut/": true, "": false, "linux-64/": false, "lo": false} {
			var last error
			for _, err := range s.List(t.Context(), prefix, store.ListOptions{Shallow: shallow}) {
				last = err
			}
			if !errors.Is(last, fs.ErrPermission) {
				t.Errorf("list %q: %v", prefix, last)
			}
		}
		for _, key := range []string{"linux-64/b-1.0-0.conda", "linux-64/c-1.0-0.conda"} {
			if _, _, err := s.Get(t.Context(), key, 0, -1); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), key) {
				t.Errorf("%s: %v", key, err)
			}
		}
	})
}
