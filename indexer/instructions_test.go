package indexer

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/mem"
)

// anotherWrites puts data in place of linux-64's name as another indexer does: without
// our edition, our stamps and our metadata.
func anotherWrites(t *testing.T, s store.Store, name string, data *conda.RepoData) {
	t.Helper()
	out := conda.NewRepoData("linux-64")
	out.Removed = data.Removed
	for file, record := range data.All() {
		out.Set(file, withKeys(t, record, map[string]any{"indexed_timestamp": nil}))
	}
	putRaw(t, s, "linux-64/"+name, out.Encode().Bytes())
}

// withKeys sets keys of a record, and deletes those that are nil.
func withKeys(t *testing.T, record json.RawMessage, change map[string]any) json.RawMessage {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(record, &fields); err != nil {
		t.Fatal(err)
	}
	for key, value := range change {
		fields[key] = value
		if value == nil {
			delete(fields, key)
		}
	}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func readIndexOf(t *testing.T, s store.Store) *conda.RepoData {
	t.Helper()
	data, err := readIndex(t.Context(), s, "linux-64")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func without(t *testing.T, s store.Store, name string) {
	t.Helper()
	if err := s.Delete(t.Context(), "linux-64/"+name); err != nil {
		t.Fatal(err)
	}
}

// What instructions changed goes with them, also when the index lost its metadata:
// another indexer wrote it, a hand edited it, or somebody copied the channel.
func TestWithdrawnWithoutMetadata(t *testing.T) {
	const instructions = `{"packages.conda":{"a-1.0-0.conda":{"depends":["fixed"]}},"revoke":["r-1.0-0.conda"],"remove":["c-1.0-0.conda"]}`
	lose := map[string]func(s *mem.Store){
		"a copy":          func(s *mem.Store) { putRaw(t, s, "linux-64/"+indexName, stored(t, s, "linux-64/"+indexName)) },
		"another indexer": func(s *mem.Store) { anotherWrites(t, s, indexName, readIndexOf(t, s)) },
		"one that drops keys": func(s *mem.Store) {
			data := readIndexOf(t, s)
			for file, record := range maps.Collect(data.All()) {
				data.Set(file, withKeys(t, record, map[string]any{"summary of ü 😀": nil}))
			}
			anotherWrites(t, s, indexName, data)
		},
	}
	withdraw := map[string]func(s *mem.Store){
		"deleted":       func(s *mem.Store) { without(t, s, patchName) },
		"none":          func(s *mem.Store) { instruct(t, s, `{}`) },
		"others":        func(s *mem.Store) { instruct(t, s, `{"packages.conda":{"b-1.0-0.conda":{"depends":["other"]}}}`) },
		"restored with": func(s *mem.Store) { without(t, s, patchName); restoreOK(t, s, Options{}, "linux-64/b-1.0-0.conda") },
	}
	for loss, lose := range lose {
		for how, withdraw := range withdraw {
			for _, between := range []bool{false, true} {
				s := &mem.Store{}
				for _, name := range []string{"a", "b", "c", "r"} {
					commitOK(t, s, publishOK(t, s, simple(t, name)))
				}
				instruct(t, s, instructions)
				reindexOK(t, s, Options{})
				lose(s)
				if between {
					reindexOK(t, s, Options{})
					if got := recordIn(t, s, indexName, "a-1.0-0.conda"); !strings.Contains(got, "fixed") {
						t.Errorf("%s: before: %s", loss, got)
					}
					lose(s)
				}
				withdraw(s)
				reindexOK(t, s, Options{})
				if got := files(t, s, "linux-64"); len(got) != 4 {
					t.Errorf("%s, %s, between %v: in the index: %q", loss, how, between, got)
				}
				for _, file := range []string{"a-1.0-0.conda", "r-1.0-0.conda"} {
					if got := recordIn(t, s, indexName, file); !strings.Contains(got, `"depends":[]`) || strings.Contains(got, "revoked") {
						t.Errorf("%s, %s, between %v: %s", loss, how, between, got)
					}
				}
				if got := recordIn(t, s, indexName, "b-1.0-0.conda"); !strings.Contains(got, "summary of") {
					t.Errorf("%s, %s, between %v: %s", loss, how, between, got)
				}
				derivedRight(t, s)
				if r := reindexOK(t, s, Options{}).Subdirs[0]; r.Written > 0 {
					t.Errorf("%s, %s, between %v: the next wrote %+v", loss, how, between, r)
				}
			}
		}
	}
}

// takenOver is a channel of another indexer with instructions for p alone, in whose
// repodata.json a hand revoked a, took a key out of it, and removed y.
func takenOver(t *testing.T) *mem.Store {
	t.Helper()
	s := &mem.Store{}
	own, shown := conda.NewRepoData("linux-64"), conda.NewRepoData("linux-64")
	for _, name := range []string{"a", "b", "p", "y"} {
		file := name + "-1.0-0.conda"
		p := publishOK(t, s, simple(t, name))
		own.Set(file, withKeys(t, p.Record, map[string]any{"license": "own"}))
		shown.Set(file, withKeys(t, p.Record, map[string]any{"license": "own"}))
	}
	record, _ := shown.Record("a-1.0-0.conda")
	shown.Set("a-1.0-0.conda", withKeys(t, record, map[string]any{"revoked": true, "depends": []string{"package_has_been_revoked"}, "license": nil}))
	record, _ = shown.Record("p-1.0-0.conda")
	shown.Set("p-1.0-0.conda", withKeys(t, record, map[string]any{"depends": []string{"fixed"}}))
	shown.Delete("y-1.0-0.conda")
	shown.Removed = []string{"y-1.0-0.conda"}
	anotherWrites(t, s, unpatchedKey, own)
	anotherWrites(t, s, indexName, shown)
	instruct(t, s, `{"packages.conda":{"p-1.0-0.conda":{"depends":["fixed"]}}}`)
	return s
}

// Instructions for one package undo nothing that was done by hand to others before we
// took the channel over, and what they had changed themselves goes with them.
func TestInstructionsOfATakenOverChannel(t *testing.T) {
	for first, do := range map[string]func(s *mem.Store){
		"nothing":   func(*mem.Store) {},
		"reindexed": func(s *mem.Store) { reindexOK(t, s, Options{}) },
		"committed": func(s *mem.Store) { commitOK(t, s, publishOK(t, s, simple(t, "more"))) },
		"reindexed without": func(s *mem.Store) {
			text := stored(t, s, "linux-64/"+patchName)
			without(t, s, patchName)
			reindexOK(t, s, Options{})
			putRaw(t, s, "linux-64/"+patchName, text)
		},
		"reindexed, and another indexer came": func(s *mem.Store) {
			reindexOK(t, s, Options{})
			anotherWrites(t, s, indexName, readIndexOf(t, s))
		},
	} {
		s := takenOver(t)
		do(s)
		check := func(when string, want map[string]string) {
			t.Helper()
			got := files(t, s, "linux-64")
			if slices.Contains(got, "y-1.0-0.conda") || !slices.Contains(removedList(t, s), "y-1.0-0.conda") {
				t.Errorf("%s, %s: in the index: %q, removed: %q", first, when, got, removedList(t, s))
			}
			want["a"] = `["package_has_been_revoked"]`
			for name, depends := range want {
				if got := recordIn(t, s, indexName, name+"-1.0-0.conda"); !strings.Contains(got, `"depends":`+depends) || strings.Contains(got, "license") == (name == "a") {
					t.Errorf("%s, %s: %s", first, when, got)
				}
			}
			derivedRight(t, s)
		}
		instruct(t, s, `{"packages.conda":{"p-1.0-0.conda":{"depends":["fixed"]},"b-1.0-0.conda":{"depends":["new"]}}}`)
		reindexOK(t, s, Options{})
		check("instructed", map[string]string{"p": `["fixed"]`, "b": `["new"]`})
		reindexOK(t, s, Options{Full: true})
		check("made anew", map[string]string{"p": `["fixed"]`, "b": `["new"]`})
		without(t, s, patchName)
		reindexOK(t, s, Options{})
		check("withdrawn", map[string]string{"p": `[]`, "b": `[]`})
	}
}

// A run that died may leave in repodata_from_packages.json what it took out. What lists
// nothing does not show that again.
func TestWhatIsGoneIsNotCommitted(t *testing.T) {
	for name, do := range map[string]func(s *mem.Store){
		"commit":  func(s *mem.Store) { commitOK(t, s, publishOK(t, s, simple(t, "more"))) },
		"restore": func(s *mem.Store) { restoreOK(t, s, Options{}, "linux-64/a-1.0-0.conda") },
	} {
		s := &mem.Store{}
		commitOK(t, s, publishOK(t, s, simple(t, "a")), publishOK(t, s, simple(t, "gone")), publishOK(t, s, simple(t, "hidden")))
		instruct(t, s, `{"remove":["hidden-1.0-0.conda"]}`)
		reindexOK(t, s, Options{})
		kept := stored(t, s, "linux-64/"+unpatchedKey)
		without(t, s, "gone-1.0-0.conda")
		reindexOK(t, s, Options{})
		putRaw(t, s, "linux-64/"+unpatchedKey, kept)
		do(s)
		if got := files(t, s, "linux-64"); slices.Contains(got, "gone-1.0-0.conda") || slices.Contains(got, "hidden-1.0-0.conda") {
			t.Errorf("%s: in the index: %q", name, got)
		}
		if got := recordIn(t, s, unpatchedKey, "hidden-1.0-0.conda"); got == "" {
			t.Errorf("%s: it is forgotten that hidden is hidden", name)
		}
		derivedRight(t, s)
	}
}
