package pack

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Scan lists the files and symlinks of prefix that are not in before, sorted
// bytewise and slash-separated. Folders are not listed, so empty ones vanish.
// Left out is what no package should hold (the rules of conda-build and
// rattler-build): conda-meta, .conda_trash*, .git, .DS_Store*, *.la, *.pyo,
// share/info/dir, rattler's CACHEDIR.TAG, and *.pyc of modules that are in
// before. Sockets, FIFOs and devices are an error.
func Scan(prefix string, before map[string]bool) ([]string, error) {
	var files []string
	err := filepath.WalkDir(prefix, func(full string, d fs.DirEntry, err error) error {
		if err != nil || full == prefix {
			return err
		}
		name, err := filepath.Rel(prefix, full)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		switch {
		case dropped(name, before):
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir() || before[name]:
		case !d.Type().IsRegular() && d.Type()&fs.ModeSymlink == 0:
			return fmt.Errorf("%s is a %s: a package holds files and symlinks only; remove it at the end of the build script", name, kind(d.Type()))
		default:
			files = append(files, name)
		}
		return nil
	})
	slices.Sort(files)
	return files, err
}

func dropped(name string, before map[string]bool) bool {
	base := path.Base(name)
	switch path.Ext(base) {
	case ".la", ".pyo":
		return true
	case ".pyc":
		return before[sourceOf(name)]
	}
	return name == "conda-meta" || name == "share/info/dir" || name == "CACHEDIR.TAG" || base == ".git" ||
		strings.HasPrefix(base, ".DS_Store") || strings.HasPrefix(base, ".conda_trash")
}

// sourceOf is the module that a .pyc was compiled from (PEP 3147), e.g.
// lib/a.py for lib/__pycache__/a.cpython-311.opt-1.pyc.
func sourceOf(name string) string {
	dir, base := path.Split(name)
	if cache, ok := strings.CutSuffix(dir, "__pycache__/"); ok {
		module, _, _ := strings.Cut(base, ".")
		return cache + module + ".py"
	}
	return strings.TrimSuffix(name, "c")
}

func kind(m fs.FileMode) string {
	switch {
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeNamedPipe != 0:
		return "FIFO"
	}
	return "device"
}
