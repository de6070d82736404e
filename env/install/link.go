package install

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// job is a path to be made.
type job struct {
	of *unpacked
	p  *pathEntry
}

// link makes folders and symlinks, and then all files, several at a time. Symlinks that
// paths lead through come first, one after the other.
func (l *prefix) link(ctx context.Context, p *plan) error {
	all := p.arriving
	made, err := l.lead(all, p)
	if err != nil {
		return err
	}
	if err := inParallel(ctx, len(all), func(i int) error { return l.prepare(all[i], made) }); err != nil {
		return err
	}
	var files []job
	for _, u := range all {
		for i := range u.paths {
			switch u.paths[i].PathType {
			case hardlink, entryPoint:
				files = append(files, job{u, &u.paths[i]})
			}
		}
	}
	return inParallel(ctx, len(files), func(i int) error { return l.place(files[i].of, files[i].p) })
}

// lead makes the symlinks that paths lead through, e.g. lib64 -> lib: those first that
// others may lie behind, and before each the folder that it leads to, if a package has it.
func (l *prefix) lead(all []*unpacked, p *plan) (made map[*pathEntry]bool, err error) {
	if len(p.links) == 0 {
		return nil, nil
	}
	made = map[*pathEntry]bool{}
	leading, folders := map[string]job{}, map[string]bool{}
	for _, u := range all {
		for i := range u.paths {
			e := &u.paths[i]
			if e.PathType == softlink && p.links[e.Path] != "" {
				leading[e.Path], made[e] = job{u, e}, true
			}
			folders[path.Dir(e.Path)] = true
		}
	}
	for _, m := range p.moves {
		folders[path.Dir(m.to)] = true
	}
	depth := func(name string) int { return strings.Count(name, "/") }
	for _, name := range slices.SortedFunc(maps.Keys(p.links), func(a, b string) int { return cmp.Or(depth(a)-depth(b), cmp.Compare(a, b)) }) {
		to := p.links[name]
		if folders[to] && p.links[to] == "" { // a symlink to what is not there yet cannot be followed
			if _, err := l.parent(to); err != nil {
				return nil, fmt.Errorf("make the folder that %s leads to: %w", name, err)
			}
		}
		if j, arrives := leading[name]; arrives {
			if err := l.place(j.of, j.p); err != nil {
				return nil, err
			}
		}
	}
	return made, nil
}

// prepare makes the folders that u's paths lie in, and its symlinks, but for those that
// are made.
func (l *prefix) prepare(u *unpacked, made map[*pathEntry]bool) error {
	var links []*pathEntry
	for i := range u.paths {
		p := &u.paths[i]
		dir := path.Dir(p.Path)
		switch p.PathType {
		case directory:
			dir = p.Path
		case softlink:
			links = append(links, p)
		}
		if _, err := l.parent(dir); err != nil {
			return fmt.Errorf("install %s: %w", u.dist, err)
		}
	}
	for _, p := range links {
		if made[p] {
			continue
		}
		if err := l.place(u, p); err != nil {
			return err
		}
	}
	return nil
}

// inParallel calls do(0) to do(n-1), some at a time, until one fails.
func inParallel(ctx context.Context, n int, do func(int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var work sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		work.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	work.Wait()
	return context.Cause(ctx)
}

// place makes one file or symlink. Several may be placed at a time.
func (l *prefix) place(u *unpacked, p *pathEntry) error {
	from := filepath.Join(u.dir, filepath.FromSlash(cmp.Or(p.source, p.Path)))
	to, err := l.file(p.Path)
	switch {
	case err != nil:
	case p.PathType == entryPoint:
		err = l.writeProgram(to, p)
	case p.PathType == softlink:
		err = copyLink(from, to)
	case p.Placeholder != "":
		err = l.rewrite(from, to, p)
	case p.NoLink:
		err = copyFile(from, to)
	default:
		err = l.linkFile(from, to)
	}
	if p.PathType == hardlink && p.Placeholder == "" {
		p.SHA256InPrefix = p.SHA256
	}
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%s is in the prefix already and belongs to no package: remove it", p.Path)
	}
	if err != nil {
		return fmt.Errorf("install %s: %w", u.dist, err)
	}
	return nil
}

// A file without the prefix in it comes from the cache in the first of these ways that
// the file system knows. rattler's order: what is written to a clone changes nothing in
// the cache, as it does with a hard link.
const (
	byClone int32 = iota
	byLink
	byCopy
)

func (l *prefix) linkFile(from, to string) error {
	if l.way.Load() == byClone {
		err := cloneFile(from, to)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return err
		}
		if errors.Is(err, errors.ErrUnsupported) {
			l.way.CompareAndSwap(byClone, byLink)
		}
	}
	if l.way.Load() != byCopy {
		err := os.Link(from, to)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return err
		}
		// Another device, a file system without hard links, or too many of them.
	}
	if err := copyFile(from, to); err != nil {
		return err
	}
	l.way.Store(byCopy)
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
	err := copyWith(from, to, func(out, in *os.File) error {
		sum = sha256.New()
		return replace(io.MultiWriter(out, sum), in, []byte(p.Placeholder), []byte(into))
	})
	if err != nil {
		return fmt.Errorf("replace the prefix in %s: %w", p.Path, err)
	}
	p.SHA256InPrefix = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// copyLink makes the symlink to, which leads where from does.
func copyLink(from, to string) error {
	target, err := os.Readlink(from)
	if err == nil {
		err = os.Symlink(target, to)
	}
	return err
}

func copyFile(from, to string) error {
	return copyWith(from, to, func(out, in *os.File) error {
		_, err := io.Copy(out, in)
		return err
	})
}

// copyWith makes the new file to with the mode and time of from.
func copyWith(from, to string, copied func(out, in *os.File) error) (err error) {
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
