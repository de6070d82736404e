package sim

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/shards"
	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/s3"
)

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

// checkCommit holds S0 and S2: nothing is lost, and all that is named is there.
func (w *world) checkCommit(subdir string, before, after object, existed bool, condition string) {
	if condition == "" {
		w.wrong("S0: %s/repodata.json is written without a condition", subdir)
	}
	now, err := conda.ParseRepoData(after.body)
	if err != nil {
		w.wrong("S3: %v", err)
		return
	}
	if existed {
		was, err := conda.ParseRepoData(before.body)
		if err != nil {
			w.wrong("S3: %v", err)
			return
		}
		for file := range was.All() {
			if _, found := now.Record(file); !found {
				w.wrong("S0: %s/%s is lost", subdir, file)
			}
		}
	}
	for file, record := range now.All() {
		o, stored := w.bucket.objects[subdir+"/"+file]
		var r conda.Record
		if err := json.Unmarshal(record, &r); err != nil || !stored || r.Size != int64(len(o.body)) || r.SHA256 != w.sum(subdir+"/"+file) {
			w.wrong("S2: the record of %s/%s is of no stored package: %s, %v", subdir, file, record, err)
		}
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

// checkVisible holds S1 for packages: every index object has them.
func (w *world) checkVisible(when string, packages []Package) {
	for _, p := range packages {
		subdir, file, _ := strings.Cut(p.Key, "/")
		for form, has := range map[string]func(subdir, file string) error{
			"repodata.json": w.inJSON, "repodata.json.zst": w.inZstd, "run_exports.json": w.inRunExports, "shards": w.inShards,
		} {
			if err := has(subdir, file); err != nil {
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
	if err == nil && all[file] == nil {
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

// atRest checks the channel once every worker is done and every request has
// landed, and that one more run finds nothing but what late requests left.
func (w *world) atRest(left []Package) {
	w.mu.Lock()
	w.checkVisible("S1 at rest", w.acked)
	w.rate = 0
	w.mu.Unlock()
	k := &worker{world: w, id: -1, made: map[string]int{}}
	k.life, k.kill = w.t.Context(), func() {}
	ctx := store.WithChance(k.life, k.chance)
	s, err := s3.Open(ctx, s3.Options{Bucket: "bucket", Env: map[string]string{"AWS_ENDPOINT_URL": "http://s3"}, HTTP: k})
	if err == nil {
		_, err = indexer.Reindex(ctx, s, indexer.Options{Concurrency: 1})
	}
	var r indexer.Report
	if err == nil {
		r, err = indexer.Reindex(ctx, s, indexer.Options{Concurrency: 1, Check: true})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.wrong("L4: the last reindex: %v", err)
	}
	for _, sub := range r.Subdirs {
		if len(sub.Added)+len(sub.Updated)+len(sub.Removed)+len(sub.Stale) > 0 {
			w.wrong("L4: the index does not agree with what is stored: %+v", sub)
		}
	}
	for _, p := range w.given(left) {
		if _, stored := w.bucket.objects[p.Key]; stored {
			w.checkVisible("L4", []Package{p})
		}
	}
}
