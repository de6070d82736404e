// Package storetest is the contract of store.Store as a test suite, which
// every door must pass.
package storetest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/condaworker/condaworker/store"
)

// Run runs the contract on stores that open makes, each of them empty.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for name, test := range map[string]func(*testing.T, store.Store){
		"ranges":             ranges,
		"missing":            missing,
		"create only":        createOnly,
		"if version":         ifVersion,
		"metadata":           metadata,
		"list":               list,
		"list narrow":        listNarrow,
		"delete":             remove,
		"writers lose none":  counter,
		"one creator":        oneCreator,
		"escape":             escape,
		"same bytes are new": rewrite,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// put writes an object or ends the test.
func put(t *testing.T, s store.Store, key, body string, o store.PutOptions) store.Info {
	t.Helper()
	in, err := s.Put(t.Context(), key, strings.NewReader(body), o)
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return in
}

// get reads part of an object or ends the test.
func get(t *testing.T, s store.Reader, key string, off, n int64) (string, store.Info) {
	t.Helper()
	r, in, err := s.Get(t.Context(), key, off, n)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	b, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b), in
}

// Get's four ways to ask for a part, on objects that are shorter, too.
func ranges(t *testing.T, s store.Store) {
	put(t, s, "linux-64/a", "0123456789", store.PutOptions{})
	put(t, s, "linux-64/empty", "", store.PutOptions{})
	for _, c := range []struct {
		key    string
		off, n int64
		want   string
	}{
		{"linux-64/a", 0, -1, "0123456789"},
		{"linux-64/a", 3, 4, "3456"},
		{"linux-64/a", 7, -1, "789"},
		{"linux-64/a", -3, -1, "789"},
		{"linux-64/a", -100, -1, "0123456789"},
		{"linux-64/a", 0, 0, ""},
		{"linux-64/a", 8, 100, "89"},
		{"linux-64/empty", 0, -1, ""},
		{"linux-64/empty", -10, -1, ""},
	} {
		got, in := get(t, s, c.key, c.off, c.n)
		if got != c.want || in.Version == "" || c.key == "linux-64/a" && in.Size != 10 {
			t.Errorf("get %s %d %d = %q %+v, want %q", c.key, c.off, c.n, got, in, c.want)
		}
	}
}

// A missing object and a missing channel are told apart.
func missing(t *testing.T, s store.Store) {
	put(t, s, "x", "there is a channel", store.PutOptions{})
	for _, n := range []int64{-1, 0, 5} {
		if _, _, err := s.Get(t.Context(), "linux-64/none", 0, n); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, store.ErrNoChannel) {
			t.Errorf("get a missing key, n=%d: %v", n, err)
		}
	}
	if _, err := s.Put(t.Context(), "none", strings.NewReader("x"), store.PutOptions{Cond: store.IfVersion(store.Info{Version: `"never"`})}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("put over a missing key: %v", err)
	}
}

// IfAbsent never replaces other bytes, and takes the same ones for success.
func createOnly(t *testing.T, s store.Store) {
	first := put(t, s, "k", "mine", store.PutOptions{Cond: store.IfAbsent})
	again := put(t, s, "k", "mine", store.PutOptions{Cond: store.IfAbsent})
	if first.Version == "" || again.Version != first.Version {
		t.Errorf("the same bytes: %+v, then %+v", first, again)
	}
	if _, err := s.Put(t.Context(), "k", strings.NewReader("theirs"), store.PutOptions{Cond: store.IfAbsent}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("other bytes: %v", err)
	}
	if got, _ := get(t, s, "k", 0, -1); got != "mine" {
		t.Errorf("holds %q", got)
	}
}

// IfVersion holds for the last version only.
func ifVersion(t *testing.T, s store.Store) {
	v1 := put(t, s, "k", "one", store.PutOptions{})
	_, seen := get(t, s, "k", 0, -1)
	if seen.Version != v1.Version {
		t.Errorf("put said version %s, get %s", v1.Version, seen.Version)
	}
	v2 := put(t, s, "k", "two", store.PutOptions{Cond: store.IfVersion(seen)})
	if v2.Version == v1.Version {
		t.Error("other bytes, same version")
	}
	if _, err := s.Put(t.Context(), "k", strings.NewReader("three"), store.PutOptions{Cond: store.IfVersion(v1)}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("put with an old version: %v", err)
	}
	put(t, s, "k", "two", store.PutOptions{Cond: store.IfVersion(v1)}) // as after a lost answer
	if got, _ := get(t, s, "k", 0, -1); got != "two" {
		t.Errorf("holds %q", got)
	}
}

// Metadata comes back from Get as it was given.
func metadata(t *testing.T, s store.Store) {
	want := map[string]string{store.HashKey: "00ff", "package-record": `{"name":"x","depends":["y >=1,<2"]}`}
	put(t, s, "linux-64/p.conda", "bytes", store.PutOptions{Meta: want, Cond: store.IfAbsent})
	_, in := get(t, s, "linux-64/p.conda", 0, 0)
	if !maps.Equal(want, in.Meta) {
		t.Errorf("metadata %v, want %v", in.Meta, want)
	}
	put(t, s, "linux-64/p.conda", "other", store.PutOptions{})
	if _, in = get(t, s, "linux-64/p.conda", 0, 0); len(in.Meta) != 0 {
		t.Errorf("new bytes have the old metadata %v", in.Meta)
	}
}

// List yields keys in order, by prefix, with sizes and versions.
func list(t *testing.T, s store.Store) {
	for _, k := range []string{"linux-64/b", "linux-64/a", "linux-64-x/c", "noarch/d", "top"} {
		put(t, s, k, k, store.PutOptions{Meta: map[string]string{"m": "1"}})
	}
	for prefix, want := range map[string][]string{
		"":          {"linux-64-x/c", "linux-64/a", "linux-64/b", "noarch/d", "top"},
		"linux-64/": {"linux-64/a", "linux-64/b"},
		"win-64/":   nil,
		"linux-64":  {"linux-64-x/c", "linux-64/a", "linux-64/b"},
	} {
		var got []string
		for in, err := range s.List(t.Context(), prefix, store.ListOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if in.Size != int64(len(in.Key)) || in.Modified.IsZero() {
				t.Errorf("%+v", in)
			}
			_, seen := get(t, s, in.Key, 0, 0)
			if seen.Version != in.Version {
				t.Errorf("list says version %s, get %s", in.Version, seen.Version)
			}
			got = append(got, in.Key)
		}
		if !slices.Equal(want, got) {
			t.Errorf("list %q: %q, want %q", prefix, got, want)
		}
	}
}

// listNarrow is what ListOptions do.
func listNarrow(t *testing.T, s store.Store) {
	for _, k := range []string{"a/x", "a/y/z", "a/y/zz", "a-b/c", "b", "c/d/e"} {
		put(t, s, k, k, store.PutOptions{})
	}
	for _, tt := range []struct {
		prefix string
		o      store.ListOptions
		want   []string
	}{
		{"", store.ListOptions{Shallow: true}, []string{"a-b/", "a/", "b", "c/"}},
		{"a/", store.ListOptions{Shallow: true}, []string{"a/x", "a/y/"}},
		{"a", store.ListOptions{Shallow: true}, []string{"a-b/", "a/"}},
		{"", store.ListOptions{Shallow: true, After: "a/"}, []string{"b", "c/"}},
		{"", store.ListOptions{After: "a/x"}, []string{"a/y/z", "a/y/zz", "b", "c/d/e"}},
		{"a/", store.ListOptions{After: "a/y/z"}, []string{"a/y/zz"}},
	} {
		var got []string
		for in, err := range s.List(t.Context(), tt.prefix, tt.o) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, in.Key)
		}
		if !slices.Equal(tt.want, got) {
			t.Errorf("list %q %+v: %q, want %q", tt.prefix, tt.o, got, tt.want)
		}
	}
}

// Delete is no error for a key that is not there.
func remove(t *testing.T, s store.Store) {
	put(t, s, "a/b", "x", store.PutOptions{Meta: map[string]string{"m": "1"}})
	for range 2 {
		if err := s.Delete(t.Context(), "a/b"); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, "a/b", "y", store.PutOptions{Cond: store.IfAbsent})
}

// counter has 16 writers add a line of their own to one object by compare and
// swap: no line may be lost.
func counter(t *testing.T, s store.Store) {
	const writers, each = 16, 4
	put(t, s, "n", "", store.PutOptions{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for done := 0; done < each; {
				text, in := get(t, s, "n", 0, -1)
				text += fmt.Sprintf("%d.%d\n", w, done)
				_, err := s.Put(t.Context(), "n", strings.NewReader(text), store.PutOptions{Cond: store.IfVersion(in)})
				switch {
				case err == nil:
					done++
				case !errors.Is(err, store.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	text, _ := get(t, s, "n", 0, -1)
	for w := range writers {
		for i := range each {
			if line := fmt.Sprintf("%d.%d\n", w, i); strings.Count("\n"+text, "\n"+line) != 1 {
				t.Errorf("line %q is there %d times", line, strings.Count("\n"+text, "\n"+line))
			}
		}
	}
}

// oneCreator has 16 writers create one object with bytes of their own.
func oneCreator(t *testing.T, s store.Store) {
	for round := range 5 {
		var wg sync.WaitGroup
		var mu sync.Mutex
		var won []int
		for i := range 16 {
			wg.Go(func() {
				_, err := s.Put(t.Context(), fmt.Sprint("k", round), strings.NewReader(fmt.Sprint("writer ", i)), store.PutOptions{Cond: store.IfAbsent})
				if err != nil && !errors.Is(err, store.ErrConflict) {
					t.Error(err)
				}
				if err == nil {
					mu.Lock()
					won = append(won, i)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if got, _ := get(t, s, fmt.Sprint("k", round), 0, -1); len(won) != 1 || got != fmt.Sprint("writer ", won[0]) {
			t.Errorf("winners %v, object %q", won, got)
		}
	}
}

// No key leads out of the channel.
func escape(t *testing.T, s store.Store) {
	put(t, s, "x", "there is a channel", store.PutOptions{})
	for _, key := range []string{"../x", "a/../../x", "/etc/x", "a//b", ""} {
		if _, err := s.Put(t.Context(), key, strings.NewReader("x"), store.PutOptions{}); err == nil {
			t.Errorf("put %q was let through", key)
		}
		if _, _, err := s.Get(t.Context(), key, 0, -1); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("get %q: %v", key, err)
		}
		if err := s.Delete(t.Context(), key); err == nil {
			t.Errorf("delete %q was let through", key)
		}
	}
}

// Bytes that replace themselves are a success under their own version.
func rewrite(t *testing.T, s store.Store) {
	in := put(t, s, "k", "same", store.PutOptions{})
	put(t, s, "k", "same", store.PutOptions{Cond: store.IfVersion(in)})
}
