package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Mirrored reads a channel that lies in several places, the last of which is the channel
// itself: each object from the first that has it and can be reached. What the channel
// itself lacks is not there, whichever mirror is down; while that cannot be reached,
// nobody knows. It has at least one place.
type Mirrored []Reader

var _ Reader = Mirrored(nil)

// Get asks the places one after the other.
func (m Mirrored) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, Info, error) {
	var missing, failed error
	for i, r := range m {
		body, info, err := r.Get(ctx, key, off, n)
		if err == nil || ctx.Err() != nil {
			return body, info, err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		} else if missing = err; i == len(m)-1 {
			failed = nil
		}
	}
	return nil, Info{}, cmp.Or(failed, missing)
}

// Offline is a channel that nobody is asked about.
type Offline struct{}

var _ Reader = Offline{}

// Get returns an error that says so.
func (Offline) Get(_ context.Context, key string, _, _ int64) (io.ReadCloser, Info, error) {
	return nil, Info{}, fmt.Errorf("%s is not in the cache: run once without --offline", key)
}
