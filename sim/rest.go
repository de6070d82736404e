package sim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/store"
)

// door is the bucket without a network: what is done once every worker is
// done meets no fault, so that it need not travel through the SDK.
type door struct{ w *world }

var _ store.Store = door{}

func (d door) Get(_ context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	o, exists := d.w.bucket.objects[key]
	if !exists {
		return nil, store.Info{}, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	size := int64(len(o.body))
	if off < 0 {
		off = max(0, size+off)
	}
	body := o.body[min(off, size):]
	if n >= 0 {
		body = body[:min(n, int64(len(body)))]
	}
	in := o.info(key)
	in.Meta = map[string]string{}
	for name, values := range o.header {
		in.Meta[strings.ToLower(name[len("X-Amz-Meta-"):])] = values[0]
	}
	return io.NopCloser(bytes.NewReader(body)), in, nil
}

func (o object) info(key string) store.Info {
	return store.Info{Key: key, Size: int64(len(o.body)), Version: o.etag, Modified: o.modified}
}

func (d door) List(_ context.Context, prefix string, o store.ListOptions) iter.Seq2[store.Info, error] {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	var all []store.Info
	for _, key := range slices.Sorted(maps.Keys(d.w.bucket.objects)) {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok || key <= o.After {
			continue
		}
		in := d.w.bucket.objects[key].info(key)
		if folder, _, below := strings.Cut(rest, "/"); below && o.Shallow {
			in = store.Info{Key: prefix + folder + "/"}
		}
		if n := len(all); n == 0 || all[n-1].Key != in.Key {
			all = append(all, in)
		}
	}
	return func(yield func(store.Info, error) bool) {
		for _, in := range all {
			if !yield(in, nil) {
				return
			}
		}
	}
}

func (d door) Put(ctx context.Context, key string, body io.ReadSeeker, o store.PutOptions) (store.Info, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return store.Info{}, err
	}
	q := request{method: http.MethodPut, key: key, header: http.Header{}, body: text}
	switch o.Cond {
	case store.Always:
	case store.IfAbsent:
		q.header.Set("If-None-Match", "*")
	default:
		q.header.Set("If-Match", string(o.Cond))
	}
	for name, value := range o.Meta {
		q.header.Set("X-Amz-Meta-"+name, value)
	}
	a := d.w.serve(q)
	if there, in, err := d.Get(ctx, key, 0, -1); a.status != http.StatusOK && err == nil {
		if was, err := io.ReadAll(there); err == nil && bytes.Equal(was, text) {
			return in, nil
		}
	}
	if a.status != http.StatusOK {
		return store.Info{}, fmt.Errorf("%s: %w", key, store.ErrConflict)
	}
	return store.Info{Key: key, Size: int64(len(text)), Version: a.header.Get("Etag"), Meta: o.Meta}, nil
}

func (d door) Delete(_ context.Context, key string) error {
	d.w.serve(request{method: http.MethodDelete, key: key})
	return nil
}

// atRest checks the channel once every worker is done and every request has
// landed, and that one more run finds nothing but what late requests left.
func (w *world) atRest() {
	w.mu.Lock()
	w.checkVisible("S1 at rest", w.acked)
	w.mu.Unlock()
	_, err := indexer.Reindex(w.t.Context(), door{w}, options(0))
	var r indexer.Report
	if err == nil {
		check := options(0)
		check.Check = true
		r, err = indexer.Reindex(w.t.Context(), door{w}, check)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.wrong("L4: the last reindex: %v", err)
	}
	for _, sub := range r.Subdirs {
		if len(sub.Added)+len(sub.Updated)+len(sub.Mended)+len(sub.Removed)+len(sub.Stale) > 0 {
			w.wrong("L4: the index does not agree with what is stored: %+v", sub)
		}
	}
	w.foreign = false // from here on the index is ours again
	w.checkKept()
	for key := range w.patched {
		w.checkCorrect("at rest", key)
	}
}

// checkKept holds that whatever is stored is in the index, or listed as removed
// because somebody removed it, and that what is not stored was pruned.
func (w *world) checkKept() {
	acked := map[string]bool{}
	for _, p := range w.acked {
		acked[p.Key] = true
	}
	for _, p := range w.given {
		subdir, file, _ := strings.Cut(p.Key, "/")
		_, stored := w.bucket.objects[p.Key]
		switch {
		case !stored && acked[p.Key] && (!w.taken[p.Key] || !w.prunes):
			w.wrong("L4: %s is gone", p.Key)
		case stored && w.taken[p.Key] && !w.restored[p.Key]: // whatever others made of it
			if w.inRemoved(subdir, file) != nil || w.inJSON(subdir, file) == nil {
				w.wrong("L4: %s was removed and is back", p.Key)
			}
		case stored && (w.taken[p.Key] || w.others && w.restored[p.Key]): // others bring bytes back upon which an old removal may land
			if w.inRemoved(subdir, file) != nil && w.inJSON(subdir, file) != nil {
				w.wrong("L4: %s is neither in the index nor listed as removed", p.Key)
			}
		case stored:
			w.checkVisible("L4", []Package{p})
		}
	}
}
