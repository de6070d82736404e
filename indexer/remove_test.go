package indexer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/mem"
)

// builds publishes name-1.0 for each number, indexed.
func builds(t *testing.T, s store.Store, name string, depends []string, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		in := index(name, "1.0", n, "linux-64")
		build, _ := in["build"].(string)
		if depends != nil {
			in["depends"] = depends
		}
		commitOK(t, s, publishOK(t, s, makePackage(t, name+"-1.0-"+build+".conda", in, name)))
	}
}

func removeOK(t *testing.T, s store.Store, o Options, keys ...string) {
	t.Helper()
	if _, err := Remove(t.Context(), s, keys, o); err != nil {
		t.Fatal(err)
	}
}

func removedList(t *testing.T, s store.Reader) []string {
	t.Helper()
	data, err := conda.ParseRepoData(stored(t, s, "linux-64/repodata.json"))
	if err != nil {
		t.Fatal(err)
	}
	return data.Removed
}

func TestRemoveAndRestore(t *testing.T) {
	s := &mem.Store{}
	builds(t, s, "tool", nil, 0, 1)
	removeOK(t, s, Options{}, "linux-64/tool-1.0-0.conda")
	removeOK(t, s, Options{}, "linux-64/tool-1.0-0.conda") // again is no change
	derivedRight(t, s)
	reindexOK(t, s, Options{Full: true})
	derivedRight(t, s)
	if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"tool-1.0-1.conda"}) {
		t.Errorf("in the index: %q", got)
	}
	if got := removedList(t, s); !slices.Equal(got, []string{"tool-1.0-0.conda"}) {
		t.Errorf("removed: %q", got)
	}
	again, found, err := Stored(t.Context(), s, "linux-64/tool-1.0-0.conda")
	if err != nil || !found {
		t.Fatalf("the object is gone: %v", err)
	}
	if r := commitOK(t, s, again); len(r.Skipped) != 1 || !strings.Contains(r.Skipped[0].Reason, "channel restore") {
		t.Errorf("adding it again: %+v", r.Skipped)
	}
	if _, err := Restore(t.Context(), s, []string{"linux-64/tool-1.0-0.conda"}, Options{}); err != nil {
		t.Fatal(err)
	}
	derivedRight(t, s)
	if got := files(t, s, "linux-64"); len(got) != 2 || removedList(t, s) != nil && len(removedList(t, s)) != 0 {
		t.Errorf("restored: %q, removed %q", got, removedList(t, s))
	}
	reindexOK(t, s, Options{})
	if got := files(t, s, "linux-64"); len(got) != 2 {
		t.Errorf("after a reindex: %q", got)
	}
}

// With the index the list of what was removed is lost. What somebody took out
// stays out all the same, whoever makes the index anew.
func TestRemovedStaysRemovedWithoutAnIndex(t *testing.T) {
	for _, text := range []string{"absent", "", "{}", "{", "[]"} {
		for name, again := range map[string]func(s *mem.Store){
			"reindex": func(s *mem.Store) { reindexOK(t, s, Options{}) },
			"commit":  func(s *mem.Store) { commitOK(t, s, publishOK(t, s, simple(t, "new"))) },
		} {
			s := &mem.Store{}
			builds(t, s, "tool", nil, 0, 1, 2)
			removeOK(t, s, Options{}, "linux-64/tool-1.0-0.conda")
			if err := s.Delete(t.Context(), "linux-64/repodata.json"); err != nil {
				t.Fatal(err)
			}
			if text != "absent" {
				putRaw(t, s, "linux-64/repodata.json", []byte(text))
			}
			again(s)
			got := files(t, s, "linux-64")
			if slices.Contains(got, "tool-1.0-0.conda") || !slices.Contains(got, "tool-1.0-1.conda") || !slices.Contains(got, "tool-1.0-2.conda") {
				t.Errorf("%q, %s: in the index: %q", text, name, got)
			}
			if got := removedList(t, s); !slices.Equal(got, []string{"tool-1.0-0.conda"}) {
				t.Errorf("%q, %s: removed: %q", text, name, got)
			}
			derivedRight(t, s)
		}
	}
}

func TestRemoveWhatIsNotThere(t *testing.T) {
	s := &mem.Store{}
	builds(t, s, "tool", nil, 0)
	before := stored(t, s, "linux-64/repodata.json")
	for _, keys := range [][]string{{"linux-64/other-1.0-0.conda"}, {"linux-64/tool-1.0-0.conda", "linux-64/other-1.0-0.conda"}} {
		if _, err := Remove(t.Context(), s, keys, Options{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "other-1.0-0") {
			t.Errorf("%q: %v", keys, err)
		}
	}
	if diff := cmp.Diff(string(before), string(stored(t, s, "linux-64/repodata.json"))); diff != "" {
		t.Error(diff)
	}
}

// What was removed by hand stays so when patch instructions that remove it too
// come and go.
func TestRemovedByHandAndByInstructions(t *testing.T) {
	s := &mem.Store{}
	builds(t, s, "tool", nil, 0, 1)
	putRaw(t, s, "linux-64/patch_instructions.json", []byte(`{"patch_instructions_version":1,"remove":["tool-1.0-0.conda"]}`))
	reindexOK(t, s, Options{})
	removeOK(t, s, Options{}, "linux-64/tool-1.0-1.conda")
	if err := s.Delete(t.Context(), "linux-64/patch_instructions.json"); err != nil {
		t.Fatal(err)
	}
	reindexOK(t, s, Options{})
	if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"tool-1.0-0.conda"}) {
		t.Errorf("in the index: %q", got)
	}
}

func TestFind(t *testing.T) {
	s := &mem.Store{}
	builds(t, s, "tool", nil, 0, 1)
	builds(t, s, "tools", nil, 0)
	builds(t, s, "gone", nil, 0)
	removeOK(t, s, Options{}, "linux-64/gone-1.0-0.conda")
	for name, want := range map[string][]string{
		"tool-1.0-0.conda":          {"linux-64/tool-1.0-0.conda"},
		"linux-64/tool-1.0-0.conda": {"linux-64/tool-1.0-0.conda"},
		"noarch/tool-1.0-0.conda":   nil,
		"tool=1.0":                  {"linux-64/tool-1.0-0.conda", "linux-64/tool-1.0-1.conda"},
		"tool==1.0=1":               {"linux-64/tool-1.0-1.conda"},
		"tool>=2":                   nil,
		"tool":                      nil,
		"*":                         nil,
		"tool 1.0 [":                nil,
		"gone=1.0":                  nil,
		"gone-1.0-0.conda":          {"linux-64/gone-1.0-0.conda"},
		"none-1.0-0.conda":          nil,
	} {
		got, err := Find(t.Context(), s, []string{name}, false)
		_, named := errors.AsType[*NameError](err)
		if !slices.Equal(got, want) || named != (want == nil) {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	for name, found := range map[string]bool{"gone-1.0-0.conda": true, "tool-1.0-0.conda": true, "none-1.0-0.conda": false, "gone=1.0": false} {
		if got, err := Find(t.Context(), s, []string{name}, true); (err == nil) != found || found && !slices.Equal(got, []string{"linux-64/" + name}) {
			t.Errorf("to restore %s: %q, %v", name, got, err)
		}
	}
}

// A removal and a restore that were killed before the end come to it when they
// are run again (L4): what is derived from the index follows.
func TestRemoveAndRestoreAgain(t *testing.T) {
	s := &mem.Store{}
	builds(t, s, "tool", nil, 0, 1)
	const key = "linux-64/tool-1.0-0.conda"
	for i, change := range []func(context.Context, store.Store, []string, Options) (Report, error){Remove, Restore} {
		name := []string{"remove", "restore"}[i]
		old := stored(t, s, "linux-64/repodata.json.zst")
		if _, err := change(t.Context(), s, []string{key}, Options{}); err != nil {
			t.Fatal(err)
		}
		putRaw(t, s, "linux-64/repodata.json.zst", old)
		if _, err := change(t.Context(), s, []string{key}, Options{}); err != nil {
			t.Errorf("%s again: %v", name, err)
		}
		derivedRight(t, s)
	}
}

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func pruneOK(t *testing.T, s store.Store, p PruneOptions, c *clock) Pruned {
	t.Helper()
	done, err := Prune(t.Context(), s, p, Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// A prune that fails names what it has taken out by then.
func TestPruneThatFails(t *testing.T) {
	s := &mem.Store{}
	for _, subdir := range []string{"linux-64", "win-64"} {
		for n := range 2 {
			in := index("tool", "1.0", n, subdir)
			commitOK(t, s, publishOK(t, s, makePackage(t, fmt.Sprintf("tool-1.0-%d.conda", n), in, "x")))
		}
	}
	s.Fault = func(key string) (bool, error) {
		if key == "win-64/"+indexName {
			return false, os.ErrPermission
		}
		return true, nil
	}
	done, err := Prune(t.Context(), s, PruneOptions{KeepBuilds: 1, Grace: time.Hour}, Options{})
	if err == nil || !slices.Equal(done.Removed, []string{"linux-64/tool-1.0-0.conda"}) {
		t.Errorf("%+v, %v", done, err)
	}
}

func TestPrune(t *testing.T) {
	s := &mem.Store{}
	c := &clock{time.Unix(1_800_000_000, 0)}
	builds(t, s, "tool", nil, 0, 1, 2, 10)
	p := PruneOptions{KeepBuilds: 2, Grace: time.Hour}
	want := Pruned{Removed: []string{"linux-64/tool-1.0-0.conda", "linux-64/tool-1.0-1.conda"}}

	dry := p
	dry.DryRun = true
	before := s.Counts()["put"]
	if diff := cmp.Diff(want, pruneOK(t, s, dry, c)); diff != "" || s.Counts()["put"] != before {
		t.Errorf("dry run: %d writes, %s", s.Counts()["put"]-before, diff)
	}
	want.Waiting = want.Removed
	if diff := cmp.Diff(want, pruneOK(t, s, p, c)); diff != "" {
		t.Error(diff)
	}
	c.at = c.at.Add(time.Hour)
	dry.KeepBuilds = 0
	want = Pruned{Deleted: want.Waiting}
	if diff := cmp.Diff(want, pruneOK(t, s, dry, c)); diff != "" {
		t.Errorf("dry run after the grace: %s", diff)
	}
	if diff := cmp.Diff(want, pruneOK(t, s, p, c)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Pruned{}, pruneOK(t, s, p, c)); diff != "" {
		t.Errorf("once more: %s", diff)
	}
	if _, found, err := Stored(t.Context(), s, "linux-64/tool-1.0-0.conda"); err != nil || found {
		t.Errorf("the object is there: %v, %v", found, err)
	}
	if r := reindexOK(t, s, Options{}); len(r.Skipped) > 0 || len(files(t, s, "linux-64")) != 2 {
		t.Errorf("left: %q, %+v", files(t, s, "linux-64"), r.Skipped)
	}
	derivedRight(t, s)
}

func TestPruneKeepsWhatIsNeeded(t *testing.T) {
	s := &mem.Store{}
	c := &clock{time.Unix(1_800_000_000, 0)}
	builds(t, s, "base", nil, 0, 1, 2)
	builds(t, s, "lib", []string{"base ==1.0 0"}, 0, 1)
	builds(t, s, "app", []string{"lib >=1.0,<2 0", "base >=1"}, 0)
	want := Pruned{
		Removed: []string{"linux-64/base-1.0-1.conda"},
		Needed:  []string{"linux-64/base-1.0-0.conda", "linux-64/lib-1.0-0.conda"},
		Waiting: []string{"linux-64/base-1.0-1.conda"},
	}
	if diff := cmp.Diff(want, pruneOK(t, s, PruneOptions{KeepBuilds: 1, Grace: time.Hour}, c)); diff != "" {
		t.Error(diff)
	}
}

// A client finds the builds of its own platform and those of noarch, no others: what
// win-64 still has is of no use on linux-64, and what linux-64 asks for none on win-64.
func TestPruneLooksAtEachPlatform(t *testing.T) {
	const pin = "lib 1.0 0"
	for name, tt := range map[string]struct {
		all    []build
		needed []string
	}{
		"another platform has one": {
			[]build{entry("linux-64", "lib", 0), entry("linux-64", "lib", 1), entry("linux-64", "app", 0, pin), entry("win-64", "lib", 0)},
			[]string{"linux-64/lib-1.0-0.conda"},
		},
		"another platform asks": {
			[]build{entry("linux-64", "lib", 0), entry("linux-64", "lib", 1), entry("win-64", "app", 0, pin)}, nil,
		},
		"noarch has one": {
			[]build{entry("linux-64", "lib", 0), entry("linux-64", "lib", 1), entry("linux-64", "app", 0, pin), entry("noarch", "lib", 0)}, nil,
		},
		"only noarch's will do": {
			[]build{entry("noarch", "lib", 0), entry("noarch", "lib", 1), entry("linux-64", "app", 0, pin), entry("win-64", "lib", 0)},
			[]string{"noarch/lib-1.0-0.conda"},
		},
		"noarch asks on each platform": {
			[]build{
				entry("linux-64", "lib", 0), entry("linux-64", "lib", 1), entry("noarch", "app", 0, pin),
				entry("osx-64", "lib", 1), entry("win-64", "lib", 0), entry("win-64", "lib", 1), entry("win-arm64", "lib", 0),
			},
			[]string{"linux-64/lib-1.0-0.conda", "win-64/lib-1.0-0.conda"},
		},
		"noarch alone": {
			[]build{entry("noarch", "app", 0, pin), entry("noarch", "lib", 0), entry("noarch", "lib", 1)},
			[]string{"noarch/lib-1.0-0.conda"},
		},
		"a platform without packages": { // as any that the channel does not have
			[]build{entry("linux-64", "lib", 0), entry("noarch", "app", 0, pin), entry("noarch", "lib", 0), entry("noarch", "lib", 1)},
			[]string{"noarch/lib-1.0-0.conda"},
		},
		"what is kept asks too": {
			[]build{
				entry("linux-64", "base", 0), entry("linux-64", "base", 1), entry("noarch", "app", 0, pin),
				entry("noarch", "lib", 0, "base 1.0 0"), entry("noarch", "lib", 1), entry("win-64", "base", 0),
			},
			[]string{"linux-64/base-1.0-0.conda", "noarch/lib-1.0-0.conda"},
		},
	} {
		old, needed := superseded(tt.all, 1)
		if diff := cmp.Diff(tt.needed, needed); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for _, key := range needed {
			if slices.Contains(old, key) {
				t.Errorf("%s: %s is needed and superseded", name, key)
			}
		}
	}
}

// entry is build number n of name-1.0 in the index.
func entry(subdir, name string, n int, depends ...string) build {
	text := strconv.Itoa(n)
	return build{
		fmt.Sprintf("%s/%s-1.0-%d.conda", subdir, name, n),
		conda.Record{Name: name, Version: "1.0", Build: text, BuildNumber: n, Subdir: subdir, Depends: depends},
	}
}

// Many builds of a version, and many packages that ask for the same.
func BenchmarkSuperseded(b *testing.B) {
	const many = 100_000
	all := make([]build, 0, many)
	for n := range many / 4 {
		all = append(all, entry("linux-64", "lib", n), entry("win-64", "lib", n))
	}
	for n := range many / 2 {
		all = append(all, entry("noarch", "app-"+strconv.Itoa(n), 0, "lib 1.0 0", "lib >=1.0"))
	}
	for b.Loop() {
		if old, needed := superseded(all, 1); len(old) != many/2-4 || len(needed) != 2 {
			b.Fatalf("%d superseded, needed: %q", len(old), needed)
		}
	}
}

func TestVariantsArePrunedApart(t *testing.T) {
	var all []build
	for _, text := range []string{"py310h1234567_0", "py311h1234567_0", "py311h7654321_1", "h1234567_0", "h7654321_1", "0", "1", "cuda12_0"} {
		number := 0
		if strings.HasSuffix(text, "1") {
			number = 1
		}
		all = append(all, build{"linux-64/x-1.0-" + text + ".conda", conda.Record{Name: "x", Version: "1.0", Build: text, BuildNumber: number, Subdir: "linux-64"}})
	}
	// Python's version is no build number.
	for _, python := range []struct {
		build  string
		number int
	}{{"py310", 0}, {"py311", 1}, {"py39_1", 1}} {
		all = append(all, build{"linux-64/y-1.0-" + python.build + ".conda", conda.Record{Name: "y", Version: "1.0", Build: python.build, BuildNumber: python.number, Subdir: "linux-64"}})
	}
	old, _ := superseded(all, 1)
	want := []string{"linux-64/x-1.0-py311h1234567_0.conda", "linux-64/x-1.0-h1234567_0.conda", "linux-64/x-1.0-0.conda"}
	if diff := cmp.Diff(want, old); diff != "" {
		t.Error(diff)
	}
}

// What patch instructions or another tool hide is nobody's to delete.
func TestPruneLeavesWhatOthersHide(t *testing.T) {
	s := &mem.Store{}
	c := &clock{time.Unix(1_800_000_000, 0)}
	builds(t, s, "tool", nil, 0, 1, 2)
	removeOK(t, s, Options{Now: c.now}, "linux-64/tool-1.0-1.conda")
	if err := s.Delete(t.Context(), "linux-64/"+removedName); err != nil { // as if another tool had removed it
		t.Fatal(err)
	}
	putRaw(t, s, "linux-64/patch_instructions.json", []byte(`{"patch_instructions_version":1,"remove":["tool-1.0-0.conda"]}`))
	reindexOK(t, s, Options{})
	for range 2 {
		c.at = c.at.Add(1000 * time.Hour)
		if diff := cmp.Diff(Pruned{}, pruneOK(t, s, PruneOptions{}, c)); diff != "" {
			t.Error(diff)
		}
	}
	for _, file := range []string{"linux-64/tool-1.0-0.conda", "linux-64/tool-1.0-1.conda"} {
		if _, found, err := Stored(t.Context(), s, file); err != nil || !found {
			t.Errorf("%s is gone: %v", file, err)
		}
	}
}

// A prune that stands still before it deletes, while another indexer lets the index
// forget what was removed and another prune comes: a restore is refused all the same.
func TestAMarkOutlivesTheIndex(t *testing.T) {
	const key = "linux-64/tool-1.0-0.conda"
	s := &mem.Store{}
	c := &clock{time.Unix(1_800_000_000, 0)}
	o := Options{Now: c.now}
	builds(t, s, "tool", nil, 0, 1)
	removeOK(t, s, o, key)
	c.at = c.at.Add(landsWithin)
	first := lateDeletion{s, func() {
		listed := stored(t, s, "linux-64/"+indexName)
		putRaw(t, s, "linux-64/"+indexName, bytes.Replace(listed, []byte(`"tool-1.0-0.conda"`), nil, 1))
		pruneOK(t, s, PruneOptions{}, c)
		if _, err := Restore(t.Context(), s, []string{key}, o); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("restored what is being deleted: %v", err)
		}
	}}
	if _, err := Prune(t.Context(), first, PruneOptions{}, o); err != nil {
		t.Error(err)
	}
	if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"tool-1.0-1.conda"}) {
		t.Errorf("in the index: %q", got)
	}
}

// lateDeletion is a store where something happens before each deletion.
type lateDeletion struct {
	store.Store
	before func()
}

func (l lateDeletion) Delete(ctx context.Context, key string) error {
	l.before()
	return l.Store.Delete(ctx, key)
}

// What a prune has marked stays marked, though another one that read the index
// and the listing long ago finds it indexed, or not stored: else it could be
// restored, and then the first would delete it.
func TestAMarkStays(t *testing.T) {
	const file = "tool-1.0-0.conda"
	indexed, empty := conda.NewRepoData("linux-64"), conda.NewRepoData("linux-64")
	indexed.PackagesConda.Set(file, []byte(`{}`))
	indexed.SetEdition("ours")
	for name, c := range map[string]struct {
		data *conda.RepoData
		l    listing
	}{"indexed": {indexed, listing{packages: map[string]store.Info{file: {}}}}, "not stored": {empty, listing{}}} {
		all := removals{file: {At: 1, Deleting: true}}
		if due, _ := all.due(c.data, c.l, time.Unix(1_800_000_000, 0), 0); !all[file].Deleting || !slices.Equal(due, []string{file}) {
			t.Errorf("%s: %v, due are %q", name, all, due)
		}
		all = removals{file: {At: 1}}
		if due, _ := all.due(c.data, c.l, time.Unix(1_800_000_000, 0), 0); len(all) > 0 || len(due) > 0 {
			t.Errorf("%s, without a mark: %v, due are %q", name, all, due)
		}
	}
}

// A restore between prune's mark and its deletion is refused; one that came
// before it keeps the object.
func TestRestoreAgainstPrune(t *testing.T) {
	const key = "linux-64/tool-1.0-0.conda"
	for _, late := range []bool{false, true} {
		s := &mem.Store{}
		c := &clock{time.Unix(1_800_000_000, 0)}
		builds(t, s, "tool", nil, 0, 1)
		removeOK(t, s, Options{Now: c.now}, key)
		c.at = c.at.Add(time.Hour)
		var restored error
		restore := func() { _, restored = Restore(t.Context(), s, []string{key}, Options{}) }
		if late {
			r := run{s: s, o: Options{Now: c.now}, subdir: "linux-64"}
			if err := r.noteRemovals(t.Context(), false, func(all removalFile) error {
				all.Files["tool-1.0-0.conda"] = removal{At: 1, Deleting: true}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			restore()
			if !errors.Is(restored, fs.ErrNotExist) {
				t.Errorf("restored what is being deleted: %v", restored)
			}
		} else {
			s.Fault = once("linux-64/"+removedName, restore) // prune marks, and loses
		}
		pruneOK(t, s, PruneOptions{Grace: time.Hour}, c)
		_, found, err := Stored(t.Context(), s, key)
		if err != nil || found == late {
			t.Errorf("late %v: the object is there: %v, %v", late, found, err)
		}
		if inIndex := slices.Contains(files(t, s, "linux-64"), "tool-1.0-0.conda"); inIndex == late {
			t.Errorf("late %v: in the index: %v (restore: %v)", late, inIndex, restored)
		}
	}
}

// A package that was deleted and is stored again waits until no request to delete
// the first one can land any more; meanwhile, and after, no prune deletes it.
func TestRestoreOfWhatIsStoredAgain(t *testing.T) {
	const key, file = "linux-64/tool-1.0-0.conda", "tool-1.0-0.conda"
	for _, again := range []string{"restored", "pruned and restored", "removed and pruned"} {
		s := &mem.Store{}
		c := &clock{time.Unix(1_800_000_000, 0)}
		p := PruneOptions{Grace: 2 * time.Hour}
		builds(t, s, "tool", nil, 0, 1)
		removeOK(t, s, Options{Now: c.now}, key)
		c.at = c.at.Add(p.Grace)
		pruneOK(t, s, p, c)
		builds(t, s, "tool", nil, 0)
		c.at = c.at.Add(time.Hour - time.Second)
		if _, err := Restore(t.Context(), s, []string{key}, Options{Now: c.now}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "less than an hour ago") {
			t.Errorf("restored within the hour: %v", err)
		}
		if again == "removed and pruned" {
			removeOK(t, s, Options{Now: c.now}, key)
		}
		if diff := cmp.Diff(Pruned{}, pruneOK(t, s, p, c)); diff != "" {
			t.Error(again, diff)
		}
		c.at = c.at.Add(time.Second)
		var want Pruned
		switch again {
		case "removed and pruned":
			want.Waiting = []string{key}
			fallthrough
		case "pruned and restored":
			if diff := cmp.Diff(want, pruneOK(t, s, p, c)); diff != "" {
				t.Error(again, diff)
			}
		}
		if _, err := Restore(t.Context(), s, []string{key}, Options{Now: c.now}); err != nil || !slices.Contains(files(t, s, "linux-64"), file) {
			t.Errorf("%s: restored after the hour: %v", again, err)
		}
	}
}

// Whatever another command made of the index that was there before, the removals
// agree with the new one in the end.
func TestRemovalsFollowTheIndex(t *testing.T) {
	const key, file = "linux-64/tool-1.0-0.conda", "tool-1.0-0.conda"
	s := &mem.Store{}
	c := &clock{time.Unix(1_800_000_000, 0)}
	o := Options{Now: c.now}
	builds(t, s, "tool", nil, 0, 1)
	noted := func() bool {
		r := run{s: s, subdir: "linux-64"}
		all, _, err := r.readRemovals(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, found := all.Files[file]
		return found
	}
	s.Fault = once("linux-64/"+indexName, func() { // a prune sees it indexed, much later
		c.at = c.at.Add(landsWithin)
		pruneOK(t, s, PruneOptions{Grace: time.Hour}, c)
	})
	removeOK(t, s, o, key)
	if !noted() {
		t.Error("a prune made its removal forgotten")
	}
	s.Fault = once("linux-64/"+indexName, func() { removeOK(t, s, o, key) })
	if _, err := Restore(t.Context(), s, []string{key}, o); err != nil {
		t.Fatal(err)
	}
	if noted() || !slices.Contains(files(t, s, "linux-64"), file) {
		t.Errorf("restored, and noted as removed: %v", noted())
	}
}

// A prune between the two writes of a remove leaves what the remove has noted: a
// run with patch instructions right after the second would take the package in
// again, as one that other instructions had hidden.
func TestPruneDuringRemove(t *testing.T) {
	s := &mem.Store{}
	c := &clock{time.Unix(1_800_000_000, 0)}
	o := Options{Now: c.now}
	builds(t, s, "tool", nil, 0, 1)
	putRaw(t, s, "linux-64/"+patchName, []byte(`{"patch_instructions_version":1}`))
	reindexOK(t, s, o)
	s.Fault = once("linux-64/"+indexName, func() {
		pruneOK(t, s, PruneOptions{Grace: time.Hour}, c)
		s.Fault = once("linux-64/"+removedName, func() { reindexOK(t, s, o) })
	})
	removeOK(t, s, o, "linux-64/tool-1.0-0.conda")
	if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"tool-1.0-1.conda"}) {
		t.Errorf("in the index: %q", got)
	}
}

// A prune that runs while a restore writes leaves the very text that the restore
// writes: it is taken for written, and the object is gone all the same.
func TestRestoreWhilePruneRuns(t *testing.T) {
	const key = "linux-64/tool-1.0-0.conda"
	s := &mem.Store{}
	c := &clock{time.Unix(1_800_000_000, 0)}
	builds(t, s, "tool", nil, 0, 1)
	removeOK(t, s, Options{Now: c.now}, key)
	c.at = c.at.Add(time.Hour)
	s.Fault = once("linux-64/"+removedName, func() { pruneOK(t, s, PruneOptions{Grace: time.Hour}, c) })
	if _, err := Restore(t.Context(), s, []string{key}, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("restored what is deleted: %v", err)
	}
	if got := files(t, s, "linux-64"); !slices.Equal(got, []string{"tool-1.0-1.conda"}) {
		t.Errorf("in the index: %q", got)
	}
}

// A write of the removals that was lost, and lands when its package was restored
// long ago, would let the next prune delete it. It is over a version that must
// never come back, also where an object's version is a hash of its text.
func TestRemovalsNeverComeTwice(t *testing.T) {
	const key, name = "linux-64/tool-1.0-0.conda", "linux-64/" + removedName
	for _, was := range []string{"", "{", `{"files":{}}`} {
		s := &mem.Store{}
		c := &clock{time.Unix(1_800_000_000, 0)}
		builds(t, s, "tool", nil, 0, 1)
		seen := map[string]bool{}
		if was != "" {
			putRaw(t, s, name, []byte(was))
			seen[was] = true
		}
		look := func(after string) {
			text := string(stored(t, s, name))
			if seen[text] {
				t.Errorf("over %q, after %s: %s was there before", was, after, text)
			}
			seen[text] = true
		}
		for range 2 {
			removeOK(t, s, Options{Now: c.now}, key)
			look("remove")
			for range 2 { // one that finds nothing to forget keeps what is under way from landing all the same
				if _, err := Restore(t.Context(), s, []string{key}, Options{}); err != nil {
					t.Fatal(err)
				}
				look("restore")
			}
		}
	}
}
