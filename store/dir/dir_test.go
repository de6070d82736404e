package dir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
	"github.com/condaworker/condaworker/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return dir.Open(t.TempDir()) })
}

func TestMissingFolder(t *testing.T) {
	root := filepath.Join(t.TempDir(), "none")
	s := dir.Open(root)
	_, _, err := s.Get(t.Context(), "x", 0, -1)
	if !errors.Is(err, store.ErrNoChannel) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "there is no such folder") {
		t.Errorf("get: %v", err)
	}
	for _, err := range s.List(t.Context(), "", store.ListOptions{}) {
		if !errors.Is(err, store.ErrNoChannel) {
			t.Errorf("list: %v", err)
		}
	}
	if err := s.CheckWritable(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("asking made the folder: %v", err)
	}
}

func TestNothingIsLeftOfAFailedPut(t *testing.T) {
	root := t.TempDir()
	s := dir.Open(root)
	if _, err := s.Put(t.Context(), "a/b", brokenBody{}, store.PutOptions{}); err == nil {
		t.Fatal("a body that cannot be read was written")
	}
	if _, err := s.Put(t.Context(), "a/c", strings.NewReader("x"), store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(root, "a"))
	if err != nil || len(entries) != 1 || entries[0].Name() != "c" {
		t.Errorf("left %v %v", entries, err)
	}
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error)       { return 0, errors.New("disk on fire") }
func (brokenBody) Seek(int64, int) (int64, error) { return 0, nil }

// TestFileInPlaceOfTheFolder says so whatever is done.
func TestFileInPlaceOfTheFolder(t *testing.T) {
	root := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(root, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{root, filepath.Join(root, "below")} {
		s := dir.Open(at)
		_, _, get := s.Get(t.Context(), "noarch/x", 0, -1)
		_, put := s.Put(t.Context(), "noarch/x", strings.NewReader(""), store.PutOptions{})
		for what, err := range map[string]error{"get": get, "put": put, "writable": s.CheckWritable()} {
			if err == nil || !strings.Contains(err.Error(), "it is not a folder") || errors.Is(err, store.ErrNoChannel) {
				t.Errorf("%s %s: %v", what, at, err)
			}
		}
	}
}

// A file that has the place of a subdir is named, and what to do.
func TestFileInPlaceOfASubdir(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "noarch"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := dir.Open(root)
	_, _, get := s.Get(t.Context(), "noarch/shards/x", 0, -1)
	_, put := s.Put(t.Context(), "noarch/shards/x", strings.NewReader(""), store.PutOptions{})
	for _, err := range []error{get, put} {
		if err == nil || !strings.HasSuffix(err.Error(), "/noarch is a file, where the channel has a folder: move it away") {
			t.Error(err)
		}
	}
	for in, err := range s.List(t.Context(), "noarch/", store.ListOptions{Shallow: true}) {
		t.Errorf("%+v, %v", in, err)
	}
}

// A channel, or a subdir of it, may be a symbolic link: a listing that did not
// follow it would be empty, and an index lose all its packages.
func TestLinksAreFollowed(t *testing.T) {
	top := t.TempDir()
	real, elsewhere := filepath.Join(top, "real"), filepath.Join(top, "elsewhere")
	write := func(s *dir.Store, key string) {
		if _, err := s.Put(t.Context(), key, strings.NewReader(key), store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	write(dir.Open(real), "noarch/a")
	write(dir.Open(elsewhere), "b")
	link := filepath.Join(top, "link")
	if err := errors.Join(os.Symlink(real, link), os.Symlink(elsewhere, filepath.Join(real, "linux-64")), os.Symlink(filepath.Join(top, "none"), filepath.Join(real, "osx-64")),
		os.Symlink(filepath.Join(elsewhere, "b"), filepath.Join(real, "noarch", "c"))); err != nil {
		t.Skipf("the file system has no symbolic links: %v", err)
	}
	for _, root := range []string{real, link} {
		for prefix, want := range map[string][]string{"": {"linux-64/", "noarch/"}, "linux-64/": {"linux-64/b"}, "noarch/": {"noarch/a", "noarch/c"}, "osx-64/": nil, "lin": {"linux-64/"}} {
			var got []string
			for in, err := range dir.Open(root).List(t.Context(), prefix, store.ListOptions{Shallow: true}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, in.Key)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: list %q: %q, want %q", filepath.Base(root), prefix, got, want)
			}
		}
	}
	var all []string
	for in, err := range dir.Open(link).List(t.Context(), "", store.ListOptions{}) {
		all = append(all, in.Key)
		if err != nil {
			t.Error(err)
		}
	}
	if want := []string{"linux-64/b", "noarch/a", "noarch/c"}; !slices.Equal(all, want) {
		t.Errorf("all: %q, want %q", all, want)
	}
}

// Who finds such a conflict would try again for ever: nobody else wrote.
func TestWhatIsInTheWayIsNoConflict(t *testing.T) {
	root := t.TempDir()
	s := dir.Open(root)
	if err := errors.Join(os.Mkdir(filepath.Join(root, "folder"), 0o755), os.Symlink(filepath.Join(root, "none"), filepath.Join(root, "link"))); err != nil {
		t.Skipf("the file system has no symbolic links: %v", err)
	}
	for _, key := range []string{"folder", "link"} {
		for _, o := range []store.PutOptions{{Cond: store.IfAbsent}, {Cond: store.IfAbsent, Meta: map[string]string{"m": "1"}}} {
			_, err := s.Put(t.Context(), key, strings.NewReader("x"), o)
			if err == nil || errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), "a "+key) || !strings.Contains(err.Error(), "move it away") {
				t.Errorf("%s: %v", key, err)
			}
		}
	}
}
