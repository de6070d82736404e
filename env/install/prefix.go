package install

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/condaworker/condaworker/conda"
)

// prefix is the folder that is being installed to.
type prefix struct {
	dir      string // absolute, as the caller gave it: what goes into files
	resolved string // without symlinks: what every write is held against
	root     *os.Root
	fresh    bool     // there was nothing in it
	parents  sync.Map // folders by their path in the prefix, resolved
	packages []*installed
	python   *python      // nil without one
	way      atomic.Int32 // how files come from the cache: byClone, byLink, byCopy
}

// installed is a package that conda-meta knows.
type installed struct {
	file    string // e.g. conda-meta/zlib-1.3-h1_0.json
	name    string
	subdir  string
	channel string
	version string
	site    string // of python
	depends []string
	number  int
	paths   []pathEntry
	record  map[string]json.RawMessage // all of the file
}

func (i *installed) dist() string { return strings.TrimSuffix(path.Base(i.file), ".json") }

// openPrefix makes the prefix if it is missing, sets right what a killed run left,
// and learns what is in it.
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
	l := &prefix{dir: dir, resolved: resolved, root: root}
	if err := errors.Join(resume(root), l.read()); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return l, nil
}

func (l *prefix) close() { _ = l.root.Close() } // nothing is written through it any more

// read learns which packages are there, and whether anything is.
func (l *prefix) read() error {
	entries, err := fs.ReadDir(l.root.FS(), ".")
	if err != nil || len(entries) == 0 {
		l.fresh = err == nil
		return err
	}
	records, err := fs.Glob(l.root.FS(), "conda-meta/*.json")
	if err != nil {
		return err
	}
	for _, name := range records {
		text, err := fs.ReadFile(l.root.FS(), name)
		if err != nil {
			return err
		}
		i, err := parseInstalled(text)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		i.file = name
		l.packages = append(l.packages, i)
	}
	return nil
}

func parseInstalled(text []byte) (*installed, error) {
	var r conda.Record
	var known struct {
		Channel string   `json:"channel"`
		Site    string   `json:"python_site_packages_path"`
		Files   []string `json:"files"`
		Data    struct {
			Paths []pathEntry `json:"paths"`
		} `json:"paths_data"`
	}
	i := &installed{}
	if err := errors.Join(json.Unmarshal(text, &r), json.Unmarshal(text, &known), json.Unmarshal(text, &i.record)); err != nil {
		return nil, err
	}
	i.name, i.version, i.subdir, i.number = r.Name, r.Version, r.Subdir, r.BuildNumber
	i.channel, i.site, i.depends, i.paths = known.Channel, known.Site, r.Depends, known.Data.Paths
	listed := map[string]bool{}
	for _, p := range i.paths {
		listed[p.Path] = true
	}
	for _, f := range known.Files { // of old clients, which have no paths_data
		if !listed[f] {
			i.paths = append(i.paths, pathEntry{Path: f, PathType: hardlink})
		}
	}
	for _, p := range i.paths {
		if !fs.ValidPath(p.Path) || checkPath(p.original()) != nil {
			return nil, fmt.Errorf("%q is not a path inside of the prefix", p.Path)
		}
	}
	return i, nil
}

// findPython takes the python that is about to be installed, or the one that stays.
func (l *prefix) findPython(kept []*installed, all []*unpacked) (err error) {
	for _, i := range kept {
		if i.name == "python" {
			if l.python, err = newPython(i.version, i.site); err != nil {
				return fmt.Errorf("read %s: %w", i.file, err)
			}
		}
	}
	for _, u := range all {
		if u.index["name"] == "python" {
			version, _ := u.index["version"].(string)
			site, _ := u.index["python_site_packages_path"].(string)
			if l.python, err = newPython(version, site); err != nil {
				return fmt.Errorf("install %s: %w", u.dist, err)
			}
		}
	}
	return nil
}

// parent makes the folder dir of the prefix and returns where it really is. A
// symlink of another package on the way is followed (lib64 to lib), but never
// out of the prefix. Several may be made at a time.
func (l *prefix) parent(dir string) (string, error) {
	if dir == "." {
		return l.resolved, nil
	}
	if at, ok := l.parents.Load(dir); ok {
		return at.(string), nil
	}
	above, err := l.parent(path.Dir(dir))
	if err != nil {
		return "", err
	}
	at, err := l.enter(filepath.Join(above, path.Base(dir)))
	if err != nil {
		return "", fmt.Errorf("make folder %s: %w", dir, err)
	}
	l.parents.Store(dir, at)
	return at, nil
}

// enter makes the folder at, whose parent has no symlinks on its way, unless it is
// there, and returns where it really is.
func (l *prefix) enter(at string) (string, error) {
	err := os.Mkdir(at, 0o755)
	if err == nil || !errors.Is(err, fs.ErrExist) {
		return at, err
	}
	really, err := filepath.EvalSymlinks(at)
	if err != nil {
		return "", err
	}
	if inside, err := filepath.Rel(l.resolved, really); err != nil || !filepath.IsLocal(inside) {
		return "", fmt.Errorf("it leads out of the prefix, to %s", really)
	}
	if info, err := os.Stat(really); err != nil || !info.IsDir() {
		return "", errors.Join(err, fmt.Errorf("%s is no folder", really))
	}
	return really, nil
}

// file is where the path name of the prefix really is. Its folder is made.
func (l *prefix) file(name string) (string, error) {
	at, err := l.parent(path.Dir(name))
	return filepath.Join(at, path.Base(name)), err
}

// really is where the path name of the prefix leads now, in the prefix: what is on the way
// there may be a symlink.
func really(root *os.Root, name string) string {
	top, err := filepath.EvalSymlinks(root.Name())
	if err != nil {
		return name
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(top, filepath.FromSlash(path.Dir(name))))
	if err != nil {
		return name
	}
	inside, err := filepath.Rel(top, dir)
	if err != nil || !filepath.IsLocal(inside) {
		return name
	}
	return path.Join(filepath.ToSlash(inside), path.Base(name))
}

// places are names by where they lead now.
func places(root *os.Root, names []string) map[string]string {
	all := map[string]string{}
	for _, name := range names {
		all[really(root, name)] = name
	}
	return all
}

// below returns a function that tells whether what is called name lies in one of folders,
// by whatever name. They must stay where they are.
func below(root *os.Root, folders []string) func(name string) bool {
	if len(folders) == 0 {
		return func(string) bool { return false }
	}
	is, known := places(root, folders), map[string]bool{".": false}
	var in func(dir string) bool
	in = func(dir string) bool {
		if _, done := known[dir]; !done {
			at := really(root, dir)
			_, one := is[at]
			known[dir] = one || in(path.Dir(dir))
			target, err := root.Readlink(filepath.FromSlash(at)) // which may be the next symlink
			if to := path.Join(path.Dir(at), filepath.ToSlash(target)); err == nil && fs.ValidPath(to) {
				known[dir] = known[dir] || in(to)
			}
		}
		return known[dir]
	}
	return func(name string) bool { return in(path.Dir(name)) }
}
