package indexer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store"
)

// removedName is where a subdir keeps when packages were removed from its
// index: an index has no room for that.
const removedName = ".condaworker-removed.json"

// removal is of one package that is in the index no more and whose object is
// still there, or was a short while ago.
type removal struct {
	At int64 `json:"at"` // in seconds since 1970

	// Deleting says that the object is about to be deleted, or is deleted: from
	// now on the package cannot be restored.
	Deleting bool `json:"deleting,omitempty"`

	// Deleted is when the object was deleted, in seconds since 1970, 0 before. What
	// is stored under its name again cannot be restored for a while: a request to
	// delete the first one that was lost could still land, and take the second.
	Deleted int64 `json:"deleted,omitempty"`
}

// landsWithin is how long after it was sent a request may land: S3 takes none
// whose signature is fifteen minutes old. The rest is for clocks that are off.
const landsWithin = time.Hour

// ending tells whether the object is being deleted, or may be once more.
func (was removal) ending(now time.Time) bool {
	return was.Deleting && (was.Deleted == 0 || now.Sub(time.Unix(was.Deleted, 0)) < landsWithin)
}

// removals are by file name.
type removals map[string]removal

// removalFile is the object that keeps them.
type removalFile struct {
	// Edit counts the writes, so that no text comes twice. An ETag may be a hash
	// of the text: over a text that came back, a write that was lost, and lands
	// when its writer has long gone on, would undo what was done since.
	Edit  int64    `json:"edit"`
	Files removals `json:"files"`

	// Records are those that the removed had, as their packages have them but for what
	// a hand changed: a restore brings that back. They are apart from Files so that one
	// outlives a restore that dies before it comes to the index.
	Records map[string]json.RawMessage `json:"records,omitempty"`
}

// readRemovals reads them. Those that cannot be understood count from anew.
func (r *run) readRemovals(ctx context.Context) (removalFile, *object, error) {
	o, err := r.read(ctx, removedName)
	if err != nil {
		return removalFile{}, nil, err
	}
	var file removalFile
	if o.exists {
		if err := json.Unmarshal(o.text, &file); err != nil {
			r.warn(fmt.Sprintf("%s/%s is broken and is made anew: %v", r.subdir, removedName, err))
			file = removalFile{Edit: r.now().UnixNano()} // behind every count that was there
		}
	}
	if file.Files == nil {
		file.Files = removals{}
	}
	if file.Records == nil {
		file.Records = map[string]json.RawMessage{}
	}
	return file, o, nil
}

// noteRemovals changes them, and writes them if they have changed, or in any case
// when a write that is still under way must not land any more.
func (r *run) noteRemovals(ctx context.Context, inAnyCase bool, change func(removalFile) error) error {
	for attempt := 1; ; attempt++ {
		file, o, err := r.readRemovals(ctx)
		if err != nil {
			return err
		}
		before := removalFile{Files: maps.Clone(file.Files), Records: maps.Clone(file.Records)}
		if err := change(file); err != nil || !inAnyCase && before.same(file) {
			return err
		}
		file.Edit++
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false) // records stay as they are
		if err := e.Encode(file); err != nil {
			return err
		}
		_, err = r.s.Put(ctx, r.subdir+"/"+removedName, bytes.NewReader(text.Bytes()), store.PutOptions{Cond: o.over(), ContentType: "application/json"})
		if !errors.Is(err, store.ErrConflict) || attempt == attempts {
			return err
		}
		if err := store.Backoff(ctx, attempt); err != nil {
			return err
		}
	}
}

// same tells whether two say the same of the removed.
func (f removalFile) same(other removalFile) bool {
	return maps.Equal(f.Files, other.Files) && maps.EqualFunc(f.Records, other.Records, func(x, y json.RawMessage) bool { return bytes.Equal(x, y) })
}

// add notes files that are about to be taken out of the index, and the records that
// they have there. One that is taken out already has none there, and keeps the noted one.
func (f removalFile) add(files []string, records map[string]json.RawMessage, now time.Time) {
	for _, file := range files {
		was := f.Files[file]
		was.At = now.Unix()
		f.Files[file] = was
	}
	maps.Copy(f.Records, records)
}

// settle makes the removals agree with an index in which files were just changed:
// what a prune or another command made of the index that was there before would
// let a removed package come back, or a restored one go. Each attempt reads the
// index after the removals, and writes in any case, so that whoever read them
// before the index was changed meets a conflict. An index of another indexer, who finds
// all that is stored, says nothing of what is meant to be out. records are those that
// the caller took out.
func (r *run) settle(ctx context.Context, files []string, records map[string]json.RawMessage) error {
	return r.noteRemovals(ctx, true, func(all removalFile) error {
		data, err := readIndex(ctx, r.s, r.subdir)
		if err != nil {
			return err
		}
		for _, file := range files {
			was, noted := all.Files[file]
			_, indexed := data.Record(file)
			switch {
			case indexed && data.HasEdition() && !was.Deleting:
				delete(all.Files, file)
				delete(all.Records, file)
			case !noted && slices.Contains(data.Removed, file):
				all.Files[file] = removal{At: r.now().Unix()}
				if record := records[file]; record != nil {
					all.Records[file] = record
				}
			}
		}
		return nil
	})
}

// dropRecords leaves those that a restore may ask for: of packages that are not about
// to be deleted, or that data lists as removed since a restore died on the way to it.
func (f removalFile) dropRecords(data *conda.RepoData) {
	removed := setOf(data.Removed)
	maps.DeleteFunc(f.Records, func(file string, _ json.RawMessage) bool {
		was, noted := f.Files[file]
		return was.Deleting || !noted && !removed[file]
	})
}

// forget takes files out that are restored.
func (all removals) forget(files []string, subdir string, now time.Time) error {
	if err := all.mayReturn(files, subdir, now); err != nil {
		return err
	}
	for _, file := range files {
		delete(all, file)
	}
	return nil
}

// mayReturn is an error if a file is being deleted, or may be once more.
func (all removals) mayReturn(files []string, subdir string, now time.Time) error {
	for _, file := range files {
		if all[file].ending(now) {
			return fmt.Errorf("restore %s/%s: it was deleted less than an hour ago, or is about to be: build it again with another build number, or wait: %w", subdir, file, fs.ErrNotExist)
		}
	}
	return nil
}
