package indexer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	mrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/mem"
	"github.com/condaworker/condaworker/store/storetest"
)

// once returns a Fault that calls do ahead of the first attempt at key.
func once(key string, do func()) func(string) (bool, error) {
	done := false
	return func(k string) (bool, error) {
		if k == key && !done {
			done = true
			do()
		}
		return true, nil
	}
}

// What another indexer committed meanwhile is merged, not replaced, and what
// the first attempt found is not reported twice.
func TestALostRaceIsMerged(t *testing.T) {
	for lost, attempts := range map[string]int{"linux-64/repodata.json.zst": 1, "linux-64/repodata.json": 2} {
		synctest.Test(t, func(t *testing.T) {
			s := &mem.Store{}
			publishOK(t, s, simple(t, "first"))
			putRaw(t, s, "linux-64/junk-1.0-0.conda", []byte("junk"))
			s.Fault = once(lost, func() {
				publishOK(t, s, simple(t, "second"))
				reindexOK(t, s, Options{Subdirs: []string{"linux-64"}})
			})
			var log []string
			r := reindexOK(t, s, Options{Log: func(text string) { log = append(log, text) }})
			if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"first-1.0-0.conda", "second-1.0-0.conda"}) {
				t.Errorf("%s: indexed %q", lost, got)
			}
			if len(r.Skipped) != 1 || r.Subdirs[0].Attempts != attempts || len(log) != attempts-1 {
				t.Errorf("%s: %+v, log %q", lost, r, log)
			}
		})
	}
}

// reads counts how often each object is read.
type reads struct {
	*mem.Store
	mu sync.Mutex
	of map[string]int
}

func (r *reads) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	r.mu.Lock()
	r.of[key]++
	r.mu.Unlock()
	return r.Store.Get(ctx, key, off, n)
}

// Who looks into a whole channel for minutes, while others publish, looks once.
func TestALostRaceLooksIntoNothingTwice(t *testing.T) {
	s := &mem.Store{}
	body, other := sized(t)
	putRaw(t, s, "linux-64/tool-1.0-0.conda", body)
	putRaw(t, s, "linux-64/junk-1.0-0.conda", []byte("junk"))
	publishOK(t, s, simple(t, "first"))
	counted := &reads{Store: s, of: map[string]int{}}
	replaced := false
	s.Fault = func(key string) (bool, error) {
		if key == "linux-64/"+indexName && !replaced {
			replaced = true
			commitOK(t, s, publishOK(t, s, simple(t, "second")))
			putRaw(t, s, "linux-64/first-1.0-0.conda", other)
		}
		return true, nil
	}
	r := reindexOK(t, counted, Options{Full: true})
	if got := counted.of; got["linux-64/tool-1.0-0.conda"] != 1 || got["linux-64/junk-1.0-0.conda"] != 1 || got["linux-64/first-1.0-0.conda"] < 2 || len(r.Skipped) != 2 {
		t.Errorf("read %v, %+v", got, r)
	}
}

// What breaks while it is read, and is replaced meanwhile, is read anew, whatever it is.
func TestWhatIsReplacedWhileItIsRead(t *testing.T) {
	large := make([]byte, 2*smallPackage)
	_, _ = mrand.NewChaCha8([32]byte{1}).Read(large)
	for _, key := range []string{
		"linux-64/" + indexName, "linux-64/" + runExportsName, "linux-64/" + stateName, "linux-64/repodata_shards.msgpack.zst",
		"linux-64/index.html", "linux-64/new-1.0-0.conda", "linux-64/large-1.0-0.conda", aboutsName, "index.html",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &mem.Store{}
			publishOK(t, s, simple(t, "first"))
			o := Options{ChannelData: true}
			reindexOK(t, s, o)
			for _, page := range []string{"index.html", "linux-64/index.html"} { // of the same size, so that it is read
				putRaw(t, s, page, bytes.Repeat([]byte("x"), len(stored(t, s, page))))
			}
			putRaw(t, s, "linux-64/new-1.0-0.conda", readFile(t, simple(t, "new")))
			putRaw(t, s, "linux-64/large-1.0-0.conda", readFile(t, makePackage(t, "large-1.0-0.conda", index("large", "1.0", 0, "linux-64"), string(large))))
			torn := false
			reindexOK(t, &storetest.Torn{Store: s, Key: key, Replace: func() { torn = true }}, o)
			if got := files(t, s, "linux-64"); !torn || !slices.Equal(got, []string{"first-1.0-0.conda", "large-1.0-0.conda", "new-1.0-0.conda"}) {
				t.Errorf("%s: broke: %t; indexed %q", key, torn, got)
			}
		})
	}
}

func TestARestoreWhoseNotesAreReplacedWhileTheyAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, key := range []string{"linux-64/" + removedName, "linux-64/" + indexName} {
			s := &mem.Store{}
			publishOK(t, s, simple(t, "first"))
			reindexOK(t, s, Options{})
			first := []string{"linux-64/first-1.0-0.conda"}
			if _, err := Remove(t.Context(), s, first, Options{}); err != nil {
				t.Fatal(err)
			}
			if _, err := Restore(t.Context(), &storetest.Torn{Store: s, Key: key}, first, Options{}); err != nil {
				t.Errorf("%s: %v", key, err)
			}
		}
	})
}

// A record is of the bytes that were there when it was made; the time of the
// index is that of its commit, which comes later.
func TestReplacedBetweenLookAndCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mems := &mem.Store{}
		s := multipart{mems}
		sized := func(content string) []byte {
			return readFile(t, makePackage(t, "tool-1.0-0.conda", index("tool", "1.0", 0, "linux-64"), content))
		}
		putRaw(t, s, "linux-64/tool-1.0-0.conda", sized("1"))
		mems.Fault = once("linux-64/repodata.json", func() {
			putRaw(t, s, "linux-64/tool-1.0-0.conda", sized("2"))
			time.Sleep(slack / 2)
		})
		reindexOK(t, s, Options{})
		time.Sleep(2 * slack)
		if r := reindexOK(t, s, Options{}).Subdirs[0]; len(r.Updated) != 1 {
			t.Errorf("%+v", r)
		}
	})
}

// A writer that never gets its turn gives up, and says that it lost.
func TestAlwaysLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		n, inside := 0, false
		s.Fault = func(key string) (bool, error) {
			if key == "noarch/repodata.json" && !inside {
				inside = true
				n++
				putRaw(t, s, key, fmt.Appendf(nil, `{"n":%d}`, n))
				inside = false
			}
			return true, nil
		}
		_, err := Reindex(t.Context(), s, Options{})
		if err == nil || !strings.Contains(err.Error(), "noarch") || n != attempts {
			t.Errorf("%v after %d attempts", err, n)
		}
	})
}

func TestARecordOfAnotherSizeIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		got := publishOK(t, s, simple(t, "tool"))
		reindexOK(t, s, Options{})
		time.Sleep(2 * slack)
		text := stored(t, s, "linux-64/repodata.json")
		size := fmt.Appendf(nil, `"size":%d`, got.Size)
		wrong := bytes.Replace(text, size, []byte(`"size":7`), 1)
		if bytes.Equal(text, wrong) || !json.Valid(wrong) {
			t.Fatalf("no %s in %s", size, text)
		}
		putRaw(t, s, "linux-64/repodata.json", wrong)
		if r := reindexOK(t, s, Options{}).Subdirs[0]; len(r.Updated) != 1 || anonymous(text) != anonymous(stored(t, s, "linux-64/repodata.json")) {
			t.Errorf("%+v", r)
		}
	})
}

// What instructions hid comes back with other ones, also when the run that hid it
// died right after it had committed the index.
func TestHiddenOnesAreKnown(t *testing.T) {
	const file = "tool-1.0-0.conda"
	s := &mem.Store{}
	builds(t, s, "tool", nil, 0, 1)
	patch := func(text string) Options { return Options{Patches: map[string][]byte{"linux-64": []byte(text)}} }
	dead := false
	s.Fault = func(key string) (bool, error) {
		if dead {
			return false, errors.New("dead")
		}
		dead = key == "linux-64/"+indexName
		return true, nil
	}
	if _, err := Reindex(t.Context(), s, patch(`{"patch_instructions_version": 1, "remove": ["`+file+`"]}`)); err == nil {
		t.Fatal("the run did not die")
	}
	s.Fault = nil
	if hidden := removedList(t, s); !slices.Contains(hidden, file) {
		t.Errorf("hidden: %q", hidden)
	}
	reindexOK(t, s, patch(`{"patch_instructions_version": 1}`))
	if got := files(t, s, "linux-64"); !slices.Contains(got, file) {
		t.Errorf("shown again: %q", got)
	}
}

// oldListing is a store where something happens in the middle of the first listing
// of a subdir: the packages come as they were before, what else there is as it is
// after that.
type oldListing struct {
	store.Store
	amid func()
}

func (s *oldListing) List(ctx context.Context, prefix string, o store.ListOptions) iter.Seq2[store.Info, error] {
	if prefix != "linux-64/" || s.amid == nil {
		return s.Store.List(ctx, prefix, o)
	}
	before := s.Store.List(ctx, prefix, o)
	return func(yield func(store.Info, error) bool) {
		for in, err := range before {
			if isPackage(in.Key) && !yield(in, err) {
				return
			}
		}
		s.amid()
		s.amid = nil
		for in, err := range s.Store.List(ctx, prefix, o) {
			if !isPackage(in.Key) && !yield(in, err) {
				return
			}
		}
	}
}

// A run whose listing is older than a package does not let the others forget that it
// was instructions that hid it.
func TestAnOldListingForgetsNoHiddenOne(t *testing.T) {
	const file, none = "tool-1.0-0.conda", `{"patch_instructions_version": 1}`
	patch := func(text string) Options { return Options{Patches: map[string][]byte{"linux-64": []byte(text)}} }
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		builds(t, s, "other", nil, 0)
		old := &oldListing{s, func() {
			builds(t, s, "tool", nil, 0)
			reindexOK(t, s, patch(`{"patch_instructions_version": 1, "remove": ["`+file+`"]}`))
			putRaw(t, s, "linux-64/"+patchName, []byte(none)) // as a run does that shows it again
		}}
		if r := reindexOK(t, old, Options{}).Subdirs[0]; r.Attempts != 2 {
			t.Errorf("%+v", r)
		}
		reindexOK(t, s, patch(none))
		if got := files(t, s, "linux-64"); !slices.Contains(got, file) {
			t.Errorf("shown again: %q", got)
		}
		if r := reindexOK(t, s, Options{}).Subdirs[0]; r.Written != 0 {
			t.Errorf("nothing has changed: %+v", r)
		}
	})
}

// What is taken out of a channel with instructions is gone from all its objects.
func TestWhatIsGoneIsKeptNowhere(t *testing.T) {
	const file = "tool-1.0-0.conda"
	s := &mem.Store{}
	builds(t, s, "tool", nil, 0, 1)
	reindexOK(t, s, Options{Patches: map[string][]byte{"linux-64": []byte(`{"patch_instructions_version": 1}`)}})
	if err := s.Delete(t.Context(), "linux-64/"+file); err != nil {
		t.Fatal(err)
	}
	if r := reindexOK(t, s, Options{}).Subdirs[0]; !slices.Equal(r.Removed, []string{file}) {
		t.Errorf("%+v", r)
	}
	for _, name := range []string{indexName, unpatchedKey} {
		if bytes.Contains(stored(t, s, "linux-64/"+name), []byte(file)) {
			t.Errorf("%s has %s still", name, file)
		}
	}
	if r := reindexOK(t, s, Options{}).Subdirs[0]; r.Written != 0 {
		t.Errorf("nothing has changed: %+v", r)
	}
}

// A channel may get objects that are derived from its index while one derives the
// others.
func TestMoreIsDerivedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		builds(t, s, "tool", nil, 0)
		s.Fault = once("linux-64/"+zstName, func() {
			reindexOK(t, s, Options{Current: true})
			builds(t, s, "other", nil, 0)
		})
		builds(t, s, "tool", nil, 1)
		derivedRight(t, s)
		current, err := conda.ParseRepoData(stored(t, s, "linux-64/"+currentName))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"tool-1.0-1.conda", "other-1.0-0.conda"} {
			if _, found := current.Record(file); !found {
				t.Errorf("%s lacks %s", currentName, file)
			}
		}
	})
}
