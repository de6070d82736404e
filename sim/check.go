package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/shards"
)

var errNotThere = errors.New("not there")

// checkLock holds S4: epochs rise, and each is one holder's.
func (w *world) checkLock(o object) {
	var r struct {
		Epoch int64  `json:"epoch"`
		Nonce string `json:"nonce"`
	}
	if json.Unmarshal(o.body, &r) != nil {
		var epoch int64
		if _, err := fmt.Sscanf(string(o.body), "#condaworker-lock v2 free epoch=%d", &epoch); err != nil || epoch != w.epoch {
			w.wrong("S4: tombstone %q after epoch %d", o.body, w.epoch)
		}
		return
	}
	if r.Epoch < w.epoch || r.Epoch == w.epoch && r.Nonce != w.nonce {
		w.wrong("S4: epoch %d of %s follows %d of %s", r.Epoch, r.Nonce, w.epoch, w.nonce)
	}
	w.epoch, w.nonce = r.Epoch, r.Nonce
}

// checkNew holds S6: where a text comes twice, a write over the first that was
// lost can land on the second. What indexers of another make write may do so.
func (w *world) checkNew(key string, o object) {
	text := key + " " + o.etag
	if w.texts[text] && !w.foreign {
		w.wrong("S6: a text of %s comes twice", key)
	}
	w.texts[text] = true
}

// checkCommit holds S0 and S2: nothing is lost, and all that is named is there.
// Of what an indexer of another make writes it is not expected, nor of what is
// committed upon that.
func (w *world) checkCommit(subdir string, before, after object, existed bool, condition string) {
	now, err := conda.ParseRepoData(after.body)
	if err != nil {
		w.wrong("S3: %v", err)
		return
	}
	if w.foreign {
		return
	}
	if condition == "" {
		w.wrong("S0: %s/repodata.json is written without a condition", subdir)
	}
	if existed {
		w.checkSuccessor(subdir, before, now)
	}
	for file, record := range now.All() {
		if w.out[subdir+"/"+file] {
			w.wrong("S6: %s/%s was removed and is back", subdir, file)
		}
		o, stored := w.bucket.objects[subdir+"/"+file]
		var r conda.Record
		if err := json.Unmarshal(record, &r); err != nil || !stored || r.Size != int64(len(o.body)) || r.SHA256 != w.sum(subdir+"/"+file) {
			w.wrong("S2: the record of %s/%s is of no stored package: %s, %v", subdir, file, record, err)
		}
	}
}

// checkSuccessor holds S0: what leaves the records is listed as removed because
// somebody removed it, and stays so until it comes back or is deleted.
func (w *world) checkSuccessor(subdir string, before object, now *conda.RepoData) {
	was, err := conda.ParseRepoData(before.body)
	if err != nil {
		w.wrong("S3: %v", err)
		return
	}
	for file := range was.All() {
		_, found := now.Record(file)
		listed := w.taken[subdir+"/"+file] && slices.Contains(now.Removed, file)
		if !found && !listed {
			w.wrong("S0: %s/%s is lost", subdir, file)
		}
	}
	for _, file := range was.Removed {
		_, back := now.Record(file)
		if _, stored := w.bucket.objects[subdir+"/"+file]; stored && !back && !slices.Contains(now.Removed, file) {
			w.wrong("S0: that %s/%s was removed is forgotten", subdir, file)
		}
	}
}

// checkDeletion holds that only packages which somebody removed are deleted,
// and none that the index names.
func (w *world) checkDeletion(subdir, file string) {
	switch {
	case strings.HasPrefix(file, shards.Folder+"/"):
		w.wrong("%s/%s is deleted within a week", subdir, file)
	case !w.taken[subdir+"/"+file]:
		w.wrong("%s/%s is deleted, and nobody removed it", subdir, file)
	case !w.foreign && w.inJSON(subdir, file) == nil:
		w.wrong("S2: %s/%s is deleted and still in the index", subdir, file)
	}
}

func (w *world) sum(key string) string {
	for _, p := range w.packages {
		if p.Key == key {
			return p.SHA256
		}
	}
	return ""
}

// excused tells whether an index object need not have a package: run_exports.json
// has what ours looked into, and not what another indexer found first.
func (w *world) excused(form string) bool { return form == "run_exports.json" && w.others }

// checkVisible holds S1 for packages: every index object has them.
func (w *world) checkVisible(when string, packages []Package) {
	for _, p := range packages {
		if w.foreign || w.taken[p.Key] {
			continue
		}
		subdir, file, _ := strings.Cut(p.Key, "/")
		for form, has := range map[string]func(subdir, file string) error{
			"repodata.json": w.inJSON, "repodata.json.zst": w.inZstd, "run_exports.json": w.inRunExports, "shards": w.inShards,
		} {
			if err := has(subdir, file); err != nil && !w.excused(form) {
				w.wrong("%s: %s in %s: %v", when, p.Key, form, err)
			}
		}
	}
}

func has(text []byte, file string) error {
	data, err := conda.ParseRepoData(text)
	if err != nil {
		return err
	}
	if _, found := data.Record(file); !found {
		return errNotThere
	}
	return nil
}

func (w *world) inJSON(subdir, file string) error {
	return has(w.bucket.objects[subdir+"/repodata.json"].body, file)
}

func (w *world) inZstd(subdir, file string) error {
	text, err := archive.Unzstd(w.bucket.objects[subdir+"/repodata.json.zst"].body, 1<<20)
	if err != nil {
		return err
	}
	return has(text, file)
}

func (w *world) inRunExports(subdir, file string) error {
	all, err := conda.ParseRunExports(w.bucket.objects[subdir+"/run_exports.json"].body)
	if err == nil && all.Get(file) == nil {
		err = errNotThere
	}
	return err
}

// inShards takes a subdir without an index of shards for right: its clients
// read repodata.json.
func (w *world) inShards(subdir, file string) error {
	packed, exists := w.bucket.objects[subdir+"/"+shards.IndexName]
	if !exists {
		return nil
	}
	text, err := archive.Unzstd(packed.body, 1<<20)
	if err != nil {
		return err
	}
	x, err := shards.ParseIndex(text)
	if err != nil {
		return err
	}
	name, err := conda.ParseFileName(file)
	if err != nil {
		return err
	}
	packed, stored := w.bucket.objects[subdir+"/"+x.Shards[name.Name].Key()]
	if !stored {
		return fmt.Errorf("its shard is %w", errNotThere)
	}
	shard, err := archive.Unzstd(packed.body, 1<<20)
	if err == nil && !strings.Contains(string(shard), file) {
		err = errNotThere
	}
	return err
}
