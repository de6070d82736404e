package openjd

import (
	"io"
	"slices"
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
	w      io.Writer
	bottom string // the last line of a terminal, which is drawn again and again
	err    error  // the first; nothing is written after it
}

// erase takes away what is in the cursor's line.
const erase = "\r\x1b[K"

func (s *stream) print(text string) {
	_ = s.write([]byte(text)) // the callback has heard of it
}

// write writes b, whole lines, in one call and returns the stream's first error.
func (s *stream) write(b []byte) error {
	s.mu.Lock()
	if s.bottom != "" {
		b = slices.Concat([]byte(erase), b, []byte(s.bottom))
	}
	return s.writeLocked(b)
}

// draw replaces the last line of a terminal.
func (s *stream) draw(text string) {
	s.mu.Lock()
	if s.bottom == text {
		s.mu.Unlock()
		return
	}
	s.bottom = text
	_ = s.writeLocked([]byte(erase + text)) // the callback has heard of it
}

func (s *stream) writeLocked(b []byte) error {
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
