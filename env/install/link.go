package install

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// prefix is the folder that is being installed to.
type prefix struct {
	dir      string // absolute, as the caller gave it: what goes into files
	resolved string // without symlinks: what every write is held against
	root     *os.Root
	parents  map[string]string // folders by their path in the prefix, resolved
	owners   map[string]string // dist by path
	names    map[string]string // dist by package name
	python   *python           // nil without one
	copies   bool              // the cache is on another device
}

// openPrefix makes the prefix if it is missing, and learns what is in it.
func openPrefix(dir string) (*prefix, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(resolved)
	if err != nil {
		return nil, err
	}
	l := &prefix{
		dir: dir, resolved: resolved, root: root,
		parents: map[string]string{}, owners: map[string]string{}, names: map[string]string{},
	}
	if err := errors.Join(root.MkdirAll("conda-meta", 0o755), l.readOwners()); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return l, nil
}

func (l *prefix) close() { _ = l.root.Close() } // nothing is written through it any more

// readOwners learns which package each path belongs to.
func (l *prefix) readOwners() error {
	records, err := fs.Glob(l.root.FS(), "conda-meta/*.json")
	if err != nil {
		return err
	}
	for _, name := range records {
		text, err := fs.ReadFile(l.root.FS(), name)
		if err != nil {
			return err
		}
		var record struct {
			Name         string   `json:"name"`
			Version      string   `json:"version"`
			SitePackages string   `json:"python_site_packages_path"`
			Files        []string `json:"files"`
		}
		if err := json.Unmarshal(text, &record); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		dist := strings.TrimSuffix(path.Base(name), ".json")
		l.names[record.Name] = dist
		if record.Name == "python" {
			if l.python, err = newPython(record.Version, record.SitePackages); err != nil {
				return fmt.Errorf("read %s: %w", name, err)
			}
		}
		for _, f := range record.Files {
			l.owners[f] = dist
		}
	}
	return nil
}

// claim says whether u may be installed, and takes its paths.
func (l *prefix) claim(u *unpacked) error {
	name, _ := u.index["name"].(string)
	if u.index["noarch"] == "python" {
		if err := l.python.layOut(u); err != nil {
			return fmt.Errorf("install %s: %w", u.dist, err)
		}
	}
	if other, ok := l.names[name]; ok {
		return fmt.Errorf("install %s: the prefix has %s already", u.dist, other)
	}
	l.names[name] = u.dist
	for _, p := range u.paths {
		if p.PathType == directory {
			continue
		}
		if other, ok := l.owners[p.Path]; ok {
			return fmt.Errorf("%s and %s both have the file %s: they cannot be installed together", other, u.dist, p.Path)
		}
		l.owners[p.Path] = u.dist
	}
	return nil
}

// install links u's files and then its symlinks, so that no file of its own
// is written through one of them, and records it in conda-meta.
func (l *prefix) install(ctx context.Context, u *unpacked) error {
	for _, links := range []bool{false, true} {
		for i := range u.paths {
			if (u.paths[i].PathType == softlink) != links {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := l.place(u, &u.paths[i]); err != nil {
				return err
			}
		}
	}
	return l.writeRecord(u)
}

func (l *prefix) place(u *unpacked, p *pathEntry) error {
	if p.PathType == directory {
		_, err := l.parent(p.Path)
		return err
	}
	parent, err := l.parent(path.Dir(p.Path))
	if err != nil {
		return err
	}
	from := filepath.Join(u.dir, filepath.FromSlash(cmp.Or(p.source, p.Path)))
	to := filepath.Join(parent, path.Base(p.Path))
	switch {
	case p.PathType == entryPoint:
		err = l.writeProgram(to, p)
	case p.PathType == softlink:
		var target string
		if target, err = os.Readlink(from); err == nil {
			err = os.Symlink(target, to)
		}
	case p.Placeholder != "":
		err = l.rewrite(from, to, p)
	case p.NoLink:
		err = copyFile(from, to)
	default:
		err = l.link(from, to)
	}
	if p.PathType == hardlink && p.Placeholder == "" {
		p.SHA256InPrefix = p.SHA256
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is in the prefix already and belongs to no package: remove it", p.Path)
	}
	return err
}

// parent makes the folder dir of the prefix and returns where it really is. A
// symlink of another package on the way is followed (lib64 to lib), but never
// out of the prefix.
func (l *prefix) parent(dir string) (string, error) {
	if at, ok := l.parents[dir]; ok {
		return at, nil
	}
	if err := l.root.MkdirAll(filepath.FromSlash(dir), 0o755); err != nil {
		return "", fmt.Errorf("make folder %s: %w", dir, err)
	}
	at, err := filepath.EvalSymlinks(filepath.Join(l.resolved, filepath.FromSlash(dir)))
	if err != nil {
		return "", err
	}
	if inside, err := filepath.Rel(l.resolved, at); err != nil || !filepath.IsLocal(inside) {
		return "", fmt.Errorf("the folder %s leads out of the prefix, to %s", dir, at)
	}
	l.parents[dir] = at
	return at, nil
}

func (l *prefix) link(from, to string) error {
	if !l.copies {
		err := os.Link(from, to)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return err
		}
		// Another device, a file system without hard links, or too many of them.
	}
	if err := copyFile(from, to); err != nil {
		return err
	}
	l.copies = true
	return nil
}

// rewrite copies a file and replaces the prefix that it was built in.
func (l *prefix) rewrite(from, to string, p *pathEntry) error {
	replace, into := replaceText, filepath.ToSlash(l.dir)
	switch p.FileMode {
	case "text":
	case "binary":
		replace, into = replaceBinary, l.dir
	default:
		return fmt.Errorf("%s has the unknown file_mode %q", p.Path, p.FileMode)
	}
	var sum hash.Hash
	err := copyWith(from, to, func(w io.Writer, r io.Reader) error {
		sum = sha256.New()
		return replace(io.MultiWriter(w, sum), r, []byte(p.Placeholder), []byte(into))
	})
	if err != nil {
		return fmt.Errorf("replace the prefix in %s: %w", p.Path, err)
	}
	p.SHA256InPrefix = hex.EncodeToString(sum.Sum(nil))
	return nil
}

func copyFile(from, to string) error {
	return copyWith(from, to, func(w io.Writer, r io.Reader) error {
		_, err := io.Copy(w, r)
		return err
	})
}

// copyWith makes the new file to with the mode and time of from.
func copyWith(from, to string, copied func(io.Writer, io.Reader) error) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	stat, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, stat.Mode().Perm())
	if err != nil {
		return err
	}
	err = copied(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return os.Chtimes(to, stat.ModTime(), stat.ModTime())
}
