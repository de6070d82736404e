package env_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
)

// age makes all of a cache as old as a month.
func age(t *testing.T, cache string) {
	t.Helper()
	old := time.Now().Add(-30 * 24 * time.Hour)
	err := filepath.WalkDir(cache, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, old, old))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// kept are the names of what CleanCache may remove, without hashes.
func kept(t *testing.T, cache string) (names []string) {
	t.Helper()
	for _, pattern := range []string{"archives/*/*", "pkgs/*", "shards/*", "repodata-*/*", ".trash-*"} {
		found, err := filepath.Glob(filepath.Join(cache, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			name := filepath.Base(path)
			if folder, _, _ := strings.Cut(pattern, "/"); folder == "shards" || folder == "repodata-*" {
				name = folder
			} else if folder == "pkgs" {
				name = name[:strings.LastIndexByte(name, '-')]
			}
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestCleanCache(t *testing.T) {
	c := channel(t, pkg{"app", "1.0", "linux-64", []string{"lib"}}, pkg{"lib", "1.0", "noarch", nil}, pkg{"other", "1.0", "linux-64", nil})
	r := request(t, []string{"app", "other"}, c)
	create(t, r)
	all := kept(t, r.Cache)
	want := []string{"app-1.0-0", "app-1.0-0.conda", "lib-1.0-0", "lib-1.0-0.conda", "other-1.0-0", "other-1.0-0.conda", "repodata-*", "repodata-*", "shards", "shards", "shards"}
	if !slices.Equal(all, want) {
		t.Fatalf("%q", all)
	}
	clean := func(unused time.Duration, dry bool) int {
		t.Helper()
		cleaned, err := env.CleanCache(t.Context(), r.Cache, unused, time.Minute, dry)
		if err != nil || (cleaned.Items > 0) != (cleaned.Bytes > 0) {
			t.Errorf("%+v %v", cleaned, err)
		}
		return cleaned.Items
	}
	if n := clean(24*time.Hour, false); n != 0 {
		t.Errorf("%d new items were removed", n)
	}
	age(t, r.Cache)
	if n := clean(24*time.Hour, true); n != len(all) || !slices.Equal(kept(t, r.Cache), all) {
		t.Errorf("a dry run finds %d items, and leaves %q", n, kept(t, r.Cache))
	}

	// What is used stays: an archive is not, once it is unpacked.
	r.Specs, r.Prefix = []string{"app"}, filepath.Join(t.TempDir(), "again")
	create(t, r)
	trash := filepath.Join(r.Cache, ".trash-killed", "0")
	if err := os.MkdirAll(trash, 0o750); err != nil {
		t.Fatal(err)
	}
	clean(24*time.Hour, false)
	if left := kept(t, r.Cache); !slices.Equal(left, []string{"app-1.0-0", "lib-1.0-0", "repodata-*", "repodata-*", "shards", "shards"}) {
		t.Errorf("%q", left)
	}
	clean(0, false)
	if left := kept(t, r.Cache); len(left) > 0 {
		t.Errorf("%q", left)
	}
	r.Prefix = filepath.Join(t.TempDir(), "anew")
	create(t, r)
	if cleaned, err := env.CleanCache(t.Context(), filepath.Join(r.Cache, "none"), 0, 0, false); err != nil || cleaned.Items != 0 {
		t.Error(cleaned, err)
	}
}

// meddling does something each time that an object of a channel is read.
type meddling struct {
	store.Reader
	meddle func()
}

func (m meddling) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	m.meddle()
	return m.Reader.Get(ctx, key, off, n)
}

// While an environment is made or solved nothing is removed under it, whatever its age;
// in between all is.
func TestACacheInUseIsNotCleaned(t *testing.T) {
	c := channel(t, pkg{"app", "1.0", "linux-64", []string{"lib"}}, pkg{"lib", "1.0", "noarch", nil})
	r := request(t, []string{"app"}, c)
	refused := 0
	var mu sync.Mutex
	r.Channels[0].Reader = meddling{c.Reader, func() {
		mu.Lock()
		defer mu.Unlock()
		cleaned, err := env.CleanCache(t.Context(), r.Cache, 0, 0, false)
		if !errors.Is(err, dir.ErrHeld) || cleaned.Items > 0 || !strings.Contains(err.Error(), "clean it when no environment is being made") {
			t.Errorf("%+v %v", cleaned, err)
		}
		refused++
	}}
	for i := range 3 {
		r.Prefix = filepath.Join(t.TempDir(), strconv.Itoa(i))
		create(t, r)
		if refused == 0 {
			t.Error("nothing was read")
		}
		refused = 0
		if cleaned, err := env.CleanCache(t.Context(), r.Cache, 0, time.Minute, false); err != nil || cleaned.Items == 0 {
			t.Errorf("%+v %v", cleaned, err)
		}
	}
	if _, err := env.Solve(t.Context(), r); err != nil || refused == 0 {
		t.Errorf("%v, read %d times", err, refused)
	}
}
