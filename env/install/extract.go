package install

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
)

// extraction is an archive on its way to disk.
type extraction struct {
	ctx    context.Context
	root   *os.Root
	dir    *folder // of the last file: the next one mostly lies beside it
	at     string  // its path
	buf    []byte
	made   map[string]bool      // folders
	found  map[string]pathEntry // what pkg has
	links  map[string]string    // symlinks, made last: no file is written through one
	listed []pathEntry          // what paths.json has, once it is read; nil before, and without one
	known  map[string]pathEntry // the same by path
	start  time.Time
}

func (u *unpacked) unpackTo(ctx context.Context, f *os.File, dir string) (k kept, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return k, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return k, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	stat, err := f.Stat()
	if err != nil {
		return k, err
	}
	x := &extraction{
		ctx: ctx, root: root, made: map[string]bool{".": true}, start: time.Now(),
		found: map[string]pathEntry{}, links: map[string]string{}, buf: make([]byte, 64<<10),
	}
	defer func() { err = errors.Join(err, x.leave()) }()
	if err := archive.Walk(f, stat.Size(), filepath.Base(u.Path), x.visit); err != nil {
		return k, err
	}
	for name, target := range x.links {
		if err := root.Symlink(target, filepath.FromSlash(name)); err != nil {
			return k, err
		}
	}
	return x.finish(u.Record)
}

// finish compares what came with what the package says of itself, and writes down what
// later runs want to know.
func (x *extraction) finish(r conda.Record) (k kept, err error) {
	dir := x.root.FS()
	text, err := fs.ReadFile(dir, "info/index.json")
	if err != nil {
		return k, fmt.Errorf("it is no conda package: %w", err)
	}
	k.Digest = archive.Digest{Size: r.Size, SHA256: r.SHA256, MD5: r.MD5}
	if err := json.Unmarshal(text, &k.Index); err != nil {
		return k, fmt.Errorf("read info/index.json: %w", err)
	}
	if err := checkIndex(k.Index); err != nil {
		return k, fmt.Errorf("read info/index.json: %w", err)
	}
	if r.Name != "" && (k.Index["name"] != r.Name || k.Index["version"] != r.Version || k.Index["build"] != r.Build) {
		return k, fmt.Errorf("the archive is %v %v %v, not %s %s %s", k.Index["name"], k.Index["version"], k.Index["build"], r.Name, r.Version, r.Build)
	}
	if err := x.list(); err != nil {
		return k, err
	}
	if k.Paths = x.listed; k.Paths == nil {
		k.Paths, err = x.legacyPaths(dir)
	} else {
		err = x.verify(k.Paths)
	}
	if err != nil {
		return k, err
	}
	text, err = json.Marshal(k)
	if err != nil {
		return k, err
	}
	return k, x.root.WriteFile(filepath.FromSlash(marker), text, 0o644)
}

// checkIndex refuses a name, version or build that could be part of no file's name.
func checkIndex(index map[string]any) error {
	want := distOf(index) + ".conda"
	if got, err := conda.ParseFileName(want); err != nil || got.Name != index["name"] || got.Version != index["version"] || got.Build != index["build"] {
		return fmt.Errorf("its name, version and build make the file name %q, which no package has", want)
	}
	return nil
}

// list reads paths.json, if it has come.
func (x *extraction) list() (err error) {
	if x.listed == nil {
		x.listed, err = readPaths(x.root.FS())
	}
	return err
}

// legacyPaths are those of info/files, as conda takes them; without it all that came.
func (x *extraction) legacyPaths(dir fs.FS) ([]pathEntry, error) {
	names, err := readLines(dir, "info/files")
	if err != nil {
		return nil, err
	}
	listed := map[string]pathEntry{}
	for _, name := range names {
		p, ok := x.found[path.Clean(name)]
		if !ok {
			return nil, fmt.Errorf("%s is in info/files, but not in the archive", name)
		}
		listed[p.Path] = p
	}
	if names == nil {
		listed = x.found
	}
	paths := []pathEntry{}
	for _, p := range listed {
		paths = append(paths, p)
	}
	slices.SortFunc(paths, func(a, b pathEntry) int { return cmp.Compare(a.Path, b.Path) })
	return paths, addLegacy(dir, paths)
}

// verify checks that the archive has what paths lists, unchanged, and nothing
// else.
func (x *extraction) verify(paths []pathEntry) error {
	listed := 0
	for i, p := range paths {
		got, ok := x.found[p.Path]
		if p.Size == unknownSize {
			p.Size = got.Size
		}
		switch {
		case p.PathType == directory:
			if err := x.mkdir(p.Path); err != nil {
				return err
			}
			continue
		case !ok:
			return fmt.Errorf("%s is in info/paths.json, but not in the archive", p.Path)
		case got.PathType != p.PathType:
			return fmt.Errorf("%s is a %s in info/paths.json, and a %s in the archive", p.Path, p.PathType, got.PathType)
		case p.PathType == hardlink && (got.Size != p.Size || p.SHA256 != "" && got.SHA256 != p.SHA256):
			return fmt.Errorf("%s has %d bytes with sha256 %s; info/paths.json says %d and %s", p.Path, got.Size, got.SHA256, p.Size, p.SHA256)
		}
		paths[i].Size = p.Size
		listed++
	}
	if listed == len(x.found) {
		return nil
	}
	for _, p := range paths {
		delete(x.found, p.Path)
	}
	return fmt.Errorf("%q is in the archive, but not in info/paths.json", slices.Sorted(maps.Keys(x.found)))
}

// visit writes one member.
func (x *extraction) visit(e archive.Entry, r io.Reader) error {
	if err := x.ctx.Err(); err != nil {
		return err
	}
	h := e.Header
	if h.Typeflag == tar.TypeDir && e.Name == "." {
		return nil
	}
	if err := checkPath(e.Name); err != nil {
		return err
	}
	if e.Part == archive.PkgPart && h.Typeflag != tar.TypeDir {
		if err := x.expected(e.Name, h); err != nil {
			return err
		}
	}
	if h.Typeflag == tar.TypeDir {
		return x.mkdir(e.Name)
	}
	if err := x.mkdir(path.Dir(e.Name)); err != nil {
		return err
	}
	p := pathEntry{Path: e.Name, PathType: hardlink, Size: h.Size}
	var err error
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		p.SHA256, err = x.file(e.Name, h, r)
	case tar.TypeSymlink:
		p.PathType, p.Size = softlink, 0
		x.links[e.Name] = h.Linkname
		if h.Linkname == "" {
			err = fmt.Errorf("%s is a symlink without a target", e.Name)
		}
	case tar.TypeLink:
		p, err = x.hardlink(e.Name, h)
	default:
		err = fmt.Errorf("%s is of type %q: a package may hold files and links only", e.Name, h.Typeflag)
	}
	if e.Part == archive.PkgPart {
		x.found[e.Name] = p
	}
	return err
}

// expected refuses a file as early as possible: before it is written. In a
// .tar.bz2 the list may come too late for that.
func (x *extraction) expected(name string, h *tar.Header) error {
	if x.known == nil {
		if err := x.list(); err != nil || x.listed == nil {
			return err
		}
		x.known = map[string]pathEntry{}
		for _, p := range x.listed {
			x.known[p.Path] = p
		}
	}
	p, ok := x.known[name]
	if !ok {
		return fmt.Errorf("%s is in the archive, but not in info/paths.json", name)
	}
	if h.Typeflag == tar.TypeReg && p.PathType == hardlink && p.Size != unknownSize && h.Size != p.Size {
		return fmt.Errorf("%s has %d bytes; info/paths.json says %d", name, h.Size, p.Size)
	}
	return nil
}

func (x *extraction) mkdir(name string) error {
	if x.made[name] {
		return nil
	}
	x.made[name] = true
	return x.root.MkdirAll(filepath.FromSlash(name), 0o755)
}

func (x *extraction) file(name string, h *tar.Header, r io.Reader) (sum string, err error) {
	if err := x.enter(path.Dir(name)); err != nil {
		return "", err
	}
	local := path.Base(name)
	mode := fs.FileMode(h.Mode)&0o777 | 0o400 // never set-uid; always readable by who unpacks
	f, err := x.dir.create(local, mode)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	_, err = io.CopyBuffer(io.MultiWriter(f, hash), r, x.buf)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	// A time in the future would look like a later change.
	mtime := h.ModTime
	if mtime.After(x.start) {
		mtime = x.start
	}
	return hex.EncodeToString(hash.Sum(nil)), x.dir.setTime(local, mtime)
}

// enter opens the folder of a file: to find it again for each costs more than to write
// a small one.
func (x *extraction) enter(dir string) error {
	if x.dir != nil && x.at == dir {
		return nil
	}
	if err := x.leave(); err != nil {
		return err
	}
	opened, err := openFolder(x.root, filepath.FromSlash(dir))
	if err == nil {
		x.dir, x.at = opened, dir
	}
	return err
}

func (x *extraction) leave() error {
	if x.dir == nil {
		return nil
	}
	err := x.dir.Close()
	x.dir = nil
	return err
}

// hardlink makes another name of a file that came before.
func (x *extraction) hardlink(name string, h *tar.Header) (pathEntry, error) {
	p, ok := x.found[path.Clean(h.Linkname)]
	if !ok || p.PathType != hardlink {
		return p, fmt.Errorf("%s is a hard link to %s, which is no file before it", name, h.Linkname)
	}
	old := p.Path
	p.Path = name
	return p, x.root.Link(filepath.FromSlash(old), filepath.FromSlash(name))
}
