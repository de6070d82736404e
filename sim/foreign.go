package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/condaworker/condaworker/conda"
)

// indexAsOthers is an indexer without conditions and without a lock: it lists,
// and a while later it overwrites repodata.json with what it saw. What others
// committed meanwhile is lost until one of ours runs again.
func (w *worker) indexAsOthers() {
	draw := w.draw(request{method: "foreign"})
	for range 1 + draw.IntN(3) {
		for _, subdir := range []string{"noarch", "linux-64"} {
			text := w.world.listed(subdir)
			time.Sleep(time.Duration(draw.Int64N(int64(time.Minute))))
			q := request{method: http.MethodPut, key: subdir + "/repodata.json", header: http.Header{}, query: map[string]string{}, body: text}
			w.world.note(w, q, byOthers, w.world.serve(q).status)
		}
		time.Sleep(time.Duration(draw.Int64N(int64(5 * time.Minute))))
	}
}

// listed is an index of what is stored in the subdir now, and nothing else.
func (w *world) listed(subdir string) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	data := conda.NewRepoData(subdir)
	for _, key := range slices.Sorted(maps.Keys(w.bucket.objects)) {
		file, below := strings.CutPrefix(key, subdir+"/")
		if !below || !strings.HasSuffix(file, ".conda") {
			continue
		}
		data.Set(file, json.RawMessage(w.bucket.objects[key].header.Get("X-Amz-Meta-Package-Record")))
	}
	return data.Encode().Bytes()
}

// take notes that a package is taken out of the index, or is to be there again.
func (w *world) take(p Package, out bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taken[p.Key] = out
	if !out {
		w.restored[p.Key] = true
		w.checkVisible("S1 at a restore's success", []Package{p})
	}
}

// checkTaken holds that a removed package is in no index any more, and is
// listed as removed.
func (w *world) checkTaken(p Package) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.foreign {
		return
	}
	w.out[p.Key] = true
	subdir, file, _ := strings.Cut(p.Key, "/")
	for form, has := range map[string]func(subdir, file string) error{"repodata.json": w.inJSON, "repodata.json.zst": w.inZstd} {
		if has(subdir, file) == nil {
			w.wrong("%s is removed and still in %s", p.Key, form)
		}
	}
	if err := w.inRemoved(subdir, file); err != nil {
		w.wrong("%s is not listed as removed: %v", p.Key, err)
	}
}

// mayReturn notes that a restore of p begins.
func (w *world) mayReturn(p Package) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out[p.Key] = false
}

// mayStay notes that p was not taken out, since no index had it.
func (w *world) mayStay(p Package) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.restored[p.Key] = true
}

// corrected is the licence that instructions give.
const corrected = "corrected"

// correct notes that p is corrected, and holds that clients see it so.
func (w *world) correct(p Package) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.patched[p.Key] = true
	w.checkCorrect("at success", p.Key)
}

func (w *world) checkCorrect(when, key string) {
	subdir, file, _ := strings.Cut(key, "/")
	data, err := conda.ParseRepoData(w.bucket.objects[subdir+"/repodata.json"].body)
	if err != nil {
		w.wrong("%s: %v", when, err)
		return
	}
	var record struct{ License string }
	if raw, found := data.Record(file); !found || json.Unmarshal(raw, &record) != nil || record.License != corrected {
		w.wrong("%s: %s has the licence %q and not that of its instructions", when, key, record.License)
	}
}

func (w *world) inRemoved(subdir, file string) error {
	data, err := conda.ParseRepoData(w.bucket.objects[subdir+"/repodata.json"].body)
	if err == nil && !slices.Contains(data.Removed, file) {
		err = fmt.Errorf("in removed it is %w", errNotThere)
	}
	return err
}
