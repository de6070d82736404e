package indexer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/condaworker/condaworker/conda/shards"
	"github.com/condaworker/condaworker/indexer/site"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/mem"
)

// anonymous is an index without the name of its edition.
func anonymous(text []byte) string {
	return regexp.MustCompile(`"condaworker_edition":"[0-9a-f]{32}",`).ReplaceAllString(string(text), "")
}

// sent is a write as it went out.
type sent struct {
	key  string
	body []byte
	o    store.PutOptions
}

// sender keeps what it sends. If it dies, its first write of repodata.json is
// under way, and there are no others.
type sender struct {
	store.Store
	dies bool
	mu   sync.Mutex // derived objects are written side by side
	sent []sent
}

var errDied = errors.New("it has died")

func (s *sender) Put(ctx context.Context, key string, body io.ReadSeeker, o store.PutOptions) (store.Info, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return store.Info{}, err
	}
	s.mu.Lock()
	s.sent = append(s.sent, sent{key, text, o})
	s.mu.Unlock()
	if s.dies && strings.HasSuffix(key, "/"+indexName) {
		return store.Info{}, errDied
	}
	return s.Store.Put(ctx, key, bytes.NewReader(text), o)
}

// The first attempt of each write of a command is lost, and lands when the
// channel says again what it said before the command: it must land on nothing.
func TestALateWriteLandsOnNothing(t *testing.T) {
	const key, other = "linux-64/tool-1.0-0.conda", "other"
	later := simple(t, other)
	remove := func(s store.Store) error { _, err := Remove(t.Context(), s, []string{key}, Options{}); return err }
	restore := func(s store.Store) error { _, err := Restore(t.Context(), s, []string{key}, Options{}); return err }
	patched := func(text string) func(store.Store) error {
		return func(s store.Store) error {
			_, err := Reindex(t.Context(), s, Options{Current: true, Patches: map[string][]byte{"linux-64": []byte(text)}})
			return err
		}
	}
	publish := func(s store.Store) error {
		_, err := show(t.Context(), s, publishOK(t, s, later))
		return err
	}
	unpublish := func(s store.Store) error {
		err := s.Delete(t.Context(), "linux-64/other-1.0-0.conda")
		reindexOK(t, s, Options{})
		return err
	}
	nothing := func(store.Store) error { return nil }
	for name, c := range map[string]struct {
		before, lost, after func(store.Store) error
		dies                bool // the writer, before it tries again
	}{
		"a restore, removed again":                   {remove, restore, remove, false},
		"a restore that died, removed again":         {remove, restore, remove, true},
		"a removal, restored":                        {nothing, remove, restore, false},
		"a removal that died, restored":              {nothing, remove, restore, true},
		"instructions, taken back":                   {patched(`{}`), patched(`{"remove":["tool-1.0-0.conda"]}`), patched(`{}`), false},
		"a package, deleted by hand":                 {nothing, publish, unpublish, false},
		"instructions that revoke, given again":      {patched(`{"revoke":["tool-1.0-0.conda"]}`), patched(`{}`), patched(`{"revoke":["tool-1.0-0.conda"]}`), false},
		"a package of others, deleted by hand twice": {func(s store.Store) error { return errors.Join(publish(s), unpublish(s)) }, publish, unpublish, false},
	} {
		s := &mem.Store{}
		builds(t, s, "tool", nil, 0, 1)
		reindexOK(t, s, Options{Current: true})
		from := &sender{Store: s, dies: c.dies}
		if err := errors.Join(c.before(s), ignore(c.lost(from), c.dies), c.after(s)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		checked := 0
		for _, w := range from.sent {
			if w.o.Cond == store.Always || w.o.Cond == store.IfAbsent || strings.HasSuffix(w.key, "/"+patchName) {
				continue // a package, a shard, or the user's own text
			}
			checked++
			there := stored(t, s, w.key)
			if _, err := s.Put(t.Context(), w.key, bytes.NewReader(w.body), w.o); !errors.Is(err, store.ErrConflict) && !bytes.Equal(there, w.body) {
				t.Errorf("%s: a late write of %s landed: %v", name, w.key, err)
			}
		}
		if want := map[bool]int{true: 1, false: 5}[c.dies]; checked < want {
			t.Errorf("%s: %d conditional writes", name, checked)
		}
	}
}

// ignore is nil for the error of a writer that dies.
func ignore(err error, dies bool) error {
	if dies && errors.Is(err, errDied) {
		return nil
	}
	return err
}

// Every object of the index says which edition it belongs to, and stays as it is
// when nothing changes.
func TestNoTwoEditionsHaveTheSameBytes(t *testing.T) {
	names := []string{indexName, zstName, currentName, runExportsName, shards.IndexName, site.DataName}
	s := &mem.Store{}
	builds(t, s, "tool", nil, 0, 1)
	reindexOK(t, s, Options{Current: true})
	seen := map[string]bool{}
	for range 3 {
		for _, edit := range []func(context.Context, store.Store, []string, Options) (Report, error){Remove, Restore} {
			if _, err := edit(t.Context(), s, []string{"linux-64/tool-1.0-0.conda"}, Options{}); err != nil {
				t.Fatal(err)
			}
			reindexOK(t, s, Options{})
			for _, name := range names {
				text := name + string(stored(t, s, "linux-64/"+name))
				if seen[text] {
					t.Errorf("%s has bytes that it had before", name)
				}
				seen[text] = true
			}
		}
	}
	derivedRight(t, s)
}
