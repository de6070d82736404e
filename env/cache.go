package env

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/condaworker/condaworker/store/dir"
)

// A cache has in it what can be had again: archives, unpacked packages, shards, and
// whole indexes. Whoever uses it shares its lock for that time, and has the times of
// what he uses set to now, which is exact to an hour; whoever removes something has the
// lock alone, for the moment in which it is put out of the way.
const (
	cacheLock  = ".lock"
	cacheTrash = ".trash-"
)

// cached are the patterns of what may go, each match as a whole.
var cached = []string{"archives/*", "pkgs/*", "shards/*", "repodata-*/*"}

// useCache keeps others from removing what is in the cache, until release. A cache that
// may not be written needs that from nobody here.
func useCache(ctx context.Context, cache string) (release func() error, err error) {
	nothing := func() error { return nil }
	if cache == "" || os.MkdirAll(cache, 0o755) != nil { //nolint:gosec // a cache for all of the machine
		return nothing, nil
	}
	release, err = dir.Share(ctx, filepath.Join(cache, cacheLock))
	if err != nil && ctx.Err() == nil {
		return nothing, nil
	}
	return release, err
}

// Cleaned says what CleanCache removed.
type Cleaned struct {
	Cache string `json:"cache"` // the folder
	Items int    `json:"items"` // packages, archives, shards and indexes
	Bytes int64  `json:"bytes"` // their length; what prefixes have hard links to stays on disk
}

// String is for people.
func (c Cleaned) String() string {
	return fmt.Sprintf("%d items of %d bytes from the cache %s", c.Items, c.Bytes, c.Cache)
}

// CleanCache removes from a cache, as in Request, what nobody used for the time unused.
// It waits until no process of this program uses the cache, as long as patience. dry only
// tells. A cache that is not there is clean.
func CleanCache(ctx context.Context, cache string, unused, patience time.Duration, dry bool) (c Cleaned, err error) {
	c.Cache = cache
	if _, err := os.Stat(cache); errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if dry {
		_, err := c.find(time.Now().Add(-unused))
		return c, err
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	release, err := dir.Lock(waiting, filepath.Join(cache, cacheLock))
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		err = fmt.Errorf("the cache %s was in use for all of %s: clean it when no environment is being made: %w", cache, patience, dir.ErrHeld)
	}
	if err != nil {
		return c, err
	}
	old, err := c.find(time.Now().Add(-unused))
	if err == nil {
		err = discard(cache, old)
	}
	if err = errors.Join(err, release()); err != nil {
		return c, err
	}
	left, err := fs.Glob(os.DirFS(cache), cacheTrash+"*") // and what a killed clean left
	for _, folder := range left {
		err = errors.Join(err, dir.RemoveAll(filepath.Join(cache, folder)))
	}
	return c, err
}

// find lists what was last used before a time, and counts it.
func (c *Cleaned) find(before time.Time) (old []string, err error) {
	for _, pattern := range cached {
		all, err := fs.Glob(os.DirFS(c.Cache), pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range all {
			path = filepath.Join(c.Cache, filepath.FromSlash(path))
			used, err := lastUse(path)
			if errors.Is(err, fs.ErrNotExist) || err == nil && (!used.Before(before) || strings.HasPrefix(filepath.Base(path), ".lock-")) {
				continue
			}
			size, failed := length(path)
			if err = errors.Join(err, failed); err != nil {
				return nil, err
			}
			old = append(old, path)
			c.Items++
			c.Bytes += size
		}
	}
	return old, nil
}

// lastUse is the newest time of a file, or of a folder and what lies in it.
func lastUse(path string) (time.Time, error) {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return modTime(info), err
	}
	newest := info.ModTime()
	entries, err := os.ReadDir(path)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest, err
}

func modTime(info fs.FileInfo) time.Time {
	if info == nil {
		return time.Time{}
	}
	return info.ModTime()
}

// length is the sum of the files' lengths.
func length(path string) (sum int64, err error) {
	err = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}

// discard moves paths to where nobody looks for them.
func discard(cache string, paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	trash, err := os.MkdirTemp(cache, cacheTrash)
	if err != nil {
		return err
	}
	for i, path := range paths {
		if err := os.Rename(path, filepath.Join(trash, strconv.Itoa(i))); err != nil {
			return err
		}
	}
	return nil
}
