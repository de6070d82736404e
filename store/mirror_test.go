package store_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/store"
)

// place is a Reader that has one object or fails.
type place struct {
	text string
	err  error
}

func (p place) Get(context.Context, string, int64, int64) (io.ReadCloser, store.Info, error) {
	return io.NopCloser(strings.NewReader(p.text)), store.Info{}, p.err
}

func TestMirrored(t *testing.T) {
	down := errors.New("down")
	missing, broken, there := place{err: fs.ErrNotExist}, place{err: down}, place{text: "x"}
	for name, tt := range map[string]struct {
		places store.Mirrored
		err    error
	}{
		"the first":                      {store.Mirrored{there, broken}, nil},
		"not there yet":                  {store.Mirrored{missing, there}, nil},
		"out of reach":                   {store.Mirrored{broken, there}, nil},
		"nowhere":                        {store.Mirrored{missing, missing}, fs.ErrNotExist},
		"not in the channel itself":      {store.Mirrored{broken, missing}, fs.ErrNotExist},
		"perhaps where nobody can reach": {store.Mirrored{missing, broken}, down},
	} {
		_, _, err := tt.places.Get(t.Context(), "key", 0, -1)
		if !errors.Is(err, tt.err) || errors.Is(err, fs.ErrNotExist) && errors.Is(tt.err, down) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
