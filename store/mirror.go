package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Mirrored reads a channel that lies in several places: each object from the first
// that has it and can be reached. Only when all others were reached an object is
// not there. It has at least one place.
type Mirrored []Reader

var _ Reader = Mirrored(nil)

// Get asks the places one after the other.
func (m Mirrored) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, Info, error) {
	var missing, failed error
	for _, r := range m {
		body, info, err := r.Get(ctx, key, off, n)
		if err == nil || ctx.Err() != nil {
			return body, info, err
		}
		if errors.Is(err, fs.ErrNotExist) {
			missing = err
		} else {
			failed = errors.Join(failed, err)
		}
	}
	if failed != nil {
		return nil, Info{}, failed
	}
	return nil, Info{}, missing
}

// Offline is a channel that nobody is asked about.
type Offline struct{}

var _ Reader = Offline{}

// Get returns an error that says so.
func (Offline) Get(_ context.Context, key string, _, _ int64) (io.ReadCloser, Info, error) {
	return nil, Info{}, fmt.Errorf("%s is not in the cache: run once without --offline", key)
}
