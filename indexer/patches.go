package indexer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/store"
)

// maxPatch bounds what is read of one patch_instructions.json in bytes.
const maxPatch = 256 << 20

// ReadPatches reads patch instructions by subdir: from a package or archive
// (.conda, .tar.bz2) or a folder that has <subdir>/patch_instructions.json, as
// conda-index and rattler-index take them, or from one such file (.json), which
// is for the subdirs given. An error names the file and the place in it.
func ReadPatches(from string, subdirs []string) (map[string][]byte, error) {
	at, err := os.Stat(from)
	if err != nil {
		return nil, fmt.Errorf("read patch instructions: %w", err)
	}
	var found map[string][]byte
	switch {
	case at.IsDir():
		found, err = patchesInFolder(from)
	case strings.HasSuffix(from, ".json"):
		found, err = patchesInFile(from, subdirs)
	case isPackage(from):
		found, err = patchesInArchive(from, at.Size())
	default:
		err = errors.New("it is none of a folder, a .json, a .conda or a .tar.bz2; a generator in Python has to be run first, and its result given as a folder with <subdir>/" + patchName)
	}
	if err == nil && len(found) == 0 {
		err = errors.New("it has no <subdir>/" + patchName)
	}
	if err != nil {
		return nil, fmt.Errorf("read patch instructions from %s: %w", from, err)
	}
	for subdir, text := range found {
		if _, err := conda.ParsePatch(text); err != nil {
			return nil, fmt.Errorf("%s: %s/%s: %w", from, subdir, patchName, err)
		}
	}
	return found, nil
}

func patchesInFile(from string, subdirs []string) (map[string][]byte, error) {
	if len(subdirs) == 0 {
		return nil, errors.New("one file is for one subdir: say which with --subdir")
	}
	text, err := os.ReadFile(from) //nolint:gosec // the user's own file
	if err != nil {
		return nil, err
	}
	found := map[string][]byte{}
	for _, subdir := range subdirs {
		found[subdir] = text
	}
	return found, nil
}

func patchesInFolder(from string) (map[string][]byte, error) {
	files, err := filepath.Glob(filepath.Join(escapeGlob(from), "*", patchName))
	if err != nil {
		return nil, err
	}
	found := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // the user's own file
		if err != nil {
			return nil, err
		}
		found[filepath.Base(filepath.Dir(file))] = text
	}
	return found, nil
}

// escapeGlob takes the meaning from the characters that filepath.Glob knows.
func escapeGlob(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
}

func patchesInArchive(from string, size int64) (found map[string][]byte, err error) {
	f, err := os.Open(from) //nolint:gosec // the user's own file
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	found = map[string][]byte{}
	err = archive.Walk(f, size, filepath.Base(from), func(e archive.Entry, r io.Reader) error {
		subdir, name := path.Split(e.Name)
		if subdir = path.Clean(subdir); name != patchName || subdir == "." || strings.Contains(subdir, "/") {
			return nil
		}
		text, err := io.ReadAll(io.LimitReader(r, maxPatch+1))
		if err == nil && len(text) > maxPatch {
			err = fmt.Errorf("%s is larger than %d MB", e.Name, maxPatch>>20)
		}
		found[subdir] = text
		return err
	})
	return found, err
}

// warnOfPatches names the subdirs whose instructions come into no index.
func (o *Options) warnOfPatches(indexed []string) {
	idle := slices.DeleteFunc(slices.Sorted(maps.Keys(o.Patches)), func(subdir string) bool { return slices.Contains(indexed, subdir) })
	if len(idle) > 0 && o.Warn != nil {
		o.Warn(fmt.Sprintf("the patch instructions for %s are not put in place: what is indexed is %s", strings.Join(idle, ", "), strings.Join(indexed, ", ")))
	}
}

// instruct puts the instructions that the run was given in the place of the
// subdir's own. From then on every run follows them.
func (r *run) instruct(ctx context.Context) error {
	text, given := r.o.Patches[r.subdir]
	if !given || r.o.Check {
		return nil
	}
	there, err := r.read(ctx, patchName)
	if err != nil || there.exists && bytes.Equal(there.text, text) {
		return err
	}
	_, err = r.s.Put(ctx, r.subdir+"/"+patchName, bytes.NewReader(text), store.PutOptions{
		Cond: there.over(), ContentType: "application/json", CacheControl: indexCache,
	})
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("store patch instructions: %w", err)
	}
	return err
}
