package indexer

import (
	"strings"
	"testing"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/condatest"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/mem"
)

// run_exports.json may lack a package that another indexer left out of the index
// for a while: the next commit leaves the file, and the next reindex mends it.
func TestLostRunExportsAreFoundAgain(t *testing.T) {
	for name, commitBetween := range map[string]bool{"reindex alone": false, "a commit before": true} {
		s := &mem.Store{}
		exports := map[string]string{"info/run_exports.json": `{"weak": ["a >=1.0"]}`}
		publishOK(t, s, condatest.Write(t, "a-1.0-0.conda", index("a", "1.0", 0, "linux-64"), exports))
		reindexOK(t, s, Options{})
		late := new(conda.RunExports).Encode("linux-64", "")
		meta := map[string]string{metaSource: strings.Repeat("0", 64)}
		if _, err := s.Put(t.Context(), "linux-64/"+runExportsName, late.Reader(), store.PutOptions{Meta: meta}); err != nil {
			t.Fatal(err)
		}
		if commitBetween {
			got := publishOK(t, s, simple(t, "b"))
			if _, err := show(t.Context(), s, got); err != nil {
				t.Fatal(err)
			}
		}
		reindexOK(t, s, Options{})
		all, err := conda.ParseRunExports(stored(t, s, "linux-64/"+runExportsName))
		if err != nil || !strings.Contains(string(all.Get("a-1.0-0.conda")), "a >=1.0") {
			t.Errorf("%s: %v %v", name, all, err)
		}
	}
}

// Whoever derives from the same index first need not know what this run has
// learnt from a package.
func TestWhoeverWasFirstKnewLess(t *testing.T) {
	s := &mem.Store{}
	exports := map[string]string{"info/run_exports.json": `{"weak": ["a >=1.0"]}`}
	publishOK(t, s, condatest.Write(t, "a-1.0-0.conda", index("a", "1.0", 0, "linux-64"), exports))
	s.Fault = once("linux-64/"+runExportsName, func() {
		meta := map[string]string{metaSource: hexSHA256(stored(t, s, "linux-64/"+indexName))}
		text := string(new(conda.RunExports).Encode("linux-64", "").Bytes())
		if _, err := s.Put(t.Context(), "linux-64/"+runExportsName, strings.NewReader(text), store.PutOptions{Meta: meta}); err != nil {
			t.Fatal(err)
		}
	})
	reindexOK(t, s, Options{})
	all, err := conda.ParseRunExports(stored(t, s, "linux-64/"+runExportsName))
	if err != nil || !strings.Contains(string(all.Get("a-1.0-0.conda")), "a >=1.0") {
		t.Errorf("%v %v", all, err)
	}
}
