package install

import (
	"cmp"
	"context"
	"crypto/md5" //nolint:gosec // for its length
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/store/dir"
)

// unpacked is a package in the cache.
type unpacked struct {
	Package
	dist  string         // e.g. blender-4.2.5-hb0f4dca_0, whatever the archive is called
	dir   string         // in the cache
	index map[string]any // info/index.json, overlaid by the channel's record
	paths []pathEntry
}

// cache is the folder of unpacked packages.
type cache struct {
	dir  string
	work chan struct{} // as many as may be unpacked at a time
}

// openCache makes the folder if it is missing, and removes what killed runs left.
func openCache(folder string) (*cache, error) {
	if folder == "" {
		return nil, errors.New("install needs a cache folder")
	}
	folder, err := filepath.Abs(folder)
	if err == nil {
		err = os.MkdirAll(folder, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("make the cache for packages: %w; name another folder for it", err)
	}
	return &cache{folder, make(chan struct{}, runtime.GOMAXPROCS(0))}, sweep(folder)
}

// A package is unpacked in the folder tmpMark with its folder's name, by the process
// that holds the file lockMark with that name.
const lockMark, tmpMark = ".lock-", ".tmp-"

// sweep removes what is being unpacked by nobody, and locks that nobody holds.
func sweep(folder string) error {
	entries, err := os.ReadDir(folder)
	for _, e := range entries {
		name, unpacking := strings.CutPrefix(e.Name(), tmpMark)
		name, locked := strings.CutPrefix(name, lockMark)
		if !unpacking && !locked {
			continue
		}
		free, failed := dir.TryHold(filepath.Join(folder, lockMark+name))
		if errors.Is(failed, dir.ErrHeld) {
			continue
		}
		if failed == nil {
			failed = errors.Join(os.RemoveAll(filepath.Join(folder, tmpMark+name)), free())
		}
		err = errors.Join(err, failed)
	}
	return err
}

// marker is written last. Files that changed later than it were changed
// through a hard link in some prefix.
const marker = "info/repodata_record.json"

// kept is what the marker has of a package.
type kept struct {
	Index  map[string]any `json:"index"` // info/index.json
	Paths  []pathEntry    `json:"paths"`
	Digest archive.Digest `json:"digest"`
}

// unpack brings p into the cache, unless it is there in good order. The folder has
// the archive's hash in its name and appears only when it is whole. Processes that
// want the same package wait for the one that unpacks it.
func (c *cache) unpack(ctx context.Context, p Package) (_ *unpacked, err error) {
	u := &unpacked{Package: p}
	if err := u.name(c.dir); err != nil {
		return nil, err
	}
	if u.load() == nil {
		return u, nil
	}
	f, err := u.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := u.name(c.dir); err != nil {
		return nil, err
	}
	free, err := dir.Hold(ctx, u.beside(lockMark))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, free()) }()
	if u.load() == nil { // another process was quicker
		return u, nil
	}
	c.work <- struct{}{}
	defer func() { <-c.work }()
	k, err := u.replace(ctx, f)
	if err != nil {
		return nil, u.blame(ctx, err)
	}
	return u, u.take(k)
}

// blame says where the archive comes from, and what to do where it is at fault itself,
// not the disk: it is also where one of its names is two things, such as a link and a
// folder.
func (u *unpacked) blame(ctx context.Context, err error) error {
	err = fmt.Errorf("unpack %s: %w", place(u.URL), err)
	_, system := errors.AsType[syscall.Errno](err)
	twofold := errors.Is(err, syscall.EEXIST) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR)
	if system && !twofold || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w; the package is broken: take another build of it, or have it published anew", err)
}

// open has the archive fetched, where it is not there, and compares it with the hashes
// of its record, which has both afterwards.
func (u *unpacked) open(ctx context.Context) (*os.File, error) {
	if u.Fetch != nil {
		got, err := u.Fetch(ctx)
		if err != nil {
			return nil, err
		}
		u.known(got)
	}
	f, err := os.Open(u.Path)
	if err == nil && u.Fetch == nil {
		if err = u.verify(ctx, f); err != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read package %s: %w", u.Path, err)
	}
	return f, nil
}

// known fills in what the archive is.
func (u *unpacked) known(got archive.Digest) {
	u.Record.SHA256, u.Record.MD5, u.Record.Size = got.SHA256, got.MD5, got.Size
}

// beside is a path of the package's folder with a mark in front of its name.
func (u *unpacked) beside(mark string) string {
	return filepath.Join(filepath.Dir(u.dir), mark+filepath.Base(u.dir))
}

// name chooses the folder in the cache. Without a hash there is none yet.
func (u *unpacked) name(folder string) error {
	r := &u.Record
	r.FileName = cmp.Or(r.FileName, filepath.Base(u.Path))
	if strings.ContainsAny(r.FileName, `/\`) || !filepath.IsLocal(r.FileName) {
		return fmt.Errorf("%q is not a file name", r.FileName)
	}
	if u.URL == "" {
		u.URL = "file://" + filepath.ToSlash(u.Path)
	}
	for _, sum := range []string{r.SHA256, r.MD5} {
		if _, err := hex.DecodeString(sum); err == nil && len(sum) >= 2*md5.Size {
			u.dir = filepath.Join(folder, stem(r.FileName)+"-"+sum[:16])
			break
		}
	}
	return nil
}

// verify compares the archive with the hashes of its record.
func (u *unpacked) verify(ctx context.Context, f *os.File) error {
	got, err := archive.Sum(ctx, f)
	if err != nil {
		return err
	}
	r := u.Record
	if r.SHA256 != "" && r.SHA256 != got.SHA256 {
		return fmt.Errorf("its sha256 is %s, its record says %s: remove the file", got.SHA256, r.SHA256)
	}
	if r.MD5 != "" && r.MD5 != got.MD5 {
		return fmt.Errorf("its md5 is %s, its record says %s: remove the file", got.MD5, r.MD5)
	}
	u.known(got)
	return nil
}

// replace unpacks f beside the package's folder, and takes the place of what is there.
func (u *unpacked) replace(ctx context.Context, f *os.File) (k kept, err error) {
	tmp := u.beside(tmpMark)
	if err := errors.Join(os.RemoveAll(tmp), os.Mkdir(tmp, 0o755)); err != nil {
		return k, err
	}
	k, err = u.unpackTo(ctx, f, filepath.Join(tmp, "new"))
	if err == nil {
		err = os.Rename(u.dir, filepath.Join(tmp, "old"))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = os.Rename(filepath.Join(tmp, "new"), u.dir)
	}
	return k, errors.Join(err, os.RemoveAll(tmp))
}

// load reads the package from the cache and says what is wrong with it there:
// a missing or changed file.
func (u *unpacked) load() error {
	if u.dir == "" {
		return fs.ErrNotExist
	}
	files := os.DirFS(u.dir)
	done, err := fs.Stat(files, marker)
	if err != nil {
		return err
	}
	text, err := fs.ReadFile(files, marker)
	if err != nil {
		return err
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		return err
	}
	for _, p := range k.Paths {
		stat, err := os.Lstat(filepath.Join(u.dir, filepath.FromSlash(p.Path)))
		if err != nil {
			return err
		}
		if p.PathType == hardlink && (stat.Size() != p.Size || stat.ModTime().After(done.ModTime())) {
			return fmt.Errorf("%s changed in the cache", p.Path)
		}
	}
	dir.Touch(u.dir) // which is not one of the times that tell a change
	return u.take(k)
}

// take fills in what is known of the package.
func (u *unpacked) take(k kept) (err error) {
	u.paths = k.Paths
	u.Record.SHA256, u.Record.MD5 = cmp.Or(u.Record.SHA256, k.Digest.SHA256), cmp.Or(u.Record.MD5, k.Digest.MD5)
	u.Record.Size = cmp.Or(u.Record.Size, k.Digest.Size)
	u.index, err = overlay(k.Index, u.Package)
	u.dist = distOf(k.Index)
	return err
}

// depends are the match specs that the channel says it needs.
func (u *unpacked) depends() []string {
	var specs []string
	list, _ := u.index["depends"].([]any)
	for _, d := range list {
		if text, ok := d.(string); ok {
			specs = append(specs, text)
		}
	}
	return specs
}
