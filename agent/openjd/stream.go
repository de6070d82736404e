package openjd

import (
	"io"
	"sync"
)

// device is what both streams lead to: in a session one pipe, so that one lock
// keeps their lines apart.
type device struct {
	mu     sync.Mutex
	once   sync.Once
	broken func(error)
}

// stream is one of the process's two standard streams.
type stream struct {
	*device
	w   io.Writer
	err error // the first; nothing is written after it
}

func (s *stream) print(text string) {
	_ = s.write([]byte(text)) // the callback has heard of it
}

// write writes b in one call and returns the stream's first error.
func (s *stream) write(b []byte) error {
	s.mu.Lock()
	was := s.err
	if was == nil {
		_, s.err = s.w.Write(b)
	}
	err := s.err
	s.mu.Unlock()
	if was == nil && err != nil && s.broken != nil {
		s.once.Do(func() { s.broken(err) }) // unlocked: it may want to log
	}
	return err
}
