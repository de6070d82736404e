package indexer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"

	"github.com/condaworker/condaworker/store"
)

// removedName is where a subdir keeps when packages were removed from its
// index: an index has no room for that.
const removedName = ".condaworker-removed.json"

// removal is of one package that is in the index no more and whose object is
// still there.
type removal struct {
	At int64 `json:"at"` // in seconds since 1970

	// Deleting says that the object is about to be deleted, or is deleted: from
	// now on the package cannot be restored.
	Deleting bool `json:"deleting,omitempty"`
}

// removals are by file name.
type removals map[string]removal

// readRemovals reads them. Those that cannot be understood count from anew.
func (r *run) readRemovals(ctx context.Context) (removals, *object, error) {
	o, err := r.read(ctx, removedName)
	if err != nil {
		return nil, nil, err
	}
	var file struct{ Files removals }
	if o.exists {
		if err := json.Unmarshal(o.text, &file); err != nil {
			r.warn(fmt.Sprintf("%s/%s is broken and is made anew: %v", r.subdir, removedName, err))
		}
	}
	if file.Files == nil {
		file.Files = removals{}
	}
	return file.Files, o, nil
}

// noteRemovals changes them, and writes them if they have changed.
func (r *run) noteRemovals(ctx context.Context, change func(removals) error) error {
	for attempt := 1; ; attempt++ {
		all, o, err := r.readRemovals(ctx)
		if err != nil {
			return err
		}
		before := maps.Clone(all)
		if err := change(all); err != nil || maps.Equal(before, all) {
			return err
		}
		text, err := json.Marshal(map[string]removals{"files": all})
		if err != nil {
			return err
		}
		_, err = r.s.Put(ctx, r.subdir+"/"+removedName, bytes.NewReader(text), store.PutOptions{Cond: o.over(), ContentType: "application/json"})
		if !errors.Is(err, store.ErrConflict) || attempt == attempts {
			return err
		}
		if err := store.Backoff(ctx, attempt); err != nil {
			return err
		}
	}
}

// forget takes files out that are restored.
func (all removals) forget(files []string, subdir string) error {
	for _, file := range files {
		if all[file].Deleting {
			return fmt.Errorf("restore %s/%s: it is being deleted; build it again, with another build number: %w", subdir, file, fs.ErrNotExist)
		}
		delete(all, file)
	}
	return nil
}
