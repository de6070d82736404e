package indexer

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store/mem"
)

// walk is a channel to which anything is done in any order, and what its index must
// say once it was reindexed.
type walk struct {
	t       *testing.T
	s       *mem.Store
	rng     *rand.Rand
	made    []string        // packages so far, in order
	stored  map[string]bool // by file
	removed map[string]bool // by hand
	hidden  map[string]bool // by the instructions
	revoked map[string]bool // likewise
	log     []string
}

// TestAnyOrderOfVerbs does what users and other indexers do to a channel with patch
// instructions, in random orders, and compares what each reindex makes of it with
// what is stored, removed and instructed.
func TestAnyOrderOfVerbs(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 15
	}
	for seed := range seeds {
		w := &walk{
			t: t, s: &mem.Store{}, rng: rand.New(rand.NewPCG(uint64(seed), 1)), //nolint:gosec // to be repeated
			stored: map[string]bool{}, removed: map[string]bool{}, hidden: map[string]bool{}, revoked: map[string]bool{},
		}
		w.publish()
		w.reindex()
		for range 25 {
			steps := []func(){w.publish, w.remove, w.restore, w.prune, w.instruct, w.noInstructions, w.rewrite, w.lose, w.reindex, w.reindex}
			steps[w.rng.IntN(len(steps))]()
		}
		w.reindex()
		if t.Failed() {
			t.Fatalf("seed %d: %q", seed, w.log)
		}
	}
}

func (w *walk) did(what, file string) { w.log = append(w.log, what+" "+file) }

// any is one of the files that are so, "" if none is.
func (w *walk) any(is func(file string) bool) string {
	var fit []string
	for _, file := range w.made {
		if is(file) {
			fit = append(fit, file)
		}
	}
	if fit == nil {
		return ""
	}
	return fit[w.rng.IntN(len(fit))]
}

func (w *walk) publish() {
	name := fmt.Sprintf("p%d", len(w.made))
	p := publishOK(w.t, w.s, simple(w.t, name))
	file := name + "-1.0-0.conda"
	w.made, w.stored[file] = append(w.made, file), true
	w.did("publish", file)
	if w.rng.IntN(2) == 0 {
		commitOK(w.t, w.s, p)
		w.did("commit", file)
	}
}

func (w *walk) listed() *conda.RepoData {
	data, err := readIndex(w.t.Context(), w.s, "linux-64")
	if err != nil {
		w.t.Fatal(err)
	}
	return data
}

func (w *walk) remove() {
	data := w.listed()
	file := w.any(func(file string) bool {
		_, found := data.Record(file)
		return found
	})
	if file == "" {
		return
	}
	w.did("remove", file)
	removeOK(w.t, w.s, Options{}, "linux-64/"+file)
	w.removed[file] = true
}

func (w *walk) restore() {
	file := w.any(func(file string) bool { return w.removed[file] && w.stored[file] })
	if file == "" {
		return
	}
	w.did("restore", file)
	_, err := Restore(w.t.Context(), w.s, []string{"linux-64/" + file}, Options{})
	if (err != nil) != w.hidden[file] { // instructions would take it out again
		w.t.Errorf("restore %s: %v", file, err)
	}
	if err == nil {
		delete(w.removed, file)
	}
}

// prune deletes at once what was removed by hand.
func (w *walk) prune() {
	w.did("prune", "")
	if _, err := Prune(w.t.Context(), w.s, PruneOptions{}, Options{}); err != nil {
		w.t.Errorf("prune: %v", err)
	}
	for file := range w.removed {
		delete(w.stored, file)
	}
}

func (w *walk) instruct() {
	w.hidden, w.revoked = map[string]bool{}, map[string]bool{}
	for _, file := range w.made {
		switch w.rng.IntN(4) {
		case 0:
			w.hidden[file] = true
		case 1:
			w.revoked[file] = true
		}
	}
	text, err := json.Marshal(map[string]any{"patch_instructions_version": 1, "remove": slices.Sorted(maps.Keys(w.hidden)), "revoke": slices.Sorted(maps.Keys(w.revoked))})
	if err != nil {
		w.t.Fatal(err)
	}
	w.did("instruct", string(text))
	putRaw(w.t, w.s, "linux-64/"+patchName, text)
	w.reindex()
}

func (w *walk) noInstructions() {
	w.did("no instructions", "")
	w.hidden, w.revoked = map[string]bool{}, map[string]bool{}
	if err := w.s.Delete(w.t.Context(), "linux-64/"+patchName); err != nil {
		w.t.Fatal(err)
	}
	w.reindex()
}

// rewrite is another indexer, or a hand, that writes the index and knows nothing of
// its metadata.
func (w *walk) rewrite() {
	w.did("rewrite", "")
	putRaw(w.t, w.s, "linux-64/repodata.json", append(stored(w.t, w.s, "linux-64/repodata.json"), '\n'))
}

// lose deletes an object by hand.
func (w *walk) lose() {
	file := w.any(func(file string) bool { return w.stored[file] && !w.removed[file] })
	if file == "" || len(w.stored) < 3 {
		return
	}
	w.did("lose", file)
	if err := w.s.Delete(w.t.Context(), "linux-64/"+file); err != nil {
		w.t.Fatal(err)
	}
	delete(w.stored, file)
}

// reindex also compares.
func (w *walk) reindex() {
	w.did("reindex", "")
	reindexOK(w.t, w.s, Options{Full: w.rng.IntN(4) == 0})
	var want []string
	for _, file := range w.made {
		if w.stored[file] && !w.removed[file] && !w.hidden[file] {
			want = append(want, file)
		}
	}
	slices.Sort(want)
	if got := files(w.t, w.s, "linux-64"); !slices.Equal(got, want) {
		w.t.Fatalf("%q\nindexed %q\nwant    %q", w.log, got, want)
	}
	data := w.listed()
	for file, record := range data.All() {
		var r struct{ Revoked bool }
		if err := json.Unmarshal(record, &r); err != nil || r.Revoked != w.revoked[file] {
			w.t.Errorf("%q: %s is revoked: %v, %v", w.log, file, r.Revoked, err)
		}
	}
	for _, file := range w.made {
		out := w.stored[file] && (w.removed[file] || w.hidden[file])
		if out && !slices.Contains(data.Removed, file) {
			w.t.Errorf("%q: %s is not listed as removed: %q", w.log, file, data.Removed)
		}
	}
	derivedRight(w.t, w.s)
}
