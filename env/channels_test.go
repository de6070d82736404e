package env_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/condatest"
	"github.com/condaworker/condaworker/conda/shards"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
	"github.com/condaworker/condaworker/store/mem"
	"github.com/condaworker/condaworker/store/storetest"
)

// watched notes what is read.
type watched struct {
	store.Reader
	mu   sync.Mutex
	keys []string
}

func (w *watched) Get(ctx context.Context, key string, from, to int64) (io.ReadCloser, store.Info, error) {
	w.mu.Lock()
	if to != 0 { // to 0 asks whether it is there
		w.keys = append(w.keys, key)
	}
	w.mu.Unlock()
	return w.Reader.Get(ctx, key, from, to)
}

func (w *watched) count(part string) (n int) {
	for _, key := range w.keys {
		if strings.Contains(key, part) {
			n++
		}
	}
	return n
}

// solved returns what would be installed as "name version", in order.
func solved(t *testing.T, r env.Request) []string {
	t.Helper()
	records, err := env.Solve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, rec := range records {
		all = append(all, rec.Name+" "+rec.Version)
	}
	return all
}

func TestOnlyWhatCanMatterIsRead(t *testing.T) {
	c := channel(
		t, pkg{"app", "1.0", "linux-64", []string{"lib >=1", "__linux"}}, pkg{"lib", "1.0", "linux-64", nil}, pkg{"lib", "2.0", "noarch", nil},
		pkg{"other", "1.0", "linux-64", nil}, pkg{"more", "1.0", "noarch", nil})
	r := request(t, []string{"app"}, c)
	r.Virtual = []conda.Record{{Name: "__linux", Version: "6.1", Build: "0"}}
	for _, shardReads := range []int{3, 0} { // the second time they are in the cache
		w := &watched{Reader: c.Reader}
		r.Channels = []env.Channel{{URL: c.URL, Reader: w}}
		if got := solved(t, r); !slices.Equal(got, []string{"lib 2.0", "app 1.0"}) {
			t.Errorf("solved %q", got)
		}
		if w.count("/shards/") != shardReads || w.count("repodata.json") != 0 {
			t.Errorf("read %q", w.keys)
		}
	}
	files, err := filepath.Glob(filepath.Join(r.Cache, "shards", "*"))
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	for _, file := range files { // a cache that was damaged is read anew
		if err := os.WriteFile(file, []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := solved(t, r); len(got) != 2 {
		t.Errorf("solved %q", got)
	}
}

func TestAShardThatIsNotWhatTheIndexNames(t *testing.T) {
	c := channel(t, pkg{"app", "1.0", "linux-64", nil})
	s := c.Reader.(store.Store)
	files, err := filepath.Glob(filepath.Join(c.URL, "linux-64", "shards", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if _, err := s.Put(t.Context(), "linux-64/shards/"+filepath.Base(files[0]), bytes.NewReader([]byte("other")), store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	told := ""
	r := request(t, []string{"app"}, c)
	r.Warn = func(text string) { told += text }
	if got := solved(t, r); !slices.Equal(got, []string{"app 1.0"}) { // of repodata.json
		t.Errorf("solved %q", got)
	}
	for _, part := range []string{c.URL, "linux-64/app", "reindex the channel"} {
		if !strings.Contains(told, part) {
			t.Errorf("%q does not say %s", told, part)
		}
	}
	for _, form := range []string{"repodata.json", "repodata.json.zst"} {
		if err := s.Delete(t.Context(), "linux-64/"+form); err != nil {
			t.Fatal(err)
		}
	}
	_, err = env.Solve(t.Context(), request(t, []string{"app"}, c))
	for _, part := range []string{c.URL, "linux-64/app", "reindex the channel"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %s", err, part)
		}
	}
}

// Shards or packages that lie on another server cannot be read where nobody opens that:
// the whole index can.
func TestShardsElsewhereAreNotUsed(t *testing.T) {
	for _, x := range []shards.Index{
		{ShardsBaseURL: "https://shards.example/"}, {BaseURL: "https://packages.example/"}, {ShardsBaseURL: "../../.."}, {BaseURL: "../../../../../.."},
	} {
		x.Subdir = "linux-64"
		c := channel(t, pkg{"app", "1.0", "linux-64", nil})
		s := c.Reader.(store.Store)
		text := archive.Zstd(x.Encode())
		if err := s.Delete(t.Context(), "linux-64/"+shards.IndexName); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(t.Context(), "linux-64/"+shards.IndexName, bytes.NewReader(text), store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := solved(t, request(t, []string{"app"}, c)); len(got) != 1 {
			t.Errorf("%v: solved %q", x, got)
		}
	}
}

// A spec that names a channel takes the package from there, whatever comes first.
func TestASpecThatNamesItsChannel(t *testing.T) {
	first := channel(t, pkg{"app", "2.0", "linux-64", nil}, pkg{"lib", "2.0", "linux-64", nil})
	second := channel(t, pkg{"app", "1.0", "linux-64", []string{"lib"}}, pkg{"lib", "1.0", "linux-64", nil})
	name := filepath.Base(filepath.Dir(second.URL)) + "/" + filepath.Base(second.URL)
	for spec, want := range map[string]string{
		"app": "app 2.0", name + "::app": "lib 2.0 app 1.0", name + "/linux-64::app": "lib 2.0 app 1.0", second.URL + "::app": "lib 2.0 app 1.0",
	} {
		if got := strings.Join(solved(t, request(t, []string{spec}, first, second)), " "); got != want {
			t.Errorf("%s: %s, want %s", spec, got, want)
		}
	}
	for spec, want := range map[string]string{
		name + "::app >=2": "there is only app 1.0 in " + second.URL, "elsewhere::app": "there is only app 2.0 in " + first.URL,
	} {
		if _, err := env.Solve(t.Context(), request(t, []string{spec}, first, second)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", spec, err, want)
		}
	}
}

// What counts is when the channel got a package (CEP 47), or else when it was built.
func TestNewerPackagesCanBeLeftOut(t *testing.T) {
	root := t.TempDir()
	year := func(n int) int64 { return time.Date(n, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() }
	tool := func(version string, times map[string]any) map[string]any {
		r := condatest.Index("tool", version, 0, "linux-64")
		maps.Copy(r, times)
		return r
	}
	text, err := json.Marshal(map[string]any{"packages.conda": map[string]any{
		"tool-1.0-0.conda": tool("1.0", map[string]any{"timestamp": year(2021)}),
		"tool-2.0-0.conda": tool("2.0", map[string]any{"timestamp": year(2023), "indexed_timestamp": year(2022)}),
		"tool-3.0-0.conda": tool("3.0", map[string]any{"timestamp": year(2021), "indexed_timestamp": year(2023)}),
		"tool-4.0-0.conda": tool("4.0", map[string]any{"timestamp": year(2024)}),
		"tool-0.1-0.conda": tool("0.1", nil),
	}})
	s := dir.Open(root)
	if err == nil {
		_, err = s.Put(t.Context(), "linux-64/repodata.json", bytes.NewReader(text), store.PutOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	r := request(t, []string{"tool"}, env.Channel{URL: root, Reader: s})
	for before, want := range map[int]string{2020: "tool 0.1", 2021: "tool 1.0", 2022: "tool 2.0", 2023: "tool 3.0", 2024: "tool 4.0"} {
		r.NotAfter = time.UnixMilli(year(before))
		if got := solved(t, r); len(got) != 1 || got[0] != want {
			t.Errorf("until %d: %q, want %s", before, got, want)
		}
	}
}

// forbidden is a server that refuses what is not there, as S3 does without ListBucket.
type forbidden struct{ store.Reader }

func (f forbidden) Get(ctx context.Context, key string, from, to int64) (io.ReadCloser, store.Info, error) {
	body, info, err := f.Reader.Get(ctx, key, from, to)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s: %w", key, fs.ErrPermission)
	}
	return body, info, err
}

func TestAPlatformThatIsRefused(t *testing.T) {
	c := channel(t, pkg{"tool", "1.0", "noarch", nil})
	if err := os.RemoveAll(filepath.Join(c.URL, "linux-64")); err != nil {
		t.Fatal(err)
	}
	r := request(t, []string{"tool"}, env.Channel{URL: c.URL, Reader: forbidden{c.Reader}})
	var warned []string
	r.Warn = func(text string) { warned = append(warned, text) }
	if got := solved(t, r); !slices.Equal(got, []string{"tool 1.0"}) || len(warned) != 1 || !strings.Contains(warned[0], "no packages in linux-64: ") {
		t.Errorf("%q, warned %q", got, warned)
	}
	if err := os.RemoveAll(filepath.Join(c.URL, "noarch")); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Solve(t.Context(), r); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
}

// An index that a worker replaces just as its connection breaks is read anew.
func TestAnIndexThatIsReplacedWhileItIsRead(t *testing.T) {
	s := &mem.Store{}
	index := `{"info":{"subdir":"noarch"},"packages":{},"packages.conda":{}}`
	if _, err := s.Put(t.Context(), "noarch/repodata.json", strings.NewReader(index), store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := env.RepoData(t.Context(), &storetest.Torn{Store: s, Key: "noarch/repodata.json"}, "noarch"); err != nil {
		t.Error(err)
	}
}
