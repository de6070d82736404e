package env

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env/install"
	"github.com/condaworker/condaworker/store/dir"
)

// workplace is the prefix that one call of Create works on, and no other process.
type workplace struct {
	dir   string
	free  func() error // gives the lock back: the folder itself, which leaves no lock file behind
	fresh bool         // it was made for this call
}

// openWorkplace makes the prefix if it is missing, waits until nobody else works on it,
// and sets right what a killed run left there.
func openWorkplace(ctx context.Context, prefix string) (*workplace, error) {
	_, err := os.Lstat(prefix)
	w := &workplace{dir: prefix, fresh: errors.Is(err, fs.ErrNotExist)}
	for w.free == nil {
		if err := makePrefix(prefix); err != nil {
			return nil, err
		}
		w.free, err = dir.LockFolder(ctx, prefix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a failed run removes the folder that it made
			return nil, err
		}
	}
	if err := install.Recover(prefix); err != nil {
		return nil, errors.Join(err, w.free())
	}
	return w, nil
}

func makePrefix(prefix string) error {
	if err := os.MkdirAll(prefix, 0o755); err != nil {
		return fmt.Errorf("make the prefix: %w; name one that this user can make", err)
	}
	return nil
}

// close lets the next process at the prefix. A folder that was made for nothing is
// removed.
func (w *workplace) close() error {
	if w.fresh {
		_ = os.Remove(w.dir) // it is not empty when all went well
	}
	return w.free()
}

// difference says what has to come and to leave (by name), so that the prefix has
// exactly these records. Anything in it but these is an error, or with update anything
// but an environment: nothing else of the user's is ever replaced.
func (w *workplace) difference(records []conda.Record, update bool) (come []conda.Record, leave []string, err error) {
	entries, err := os.ReadDir(w.dir)
	if err != nil || len(entries) == 0 {
		return records, nil, err
	}
	if _, err := os.Stat(filepath.Join(w.dir, "conda-meta", "history")); err != nil {
		return nil, nil, fmt.Errorf("the prefix %s is not empty and no conda environment: name another one", w.dir)
	}
	installed, err := Installed(w.dir)
	if err != nil {
		return nil, nil, err
	}
	come, leave = difference(installed, records)
	if len(come)+len(leave) > 0 && !update {
		return nil, nil, fmt.Errorf("the prefix %s has an environment of other packages: remove it, name another one, or change it by env create --update", w.dir)
	}
	return come, leave, nil
}

// difference says which records come, and the names of those that leave. Where python
// moves its modules, packages that are laid out for it come again.
func difference(installed, wanted []conda.Record) (come []conda.Record, leave []string) {
	stays := map[string]bool{} // by name
	python, next := pythonOf(installed), pythonOf(wanted)
	modules := same(python, next) || modulesOf(python) == modulesOf(next) // stay where they are
	for _, r := range wanted {
		i := slices.IndexFunc(installed, func(other conda.Record) bool { return same(r, other) })
		if i >= 0 && (modules || r.Noarch != "python" && installed[i].Noarch != "python") {
			stays[installed[i].Name] = true
		} else {
			come = append(come, r)
		}
	}
	for _, r := range installed {
		if !stays[r.Name] {
			leave = append(leave, r.Name)
		}
	}
	return come, leave
}

// pythonOf is the python among records.
func pythonOf(records []conda.Record) conda.Record {
	for _, r := range records {
		if r.Name == "python" {
			return r
		}
	}
	return conda.Record{}
}

// modulesOf is a python's series, e.g. 3.12, and where it keeps its modules.
func modulesOf(python conda.Record) string {
	series := strings.Join(strings.SplitN(python.Version+"..", ".", 3)[:2], ".")
	return series + " " + cmp.Or(python.SitePackages, "lib/python"+series+"/site-packages")
}

// Installed returns the records of conda-meta, by name. A prefix without that
// folder has none.
func Installed(prefix string) ([]conda.Record, error) {
	files, err := fs.Glob(os.DirFS(prefix), "conda-meta/*.json")
	if err != nil {
		return nil, err
	}
	var records []conda.Record
	for _, file := range files {
		file = filepath.Join(prefix, filepath.FromSlash(file))
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
		if i := slices.IndexFunc(records, func(other conda.Record) bool { return other.Name == r.Name }); i >= 0 {
			return nil, fmt.Errorf("read %s: %s is installed twice, also as %s %s: another client was ended in the middle; the prefix is broken: remove it", file, r.Name, records[i].Version, records[i].Build)
		}
		records = append(records, r)
	}
	return records, nil
}

// same compares file names, and hashes where both have one: old channels have none.
func same(a, b conda.Record) bool {
	differ := func(a, b string) bool { return a != b && a != "" && b != "" }
	return a.Subdir == b.Subdir && a.FileName == b.FileName && !differ(a.SHA256, b.SHA256) && !differ(a.MD5, b.MD5)
}

// Has tells whether a prefix has exactly these records.
func Has(prefix string, records []conda.Record) (bool, error) {
	installed, err := Installed(prefix)
	come, leave := difference(installed, records)
	return err == nil && len(come)+len(leave) == 0, err
}
