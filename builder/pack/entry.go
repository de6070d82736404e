package pack

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// entry is a file or symlink of the package: what was known before it was
// read, and what reading it showed.
type entry struct {
	path   string      // slash-separated, in the prefix
	stat   fs.FileInfo // when the packing began
	target string      // of a symlink, as it is in the package

	size     int64  // of the content; of a symlink that of what it leads to
	sha256   string // of the content, lower-case hex
	binary   bool   // the content has a NUL byte
	prefixed bool   // the content has the placeholder, and gets a record
}

func (e *entry) isLink() bool { return e.stat.Mode()&fs.ModeSymlink != 0 }

// list looks at each of Files once: its size decides how the archive is laid
// out, and a change between this look and the reading is an error.
func (p *packer) list() error {
	files := slices.Sorted(slices.Values(p.Files))
	for _, f := range slices.Compact(files) {
		e, err := p.look(f)
		if err != nil {
			return err
		}
		if strings.HasPrefix(f, "info/") {
			p.info = append(p.info, f)
			continue
		}
		p.entries = append(p.entries, e)
		p.byPath[f] = e
	}
	return nil
}

func (p *packer) look(f string) (*entry, error) {
	switch {
	case !utf8.ValidString(f) || strings.ContainsAny(f, "\n\r"):
		return nil, fmt.Errorf("rename the file %q: a package's lists of files cannot hold such a name", f)
	case !fs.ValidPath(f) || f == ".":
		return nil, fmt.Errorf("%q is not a path below the prefix", f)
	}
	stat, err := os.Lstat(p.disk(f))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f, err)
	}
	e := &entry{path: f, stat: stat}
	switch {
	case stat.Mode().IsRegular():
		e.size = stat.Size()
		return e, nil
	case e.isLink():
		e.target, err = p.linkTarget(f)
		return e, err
	}
	return nil, fmt.Errorf("%s is neither a file nor a symlink: a package cannot hold it", f)
}

func (p *packer) disk(f string) string { return filepath.Join(p.Prefix, filepath.FromSlash(f)) }

// linkTarget is the target that f has in the package: relative if it lies in
// the prefix, as it is if it lies outside of the build (conda-build's rules).
func (p *packer) linkTarget(f string) (string, error) {
	target, err := os.Readlink(p.disk(f))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", f, err)
	}
	slashed := filepath.ToSlash(target)
	if !filepath.IsAbs(target) && fs.ValidPath(path.Join(path.Dir(f), slashed)) {
		return slashed, nil // it never leaves the prefix, not even on its way
	}
	absolute := target
	if !filepath.IsAbs(target) {
		absolute = filepath.Join(filepath.Dir(p.disk(f)), target)
	}
	for _, prefix := range []string{p.Prefix, p.resolved} {
		if inside, ok := below(prefix, absolute); ok {
			from := filepath.FromSlash(path.Dir(f))
			relative, err := filepath.Rel(from, inside)
			return filepath.ToSlash(relative), err
		}
	}
	if _, ok := below(p.Forbidden, absolute); ok && p.Forbidden != "" {
		return "", fmt.Errorf("%s is a symlink to %s, which is gone after the build: install the file itself, or link to its copy in $PREFIX", f, target)
	}
	return slashed, nil
}

// below returns name relative to dir if it is dir or below it.
func below(dir, name string) (string, bool) {
	relative, err := filepath.Rel(dir, name)
	return relative, err == nil && filepath.IsLocal(relative)
}

// follow fills in what paths.json says of a symlink: hash and size of the file
// that it leads to. A link that leads to nothing, to a folder, or out of the
// prefix has those of an empty file: what lies outside differs from machine to
// machine.
func (p *packer) follow(e *entry) error {
	e.sha256, e.size = emptySHA256, 0
	end, err := filepath.EvalSymlinks(p.disk(e.path))
	if err != nil {
		return nil // it leads to nothing
	}
	inside, ok := below(p.resolved, end)
	if !ok {
		return nil
	}
	if to := p.byPath[filepath.ToSlash(inside)]; to != nil {
		e.sha256, e.size = to.sha256, to.size
		return nil
	}
	stat, err := os.Lstat(end)
	if err != nil || !stat.Mode().IsRegular() {
		return err
	}
	other := &entry{path: filepath.ToSlash(inside), stat: stat, size: stat.Size()} // a dependency's file
	buf := make([]byte, pieceSize)
	nowhere := sink{take: func() ([]byte, error) { return buf, nil }, give: func([]byte) error { return nil }}
	if err := p.read(other, nowhere); err != nil {
		return err
	}
	e.sha256, e.size = other.sha256, other.size
	return nil
}
