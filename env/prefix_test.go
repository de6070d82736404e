//go:build unix

package env_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda/condatest"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
)

// counting counts how often archives are read.
type counting struct {
	store.Reader
	archives *atomic.Int32
}

func (c counting) Get(ctx context.Context, key string, from, to int64) (io.ReadCloser, store.Info, error) {
	if strings.HasSuffix(key, ".conda") {
		c.archives.Add(1)
	}
	return c.Reader.Get(ctx, key, from, to)
}

func TestTheSameEnvironmentTwiceIsOne(t *testing.T) {
	var read atomic.Int32
	c := channel(t, pkg{"app", "1.0", "linux-64", []string{"lib"}}, pkg{"lib", "1.0", "noarch", nil})
	c.Reader = counting{c.Reader, &read}
	r := request(t, []string{"app"}, c)
	create(t, r)
	history, err := os.ReadFile(filepath.Join(r.Prefix, "conda-meta", "history"))
	if err != nil || !strings.Contains(string(history), "# update specs: ['app']") {
		t.Errorf("%s %v", history, err)
	}
	create(t, r)
	if again, err := os.ReadFile(filepath.Join(r.Prefix, "conda-meta", "history")); err != nil || string(again) != string(history) {
		t.Errorf("the history became %s %v", again, err)
	}
	r.Prefix = filepath.Join(t.TempDir(), "another")
	create(t, r)
	if n := read.Load(); n != 2 {
		t.Errorf("2 archives were read %d times", n)
	}
}

// The name of a folder means nothing.
func TestAPrefixAndACacheWithAnyName(t *testing.T) {
	r := request(t, []string{"tool"}, channel(t, pkg{"tool", "1.0", "linux-64", nil}))
	r.Prefix, r.Cache = filepath.Join(t.TempDir(), "shot [1-"), filepath.Join(t.TempDir(), "cache*[a]")
	create(t, r)
	if records, err := env.Installed(r.Prefix); err != nil || len(records) != 1 {
		t.Errorf("%+v %v", records, err)
	}
	create(t, r)
	if cleaned, err := env.CleanCache(t.Context(), r.Cache, 0, time.Minute, false); err != nil || cleaned.Items == 0 {
		t.Errorf("%+v %v", cleaned, err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(r.Cache), "*", ".trash-*")); err != nil || len(left) != 0 {
		t.Errorf("left: %s %v", left, err)
	}
}

func TestAPrefixThatCannotBeMade(t *testing.T) {
	r := request(t, []string{"tool"}, channel(t, pkg{"tool", "1.0", "linux-64", nil}))
	if err := os.Symlink("nowhere", r.Prefix); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Create(t.Context(), r); err == nil || !strings.HasPrefix(err.Error(), "make the prefix: ") || !strings.Contains(err.Error(), "; name one that") {
		t.Errorf("got %v", err)
	}
}

func TestWhatAnInterruptedRunLeftIsRemoved(t *testing.T) {
	r := request(t, []string{"tool"}, channel(t, pkg{"tool", "1.0", "linux-64", nil}))
	for _, name := range []string{".condaworker-transaction/undo.json", "share/tool", "lib/half", "conda-meta/half-1-0.json", "conda-meta/history"} {
		file := filepath.Join(r.Prefix, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(`{"fresh": true}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	create(t, r)
	for _, name := range []string{".condaworker-transaction", "lib", "conda-meta/half-1-0.json"} {
		if _, err := os.Stat(filepath.Join(r.Prefix, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestWhatIsNotOursIsNeverTouched(t *testing.T) {
	c := channel(t, pkg{"tool", "1.0", "linux-64", nil}, pkg{"other", "1.0", "linux-64", nil})
	r := request(t, []string{"tool"}, c)
	if err := os.MkdirAll(filepath.Join(r.Prefix, "photos"), 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Create(t.Context(), r); err == nil || !strings.Contains(err.Error(), "no conda environment") {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(r.Prefix, "photos")); err != nil {
		t.Error(err)
	}
	r.Prefix = filepath.Join(t.TempDir(), "p")
	create(t, r)
	r.Specs = []string{"other"}
	if _, err := env.Create(t.Context(), r); err == nil || !strings.Contains(err.Error(), "other packages") {
		t.Error(err)
	}
	if installed, err := env.Installed(r.Prefix); err != nil || len(installed) != 1 || installed[0].Name != "tool" {
		t.Error(installed, err)
	}
}

// What Create would not touch Preview refuses in the same words, and changes nothing.
func TestAPreviewOfAPrefix(t *testing.T) {
	c := channel(t, pkg{"tool", "1.0", "linux-64", nil}, pkg{"other", "1.0", "linux-64", nil})
	inPrefix := func(path, text string) func(t *testing.T, r env.Request) {
		return func(t *testing.T, r env.Request) {
			file := filepath.Join(r.Prefix, path)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o750), os.WriteFile(file, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tt := range map[string]struct {
		make    func(t *testing.T, r env.Request)
		update  bool
		refused bool
	}{
		"nothing":           {make: func(*testing.T, env.Request) {}},
		"the same":          {make: func(t *testing.T, r env.Request) { create(t, r) }},
		"no environment":    {make: inPrefix("photos/one", ""), refused: true},
		"not to be updated": {make: inPrefix("photos/one", ""), update: true, refused: true},
		"other packages": {make: func(t *testing.T, r env.Request) {
			r.Specs = []string{"other"}
			create(t, r)
		}, refused: true},
		"an update": {make: func(t *testing.T, r env.Request) {
			r.Specs = []string{"other"}
			create(t, r)
		}, update: true},
		"broken": {make: func(t *testing.T, r env.Request) {
			create(t, r)
			inPrefix("conda-meta/tool-1.0-0.json", "{")(t, r)
		}, refused: true},
		"a file": {make: func(t *testing.T, r env.Request) {
			if err := os.WriteFile(r.Prefix, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, refused: true},
		"a link that leads nowhere": {make: func(t *testing.T, r env.Request) {
			if err := os.Symlink("nowhere", r.Prefix); err != nil {
				t.Fatal(err)
			}
		}, refused: true},
		"what a killed run left": {make: func(t *testing.T, r env.Request) {
			inPrefix("share/half", "")(t, r)
			inPrefix(".condaworker-transaction/undo.json", `{"fresh": true}`)(t, r)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, []string{"tool"}, c)
			tt.make(t, r)
			r.Update = tt.update
			before := listing(t, filepath.Dir(r.Prefix))
			got, err := env.Preview(t.Context(), r)
			if diff := cmp.Diff(before, listing(t, filepath.Dir(r.Prefix))); diff != "" {
				t.Error(diff)
			}
			if tt.refused {
				if _, want := env.Create(t.Context(), r); want == nil || err == nil || err.Error() != want.Error() {
					t.Errorf("%v, want %v", err, want)
				}
			} else if err != nil || len(got) != 1 {
				t.Error(got, err)
			}
		})
	}
}

// listing has every file and link below a folder, with its time.
func listing(t *testing.T, folder string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(folder, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		all = append(all, path+" "+info.ModTime().String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A folder of one package is a file of the other: that is found out when the prefix is
// there.
func TestAFailedInstallLeavesThePrefixAsItWas(t *testing.T) {
	root := t.TempDir()
	s := dir.Open(root)
	for name, path := range map[string]string{"a": "etc/hosts", "b": "etc/hosts/b"} {
		file := condatest.Write(t, name+"-1-0.conda", condatest.Index(name, "1", 0, "linux-64"), map[string]string{path: name})
		if _, err := indexer.Publish(t.Context(), s, indexer.Package{Path: file}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := indexer.Reindex(t.Context(), s, indexer.Options{}); err != nil {
		t.Fatal(err)
	}
	r := request(t, []string{"a", "b"}, env.Channel{URL: root, Reader: s})
	if _, err := env.Create(t.Context(), r); err == nil || !strings.Contains(err.Error(), "etc/hosts") {
		t.Error(err)
	}
	if _, err := os.Stat(r.Prefix); err == nil {
		t.Error("the prefix is still there")
	}
	if err := os.Mkdir(r.Prefix, 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Create(t.Context(), r); err == nil {
		t.Error("it was installed")
	}
	if left, err := os.ReadDir(r.Prefix); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}

func TestManyMakeOnePrefix(t *testing.T) {
	r := request(t, []string{"app"}, channel(t, pkg{"app", "1.0", "linux-64", []string{"lib"}}, pkg{"lib", "1.0", "noarch", nil}))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := env.Create(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if installed, err := env.Installed(r.Prefix); err != nil || len(installed) != 2 {
		t.Error(installed, err)
	}
	history, err := os.ReadFile(filepath.Join(r.Prefix, "conda-meta", "history"))
	if n := strings.Count(string(history), "==>"); err != nil || n != 1 {
		t.Errorf("installed %d times, %v", n, err)
	}
}

func TestTheWaitForAPrefixEndsWithItsContext(t *testing.T) {
	r := request(t, []string{"tool"}, channel(t, pkg{"tool", "1.0", "linux-64", nil}))
	if err := os.MkdirAll(r.Prefix, 0o755); err != nil {
		t.Fatal(err)
	}
	release, err := dir.LockFolder(t.Context(), r.Prefix)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = release() }()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := env.Create(ctx, r); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestAnEnvironmentIsUpdated(t *testing.T) {
	c := channel(t, pkg{"app", "1.0", "linux-64", []string{"lib"}}, pkg{"lib", "1.0", "noarch", nil}, pkg{"other", "1.0", "linux-64", []string{"lib"}})
	r := request(t, []string{"app"}, c)
	create(t, r)
	kept, err := os.Stat(filepath.Join(r.Prefix, "conda-meta", "lib-1.0-0.json"))
	if err != nil {
		t.Fatal(err)
	}
	r.Specs, r.Update = []string{"other"}, true
	create(t, r)
	if _, err := os.Stat(filepath.Join(r.Prefix, "share", "app")); err == nil {
		t.Error("app is still there")
	}
	if again, err := os.Stat(filepath.Join(r.Prefix, "conda-meta", "lib-1.0-0.json")); err != nil || !os.SameFile(kept, again) {
		t.Errorf("lib was touched: %v", err)
	}
}

// conda leaves two records of a package where it is killed: which files are there nobody
// knows.
func TestAPackageThatIsInstalledTwice(t *testing.T) {
	r := request(t, []string{"tool"}, channel(t, pkg{"tool", "1.0", "linux-64", nil}))
	create(t, r)
	text, err := os.ReadFile(filepath.Join(r.Prefix, "conda-meta", "tool-1.0-0.json"))
	if err != nil {
		t.Fatal(err)
	}
	other := strings.ReplaceAll(string(text), "1.0", "0.9")
	if err := os.WriteFile(filepath.Join(r.Prefix, "conda-meta", "tool-0.9-0.json"), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, r.Update = range []bool{false, true} {
		_, err := env.Create(t.Context(), r)
		if err == nil || !strings.Contains(err.Error(), "tool-1.0-0.json: tool is installed twice, also as 0.9 0") || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("update %v: %v", r.Update, err)
		}
	}
}
