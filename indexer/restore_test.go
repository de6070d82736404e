package indexer

import (
	"bytes"
	"fmt"
	"slices"
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

// instruct stores patch instructions for linux-64, for the next run to follow.
func instruct(t *testing.T, s store.Store, text string) {
	t.Helper()
	putRaw(t, s, "linux-64/"+patchName, []byte(text))
}

// A package comes back as the instructions have it, and stays changed by them alone.
func TestRestoreFollowsInstructions(t *testing.T) {
	const key, file = "linux-64/tool-1.0-0.conda", "tool-1.0-0.conda"
	const revoking = `{"revoke":["tool-1.0-0.conda"],"packages.conda":{"tool-1.0-1.conda":{"license":"fixed"}}}`
	for name, c := range map[string]struct {
		before, after string // the removal: instructions that a reindex followed, and others
		reindex       bool   // in between
		revoked       bool
	}{
		"of before":            {revoking, revoking, false, true},
		"of before, reindexed": {revoking, revoking, true, true},
		"that came since":      {"", revoking, false, true},
		"withdrawn":            {revoking, `{}`, false, false},
		"withdrawn, reindexed": {revoking, `{}`, true, false},
	} {
		s := &mem.Store{}
		builds(t, s, "tool", nil, 0, 1)
		editInPlace(t, s)
		putRaw(t, s, "linux-64/"+indexName, bytes.Replace(stored(t, s, "linux-64/"+indexName), []byte(`"revoked":true,`), nil, 1))
		if c.before != "" {
			instruct(t, s, c.before)
		}
		reindexOK(t, s, Options{})
		removeOK(t, s, Options{}, key)
		instruct(t, s, c.after)
		if c.reindex {
			reindexOK(t, s, Options{})
		}
		restoreOK(t, s, Options{}, key)
		check := func(when string) {
			t.Helper()
			got := recordIn(t, s, indexName, file)
			if !strings.Contains(got, "by hand") || strings.Contains(got, "revoked") != c.revoked {
				t.Errorf("%s, %s: %s", name, when, got)
			}
			if base := recordIn(t, s, unpatchedKey, file); !strings.Contains(base, "by hand") || strings.Contains(base, "revoked") {
				t.Errorf("%s, %s: in %s: %s", name, when, unpatchedKey, base)
			}
			derivedRight(t, s)
		}
		check("restored")
		if r := reindexOK(t, s, Options{Check: true}).Subdirs[0]; r.Stale != nil {
			t.Errorf("%s: a check says %+v", name, r)
		}
		commitOK(t, s, publishOK(t, s, simple(t, "more")))
		reindexOK(t, s, Options{})
		check("reindexed")
		instruct(t, s, `{}`)
		reindexOK(t, s, Options{})
		if got := recordIn(t, s, indexName, file); strings.Contains(got, "revoked") {
			t.Errorf("%s, by none: %s", name, got)
		}
	}
}

// What the instructions remove a restore does not show: it says so, and leaves the
// channel as it is.
func TestRestoreOfWhatInstructionsRemove(t *testing.T) {
	const key = "linux-64/tool-1.0-0.conda"
	for name, c := range map[string]struct {
		text    string
		before  string // a reindex followed these
		removed bool   // by hand too
		says    string
	}{
		"hidden":             {`{"remove":["tool-1.0-0.conda"]}`, "", false, "linux-64/patch_instructions.json removes it"},
		"as a twin":          {`{"remove":["tool-1.0-0.tar.bz2"]}`, "", false, "x.tar.bz2 stands for x.conda"},
		"and removed":        {`{"remove":["tool-1.0-0.conda"]}`, "", true, "linux-64/patch_instructions.json removes it"},
		"that are broken":    {`{"remove":["tool-1.0-0.conda"]`, `{"revoke":["tool-1.0-0.conda"]}`, true, "correct it"},
		"of an odd kind too": {`{"tool":{}}`, `{"revoke":["tool-1.0-0.conda"]}`, true, "correct it"},
	} {
		s := &mem.Store{}
		builds(t, s, "tool", nil, 0, 1)
		if c.before != "" {
			instruct(t, s, c.before)
			reindexOK(t, s, Options{})
			putRaw(t, s, "linux-64/"+indexName, stored(t, s, "linux-64/"+indexName)) // as a copy
		}
		if c.removed {
			removeOK(t, s, Options{}, key)
		}
		instruct(t, s, c.text)
		reindexOK(t, s, Options{})
		puts := s.Counts()["put"]
		_, err := Restore(t.Context(), s, []string{key}, Options{})
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", name, err)
		}
		if n := s.Counts()["put"] - puts; n > 0 {
			t.Errorf("%s: %d writes", name, n)
		}
		instruct(t, s, `{}`)
		reindexOK(t, s, Options{})
		restoreOK(t, s, Options{}, key)
		if got := files(t, s, "linux-64"); len(got) != 2 {
			t.Errorf("%s, corrected: %q", name, got)
		}
	}
}

// Where a reindex followed instructions, what is published is shown as they have it.
func TestCommitFollowsInstructions(t *testing.T) {
	const few = 12 + 3 // requests, see Commit
	s := &mem.Store{}
	builds(t, s, "tool", nil, 0)
	instruct(t, s, `{"revoke":["a-1.0-0.conda"],"remove":["b-1.0-0.conda"],"packages.conda":{"c-1.0-0.conda":{"license":"fixed"}}}`)
	reindexOK(t, s, Options{})
	packages := []Published{publishOK(t, s, simple(t, "a")), publishOK(t, s, simple(t, "b")), publishOK(t, s, simple(t, "c"))}
	before := s.Counts()
	report := commitOK(t, s, packages...)
	if n := s.Counts()["get"] + s.Counts()["put"] - before["get"] - before["put"]; n > few+2 { // shards of three names
		t.Errorf("%d requests", n)
	}
	if n := len(report.Skipped); n != 1 || report.Skipped[0].Key != "linux-64/b-1.0-0.conda" || !strings.Contains(report.Skipped[0].Reason, patchName) {
		t.Errorf("%+v", report.Skipped)
	}
	check := func(when string) {
		t.Helper()
		if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"a-1.0-0.conda", "c-1.0-0.conda", "tool-1.0-0.conda"}) {
			t.Errorf("%s: %q", when, got)
		}
		for file, want := range map[string]string{"a-1.0-0.conda": "package_has_been_revoked", "c-1.0-0.conda": "fixed"} {
			if got := recordIn(t, s, indexName, file); !strings.Contains(got, want) {
				t.Errorf("%s: %s", when, got)
			}
		}
		derivedRight(t, s)
	}
	check("published")
	if r := reindexOK(t, s, Options{Check: true}).Subdirs[0]; r.Stale != nil || r.Added != nil {
		t.Errorf("a check says %+v", r)
	}
	reindexOK(t, s, Options{})
	check("reindexed")
	instruct(t, s, `{"packages`)
	if report := commitOK(t, s, publishOK(t, s, simple(t, "d"))); len(report.Skipped) != 1 || !strings.Contains(report.Skipped[0].Reason, "correct it") {
		t.Errorf("instructions that are broken: %+v", report.Skipped)
	}
	instruct(t, s, `{}`)
	reindexOK(t, s, Options{})
	if got := files(t, s, "linux-64"); len(got) != 5 || bytes.Contains(stored(t, s, "linux-64/"+indexName), []byte("revoked")) {
		t.Errorf("taken back: %s", stored(t, s, "linux-64/"+indexName))
	}
	derivedRight(t, s)
}

// What Restore refuses is known before.
func TestRestorable(t *testing.T) {
	const key = "linux-64/tool-1.0-0.conda"
	c := &clock{time.Unix(1_800_000_000, 0)}
	for name, spoil := range map[string]func(s *mem.Store){
		"nothing": nil,
		"gone": func(s *mem.Store) {
			if err := s.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		},
		"broken":     func(s *mem.Store) { putRaw(t, s, key, []byte("x")) },
		"pruned":     func(s *mem.Store) { pruneOK(t, s, PruneOptions{}, c); builds(t, s, "tool", nil, 0) },
		"instructed": func(s *mem.Store) { instruct(t, s, `{"remove":["tool-1.0-0.conda"]}`) },
	} {
		s := &mem.Store{}
		builds(t, s, "tool", nil, 0, 1)
		removeOK(t, s, Options{Now: c.now}, key)
		if spoil != nil {
			spoil(s)
		}
		puts := s.Counts()["put"]
		err := Restorable(t.Context(), s, []string{key}, Options{Now: c.now})
		if n := s.Counts()["put"] - puts; n > 0 {
			t.Errorf("%s: %d writes", name, n)
		}
		_, done := Restore(t.Context(), s, []string{key}, Options{Now: c.now})
		if (err == nil) != (spoil == nil) || fmt.Sprint(err) != fmt.Sprint(done) {
			t.Errorf("%s: asked: %v, done: %v", name, err, done)
		}
	}
}

// Some indexers leave there what are no instructions. Where none were followed, they are
// passed over, and that is said.
func TestRestoreInSpiteOfWhatAreNoInstructions(t *testing.T) {
	const key = "linux-64/tool-1.0-0.conda"
	s := &mem.Store{}
	builds(t, s, "tool", nil, 0, 1)
	reindexOK(t, s, Options{})
	removeOK(t, s, Options{}, key)
	instruct(t, s, `{"tool":{}}`)
	r := restoreOK(t, s, Options{}, key)
	if n := len(r.Skipped); n != 1 || r.Skipped[0].Key != "linux-64/"+patchName || len(files(t, s, "linux-64")) != 2 {
		t.Errorf("%+v, in the index: %q", r.Skipped, files(t, s, "linux-64"))
	}
}
