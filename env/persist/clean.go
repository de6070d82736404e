package persist

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/condaworker/condaworker/store/dir"
)

// Environment is one of a root, as it is now.
type Environment struct {
	Name        string    `json:"name"`
	Prefix      string    `json:"prefix,omitempty"` // of the generation that sessions get
	Packages    []string  `json:"packages"`
	Channels    []string  `json:"channels"`
	Platform    string    `json:"platform"`
	Checked     time.Time `json:"checked"`     // when it was last compared with its channels
	Used        time.Time `json:"used"`        // when a session last came or went
	Sessions    int       `json:"sessions"`    // that work in it
	Generations int       `json:"generations"` // that lie on disk
}

// List describes the environments, by name. With an error it has those whose state can be
// read.
func (r Root) List() ([]Environment, error) {
	all, err := r.environments()
	if err != nil {
		return nil, err
	}
	var list []Environment
	var errs []error
	for _, e := range all {
		if e.name() == nothing {
			continue
		}
		s, unread := e.read()
		generations, err := e.generations()
		if errors.Is(err, fs.ErrNotExist) { // a clean was faster
			continue
		}
		if err = errors.Join(unread, err); err != nil {
			errs = append(errs, err)
			continue
		}
		item := Environment{
			Name: e.name(), Packages: s.Wanted.Packages, Channels: s.Wanted.Channels, Platform: s.Wanted.Platform,
			Checked: s.Checked, Used: s.Used, Sessions: len(e.living(s.Readers)), Generations: len(generations),
		}
		if s.Current != "" {
			item.Prefix = filepath.Join(e.dir, s.Current)
		}
		list = append(list, item)
	}
	return list, errors.Join(errs...)
}

// living leaves out the readers whose session has ended without a Leave.
func (e environment) living(readers []reader) []reader {
	return slices.DeleteFunc(slices.Clone(readers), func(r reader) bool {
		return e.root.Machine.over(r, filepath.Join(e.dir, r.Generation), e.root.Now())
	})
}

// Cleaned is a prefix that Clean removed.
type Cleaned struct {
	Name   string        `json:"name"` // of the environment
	Prefix string        `json:"prefix"`
	Unused time.Duration `json:"-"` // since the last use of the environment
}

// trash begins the names of what is being removed.
const trash = ".trash-"

// Clean removes generations that no session can get any more, and environments
// that no session came to or left for the time unused: never one with a living
// session or a process in it, and none that is being made. dry only tells. What is wrong
// with one environment is no reason to keep another.
func (r Root) Clean(ctx context.Context, unused time.Duration, dry bool) ([]Cleaned, error) {
	all, err := r.environments()
	if err != nil {
		return nil, err
	}
	var cleaned []Cleaned
	for _, e := range all {
		removed, failed := e.clean(ctx, unused, dry)
		cleaned, err = append(cleaned, removed...), errors.Join(err, failed)
		if ctx.Err() != nil {
			return cleaned, err
		}
	}
	if dry {
		return cleaned, err
	}
	left, failed := fs.Glob(os.DirFS(r.Dir), trash+"*") // and what a killed clean left
	for _, folder := range left {
		failed = errors.Join(failed, dir.RemoveAll(filepath.Join(r.Dir, folder)))
	}
	return cleaned, errors.Join(err, failed)
}

// clean is Clean of one environment. What it removes is out of the way at once,
// and deleted after the locks are given back.
func (e environment) clean(ctx context.Context, unused time.Duration, dry bool) (cleaned []Cleaned, err error) {
	endUpdate, err := dir.TryLock(filepath.Join(e.dir, "update"))
	if errors.Is(err, dir.ErrHeld) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it is being made, or another clean was faster
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, endUpdate()) }()
	release, err := e.lock(ctx, "lock")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	s, err := e.read()
	if err != nil {
		return nil, err
	}
	s.Readers = e.living(s.Readers)
	idle, err := e.idle(s)
	if err != nil {
		return nil, err
	}
	used, doomed, err := e.sort(s, idle >= unused)
	if err != nil {
		return nil, err
	}
	for _, prefix := range doomed {
		cleaned = append(cleaned, Cleaned{e.name(), prefix, idle})
	}
	if dry {
		return cleaned, nil
	}
	if err := e.discard(doomed); err != nil {
		return nil, err
	}
	if used == 0 && idle >= unused && len(s.Readers) == 0 {
		return cleaned, e.end()
	}
	if s.Used.IsZero() { // there is no state: with one the folder would begin to be used
		return cleaned, nil
	}
	if slices.Contains(doomed, filepath.Join(e.dir, s.Current)) {
		s.Current = ""
	}
	return cleaned, e.write(s)
}

// idle is how long ago the environment was used. A clock that was put back makes
// it no older.
func (e environment) idle(s state) (time.Duration, error) {
	if s.Used.IsZero() { // a run was killed before it wrote
		info, err := os.Stat(e.dir)
		if err != nil {
			return 0, err
		}
		s.Used = info.ModTime()
	}
	return max(0, e.root.Now().Sub(s.Used)), nil
}

// sort finds the prefixes that may go, and how many stay.
func (e environment) sort(s state, old bool) (used int, doomed []string, err error) {
	generations, err := e.generations()
	if err != nil {
		return 0, nil, err
	}
	for _, n := range generations {
		name := strconv.Itoa(n)
		prefix := filepath.Join(e.dir, name)
		read := slices.ContainsFunc(s.Readers, func(r reader) bool { return r.Generation == name })
		if read || name == s.Current && !old || e.root.Machine.inUse(prefix) {
			used++
			continue
		}
		doomed = append(doomed, prefix)
	}
	return used, doomed, nil
}

// discard moves prefixes to where no session looks for them.
func (e environment) discard(prefixes []string) error {
	for _, prefix := range prefixes {
		if err := os.Rename(prefix, filepath.Join(e.root.Dir, trash+rand.Text())); err != nil {
			return err
		}
	}
	return nil
}

// end removes an environment of which nothing is left, its lock last. Whoever
// waits for that makes the folder anew.
func (e environment) end() error {
	var err error
	for _, name := range []string{"state.json", "state.json.new", "update", "lock"} {
		if failed := os.Remove(filepath.Join(e.dir, name)); !os.IsNotExist(failed) {
			err = cmp.Or(err, failed)
		}
	}
	_ = os.Remove(e.dir) // not empty: a session has come
	return err
}

// String is for people.
func (c Cleaned) String() string {
	return strings.Join([]string{c.Prefix, "unused for", c.Unused.Round(time.Second).String()}, " ")
}
