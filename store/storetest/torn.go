package storetest

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/condaworker/condaworker/store"
)

// Torn is a store of which the body of one object breaks in its middle the first time
// that it is read, as Replace puts another in its place.
type Torn struct {
	store.Store
	Key     string
	Replace func() // may be nil

	once sync.Once
}

// Get opens part of an object.
func (s *Torn) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	body, in, err := s.Store.Get(ctx, key, off, n)
	if err == nil && key == s.Key && n != 0 {
		s.once.Do(func() {
			if s.Replace != nil {
				s.Replace()
			}
			body = torn{io.MultiReader(io.LimitReader(body, 5), broken{}), body}
		})
	}
	return body, in, err
}

type torn struct {
	io.Reader
	io.Closer
}

type broken struct{}

func (broken) Read([]byte) (int, error) {
	return 0, fmt.Errorf("%w, and the object was replaced: %w", io.ErrUnexpectedEOF, store.ErrConflict)
}
