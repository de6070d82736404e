package agent

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/condaworker/condaworker/agent/openjd"
	"github.com/condaworker/condaworker/store"
)

func TestPart(t *testing.T) {
	for _, c := range []struct{ size, off, n, want int64 }{
		{100, 0, -1, 100}, {100, 40, -1, 60}, {100, 40, 10, 10}, {100, 95, 10, 5}, {100, -30, -1, 30}, {100, -300, -1, 100}, {100, 200, 5, 0},
	} {
		if got := part(c.size, c.off, c.n); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// taker is a store that wants what the real ones want of a body.
type taker struct {
	store.Store
	got   []byte
	parts bool // the body can be read at any place
}

func (s *taker) Put(_ context.Context, _ string, body io.ReadSeeker, _ store.PutOptions) (info store.Info, err error) {
	_, s.parts = body.(io.ReaderAt)
	s.got, err = io.ReadAll(body)
	return info, err
}

// A body that is counted is the same to the store.
func TestObservedPut(t *testing.T) {
	name := filepath.Join(t.TempDir(), "package")
	if err := os.WriteFile(name, []byte("the package"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name) //nolint:gosec // ours
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := openjd.New(openjd.Options{Stdout: io.Discard, Stderr: io.Discard, Width: 80})
	defer out.Phase("publish")()
	for _, c := range []struct {
		body  io.ReadSeeker
		parts bool
	}{{f, true}, {bytes.NewReader([]byte("the package")), true}, {struct{ io.ReadSeeker }{f}, false}} {
		var s taker
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if _, err := (observedStore{&s, out}).Put(t.Context(), "k", c.body, store.PutOptions{}); err != nil || string(s.got) != "the package" || s.parts != c.parts {
			t.Errorf("%T: %q, in parts %t, %v", c.body, s.got, s.parts, err)
		}
	}
}
