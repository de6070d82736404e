package indexer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
	"github.com/condaworker/condaworker/store/mem"
)

// sized are two packages of one name and size with other bytes.
func sized(t *testing.T) (one, other []byte) {
	t.Helper()
	pack := func(content string) []byte {
		return readFile(t, makePackage(t, "tool-1.0-0.conda", index("tool", "1.0", 0, "linux-64"), content))
	}
	one, other = pack("1"), pack("2")
	if len(one) != len(other) {
		t.Fatal("the test needs two packages of one size")
	}
	return one, other
}

func sumOf(t *testing.T, s store.Reader) string {
	t.Helper()
	return indexed(t, s, "linux-64")["tool-1.0-0.conda"].SHA256
}

// A file that was copied over another one with its old time, as rsync -a does.
func TestAnOldFileInPlaceOfAnotherIsNoticed(t *testing.T) {
	root := t.TempDir()
	s := dir.Open(root)
	one, other := sized(t)
	name := filepath.Join(root, "linux-64", "tool-1.0-0.conda")
	long := time.Now().Add(-24 * time.Hour)
	place := func(body []byte, when time.Time) {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, body, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, when, when); err != nil {
			t.Fatal(err)
		}
	}
	place(one, long)
	reindexOK(t, s, Options{})
	before := sumOf(t, s)
	place(other, long.Add(time.Second))
	if r := reindexOK(t, s, Options{}); sumOf(t, s) == before || !slices.Equal(r.Subdirs[0].Updated, []string{"tool-1.0-0.conda"}) {
		t.Errorf("%+v", r.Subdirs)
	}
}

// Another indexer puts back the record that it remembers by the file's name.
func TestARecordThatCameBackIsNoticed(t *testing.T) {
	s := &mem.Store{}
	one, other := sized(t)
	putRaw(t, s, "linux-64/tool-1.0-0.conda", one)
	reindexOK(t, s, Options{})
	old, stale := stored(t, s, "linux-64/repodata.json"), sumOf(t, s)
	putRaw(t, s, "linux-64/tool-1.0-0.conda", other)
	reindexOK(t, s, Options{})
	right := sumOf(t, s)
	putRaw(t, s, "linux-64/repodata.json", old)
	reindexOK(t, s, Options{})
	if got := sumOf(t, s); got != right || got == stale {
		t.Errorf("sha256 %s, want %s", got, right)
	}
}

func TestBadPackagesAreRemembered(t *testing.T) {
	s := &mem.Store{}
	good := readFile(t, simple(t, "tool"))
	key := "linux-64/tool-1.0-0.conda"
	putRaw(t, s, key, good[:len(good)/2])
	first := reindexOK(t, s, Options{})
	var again Report
	gets, _ := spent(s, func() { again = reindexOK(t, s, Options{}) })
	if gets != 4 || len(again.Skipped) != 1 || again.Skipped[0] != first.Skipped[0] || again.Skipped[0].Key != key {
		t.Errorf("%d requests, %+v after %+v", gets, again.Skipped, first.Skipped)
	}
	if full, _ := spent(s, func() { again = reindexOK(t, s, Options{Full: true}) }); full <= 4 || len(again.Skipped) != 1 {
		t.Errorf("Full has %d requests", full)
	}
	putRaw(t, s, key, good)
	if r := reindexOK(t, s, Options{}); len(r.Skipped) != 0 || !slices.Equal(files(t, s, "linux-64"), []string{"tool-1.0-0.conda"}) {
		t.Errorf("%+v", r)
	}
}

// A package with which rattler would read none of its name is left out alone.
func TestAPackageThatWouldHideItsName(t *testing.T) {
	for key, value := range map[string]any{"build_number": nil, "depends": nil, "features": 5, "legacy_bz2_md5": "", "timestamp": 253402300799999} {
		s := &mem.Store{}
		publishOK(t, s, simple(t, "tool"))
		in := index("tool", "2.0", 0, "linux-64")
		in[key] = value
		path := makePackage(t, "tool-2.0-0.conda", in, "x")
		if _, err := Publish(t.Context(), s, Package{Path: path}); err == nil || !strings.Contains(err.Error(), key+" is ") {
			t.Errorf("published: %v", err)
		}
		putRaw(t, s, "linux-64/tool-2.0-0.conda", readFile(t, path))
		r := reindexOK(t, s, Options{})
		if len(r.Skipped) != 1 || r.Skipped[0].Key != "linux-64/tool-2.0-0.conda" || !strings.Contains(r.Skipped[0].Reason, key+" is ") {
			t.Errorf("%s: %+v", key, r.Skipped)
		}
		if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"tool-1.0-0.conda"}) {
			t.Errorf("%s: indexed %q", key, got)
		}
	}
}

// What was not there for a moment is no bad package.
func TestGoneForAMomentIsNotRemembered(t *testing.T) {
	s := &mem.Store{}
	body := readFile(t, simple(t, "tool"))
	key := "linux-64/tool-1.0-0.conda"
	putRaw(t, s, key, body)
	gone := false
	from := swapper{s, func(int64) {
		if !gone {
			gone = true
			if err := s.Delete(t.Context(), key); err != nil {
				t.Error(err)
			}
		}
	}}
	if r := reindexOK(t, from, Options{}); !gone || len(r.Skipped) != 1 {
		t.Fatalf("%+v", r)
	}
	putRaw(t, s, key, body)
	if r := reindexOK(t, s, Options{}); len(r.Skipped) != 0 || len(files(t, s, "linux-64")) != 1 {
		t.Errorf("%+v", r)
	}
}

func TestAStateThatIsNoneIsMadeAnew(t *testing.T) {
	for _, text := range []string{"", "junk", "null", `{"version": 2, "files": {"tool-1.0-0.conda": {"b": "bad"}}}`, `{"version": 1, "files": {"tool-1.0-0.conda": {"p": "x", "b": "lies"}}}`} {
		s := &mem.Store{}
		publishOK(t, s, simple(t, "tool"))
		body := []byte(text)
		if json.Valid(body) {
			body = archive.Zstd(body)
		}
		putRaw(t, s, "linux-64/"+stateName, body)
		if r := reindexOK(t, s, Options{}); len(r.Skipped) != 0 || len(files(t, s, "linux-64")) != 1 {
			t.Errorf("%q: %+v", text, r)
		}
		puts := s.Counts()["put"]
		reindexOK(t, s, Options{})
		if n := s.Counts()["put"] - puts; n != 0 {
			t.Errorf("%q: %d writes once it is made", text, n)
		}
	}
}

// An index that cannot be kept is an error; what was learnt is only logged.
func TestAStateThatCannotBeWrittenIsNoFailure(t *testing.T) {
	s := &mem.Store{Fault: func(key string) (bool, error) {
		if strings.HasSuffix(key, stateName) {
			return false, os.ErrPermission
		}
		return true, nil
	}}
	publishOK(t, s, simple(t, "tool"))
	var log []string
	reindexOK(t, s, Options{Log: func(text string) { log = append(log, text) }})
	if len(files(t, s, "linux-64")) != 1 || !strings.Contains(strings.Join(log, "\n"), "what was learnt of linux-64") {
		t.Errorf("log %q", log)
	}
}

func TestCheckWritesNothing(t *testing.T) {
	s := &mem.Store{}
	publishOK(t, s, simple(t, "old"))
	reindexOK(t, s, Options{})
	publishOK(t, s, simple(t, "new"))
	if err := s.Delete(t.Context(), "noarch/repodata.json.zst"); err != nil {
		t.Fatal(err)
	}
	puts := s.Counts()["put"]
	r := reindexOK(t, s, Options{Check: true})
	if n := s.Counts()["put"] - puts; n != 0 {
		t.Errorf("%d writes", n)
	}
	linux, noarch := r.Subdirs[0], r.Subdirs[1]
	if !slices.Equal(linux.Added, []string{"new-1.0-0.conda"}) || len(linux.Stale) != 1+len(derivedNames) || !slices.Equal(noarch.Stale, []string{zstName}) {
		t.Errorf("%+v", r)
	}
	reindexOK(t, s, Options{})
	for _, sub := range reindexOK(t, s, Options{Check: true}).Subdirs {
		if sub.Added != nil || sub.Stale != nil {
			t.Errorf("%+v", sub)
		}
	}
}

// Who copies a channel may lose the metadata of its objects, not what is in them.
func TestCheckOfACopiedIndex(t *testing.T) {
	s := &mem.Store{}
	publishOK(t, s, simple(t, "tool"))
	reindexOK(t, s, Options{})
	for _, name := range []string{indexName, zstName} {
		putRaw(t, s, "linux-64/"+name, stored(t, s, "linux-64/"+name))
	}
	if err := s.Delete(t.Context(), "linux-64/"+stateName); err != nil {
		t.Fatal(err)
	}
	if got := reindexOK(t, s, Options{Check: true}).Subdirs[0]; !slices.Equal(got.Stale, []string{zstName}) {
		t.Errorf("%+v", got)
	}
	reindexOK(t, s, Options{})
	derivedRight(t, s)
}
