package indexer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/condatest"
	"github.com/condaworker/condaworker/conda/shards"
	"github.com/condaworker/condaworker/indexer/site"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
	"github.com/condaworker/condaworker/store/mem"
)

// shardIndex reads the index of shards of linux-64.
func shardIndex(t *testing.T, s store.Reader) shards.Index {
	t.Helper()
	text, err := archive.Unzstd(stored(t, s, "linux-64/"+shards.IndexName), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	x, err := shards.ParseIndex(text)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// derivedRight insists that everything derived says what repodata.json says.
func derivedRight(t *testing.T, s store.Reader) {
	t.Helper()
	text := stored(t, s, "linux-64/repodata.json")
	unpacked, err := archive.Unzstd(stored(t, s, "linux-64/repodata.json.zst"), 1<<30)
	if err != nil || !bytes.Equal(unpacked, text) {
		t.Errorf("repodata.json.zst is of another text: %v", err)
	}
	data, err := conda.ParseRepoData(text)
	if err != nil {
		t.Fatal(err)
	}
	exports, err := conda.ParseRunExports(stored(t, s, "linux-64/"+runExportsName))
	if err != nil {
		t.Fatal(err)
	}
	for file := range exports.Files() {
		if _, found := data.Record(file); !found {
			t.Errorf("run_exports.json has %s, which is not in the index", file)
		}
	}
	shown, err := site.Builds(stored(t, s, "linux-64/"+site.DataName))
	if err != nil {
		t.Error(err)
	}
	builds := map[string]int{}
	for file := range data.All() {
		builds[packageOf(file)]++
	}
	if diff := cmp.Diff(builds, shown); diff != "" {
		t.Errorf("%s: %s", site.DataName, diff)
	}
	e := edition{data: data}
	x := shardIndex(t, s)
	want := e.shardsOf(nil, exports)
	if names := slices.Sorted(maps.Keys(x.Shards)); !slices.Equal(names, slices.Sorted(maps.Keys(want))) {
		t.Errorf("shards of %q", names)
	}
	for name, sum := range x.Shards {
		got, err := archive.Unzstd(stored(t, s, "linux-64/"+sum.Key()), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := want[name].Encode(); !bytes.Equal(got, text) {
			t.Errorf("the shard of %s is of another edition", name)
		}
	}
}

// exporting makes a package with run_exports.
func exporting(t *testing.T, name string) string {
	t.Helper()
	return condatest.Write(t, name+"-1.0-0.conda", index(name, "1.0", 0, "linux-64"), map[string]string{
		"info/run_exports.json": `["` + name + ` >=1.0,<2"]`,
	})
}

func TestDerivedObjects(t *testing.T) {
	s := &mem.Store{}
	commitOK(t, s, publishOK(t, s, exporting(t, "first")))
	commitOK(t, s, publishOK(t, s, simple(t, "second")), publishOK(t, s, simple(t, "third_x")))
	derivedRight(t, s)
	exports, err := conda.ParseRunExports(stored(t, s, "linux-64/"+runExportsName))
	if err != nil || string(exports.Get("first-1.0-0.conda")) != `{"weak":["first >=1.0,<2"]}` || string(exports.Get("second-1.0-0.conda")) != "{}" {
		t.Errorf("%v, %v", exports, err)
	}
	x := shardIndex(t, s)
	if x.Subdir != "linux-64" || x.BaseURL != "./" || x.ShardsBaseURL != "./shards/" || x.Shards["third_x"] == (shards.Sum{}) {
		t.Errorf("%+v", x)
	}
	if err := s.Delete(t.Context(), "linux-64/second-1.0-0.conda"); err != nil {
		t.Fatal(err)
	}
	reindexOK(t, s, Options{})
	derivedRight(t, s)
	if _, found := shardIndex(t, s).Shards["second"]; found {
		t.Error("a package that is gone has a shard")
	}
	for _, sub := range reindexOK(t, s, Options{Check: true}).Subdirs {
		if len(sub.Stale) > 0 {
			t.Errorf("%s: stale %q", sub.Subdir, sub.Stale)
		}
	}
}

// Whatever became of a derived object, a commit shows its own package in all
// that clients read, and a full reindex makes all of it right.
func TestEachDerivedObjectIsMended(t *testing.T) {
	spoil := map[string]func(t *testing.T, s *mem.Store, key string){
		"deleted": func(t *testing.T, s *mem.Store, key string) {
			if err := s.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		},
		"junk":    func(t *testing.T, s *mem.Store, key string) { putRaw(t, s, key, []byte("junk")) },
		"foreign": func(t *testing.T, s *mem.Store, key string) { putRaw(t, s, key, stored(t, s, key)) }, // without metadata
	}
	for _, name := range derivedNames {
		for how, do := range spoil {
			s := &mem.Store{}
			commitOK(t, s, publishOK(t, s, simple(t, "tool")), publishOK(t, s, exporting(t, "lib")))
			do(t, s, "linux-64/"+name)
			commitOK(t, s, publishOK(t, s, simple(t, "more")))
			if shardIndex(t, s).Shards["more"] == (shards.Sum{}) {
				t.Errorf("%s %s: the package has no shard", name, how)
			}
			reindexOK(t, s, Options{Full: true})
			derivedRight(t, s)
			if exports, _ := conda.ParseRunExports(stored(t, s, "linux-64/"+runExportsName)); len(slices.Collect(exports.Files())) != 3 {
				t.Errorf("%s %s: run_exports %v", name, how, exports)
			}
		}
	}
}

// A run that dies between the commit and the last derived object, at any of
// them, leaves a channel that the next run of any kind mends.
func TestDyingAnywhere(t *testing.T) {
	for _, mend := range []string{"commit", "reindex"} {
		for n := 1; ; n++ {
			s := &mem.Store{}
			commitOK(t, s, publishOK(t, s, simple(t, "tool")))
			p := publishOK(t, s, exporting(t, "lib"))
			var puts atomic.Int64
			s.Fault = func(string) (bool, error) {
				lands := puts.Add(1) < int64(n)
				return lands, map[bool]error{false: os.ErrDeadlineExceeded}[lands]
			}
			_, err := show(t.Context(), s, p)
			s.Fault = nil
			if err == nil {
				if n < 5 {
					t.Fatalf("%d writes", n)
				}
				break
			}
			if mend == "commit" {
				commitOK(t, s, p)
			} else {
				reindexOK(t, s, Options{})
			}
			if got := files(t, s, "linux-64"); len(got) != 2 {
				t.Errorf("%s after %d writes: %q", mend, n, got)
			}
			derivedRight(t, s)
		}
	}
}

// The grace of a shard begins when it is named no more, however old it is by then.
func TestOldShardsAreSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		commitOK(t, s, publishOK(t, s, simple(t, "tool")))
		time.Sleep(4 * shardGrace)
		count := func() (n int) {
			for _, err := range s.List(t.Context(), "linux-64/shards/", store.ListOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			return n
		}
		for i := range 3 { // each makes the shard of tool another
			commitOK(t, s, publishOK(t, s, makePackage(t, fmt.Sprintf("tool-1.0-%d.conda", i+1), index("tool", "1.0", i+1, "linux-64"), "x")))
		}
		reindexOK(t, s, Options{})
		if n := count(); n != 4 {
			t.Errorf("%d shards", n)
		}
		time.Sleep(shardGrace - time.Hour)
		reindexOK(t, s, Options{})
		if n := count(); n != 4 {
			t.Errorf("%d shards within the grace", n)
		}
		time.Sleep(2 * time.Hour)
		reindexOK(t, s, Options{})
		if n := count(); n != 4 {
			t.Errorf("%d shards: listed twice a day", n)
		}
		time.Sleep(sweepEvery)
		if r := reindexOK(t, s, Options{}).Subdirs[0]; count() != 1 || r.Swept != 3 {
			t.Errorf("%d shards, %+v", count(), r)
		}
		derivedRight(t, s)
	})
}

func TestAMissingShardIsWrittenAgain(t *testing.T) {
	for how, spoil := range map[string]func(s *mem.Store, key string){
		"deleted": func(s *mem.Store, key string) {
			if err := s.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		},
		"cut": func(s *mem.Store, key string) { putRaw(t, s, key, nil) },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &mem.Store{}
			commitOK(t, s, publishOK(t, s, simple(t, "tool")), publishOK(t, s, simple(t, "lib")))
			reindexOK(t, s, Options{})
			for _, later := range []time.Duration{sweepEvery + time.Hour, 0} { // a full run does not wait
				spoil(s, "linux-64/"+shardIndex(t, s).Shards["lib"].Key())
				r := reindexOK(t, s, Options{Check: true})
				if stale := r.Subdirs[0].Stale; len(stale) != 1 || !strings.HasPrefix(stale[0], "shards/") || !r.NeedsFull() {
					t.Errorf("%s: check says %q", how, stale)
				}
				time.Sleep(later)
				reindexOK(t, s, Options{Full: later == 0})
				derivedRight(t, s)
			}
			if r := reindexOK(t, s, Options{Check: true}); r.NeedsFull() {
				t.Errorf("%s: %+v", how, r)
			}
		})
	}
}

// The time of the first indexing stays, whoever rewrites the index (CEP 47).
func TestIndexedTimestamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{}
		in := index("tool", "1.0", 0, "linux-64")
		in["indexed_timestamp"] = 7 // not a builder's to set
		commitOK(t, s, publishOK(t, s, makePackage(t, "tool-1.0-0.conda", in, "x")))
		first := time.Now().UnixMilli()
		stamp := func() int64 {
			data, err := conda.ParseRepoData(stored(t, s, "linux-64/repodata.json"))
			if err != nil {
				t.Fatal(err)
			}
			record, _ := data.Record("tool-1.0-0.conda")
			return conda.Stamped(record)
		}
		time.Sleep(time.Hour)
		reindexOK(t, s, Options{Full: true})
		if got := stamp(); got != first {
			t.Fatalf("%d, want %d", got, first)
		}
		for name, spoilt := range map[string][]byte{
			"rewritten without it": bytes.ReplaceAll(stored(t, s, "linux-64/repodata.json"), fmt.Appendf(nil, `"indexed_timestamp":%d,`, first), nil),
			"made anew":            []byte(`{}`),
			"cut":                  []byte(`{"packages`),
		} {
			time.Sleep(time.Hour)
			putRaw(t, s, "linux-64/repodata.json", spoilt)
			reindexOK(t, s, Options{})
			if got := stamp(); got != first {
				t.Errorf("%s: %d, want %d", name, got, first)
			}
		}
	})
}

func TestPatchInstructions(t *testing.T) {
	s := &mem.Store{}
	commitOK(t, s, publishOK(t, s, simple(t, "tool")), publishOK(t, s, simple(t, "lib")), publishOK(t, s, simple(t, "old")))
	plain := stored(t, s, "linux-64/repodata.json")
	instructions := `{"packages.conda": {"tool-1.0-0.conda": {"depends": ["lib >=7"], "run_exports": {"weak": ["tool"]}}}, "remove": ["old-1.0-0.conda"], "revoke": ["lib-1.0-0.conda"]}`
	putRaw(t, s, "linux-64/"+patchName, []byte(instructions))
	reindexOK(t, s, Options{})
	check := func(when string) {
		t.Helper()
		text := string(stored(t, s, "linux-64/repodata.json"))
		for _, want := range []string{`"depends":["lib >=7"]`, `"revoked":true`, `"removed":["old-1.0-0.conda"]`} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %s in %s", when, want, text)
			}
		}
		if indexed(t, s, "linux-64")["old-1.0-0.conda"].Name != "" {
			t.Errorf("%s: what was removed is there", when)
		}
		derivedRight(t, s)
	}
	check("patched")
	if text := stored(t, s, "linux-64/"+unpatchedKey); anonymous(text) != anonymous(plain) {
		t.Errorf("unpatched: %s\nbefore: %s", text, plain)
	}
	puts := s.Counts()["put"]
	reindexOK(t, s, Options{})
	if n := s.Counts()["put"] - puts; n != 0 {
		t.Errorf("%d writes without a change", n)
	}
	commitOK(t, s, publishOK(t, s, simple(t, "new")))
	check("after a commit")
	reindexOK(t, s, Options{})
	check("after a reindex")
	if exports, _ := conda.ParseRunExports(stored(t, s, "linux-64/"+runExportsName)); string(exports.Get("tool-1.0-0.conda")) != `{"weak":["tool"]}` {
		t.Errorf("run_exports %v", exports)
	}

	for how, text := range map[string]string{"are cut": `{"packages`, "are none": `{"tool":{}}`} {
		putRaw(t, s, "linux-64/"+patchName, []byte(text))
		r := reindexOK(t, s, Options{})
		if len(r.Skipped) != 1 || !strings.Contains(r.Skipped[0].Reason, "correct it") {
			t.Errorf("%+v", r.Skipped)
		}
		check("with instructions that " + how)
	}

	putRaw(t, s, "linux-64/"+patchName, []byte(strings.Replace(instructions, `"remove": ["old-1.0-0.conda"], `, "", 1)))
	reindexOK(t, s, Options{})
	if got := files(t, s, "linux-64"); len(got) != 4 {
		t.Errorf("with others, that remove nothing: %q", got)
	}
	putRaw(t, s, "linux-64/"+patchName, []byte(instructions))
	reindexOK(t, s, Options{})
	check("with the first again")

	removeOK(t, s, Options{}, "linux-64/lib-1.0-0.conda")
	reindexOK(t, s, Options{})
	var all map[string]any
	if err := json.Unmarshal(stored(t, s, "linux-64/repodata.json"), &all); err != nil {
		t.Fatal(err)
	}
	delete(all, "removed") // as rattler-index does
	all["packages.conda"].(map[string]any)["lib-1.0-0.conda"] = all["packages.conda"].(map[string]any)["tool-1.0-0.conda"]
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	putRaw(t, s, "linux-64/repodata.json", text)
	if r := reindexOK(t, s, Options{}).Subdirs; r[0].Removed != nil || slices.Contains(files(t, s, "linux-64"), "lib-1.0-0.conda") {
		t.Errorf("what was removed, listed by another: %+v", r)
	}
	if _, err := Restore(t.Context(), s, []string{"linux-64/lib-1.0-0.conda"}, Options{}); err != nil {
		t.Fatal(err)
	}
	reindexOK(t, s, Options{})

	if err := s.Delete(t.Context(), "linux-64/"+patchName); err != nil {
		t.Fatal(err)
	}
	reindexOK(t, s, Options{})
	if got := files(t, s, "linux-64"); len(got) != 4 || bytes.Contains(stored(t, s, "linux-64/repodata.json"), []byte("revoked")) {
		t.Errorf("without instructions: %s", stored(t, s, "linux-64/repodata.json"))
	}
	derivedRight(t, s)
}

// Old clients read current_repodata.json first: where there is one it is kept
// right, by commits too.
func TestCurrentRepodata(t *testing.T) {
	s := &mem.Store{}
	commitOK(t, s, publishOK(t, s, simple(t, "tool")))
	putRaw(t, s, "linux-64/"+currentName, []byte("{}"))
	right := func(when string) {
		t.Helper()
		data, err := conda.ParseRepoData(stored(t, s, "linux-64/repodata.json"))
		if err != nil || !bytes.Equal(stored(t, s, "linux-64/"+currentName), data.Current().Encode().Bytes()) {
			t.Errorf("%s: %s, %v", when, stored(t, s, "linux-64/"+currentName), err)
		}
	}
	reindexOK(t, s, Options{})
	right("after a reindex")
	commitOK(t, s, publishOK(t, s, simple(t, "lib")))
	right("after a commit")
	other := &mem.Store{}
	commitOK(t, other, publishOK(t, other, simple(t, "tool")))
	if _, exists, err := head(t.Context(), other, "linux-64/"+currentName); exists || err != nil {
		t.Errorf("made unasked: %v", err)
	}
	reindexOK(t, other, Options{Current: true})
	if s = other; len(stored(t, s, "linux-64/"+currentName)) == 0 {
		t.Error("not made")
	}
	right("when it was asked for")
}

// Clients ask for compressed files of another indexer before they ask for ours:
// where there are such they are kept right, by commits too, until somebody deletes
// them.
func TestCompressedFilesOfAnotherIndexer(t *testing.T) {
	s := &mem.Store{}
	commitOK(t, s, publishOK(t, s, exporting(t, "tool")))
	of := map[string]string{}
	for name, m := range makers {
		if m.kept {
			of[name] = strings.TrimSuffix(name, zstdEnding)
			putRaw(t, s, "linux-64/"+name, []byte("old"))
		}
	}
	putRaw(t, s, "linux-64/"+currentName, []byte("{}"))
	right := func(when string) {
		t.Helper()
		for name, plain := range of {
			if got := unpacked(t, stored(t, s, "linux-64/"+name)); !bytes.Equal(got, stored(t, s, "linux-64/"+plain)) {
				t.Errorf("%s: %s is of another text: %s", when, name, got)
			}
		}
		stale := reindexOK(t, s, Options{Check: true}).Subdirs[0].Stale
		reindexOK(t, s, Options{}) // after a commit it has to learn
		puts := s.Counts()["put"]
		reindexOK(t, s, Options{})
		if n := s.Counts()["put"] - puts; stale != nil || n != 0 {
			t.Errorf("%s: stale %q, and %d writes without a change", when, stale, n)
		}
	}
	if stale := reindexOK(t, s, Options{Check: true}).Subdirs[0].Stale; len(stale) != 1+len(of) {
		t.Errorf("stale %q, want %v and %s", stale, of, currentName)
	}
	reindexOK(t, s, Options{})
	right("after a reindex")
	commitOK(t, s, publishOK(t, s, exporting(t, "lib")))
	right("after a commit")
	for name := range of {
		putRaw(t, s, "linux-64/"+name, []byte("old"))
		reindexOK(t, s, Options{})
		right("once only " + name + " was old")
	}
	for name := range of {
		if err := s.Delete(t.Context(), "linux-64/"+name); err != nil {
			t.Fatal(err)
		}
	}
	commitOK(t, s, publishOK(t, s, simple(t, "more")))
	reindexOK(t, s, Options{})
	for name := range of {
		if _, exists, err := head(t.Context(), s, "linux-64/"+name); exists || err != nil {
			t.Errorf("%s was deleted, and made again: %v", name, err)
		}
	}
	of = nil
	right("after they were deleted")
}

// unpacked is what a compressed file has.
func unpacked(t *testing.T, packed []byte) []byte {
	t.Helper()
	text, err := archive.Unzstd(packed, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A first run that dies anywhere leaves a channel of which the commit of another
// package makes all of the index, so that readers of shards lose nothing.
func TestACommitMendsADeadRunOfAnother(t *testing.T) {
	for n := 1; ; n++ {
		s := &mem.Store{}
		publishOK(t, s, simple(t, "tool"))
		publishOK(t, s, exporting(t, "lib"))
		var puts atomic.Int64
		s.Fault = func(string) (bool, error) {
			lands := puts.Add(1) < int64(n)
			return lands, map[bool]error{false: os.ErrDeadlineExceeded}[lands]
		}
		_, err := Reindex(t.Context(), s, Options{})
		s.Fault = nil
		commitOK(t, s, publishOK(t, s, simple(t, "more")))
		if got := files(t, s, "linux-64"); len(got) != 3 {
			t.Errorf("after %d writes: %q", n-1, got)
		}
		derivedRight(t, s)
		for _, sub := range reindexOK(t, s, Options{Check: true}).Subdirs {
			if len(sub.Stale) > 0 {
				t.Errorf("after %d writes, %s: stale %q", n-1, sub.Subdir, sub.Stale)
			}
		}
		if err == nil {
			if n < 8 {
				t.Fatalf("%d writes", n)
			}
			return
		}
	}
}

// Another indexer keeps its shards elsewhere: a commit leaves none of its
// packages out of the index of shards that it writes.
func TestACommitAfterShardsThatLieElsewhere(t *testing.T) {
	s := channelOf(t, 1000)
	x := shardIndex(t, s)
	x.ShardsBaseURL = ""
	putRaw(t, s, "linux-64/"+shards.IndexName, archive.Zstd(x.Encode()))
	commitOK(t, s, publishOK(t, s, simple(t, "tool")))
	if got := shardIndex(t, s); len(got.Shards) != 101 {
		t.Errorf("%d shards", len(got.Shards))
	}
	derivedRight(t, s)
}

// A channel of another indexer with a hundred names costs a commit no hundred
// shards.
func TestACommitLeavesForeignShardsAlone(t *testing.T) {
	s := channelOf(t, 1000)
	x := stored(t, s, "linux-64/"+shards.IndexName)
	putRaw(t, s, "linux-64/"+shards.IndexName, append(bytes.Clone(x), 0))
	putRaw(t, s, "linux-64/"+shards.IndexName, x)
	puts := s.Counts()["put"]
	commitOK(t, s, publishOK(t, s, simple(t, "tool")))
	if n := s.Counts()["put"] - puts; n > 7 {
		t.Errorf("%d writes", n)
	}
	if got := shardIndex(t, s); len(got.Shards) != 101 || got.Shards["tool"] == (shards.Sum{}) {
		t.Errorf("%d shards", len(got.Shards))
	}
}

func TestV3PackagesAreKeptFromOldClients(t *testing.T) {
	s := &mem.Store{}
	in := index("tool", "1.0", 0, "linux-64")
	in["schema_version"] = 3
	commitOK(t, s, publishOK(t, s, makePackage(t, "tool-1.0-0.conda", in, "x")), publishOK(t, s, simple(t, "lib")))
	var all struct {
		Conda map[string]json.RawMessage            `json:"packages.conda"`
		V3    map[string]map[string]json.RawMessage `json:"v3"`
	}
	for range 2 {
		if err := json.Unmarshal(stored(t, s, "linux-64/repodata.json"), &all); err != nil || len(all.Conda) != 1 || all.V3["conda"]["tool-1.0-0"] == nil {
			t.Errorf("%s, %v", stored(t, s, "linux-64/repodata.json"), err)
		}
		derivedRight(t, s)
		if r := reindexOK(t, s, Options{Full: true}).Subdirs[0]; r.Packages != 2 || r.Removed != nil || r.Added != nil {
			t.Errorf("%+v", r)
		}
	}
}

// Another indexer leaves such packages in the older maps, or in both: a reindex
// files them, also those that it need not look into.
func TestV3PackagesOfAnotherIndexerAreFiled(t *testing.T) {
	s := &mem.Store{}
	in := index("tool", "1.0", 0, "linux-64")
	in["extra_depends"] = map[string][]string{"gui": {"qt"}}
	commitOK(t, s, publishOK(t, s, makePackage(t, "tool-1.0-0.conda", in, "x")), publishOK(t, s, simple(t, "lib")))
	data, err := conda.ParseRepoData(stored(t, s, "linux-64/repodata.json"))
	if err != nil {
		t.Fatal(err)
	}
	tool, lib := data.V3["conda"]["tool-1.0-0"], "lib-1.0-0.conda"
	data.Other["info"] = json.RawMessage(`{"subdir":"linux-64","repodata_revisions":{"v3":{}}}`)
	for record, move := range map[string]func(){
		"in the older map": func() { data.Delete("tool-1.0-0.conda"); data.PackagesConda.Set("tool-1.0-0.conda", tool) },
		"in both": func() {
			record, _ := data.Record(lib)
			data.V3 = map[string]map[string]json.RawMessage{"conda": {"tool-1.0-0": tool, "lib-1.0-0": record}}
			data.PackagesConda.Set("tool-1.0-0.conda", tool)
		},
	} {
		move()
		putRaw(t, s, "linux-64/repodata.json", data.Encode().Bytes())
		sub := reindexOK(t, s, Options{}).Subdirs[0]
		got, err := conda.ParseRepoData(stored(t, s, "linux-64/repodata.json"))
		if err != nil || sub.Packages != 2 || got.PackagesConda.Len() != 1 || got.V3["conda"]["tool-1.0-0"] == nil || len(got.V3["conda"]) != 1 {
			t.Errorf("%s: %+v, %s, %v", record, sub, got.Encode().Bytes(), err)
		}
		if !bytes.Contains(stored(t, s, "linux-64/repodata.json"), []byte(`"repodata_revisions":{"v3":{"n_packages":1,`)) {
			t.Errorf("%s: info is %s", record, got.Other["info"])
		}
		derivedRight(t, s)
	}
}

// Of kinds that nobody stores in a channel, such as wheels that lie elsewhere, the
// records stay, in the shards as well.
func TestV3RecordsOfOtherKindsAreInTheShards(t *testing.T) {
	s := &mem.Store{}
	commitOK(t, s, publishOK(t, s, simple(t, "tool")))
	data, err := conda.ParseRepoData(stored(t, s, "linux-64/repodata.json"))
	if err != nil {
		t.Fatal(err)
	}
	record := json.RawMessage(`{"build":"py3_none_any_0","build_number":0,"depends":[],"name":"Wheel","size":1,"url":"https://x/w.whl","version":"1.0"}`)
	data.V3 = map[string]map[string]json.RawMessage{"whl": {"Wheel-1.0-py3_none_any_0": record}}
	data.Other["info"] = json.RawMessage(`{"subdir":"linux-64"}`)
	putRaw(t, s, "linux-64/repodata.json", data.Encode().Bytes())
	for range 2 {
		reindexOK(t, s, Options{Full: true})
		sum, found := shardIndex(t, s).Shards["wheel"]
		if !found {
			t.Fatal("no shard has the wheel")
		}
		shard := stored(t, s, "linux-64/"+sum.Key())
		if text, err := archive.Unzstd(shard, 1<<20); err != nil || !bytes.Contains(text, []byte("https://x/w.whl")) {
			t.Errorf("%q, %v", text, err)
		}
		commitOK(t, s, publishOK(t, s, simple(t, "other")))
	}
}

// The folder door keeps metadata beside objects: the same must hold there.
func TestDerivedInAFolder(t *testing.T) {
	root := t.TempDir()
	s := dir.Open(root)
	commitOK(t, s, publishOK(t, s, exporting(t, "first")))
	commitOK(t, s, publishOK(t, s, simple(t, "second")))
	reindexOK(t, s, Options{})
	derivedRight(t, s)
	before := snapshot(t, root)
	reindexOK(t, s, Options{})
	if after := snapshot(t, root); !maps.Equal(before, after) {
		t.Error("a run without a change wrote something")
	}
}

// snapshot is every file below root with the time of its last change.
func snapshot(t *testing.T, root string) map[string]time.Time {
	t.Helper()
	all := map[string]time.Time{}
	err := filepath.Walk(root, func(path string, st os.FileInfo, err error) error {
		if err == nil && st.Mode().IsRegular() {
			all[path] = st.ModTime()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
