package env

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/store/dir"
)

// unfinished lies in a prefix while it is being made. What a killed run left
// beside it is nobody's, for the prefix was empty when it was written.
const unfinished = ".condaworker-unfinished"

// workplace is the prefix that one call of Create works on, and no other process.
type workplace struct {
	dir   string
	free  func() error // gives the lock back: the folder itself, which leaves no lock file behind
	fresh bool         // it was made for this call
}

// openWorkplace makes the prefix if it is missing, waits until nobody else works on it,
// and throws away what a killed run left there.
func openWorkplace(ctx context.Context, prefix string) (*workplace, error) {
	_, err := os.Lstat(prefix)
	w := &workplace{dir: prefix, fresh: errors.Is(err, fs.ErrNotExist)}
	for w.free == nil {
		if err := os.MkdirAll(prefix, 0o755); err != nil {
			return nil, err
		}
		w.free, err = dir.LockFolder(ctx, prefix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a failed run removes the folder that it made
			return nil, err
		}
	}
	if _, err := os.Lstat(filepath.Join(prefix, unfinished)); err == nil {
		err = w.empty()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("remove what an interrupted run left in %s: %w", prefix, err), w.free())
		}
	}
	return w, nil
}

// empty removes all that is in the prefix, the mark last.
func (w *workplace) empty() error {
	entries, err := os.ReadDir(w.dir)
	for _, e := range entries {
		if e.Name() != unfinished {
			err = errors.Join(err, os.RemoveAll(filepath.Join(w.dir, e.Name())))
		}
	}
	if err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(w.dir, unfinished)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// holds tells whether the prefix has exactly these records already. Anything
// else in it is an error: nothing of the user's is ever replaced.
func (w *workplace) holds(records []conda.Record) (bool, error) {
	entries, err := os.ReadDir(w.dir)
	if err != nil || len(entries) == 0 {
		return false, err
	}
	if _, err := os.Stat(filepath.Join(w.dir, "conda-meta", "history")); err != nil {
		return false, fmt.Errorf("the prefix %s is not empty and no conda environment: name another one", w.dir)
	}
	same, err := Has(w.dir, records)
	if err == nil && !same {
		err = fmt.Errorf("the prefix %s has an environment of other packages: remove it, or name another one", w.dir)
	}
	return same, err
}

// fill runs the installation. When that fails the prefix is as it was before.
func (w *workplace) fill(install func() error) error {
	mark := filepath.Join(w.dir, unfinished)
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return err
	}
	if err := install(); err != nil {
		err = errors.Join(err, w.empty())
		if w.fresh {
			_ = os.Remove(w.dir) // an empty folder that stays harms nobody
		}
		return err
	}
	return os.Remove(mark)
}

// Installed returns the records of conda-meta, by name. A prefix without that
// folder has none.
func Installed(prefix string) ([]conda.Record, error) {
	files, err := filepath.Glob(filepath.Join(prefix, "conda-meta", "*.json"))
	if err != nil {
		return nil, err
	}
	var records []conda.Record
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // the user's prefix
		if err != nil {
			return nil, err
		}
		var place struct {
			FileName string `json:"fn"`
			Channel  string `json:"channel"`
		}
		var r conda.Record
		if err := errors.Join(json.Unmarshal(text, &r), json.Unmarshal(text, &place)); err != nil {
			return nil, fmt.Errorf("read %s: %w; the prefix is broken: remove it", file, err)
		}
		r.FileName, r.Channel = place.FileName, place.Channel
		records = append(records, r)
	}
	return records, nil
}

// Has tells whether a prefix has exactly these records.
func Has(prefix string, records []conda.Record) (bool, error) {
	installed, err := Installed(prefix)
	return err == nil && sameRecords(installed, records), err
}

// sameRecords compares file names, and hashes where both have one: old channels
// have none.
func sameRecords(a, b []conda.Record) bool {
	hashes := map[string]string{}
	for _, r := range a {
		hashes[r.Subdir+"/"+r.FileName] = r.SHA256
	}
	for _, r := range b {
		hash, found := hashes[r.Subdir+"/"+r.FileName]
		if !found || hash != r.SHA256 && hash != "" && r.SHA256 != "" {
			return false
		}
	}
	return len(a) == len(b)
}
