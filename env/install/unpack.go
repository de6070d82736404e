package install

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/condaworker/condaworker/conda/archive"
)

// unpacked is a package in the cache.
type unpacked struct {
	Package
	dist  string         // e.g. blender-4.2.5-hb0f4dca_0
	dir   string         // in the cache
	index map[string]any // info/index.json, overlaid by the channel's record
	paths []pathEntry
}

// marker is written last. Files that changed later than it were changed
// through a hard link in some prefix.
const marker = "info/repodata_record.json"

// unpack brings p into the cache, unless it is there in good order. The
// folder has the archive's hash in its name and appears only when it is whole.
func unpack(ctx context.Context, p Package, cache string) (*unpacked, error) {
	if err := p.complete(ctx); err != nil {
		return nil, fmt.Errorf("read package %s: %w", p.Path, err)
	}
	dist := distOf(p.Record.FileName)
	u := &unpacked{Package: p, dist: dist, dir: filepath.Join(cache, dist+"-"+p.Record.SHA256[:16])}
	if u.load() == nil {
		return u, nil
	}
	tmp, err := os.MkdirTemp(cache, ".tmp-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(tmp) }() // it is gone already when all went well
	if err := u.unpackTo(ctx, tmp); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", filepath.Base(p.Path), err)
	}
	// What is there is broken, or another process was quicker.
	if u.load() != nil {
		if err := os.Rename(u.dir, filepath.Join(tmp, ".old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := os.Rename(filepath.Join(tmp, "new"), u.dir); err != nil && u.load() != nil {
			return nil, err
		}
	}
	return u, u.load()
}

// complete fills in what the record does not say of the archive.
func (p *Package) complete(ctx context.Context) (err error) {
	r := &p.Record
	r.FileName = cmp.Or(r.FileName, filepath.Base(p.Path))
	if strings.ContainsAny(r.FileName, `/\`) || !filepath.IsLocal(r.FileName) {
		return fmt.Errorf("%q is not a file name", r.FileName)
	}
	if p.URL == "" {
		p.URL = "file://" + filepath.ToSlash(p.Path)
	}
	if len(r.SHA256) == hex.EncodedLen(sha256.Size) && filepath.IsLocal(r.SHA256) {
		return nil
	}
	f, err := os.Open(p.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum, err := archive.Sum(ctx, f)
	r.SHA256, r.MD5, r.Size = sum.SHA256, sum.MD5, sum.Size
	return err
}

// load reads the package from the cache and says what is wrong with it there:
// a missing or changed file.
func (u *unpacked) load() error {
	dir := os.DirFS(u.dir)
	done, err := fs.Stat(dir, marker)
	if err != nil {
		return err
	}
	text, err := fs.ReadFile(dir, marker)
	if err != nil {
		return err
	}
	var kept struct {
		Index map[string]any `json:"index"`
		Paths []pathEntry    `json:"paths"`
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		return err
	}
	for _, p := range kept.Paths {
		stat, err := os.Lstat(filepath.Join(u.dir, filepath.FromSlash(p.Path)))
		if err != nil {
			return err
		}
		if p.PathType == hardlink && (stat.Size() != p.Size || stat.ModTime().After(done.ModTime())) {
			return fmt.Errorf("%s changed in the cache", p.Path)
		}
	}
	u.paths = kept.Paths
	u.index, err = overlay(kept.Index, u.Package)
	return err
}
