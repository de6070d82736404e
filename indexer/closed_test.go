package indexer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
	"github.com/condaworker/condaworker/store/mem"
)

// circle puts a link that leads to itself where nothing is, or a file: nobody can
// look at it, not even root.
func circle(t *testing.T, root, key string) {
	t.Helper()
	name := filepath.Join(root, filepath.FromSlash(key))
	_ = os.Remove(name)
	if err := os.Symlink(name, name); err != nil {
		t.Skipf("the file system has no symbolic links: %v", err)
	}
}

// A stray that cannot be looked at, e.g. lost+found, does not end the run.
func TestStraysThatCannotBeLookedAt(t *testing.T) {
	root := t.TempDir()
	s := dir.Open(root)
	publishOK(t, s, simple(t, "tool"))
	for _, key := range []string{"lost+found", ".Trash-0", "plan9-mips", "linux-64/notes.txt", "linux-64/old"} {
		circle(t, root, key)
	}
	for _, o := range []Options{{}, {Check: true}, {Full: true}} {
		r := reindexOK(t, s, o)
		if len(r.Skipped) != 1 || r.Skipped[0].Key != "plan9-mips/" || !strings.Contains(r.Skipped[0].Reason, "move it out of the channel") {
			t.Errorf("%+v: what may be a subdir is to be named: %+v", o, r.Skipped)
		}
		if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"tool-1.0-0.conda"}) {
			t.Errorf("indexed %q", got)
		}
	}
	if got, err := Subdirs(t.Context(), s); err != nil || !slices.Equal(got, []string{"linux-64", "noarch"}) {
		t.Errorf("%q, %v", got, err)
	}
}

// A subdir that cannot be listed is named, and stops only who works on it.
func TestASubdirThatCannotBeListed(t *testing.T) {
	root := t.TempDir()
	s := dir.Open(root)
	publishOK(t, s, simple(t, "tool"))
	circle(t, root, "osx-64")
	reindexOK(t, s, Options{Subdirs: []string{"linux-64"}})
	if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"tool-1.0-0.conda"}) {
		t.Errorf("indexed %q", got)
	}
	if _, err := Reindex(t.Context(), s, Options{}); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "osx-64") {
		t.Errorf("all: %v", err)
	}
}

// Whoever works on one subdir leaves alone what is said of all, where another cannot be
// read: without that one's packages it would be wrong.
func TestChannelDataBesideAClosedSubdir(t *testing.T) {
	root := t.TempDir()
	s := dir.Open(root)
	publishOK(t, s, simple(t, "tool"))
	reindexOK(t, s, Options{Subdirs: []string{"linux-64", "osx-64"}, ChannelData: true})
	before := stored(t, s, channelDataName)
	publishOK(t, s, simple(t, "new"))
	if err := os.RemoveAll(filepath.Join(root, "osx-64")); err != nil {
		t.Fatal(err)
	}
	circle(t, root, "osx-64")
	var warned []string
	reindexOK(t, s, Options{Subdirs: []string{"linux-64"}, Warn: func(text string) { warned = append(warned, text) }})
	if len(warned) != 1 || !strings.Contains(warned[0], channelDataName) || !strings.Contains(warned[0], "osx-64") {
		t.Errorf("warned %q", warned)
	}
	if !bytes.Equal(stored(t, s, channelDataName), before) || len(files(t, s, "linux-64")) != 2 {
		t.Errorf("%s, indexed %q", stored(t, s, channelDataName), files(t, s, "linux-64"))
	}
}

// What the index says of a package that cannot be looked at stays until somebody
// can; one that it does not have is named.
func TestPackagesThatCannotBeLookedAt(t *testing.T) {
	root := t.TempDir()
	s := dir.Open(root)
	for _, name := range []string{"tool", "other"} {
		publishOK(t, s, simple(t, name))
	}
	reindexOK(t, s, Options{})
	was := indexed(t, s, "linux-64")["tool-1.0-0.conda"]
	circle(t, root, "linux-64/tool-1.0-0.conda")
	circle(t, root, "linux-64/new-1.0-0.conda")
	for _, o := range []Options{{}, {}, {Full: true}} {
		r := reindexOK(t, s, o)
		if len(r.Skipped) != 2 || r.Skipped[0].Key != "linux-64/new-1.0-0.conda" || r.Skipped[0].Kept || r.Skipped[1].Key != "linux-64/tool-1.0-0.conda" || !r.Skipped[1].Kept {
			t.Errorf("%+v", r.Skipped)
		}
		got := indexed(t, s, "linux-64")
		if now := got["tool-1.0-0.conda"]; len(got) != 2 || now.SHA256 != was.SHA256 || now.IndexedTimestamp != was.IndexedTimestamp {
			t.Errorf("indexed %+v", got)
		}
	}
	for _, name := range []string{"tool", "new"} {
		if err := os.Remove(filepath.Join(root, "linux-64", name+"-1.0-0.conda")); err != nil {
			t.Fatal(err)
		}
		publishOK(t, s, simple(t, name))
	}
	if r := reindexOK(t, s, Options{}); len(r.Skipped) != 0 || len(indexed(t, s, "linux-64")) != 3 {
		t.Errorf("once they can be read: %+v", r)
	}
}

// unseeing lists packages as a folder does that could not look at them, and is
// written to by another in the middle of the first commit.
type unseeing struct {
	*mem.Store
	meanwhile func()
}

func (u *unseeing) List(ctx context.Context, prefix string, o store.ListOptions) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		for in, err := range u.Store.List(ctx, prefix, o) {
			if isPackage(in.Key) {
				in = store.Info{Key: in.Key, Size: -1, Version: "?"}
			}
			if !yield(in, err) {
				return
			}
		}
	}
}

func (u *unseeing) Put(ctx context.Context, key string, body io.ReadSeeker, o store.PutOptions) (store.Info, error) {
	if do := u.meanwhile; do != nil && key == "linux-64/"+indexName {
		u.meanwhile = nil
		do()
	}
	return u.Store.Put(ctx, key, body, o)
}

// Of two such listings nobody can tell that they are of the same package.
func TestAPackageThatIsReplacedUnseen(t *testing.T) {
	s := &mem.Store{}
	one, other := sized(t)
	putRaw(t, s, "linux-64/tool-1.0-0.conda", one)
	reindexOK(t, &unseeing{s, func() {
		putRaw(t, s, "linux-64/tool-1.0-0.conda", other)
		putRaw(t, s, "linux-64/"+indexName, []byte(`{"packages": {}}`))
	}}, Options{})
	got := sumOf(t, s)
	fresh := &mem.Store{}
	putRaw(t, fresh, "linux-64/tool-1.0-0.conda", other)
	reindexOK(t, fresh, Options{})
	if want := sumOf(t, fresh); got != want || bytes.Equal(one, other) {
		t.Errorf("sha256 %s, want %s", got, want)
	}
}
