package indexer

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/mem"
)

func restoreOK(t *testing.T, s store.Store, o Options, keys ...string) Report {
	t.Helper()
	r, err := Restore(t.Context(), s, keys, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// recordIn is a file's record in an index of linux-64, its keys sorted, "" if it has none.
func recordIn(t *testing.T, s store.Reader, name, file string) string {
	t.Helper()
	data, err := conda.ParseRepoData(stored(t, s, "linux-64/"+name))
	if err != nil {
		t.Fatal(err)
	}
	record, found := data.Record(file)
	if !found {
		return ""
	}
	return string(conda.Stamp(record, conda.Stamped(record)))
}

// editInPlace changes what repodata.json says of x-1.0-0.conda as a hand does.
func editInPlace(t *testing.T, s store.Store) {
	t.Helper()
	text := stored(t, s, "linux-64/"+indexName)
	edited := bytes.Replace(text, []byte(`"build":"0",`), []byte(`"a key <&>": {"n": 1.50},"build":"0",`), 1)
	edited = bytes.Replace(edited, []byte(`"name":`), []byte(`"license":"by hand","revoked":true,"name":`), 1)
	if bytes.Equal(text, edited) {
		t.Fatalf("nothing to edit in %s", text)
	}
	putRaw(t, s, "linux-64/"+indexName, edited)
}

// What a hand changed in the record of a package is there again when the package is
// restored, whatever was done meanwhile.
func TestRestoreBringsBackTheRecord(t *testing.T) {
	const key, file = "linux-64/tool-1.0-0.conda", "tool-1.0-0.conda"
	c := &clock{time.Unix(1_800_000_000, 0)}
	o := Options{Now: c.now}
	dead := func(name string, do func(s store.Store) error) func(*testing.T, *mem.Store) {
		return func(t *testing.T, s *mem.Store) {
			s.Fault = func(key string) (bool, error) {
				if strings.HasSuffix(key, "/"+name) {
					return false, errDied
				}
				return true, nil
			}
			err := do(s)
			s.Fault = nil
			if err == nil {
				t.Fatalf("it did not die at %s", name)
			}
		}
	}
	remove := func(s store.Store) error { _, err := Remove(t.Context(), s, []string{key}, o); return err }
	restore := func(s store.Store) error { _, err := Restore(t.Context(), s, []string{key}, o); return err }
	for name, meanwhile := range map[string]func(*testing.T, *mem.Store){
		"nothing":                    func(*testing.T, *mem.Store) {},
		"removed again":              func(t *testing.T, s *mem.Store) { removeOK(t, s, o, key) },
		"reindexed":                  func(t *testing.T, s *mem.Store) { reindexOK(t, s, Options{Full: true, Now: c.now}) },
		"pruned, waiting":            func(t *testing.T, s *mem.Store) { pruneOK(t, s, PruneOptions{Grace: 1000 * time.Hour}, c) },
		"a removal that died":        dead(zstName, remove),
		"a restore that died":        dead(indexName, restore),
		"a restore that died, twice": func(t *testing.T, s *mem.Store) { dead(indexName, restore)(t, s); dead(indexName, restore)(t, s) },
		"another indexer, and removed again": func(t *testing.T, s *mem.Store) {
			all := conda.NewRepoData("linux-64")
			r := run{s: s, subdir: "linux-64"}
			found, err := r.lookAll(t.Context(), []string{file, "tool-1.0-1.conda"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			all.Set(file, found[0].record)
			all.Set("tool-1.0-1.conda", found[1].record)
			putRaw(t, s, "linux-64/"+indexName, all.Encode().Bytes())
			removeOK(t, s, o, key)
		},
		"other packages are removed and restored": func(t *testing.T, s *mem.Store) {
			removeOK(t, s, o, "linux-64/tool-1.0-1.conda")
			restoreOK(t, s, o, "linux-64/tool-1.0-1.conda")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &mem.Store{}
			builds(t, s, "tool", nil, 0, 1)
			editInPlace(t, s)
			reindexOK(t, s, o)
			before := recordIn(t, s, indexName, file)
			if !strings.Contains(before, "by hand") || !strings.Contains(before, "indexed_timestamp") {
				t.Fatalf("before: %s", before)
			}
			removeOK(t, s, o, key)
			c.at = c.at.Add(2 * landsWithin)
			meanwhile(t, s)
			restoreOK(t, s, o, key)
			if got := recordIn(t, s, indexName, file); got != before {
				t.Errorf("restored %s\nremoved  %s", got, before)
			}
			if notes := stored(t, s, "linux-64/"+removedName); bytes.Contains(notes, []byte(file)) {
				t.Errorf("it is noted still: %s", notes)
			}
			derivedRight(t, s)
			restoreOK(t, s, o, key) // what is in the index stays
			reindexOK(t, s, o)
			if got := recordIn(t, s, indexName, file); got != before {
				t.Errorf("restored again %s\nremoved  %s", got, before)
			}
		})
	}
}

// A record is of one archive only, and one that is not there is made from the package.
func TestRestoreOfOtherBytes(t *testing.T) {
	const key, file = "linux-64/tool-1.0-0.conda", "tool-1.0-0.conda"
	for name, meanwhile := range map[string]func(s *mem.Store){
		"replaced": func(s *mem.Store) {
			putRaw(t, s, key, readFile(t, makePackage(t, file, index("tool", "1.0", 0, "linux-64"), "other bytes")))
		},
		"removed by an older version": func(s *mem.Store) {
			putRaw(t, s, "linux-64/"+removedName, []byte(`{"edit":7,"files":{"tool-1.0-0.conda":{"at":1}}}`))
		},
		"noted by nobody": func(s *mem.Store) {
			if err := s.Delete(t.Context(), "linux-64/"+removedName); err != nil {
				t.Fatal(err)
			}
		},
		"noted wrongly": func(s *mem.Store) {
			putRaw(t, s, "linux-64/"+removedName, []byte(`{"edit":7,"files":{"tool-1.0-0.conda":{"at":1}},"records":{"tool-1.0-0.conda":{"name":"tool","size":1}}}`))
		},
		"noted as null": func(s *mem.Store) {
			putRaw(t, s, "linux-64/"+removedName, []byte(`{"edit":7,"files":{"tool-1.0-0.conda":{"at":1}},"records":{"tool-1.0-0.conda":null}}`))
		},
	} {
		s := &mem.Store{}
		builds(t, s, "tool", nil, 0, 1)
		editInPlace(t, s)
		reindexOK(t, s, Options{})
		removeOK(t, s, Options{}, key)
		meanwhile(s)
		restoreOK(t, s, Options{}, key)
		if got := recordIn(t, s, indexName, file); strings.Contains(got, "by hand") || !strings.Contains(got, `"depends"`) {
			t.Errorf("%s: %s", name, got)
		}
		if r := reindexOK(t, s, Options{Check: true}).Subdirs[0]; r.Updated != nil || r.Stale != nil {
			t.Errorf("%s: a check says %+v", name, r)
		}
	}
}

// The record that is kept of a removed package goes with the package.
func TestPruneForgetsTheRecord(t *testing.T) {
	const key = "linux-64/tool-1.0-0.conda"
	s := &mem.Store{}
	c := &clock{time.Unix(1_800_000_000, 0)}
	builds(t, s, "tool", nil, 0, 1)
	removeOK(t, s, Options{Now: c.now}, key)
	if notes := stored(t, s, "linux-64/"+removedName); !bytes.Contains(notes, []byte(`"depends"`)) {
		t.Errorf("there is no record in %s", notes)
	}
	c.at = c.at.Add(landsWithin)
	pruneOK(t, s, PruneOptions{Grace: time.Minute}, c)
	if notes := stored(t, s, "linux-64/"+removedName); bytes.Contains(notes, []byte(`"depends"`)) {
		t.Errorf("there is a record in %s", notes)
	}
}
