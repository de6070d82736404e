package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
)

// Place is one of those that a channel lies in.
type Place struct {
	Name string // for messages, e.g. https://mirror.studio/conda; "" where there is no other
	Reader
}

// Mirrored reads a channel that lies in several places, the last of which is the channel
// itself: each object from the first that has it and can be reached. What the channel
// itself lacks is not there, whichever mirror is down; while that cannot be reached,
// nobody knows. A place that failed is asked after the others from then on. It is made
// by Mirror.
type Mirrored struct {
	places []Place
	warn   func(text string)

	mu     sync.Mutex
	failed []bool // by place
}

var _ Reader = (*Mirrored)(nil)

// Mirror returns a reader of places, at least one. warn is told what is wrong with a
// mirror, of one that cannot be reached once; it may be nil.
func Mirror(warn func(text string), places ...Place) *Mirrored {
	if warn == nil {
		warn = func(string) {}
	}
	return &Mirrored{places: places, warn: warn, failed: make([]bool, len(places))}
}

// Get asks the places one after the other.
func (m *Mirrored) Get(ctx context.Context, key string, off, n int64) (body io.ReadCloser, info Info, err error) {
	err = m.Try(ctx, func(at Place) (err error) {
		body, info, err = at.Get(ctx, key, off, n)
		return err
	})
	return body, info, err
}

// Try calls use with each place that r reads from, one after the other, until one has no
// error: for who can tell whether what a place gave is right. A reader that is not
// Mirrored is one place.
func Try(ctx context.Context, r Reader, use func(at Place) error) error {
	if m, ok := r.(interface {
		Try(ctx context.Context, use func(at Place) error) error
	}); ok {
		return m.Try(ctx, use)
	}
	return use(Place{Reader: r})
}

// Try is the function Try for m.
func (m *Mirrored) Try(ctx context.Context, use func(at Place) error) error {
	var missing, own error
	var others strings.Builder
	for _, i := range m.order() {
		itself := i == len(m.places)-1
		asked := &askedPlace{Reader: m.places[i]}
		err := use(Place{m.places[i].Name, asked})
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case errors.Is(err, fs.ErrNotExist) && itself:
			return err
		case errors.Is(err, fs.ErrNotExist):
			missing = err
			continue
		case itself:
			own = err
		default:
			fmt.Fprintf(&others, "; mirror %s: %v", m.places[i].Name, err)
		}
		if first := m.fails(i, asked.down()); (first || !asked.down()) && !itself {
			m.warn(fmt.Sprintf("mirror %s is passed over: %v", m.places[i].Name, err))
		}
	}
	switch {
	case own == nil:
		return missing
	case others.Len() > 0:
		return fmt.Errorf("%w%s", own, others.String())
	}
	return own
}

// order lists the places: those that did not fail first.
func (m *Mirrored) order() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all, later []int
	for i, failed := range m.failed {
		if failed {
			later = append(later, i)
		} else {
			all = append(all, i)
		}
	}
	return slices.Concat(all, later)
}

// fails notes that a place is down, and tells whether that is new.
func (m *Mirrored) fails(i int, down bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.failed[i]
	m.failed[i] = before || down
	return !before
}

// askedPlace notes whether a place could not be read at all. One that refuses an object
// may only lack it.
type askedPlace struct {
	Reader
	mu   sync.Mutex
	fail bool
}

func (a *askedPlace) down() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fail
}

// Get notes what came of it.
func (a *askedPlace) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, Info, error) {
	body, info, err := a.Reader.Get(ctx, key, off, n)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		a.mu.Lock()
		a.fail = true
		a.mu.Unlock()
	}
	return body, info, err
}

// Offline is a channel that nobody is asked about.
type Offline struct{}

var _ Reader = Offline{}

// Get returns an error that says so.
func (Offline) Get(_ context.Context, key string, _, _ int64) (io.ReadCloser, Info, error) {
	return nil, Info{}, fmt.Errorf("%s is not in the cache: run once without --offline", key)
}
