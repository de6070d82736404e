package indexer

import (
	"bytes"
	"slices"
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

// instructExports gives instructions for the run_exports of lib alone.
func instructExports(t *testing.T, s store.Store, weak string) {
	t.Helper()
	putRaw(t, s, "linux-64/"+patchName, []byte(`{"patch_instructions_version": 2, "packages.conda": {"lib-1.0-0.conda": {"run_exports": {"weak": ["`+weak+`"]}}}}`))
}

// exportsOfLib insists that run_exports.json and the shards, of which a check finds
// nothing wrong, say this of lib.
func exportsOfLib(t *testing.T, s store.Store, when, weak string) {
	t.Helper()
	all, err := conda.ParseRunExports(stored(t, s, "linux-64/"+runExportsName))
	if err != nil || string(all.Get("lib-1.0-0.conda")) != `{"weak":["`+weak+`"]}` {
		t.Errorf("%s: %s, %v; want %s", when, all.Get("lib-1.0-0.conda"), err, weak)
	}
	derivedRight(t, s)
	if stale := reindexOK(t, s, Options{Check: true}).Subdirs[0].Stale; stale != nil {
		t.Errorf("%s: check says %q", when, stale)
	}
	puts := s.(*mem.Store).Counts()["put"]
	reindexOK(t, s, Options{})
	if n := s.(*mem.Store).Counts()["put"] - puts; n != 0 {
		t.Errorf("%s: %d writes without a change", when, n)
	}
}

// Records do not show what instructions say of run_exports.
func TestInstructionsForRunExportsAlone(t *testing.T) {
	const own = "lib >=1.0,<2"
	s := &mem.Store{}
	commitOK(t, s, publishOK(t, s, exporting(t, "lib")), publishOK(t, s, exporting(t, "other")))
	reindexOK(t, s, Options{})
	exportsOfLib(t, s, "before", own)
	follow := func(when, want string) {
		t.Helper()
		if stale := reindexOK(t, s, Options{Check: true}).Subdirs[0].Stale; !slices.Contains(stale, indexName) {
			t.Errorf("%s: check says %q", when, stale)
		}
		reindexOK(t, s, Options{})
		exportsOfLib(t, s, when, want)
	}
	instructExports(t, s, "one")
	follow("instructed", "one")
	instructExports(t, s, "two")
	follow("by others", "two")
	commitOK(t, s, publishOK(t, s, simple(t, "more")))
	reindexOK(t, s, Options{})
	exportsOfLib(t, s, "after a commit", "two")
	putRaw(t, s, "linux-64/"+patchName, []byte(`{"packages`))
	commitOK(t, s, publishOK(t, s, simple(t, "still-more")))
	reindexOK(t, s, Options{})
	exportsOfLib(t, s, "by none that can be read", "two")
	putRaw(t, s, "linux-64/"+patchName, []byte(`{}`))
	follow("taken back", own)
	instructExports(t, s, "three")
	follow("once more", "three")
	if err := s.Delete(t.Context(), "linux-64/"+patchName); err != nil {
		t.Fatal(err)
	}
	follow("by none", own)
}

// A removal does not follow instructions, nor what a reindex derives from one that
// came meanwhile; the next reindex does. A commit and a restore follow them.
func TestInstructionsForRunExportsOfWhatComes(t *testing.T) {
	s := &mem.Store{}
	commitOK(t, s, publishOK(t, s, simple(t, "tool")))
	instructExports(t, s, "one")
	reindexOK(t, s, Options{})
	follows := func(when string) {
		t.Helper()
		all, err := conda.ParseRunExports(stored(t, s, "linux-64/"+runExportsName))
		if err != nil || string(all.Get("lib-1.0-0.conda")) != `{"weak":["one"]}` {
			t.Errorf("%s: %s, %v", when, all.Get("lib-1.0-0.conda"), err)
		}
	}
	commitOK(t, s, publishOK(t, s, exporting(t, "lib")))
	follows("committed")
	reindexOK(t, s, Options{})
	exportsOfLib(t, s, "published", "one")
	removeOK(t, s, Options{}, "linux-64/lib-1.0-0.conda")
	if _, err := Restore(t.Context(), s, []string{"linux-64/lib-1.0-0.conda"}, Options{}); err != nil {
		t.Fatal(err)
	}
	follows("taken in again")
	reindexOK(t, s, Options{})
	exportsOfLib(t, s, "restored", "one")

	s = &mem.Store{}
	commitOK(t, s, publishOK(t, s, simple(t, "tool")))
	instructExports(t, s, "one")
	reindexOK(t, s, Options{})
	publishOK(t, s, exporting(t, "lib"))
	s.Fault = once("linux-64/"+runExportsName, func() { removeOK(t, s, Options{}, "linux-64/tool-1.0-0.conda") })
	reindexOK(t, s, Options{})
	reindexOK(t, s, Options{})
	exportsOfLib(t, s, "published during a reindex", "one")
}

// The version before did not note which instructions the index follows.
func TestInstructionsOfTheVersionBefore(t *testing.T) {
	s := &mem.Store{}
	commitOK(t, s, publishOK(t, s, exporting(t, "lib")))
	instructExports(t, s, "one")
	reindexOK(t, s, Options{})
	text := stored(t, s, "linux-64/"+indexName)
	meta := map[string]string{metaShards: "yes", metaPatched: "yes"}
	if _, err := s.Put(t.Context(), "linux-64/"+indexName, bytes.NewReader(text), store.PutOptions{Meta: meta}); err != nil {
		t.Fatal(err)
	}
	instructExports(t, s, "two")
	reindexOK(t, s, Options{})
	exportsOfLib(t, s, "reindexed", "two")
}
