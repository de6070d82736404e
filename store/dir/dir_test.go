package dir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/dir"
	"github.com/condaworker/condaworker/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return dir.Open(t.TempDir()) })
}

func TestMissingFolder(t *testing.T) {
	root := filepath.Join(t.TempDir(), "none")
	s := dir.Open(root)
	_, _, err := s.Get(t.Context(), "x", 0, -1)
	if !errors.Is(err, store.ErrNoChannel) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "there is no such folder") {
		t.Errorf("get: %v", err)
	}
	for _, err := range s.List(t.Context(), "", store.ListOptions{}) {
		if !errors.Is(err, store.ErrNoChannel) {
			t.Errorf("list: %v", err)
		}
	}
	if err := s.CheckWritable(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("asking made the folder: %v", err)
	}
}

func TestNothingIsLeftOfAFailedPut(t *testing.T) {
	root := t.TempDir()
	s := dir.Open(root)
	if _, err := s.Put(t.Context(), "a/b", brokenBody{}, store.PutOptions{}); err == nil {
		t.Fatal("a body that cannot be read was written")
	}
	if _, err := s.Put(t.Context(), "a/c", strings.NewReader("x"), store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(root, "a"))
	if err != nil || len(entries) != 1 || entries[0].Name() != "c" {
		t.Errorf("left %v %v", entries, err)
	}
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error)       { return 0, errors.New("disk on fire") }
func (brokenBody) Seek(int64, int) (int64, error) { return 0, nil }

// TestFileInPlaceOfTheFolder says so whatever is done.
func TestFileInPlaceOfTheFolder(t *testing.T) {
	root := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(root, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{root, filepath.Join(root, "below")} {
		s := dir.Open(at)
		_, _, get := s.Get(t.Context(), "noarch/x", 0, -1)
		_, put := s.Put(t.Context(), "noarch/x", strings.NewReader(""), store.PutOptions{})
		for what, err := range map[string]error{"get": get, "put": put, "writable": s.CheckWritable()} {
			if err == nil || !strings.Contains(err.Error(), "it is not a folder") || errors.Is(err, store.ErrNoChannel) {
				t.Errorf("%s %s: %v", what, at, err)
			}
		}
	}
}
