// Package persist keeps environments between sessions in one folder, the root,
// so that the next session that wants the same packages from the same channels
// begins at once.
//
// An environment is a folder below the root, named after a hash of what was
// wanted. In it lies state.json, and each generation of the environment as a
// prefix of its own, which nothing changes once it is made: an update makes
// another one beside it, and swaps the name in state.json. state.json also says
// which sessions work in which generation. The file lock guards state.json and is
// held for moments; the file update is held by whoever makes a generation.
//
// Root.Enter and Root.Leave begin and end a session's use; Root.Clean removes
// what nobody uses. Sessions that were killed are told from living ones by
// session.go.
package persist

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/env/solve"
	"github.com/condaworker/condaworker/store/dir"
)

// Wanted says what an environment is made from: two that are equal share one.
type Wanted struct {
	Packages []string `json:"packages"`          // match specs in their canonical form, sorted
	Channels []string `json:"channels"`          // canonical URLs, the first has priority
	Platform string   `json:"platform"`          // e.g. linux-64
	Virtual  []string `json:"virtual"`           // what the machine offers, e.g. __glibc=2.34=0
	Options  []string `json:"options,omitempty"` // of the solve, e.g. exclude-newer=2026-01-31
}

// Want brings what was asked for into its canonical form. An error names the
// match spec that cannot be read.
func Want(specs, channels []string, platform string, virtual []conda.Record, options ...string) (Wanted, error) {
	w := Wanted{Platform: platform, Options: options}
	for _, url := range channels {
		if !slices.Contains(w.Channels, url) { // what comes again says nothing
			w.Channels = append(w.Channels, url)
		}
	}
	for _, text := range specs {
		spec, err := conda.ParseMatchSpec(text)
		if err != nil {
			return Wanted{}, fmt.Errorf("read match spec %q: %w", text, err)
		}
		w.Packages = append(w.Packages, spec.String())
	}
	for _, v := range virtual {
		w.Virtual = append(w.Virtual, v.Name+"="+v.Version+"="+v.Build)
	}
	slices.Sort(w.Virtual)
	slices.Sort(w.Packages)
	w.Packages = slices.Compact(w.Packages)
	return w, nil
}

// mark begins the names of environments: another make's begin with hashname_,
// and neither removes the other's.
const mark = "env_"

// Name is the name of the environment's folder: env_ and 24 hexadecimal digits.
func (w Wanted) Name() string {
	text, _ := json.Marshal(w) // texts can always be encoded
	sum := sha256.Sum256(text)
	return mark + hex.EncodeToString(sum[:])[:24]
}

// Root is a folder of environments. Only one user's processes share it.
type Root struct {
	Dir     string // absolute; made when first needed
	Machine Machine
	Now     func() time.Time // e.g. time.Now
}

// Maker makes what is Wanted; it is called while no other process does the same.
type Maker struct {
	Create func(ctx context.Context, prefix string) error         // all of a new prefix, or nothing
	Newest func(ctx context.Context, prefix string) (bool, error) // whether Create would make what prefix has
	Keep   func(error)                                            // hears why a prefix is used though it could not be updated
}

// Enter notes that the session works in the wanted environment, and returns its
// prefix. Where there is none it is made; where it was compared with its channels
// longer than updateAfter ago it is replaced, if they have something newer. A
// session that comes while another one updates it gets the prefix as it was.
func (r Root) Enter(ctx context.Context, w Wanted, s Session, updateAfter time.Duration, m Maker) (prefix string, err error) {
	e, visit := r.environment(w.Name()), reader{Visit: rand.Text(), Session: s}
	prefix, fresh, err := e.join(ctx, w, visit, updateAfter)
	if err != nil || fresh {
		return prefix, err
	}
	release, err := e.beginUpdate(ctx, prefix == "")
	if errors.Is(err, dir.ErrHeld) {
		return prefix, nil
	}
	if err != nil {
		return "", errors.Join(err, e.forget(ctx, visit.is), r.Pass(ctx, s))
	}
	defer func() { err = errors.Join(err, release()) }()
	prefix, err = e.update(ctx, w, visit, updateAfter, m)
	if err != nil {
		err = errors.Join(err, e.forget(ctx, visit.is), r.Pass(ctx, s))
	}
	return prefix, err
}

// update is Enter while no other process makes a generation. What cannot be had stops
// nobody who can have the present generation, unless nobody can have that any more.
func (e environment) update(ctx context.Context, w Wanted, visit reader, updateAfter time.Duration, m Maker) (string, error) {
	prefix, fresh, err := e.join(ctx, w, visit, updateAfter) // it may have been made during the wait
	if err != nil || fresh {
		return prefix, err
	}
	renewed, err := e.renew(ctx, prefix, m)
	_, unsolvable := errors.AsType[*solve.UnsolvableError](err)
	switch {
	case err != nil && prefix != "" && !unsolvable && ctx.Err() == nil:
		m.Keep(err)
		return prefix, nil
	case err != nil:
		return "", err
	}
	return renewed, e.swap(ctx, visit, filepath.Base(renewed))
}

// renew returns the present prefix, or where there is none or a newer one can be had,
// that of another generation, which it makes.
func (e environment) renew(ctx context.Context, prefix string, m Maker) (string, error) {
	if prefix != "" {
		if newest, err := m.Newest(ctx, prefix); newest || err != nil {
			return prefix, err
		}
	}
	generation, err := e.nextGeneration()
	if err != nil {
		return "", err
	}
	prefix = filepath.Join(e.dir, generation)
	return prefix, m.Create(ctx, prefix)
}

// Leave takes back the session's newest Enter. It returns the name of the
// environment; "" says that there was none, or that a Pass is taken back. Where the
// state of another environment cannot be read, that is an error only if the session
// is in none that can.
func (r Root) Leave(ctx context.Context, s Session) (name string, err error) {
	e, newest, err := r.newest(s)
	if e == nil {
		return "", err
	}
	if newest.Generation != "" {
		name = e.name()
	}
	return name, e.forget(ctx, newest.is)
}

// Pass notes that the session came and entered nothing, since it wants nothing or failed:
// a runtime ends that as well, and its Leave must not take back an Enter of the same
// session that goes on. Where no such Enter is found nothing is noted.
func (r Root) Pass(ctx context.Context, s Session) error {
	if e, _, _ := r.newest(s); e == nil { // a state that cannot be read stops nobody who wants nothing
		return nil
	}
	return r.environment(nothing).note(ctx, func(state *state) {
		state.add(reader{Visit: rand.Text(), Session: s}, "", r.Now())
	})
}

// nothing is the environment of those who pass. It has no generations.
var nothing = Wanted{}.Name()

// newest finds the session's newest visit, nil if there is none that can be read.
func (r Root) newest(s Session) (in *environment, visit reader, err error) {
	all, err := r.environments()
	for _, e := range all {
		state, unread := e.read()
		err = errors.Join(err, unread)
		for _, reader := range state.Readers {
			if reader.Session.same(s) && !reader.Entered.Before(visit.Entered) {
				in, visit = &e, reader
			}
		}
	}
	return in, visit, err
}
