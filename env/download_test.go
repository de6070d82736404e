package env_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/store"
)

// flaky serves one object. Each Get ends after so many bytes.
type flaky struct {
	text  []byte
	cut   int
	mu    sync.Mutex
	asked []int64 // offsets
}

func (f *flaky) Get(_ context.Context, _ string, off, _ int64) (io.ReadCloser, store.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, off)
	rest := f.text[off:]
	if len(rest) > f.cut {
		return io.NopCloser(io.MultiReader(bytes.NewReader(rest[:f.cut]), broke{})), store.Info{}, nil
	}
	return io.NopCloser(bytes.NewReader(rest)), store.Info{}, nil
}

type broke struct{}

func (broke) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func digest(text []byte) archive.Digest {
	sum := sha256.Sum256(text)
	return archive.Digest{Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])}
}

func TestDownloadGoesOn(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789"), 100_000)
	file := filepath.Join(t.TempDir(), "a", "x.conda")
	part := filepath.Join(filepath.Dir(file), ".part-x.conda")
	from := &flaky{text: text, cut: 150_000}
	if _, err := env.Download(t.Context(), from, "x", file, digest(text)); err == nil || !strings.Contains(err.Error(), "connection reset") {
		t.Fatal(err)
	}
	if info, err := os.Stat(part); err != nil || info.Size() != 750_000 {
		t.Fatal(info, err)
	}
	if _, err := env.Download(t.Context(), from, "x", file, digest(text)); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, text) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if from.asked[5] != 750_000 {
		t.Errorf("it asked from %d on", from.asked)
	}
	asked := len(from.asked)
	if _, err := env.Download(t.Context(), from, "x", file, digest(text)); err != nil || len(from.asked) != asked {
		t.Errorf("again: %v, asked %d", err, from.asked)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Error(left, err)
	}
}

// silent is a server whose answers end too soon as if that were the end.
type silent struct{ *flaky }

func (s silent) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	body, info, err := s.flaky.Get(ctx, key, off, n)
	return io.NopCloser(io.LimitReader(body, int64(s.cut))), info, err
}

func TestADownloadThatEndsTooSoonGoesOn(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789"), 100_000)
	from := &flaky{text: text, cut: 300_000}
	if _, err := env.Download(t.Context(), silent{from}, "x", filepath.Join(t.TempDir(), "x.conda"), digest(text)); err != nil || len(from.asked) != 4 {
		t.Error(err, from.asked)
	}
	from.cut = 100_000
	file := filepath.Join(t.TempDir(), "x.conda")
	if _, err := env.Download(t.Context(), silent{from}, "x", file, digest(text)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if _, err := env.Download(t.Context(), silent{from}, "x", file, digest(text)); err != nil {
		t.Error(err)
	}
	want := digest(text)
	from = &flaky{text: text[:50], cut: 300_000} // another, shorter object
	for name, from := range map[string]store.Reader{"a server": from, "one that refuses what is behind the end": strict{from}} {
		file := filepath.Join(t.TempDir(), "x.conda")
		if _, err := env.Download(t.Context(), from, "x", file, want); err == nil || !strings.Contains(err.Error(), "its record says "+want.SHA256+": reindex the channel") {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".part-*")); err != nil || len(left) > 0 {
			t.Errorf("%s left %q, %v", name, left, err)
		}
	}
}

// What lies in the cache is compared byte for byte before it is taken.
func TestDownloadReplacesWhatIsBroken(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789"), 10)
	for name, files := range map[string]map[string]string{
		"the file":                 {"x.conda": strings.Repeat("x", 100)},
		"what was begun":           {".part-x.conda": "other"},
		"what was begun is longer": {".part-x.conda": strings.Repeat("x", 1000)},
		"killed at the last step":  {".part-x.conda": string(text)},
		"both":                     {"x.conda": "", ".part-x.conda": strings.Repeat("x", 100)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join(dir, "x.conda")
			if _, err := env.Download(t.Context(), strict{&flaky{text: text, cut: 1000}}, "x", file, digest(text)); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// strict is a server that refuses to begin behind the end.
type strict struct{ *flaky }

func (s strict) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	if off >= int64(len(s.text)) {
		return nil, store.Info{}, errors.New("range not satisfiable")
	}
	return s.flaky.Get(ctx, key, off, n)
}

func TestOneDownloadsForAll(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789"), 10_000)
	from := &flaky{text: text, cut: len(text)}
	file := filepath.Join(t.TempDir(), "x.conda")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := env.Download(t.Context(), from, "x", file, digest(text)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(from.asked) != 1 {
		t.Errorf("it was asked %d times", len(from.asked))
	}
}

func TestWithoutAHashItIsReadAnew(t *testing.T) {
	from := &flaky{text: []byte("old"), cut: 100}
	file := filepath.Join(t.TempDir(), "x.conda")
	for _, text := range []string{"old", "new"} {
		from.text = []byte(text)
		if _, err := env.Download(t.Context(), from, "x", file, archive.Digest{}); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, err := env.Download(t.Context(), from, "x", file, archive.Digest{Size: 4}); err == nil || !strings.Contains(err.Error(), "it has 3 bytes, its record says 4") {
		t.Error(err)
	}
}

// An archive of the right size and other bytes is fetched again.
func TestABrokenArchiveInTheCacheIsFetchedAgain(t *testing.T) {
	r := request(t, []string{"tool"}, channel(t, pkg{"tool", "1.0", "linux-64", nil}))
	create(t, r)
	files, err := filepath.Glob(filepath.Join(r.Cache, "archives", "*", "tool-1.0-0.conda"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2]++
	if err := errors.Join(os.WriteFile(files[0], text, 0o600), os.RemoveAll(filepath.Join(r.Cache, "pkgs"))); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(r.Cache, "pkgs", ".tmp-of-a-killed-run", "new")
	if err := os.MkdirAll(left, 0o750); err != nil {
		t.Fatal(err)
	}
	r.Prefix = filepath.Join(t.TempDir(), "again")
	create(t, r)
	if _, err := os.Stat(left); err == nil {
		t.Error("what a killed run left is still there")
	}
	// Unpacked, it does not need its archive.
	if err := os.RemoveAll(filepath.Join(r.Cache, "archives")); err != nil {
		t.Fatal(err)
	}
	r.Prefix = filepath.Join(t.TempDir(), "third")
	create(t, r)
	if _, err := os.Stat(filepath.Join(r.Cache, "archives")); err == nil {
		t.Error("it was fetched")
	}
}

// A hash that is none names no folder, whatever the other one is.
func TestAHashThatLeavesTheCache(t *testing.T) {
	r := request(t, []string{"tool"}, channel(t, pkg{"tool", "1.0", "linux-64", nil}))
	top := t.TempDir()
	r.Cache = filepath.Join(top, "a", "cache")
	records, err := env.Solve(t.Context(), r)
	if err != nil || len(records) != 1 || records[0].MD5 == "" {
		t.Fatal(records, err)
	}
	records[0].SHA256 = "../../../outside"
	if file, err := env.Fetch(t.Context(), r, records[0]); err == nil {
		t.Errorf("%s was fetched", file)
	}
	if entries, err := os.ReadDir(top); err != nil || len(entries) != 1 {
		t.Errorf("beside the cache there is %v, %v", entries, err)
	}
}
