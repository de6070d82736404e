package e2e

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// conformance is the folder of real channels beside the project, or where
// CONDAWORKER_TEST_CHANNELS says.
func conformance(t *testing.T, s suite) string {
	t.Helper()
	dir := os.Getenv("CONDAWORKER_TEST_CHANNELS")
	if dir == "" {
		dir = filepath.Join(s.root, "..", "shared", "conformance", "channels")
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("needs the channels in %s, or CONDAWORKER_TEST_CHANNELS", dir)
	}
	return dir
}

// stored are the files of a subdir that look like packages.
func stored(t *testing.T, root, subdir string) map[string]bool {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(root, subdir))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".conda") || strings.HasSuffix(e.Name(), ".tar.bz2") {
			all[e.Name()] = true
		}
	}
	return all
}

// copyChannel copies a channel, without what indexes it unless indexed. It
// returns the copy's subdirs.
func copyChannel(t *testing.T, from, to string, indexed bool) (subdirs []string) {
	t.Helper()
	dirs, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		subdirs = append(subdirs, d.Name())
		files, err := os.ReadDir(filepath.Join(from, d.Name()))
		if err != nil {
			t.Fatal(err)
		}
		packages := stored(t, from, d.Name())
		for _, f := range files {
			if !indexed && !packages[f.Name()] {
				continue
			}
			text, err := os.ReadFile(filepath.Join(from, d.Name(), f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(to, d.Name(), f.Name()), string(text))
		}
	}
	return subdirs
}

// Real channels have the same records when they are indexed again, from nothing
// or with the index that they came with, but for those of packages that are not
// there; and conda-index makes the same ones.
func TestRealChannels(t *testing.T) {
	s := start(t)
	channels := conformance(t, s)
	for _, name := range []string{"conda_format_repo", "hotfix", "client_tests"} {
		for _, indexed := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " with its index"}[indexed], func(t *testing.T) {
				from, ours, theirs := filepath.Join(channels, name), t.TempDir(), t.TempDir()
				subdirs := copyChannel(t, from, ours, indexed)
				copyChannel(t, from, theirs, indexed)
				s.must(t, s.program, "reindex", ours)
				args := []string{"-m", "conda_index", theirs, "--threads", "1"}
				for _, subdir := range subdirs {
					args = append(args, "--subdir", subdir) // it knows none of another name by itself
				}
				t.Setenv("PYTHONPATH", filepath.Join(s.root, "scripts", "e2e", "testdata", "conda_index"))
				s.must(t, s.python, args...)
				for _, subdir := range subdirs {
					got := recordsOf(t, ours, subdir)
					if diff := cmp.Diff(recordsOf(t, theirs, subdir), got); diff != "" {
						t.Errorf("%s: conda-index -, condaworker +\n%s", subdir, diff)
					}
					there := stored(t, from, subdir)
					if len(got) != len(there) {
						t.Errorf("%s: %d records of %d packages", subdir, len(got), len(there))
					}
					for file, want := range recordsOf(t, from, subdir) {
						if diff := cmp.Diff(want, got[file]); there[file] && diff != "" {
							t.Errorf("%s/%s: its own index -, condaworker +\n%s", subdir, file, diff)
						}
					}
				}
				s.must(t, s.program, "reindex", "--check", ours)
			})
		}
	}
}
