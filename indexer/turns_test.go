package indexer

import (
	"testing"

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
