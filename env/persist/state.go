package persist

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/condaworker/condaworker/store/dir"
)

// state is what state.json says.
type state struct {
	Wanted  Wanted    `json:"wanted"`
	Current string    `json:"current"` // the generation that sessions get
	Checked time.Time `json:"checked"` // when it was found to be what the channels offer
	Used    time.Time `json:"used"`    // the last time that a session came or went
	Readers []reader  `json:"readers"`
}

// reader is one Enter or Pass of a session.
type reader struct {
	Visit      string    `json:"visit"` // no other has it
	Session    Session   `json:"session"`
	Generation string    `json:"generation"` // "" for one who passed
	Entered    time.Time `json:"entered"`
}

// environment is a folder below the root.
type environment struct {
	root Root
	dir  string
}

func (r Root) environment(name string) environment {
	return environment{r, filepath.Join(r.Dir, name)}
}

func (e environment) name() string { return filepath.Base(e.dir) }

// environments are those that lie in the root, by name. A root that is not there
// has none.
func (r Root) environments() ([]environment, error) {
	entries, err := os.ReadDir(r.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for kept environments: %w; name a folder that this user can read", err)
	}
	var all []environment
	for _, entry := range entries {
		if entry.IsDir() && strings.HasPrefix(entry.Name(), mark) {
			all = append(all, r.environment(entry.Name()))
		}
	}
	return all, nil
}

// lock holds one of the environment's two lock files. The folder is made again if
// a clean removes it during the wait.
func (e environment) lock(ctx context.Context, file string) (release func() error, err error) {
	for {
		if err := os.MkdirAll(e.dir, 0o755); err != nil {
			return nil, fmt.Errorf("keep an environment: %w; name a folder that this user can write to", err)
		}
		release, err := dir.Lock(ctx, filepath.Join(e.dir, file))
		if !errors.Is(err, fs.ErrNotExist) {
			return release, err
		}
	}
}

// beginUpdate lets one process at a time make generations. One that need not
// wait gets dir.ErrHeld instead.
func (e environment) beginUpdate(ctx context.Context, wait bool) (release func() error, err error) {
	if wait {
		return e.lock(ctx, "update")
	}
	return dir.TryLock(filepath.Join(e.dir, "update"))
}

func (e environment) stateFile() string { return filepath.Join(e.dir, "state.json") }

// read returns the state; an environment that was never finished has none.
func (e environment) read() (state, error) {
	var s state
	text, err := os.ReadFile(e.stateFile())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return state{}, fmt.Errorf("read %s: %w; if no session works there, remove its folder", e.stateFile(), err)
	}
	return s, nil
}

// write replaces the state, whole.
func (e environment) write(s state) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	temp := e.stateFile() + ".new" // its name is free: the lock is held
	if err := os.WriteFile(temp, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, e.stateFile())
}

// change reads, changes and writes the state under its lock.
func (e environment) change(ctx context.Context, f func(*state)) (err error) {
	release, err := e.lock(ctx, "lock")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	s, err := e.read()
	if err != nil {
		return err
	}
	f(&s)
	s.Used = e.root.Now()
	return e.write(s)
}

// join makes the visit a reader of the current generation, once, and tells
// whether that was compared with its channels lately. Without a generation the
// prefix is "".
func (e environment) join(ctx context.Context, w Wanted, visit reader, updateAfter time.Duration) (prefix string, fresh bool, err error) {
	err = e.change(ctx, func(s *state) {
		s.Wanted = w
		s.drop(visit.is)
		if s.Current == "" {
			return
		}
		current := filepath.Join(e.dir, s.Current)
		if _, err := os.Stat(filepath.Join(current, "conda-meta", "history")); err != nil {
			return // somebody removed it
		}
		s.add(visit, s.Current, e.root.Now())
		age := e.root.Now().Sub(s.Checked) // below 0 the clock was wrong then, and it is not known
		prefix, fresh = current, age >= 0 && age < updateAfter
	})
	return prefix, fresh, err
}

// swap makes a generation the one that sessions get, and visit its reader.
func (e environment) swap(ctx context.Context, visit reader, generation string) error {
	return e.change(ctx, func(s *state) {
		s.drop(visit.is)
		s.add(visit, generation, e.root.Now())
		s.Current, s.Checked = generation, e.root.Now()
	})
}

// forget takes one reader away.
func (e environment) forget(ctx context.Context, is func(reader) bool) error {
	return e.note(ctx, func(s *state) { s.drop(is) })
}

// note is change also in a run that is being cancelled.
func (e environment) note(ctx context.Context, f func(*state)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return e.change(ctx, f)
}

func (r reader) is(other reader) bool { return r.Visit == other.Visit }

func (s *state) add(visit reader, generation string, now time.Time) {
	visit.Generation, visit.Entered = generation, now
	s.Readers = append(s.Readers, visit)
}

// drop takes the newest of these readers away.
func (s *state) drop(is func(reader) bool) {
	for i, r := range slices.Backward(s.Readers) { // in the order of their coming
		if is(r) {
			s.Readers = slices.Delete(s.Readers, i, i+1)
			return
		}
	}
}

// generations are the numbers of those that lie in the folder, whole or not.
func (e environment) generations() ([]int, error) {
	entries, err := os.ReadDir(e.dir)
	var all []int
	for _, entry := range entries {
		if n, err := strconv.Atoi(entry.Name()); err == nil {
			all = append(all, n)
		}
	}
	return all, err
}

func (e environment) nextGeneration() (string, error) {
	all, err := e.generations()
	if err != nil {
		return "", err
	}
	return strconv.Itoa(slices.Max(append(all, 0)) + 1), nil
}
