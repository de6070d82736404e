package http

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/condaworker/condaworker/store"
)

// resumed is a body that goes on where a lost connection broke it off, as long as
// the object is still the one that was begun.
type resumed struct {
	s       *Store
	ctx     context.Context // of the Get whose body this is
	key     string
	version string
	at, end int64 // in the object
	body    io.ReadCloser
	tries   int
}

// resume makes the body of Get(off, n) one that goes on. Without a version and a
// size nothing would tell that it is the same object.
func (s *Store) resume(ctx context.Context, body io.ReadCloser, info store.Info, off, n int64) io.ReadCloser {
	if info.Version == "" || info.Size < 0 || n == 0 {
		return body
	}
	if off < 0 {
		off = max(0, info.Size+off)
	}
	end := info.Size
	if n > 0 {
		end = min(end, off+n)
	}
	return &resumed{s: s, ctx: ctx, key: info.Key, version: info.Version, at: off, end: end, body: body, tries: attempts}
}

func (r *resumed) Read(b []byte) (int, error) {
	for {
		n, err := r.body.Read(b)
		r.at += int64(n)
		if n > 0 && err != nil && !errors.Is(err, io.EOF) {
			err = nil // the next Read meets it again
		}
		if err == nil || errors.Is(err, io.EOF) || !r.again() {
			return n, err
		}
	}
}

// again opens the rest of the object.
func (r *resumed) again() bool {
	for r.at < r.end && r.tries > 0 {
		pause := time.Duration(attempts-r.tries) * r.s.pause
		r.tries--
		if store.Pause(r.ctx, pause, 2*pause) != nil {
			return false
		}
		body, info, _, err := r.s.get(r.ctx, r.key, r.at, r.end-r.at)
		if err != nil {
			continue
		}
		_ = r.body.Close() // it is broken
		r.body = body
		return info.Version == r.version
	}
	return false
}

// Close closes the body.
func (r *resumed) Close() error { return r.body.Close() }
