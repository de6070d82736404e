package indexer

import (
	"errors"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/mem"
)

// foreignIndex overwrites the index as an older indexer does: with these files
// of the newest one, without conditions and without our stamps.
func foreignIndex(t *testing.T, s store.Store, from *conda.RepoData, files ...string) {
	t.Helper()
	data := conda.NewRepoData("linux-64")
	for _, file := range files {
		record, found := from.Record(file)
		if !found {
			t.Fatalf("%s is not in the index", file)
		}
		data.Set(file, conda.Stamp(record, 0))
	}
	putRaw(t, s, "linux-64/"+indexName, data.Encode().Bytes())
}

// A package that another indexer leaves out for a while, and lists again, is
// known to a state: what it exports must be found all the same.
func TestRunExportsComeBackWithTheirPackage(t *testing.T) {
	s := &mem.Store{}
	publishOK(t, s, exporting(t, "a"))
	reindexOK(t, s, Options{})
	b := publishOK(t, s, exporting(t, "b"))
	commitOK(t, s, b)
	all, err := conda.ParseRepoData(stored(t, s, "linux-64/"+indexName))
	if err != nil {
		t.Fatal(err)
	}
	foreignIndex(t, s, all, "b-1.0-0.conda")
	commitOK(t, s, b) // and what is derived forgets a
	foreignIndex(t, s, all, "a-1.0-0.conda", "b-1.0-0.conda")
	reindexOK(t, s, Options{})
	exports, err := conda.ParseRunExports(stored(t, s, "linux-64/"+runExportsName))
	if err != nil || exports.Get("a-1.0-0.conda") == nil {
		t.Errorf("run_exports of a: %s, %v", exports.Get("a-1.0-0.conda"), err)
	}
	derivedRight(t, s)
}

// An indexer that finds all that is stored takes in again what was removed. Whatever
// ours does next takes it out, and it is pruned in its time.
func TestRemovedStaysRemovedAfterOthers(t *testing.T) {
	const gone = "tool-1.0-0.conda"
	c := &clock{time.Unix(1_800_000_000, 0)}
	o := Options{Now: c.now}
	for name, next := range map[string]func(s *mem.Store){
		"reindex":        func(s *mem.Store) { reindexOK(t, s, o) },
		"commit":         func(s *mem.Store) { commitOK(t, s, publishOK(t, s, simple(t, "new"))) },
		"remove":         func(s *mem.Store) { removeOK(t, s, o, "linux-64/tool-1.0-1.conda") },
		"removed again":  func(s *mem.Store) { removeOK(t, s, o, "linux-64/"+gone) },
		"prune":          func(s *mem.Store) { pruneOK(t, s, PruneOptions{}, c) },
		"prune, waiting": func(s *mem.Store) { pruneOK(t, s, PruneOptions{Grace: 24 * time.Hour}, c); reindexOK(t, s, o) },
	} {
		for _, listed := range [][]string{{gone, "tool-1.0-1.conda"}, {"tool-1.0-1.conda"}} {
			s := &mem.Store{}
			builds(t, s, "tool", nil, 0, 1)
			all, err := conda.ParseRepoData(stored(t, s, "linux-64/"+indexName))
			if err != nil {
				t.Fatal(err)
			}
			removeOK(t, s, o, "linux-64/"+gone)
			foreignIndex(t, s, all, listed...)
			c.at = c.at.Add(2 * landsWithin)
			next(s)
			reindexOK(t, s, o)
			if got := files(t, s, "linux-64"); slices.Contains(got, gone) {
				t.Errorf("%s, of %q: in the index: %q", name, listed, got)
			}
			_, _, err = s.Get(t.Context(), "linux-64/"+gone, 0, 0)
			if got := removedList(t, s); !slices.Contains(got, gone) || errors.Is(err, fs.ErrNotExist) != (name == "prune") {
				t.Errorf("%s, of %q: removed: %q, stored: %v", name, listed, got, err)
			}
			derivedRight(t, s)
		}
	}
}

// Another indexer writes the very text again that it wrote before a removal. A write
// over the first, of a worker that stood still meanwhile, does not undo the removal.
func TestAnotherIndexersTextThatComesTwice(t *testing.T) {
	s := &mem.Store{}
	commitOK(t, s, publishOK(t, s, simple(t, "tool")), publishOK(t, s, simple(t, "lib")))
	all, err := conda.ParseRepoData(stored(t, s, "linux-64/"+indexName))
	if err != nil {
		t.Fatal(err)
	}
	text := func() { foreignIndex(t, s, all, "tool-1.0-0.conda", "lib-1.0-0.conda") }
	text()
	stopped := publishOK(t, s, simple(t, "more"))
	for what, work := range map[string]func(){
		"commit":  func() { commitOK(t, s, stopped) },
		"reindex": func() { reindexOK(t, s, Options{}) },
	} {
		text()
		s.Fault = once("linux-64/"+indexName, func() {
			removeOK(t, s, Options{}, "linux-64/tool-1.0-0.conda")
			text()
		})
		work()
		if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"lib-1.0-0.conda", "more-1.0-0.conda"}) || !slices.Contains(removedList(t, s), "tool-1.0-0.conda") {
			t.Errorf("%s: in the index: %q, removed: %q", what, got, removedList(t, s))
		}
		derivedRight(t, s)
		restoreOK(t, s, Options{}, "linux-64/tool-1.0-0.conda")
	}
}
