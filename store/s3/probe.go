package s3

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/condaworker/condaworker/store"
)

// ErrUnconditional reports a server that does not honour conditional writes:
// two workers that write at once would lose packages there.
var ErrUnconditional = errors.New("this server cannot keep a channel that several workers write")

const (
	probeFolder = ".condaworker-probe" // below the channel's prefix
	probeHolds  = 7 * 24 * time.Hour
)

// Probe finds out whether the server honours If-None-Match and If-Match, which
// Amazon's own does and need not be asked. It writes an object of its own and
// deletes it. What it found is kept in the folder cache, for a week, if that is
// not "". An error that matches ErrUnconditional names what is missing.
func (s *Store) Probe(ctx context.Context, cache string) error {
	if s.endpoint == "" {
		return nil
	}
	known := filepath.Join(cache, fmt.Sprintf("conditional-%x", sha256.Sum256([]byte(s.endpoint+" "+s.bucket))))
	if st, err := os.Stat(known); cache != "" && err == nil && time.Since(st.ModTime()) < probeHolds {
		return nil
	}
	if err := s.probe(ctx); errors.Is(err, store.ErrNoChannel) {
		return err
	} else if err != nil {
		return fmt.Errorf("find out whether %s honours conditional writes: %w", s.endpoint, err)
	}
	if cache == "" || os.MkdirAll(cache, 0o700) != nil {
		return nil // asked again the next time
	}
	if err := os.WriteFile(known, []byte(s.endpoint+"\n"), 0o600); err != nil {
		return nil //nolint:nilerr // likewise
	}
	return nil
}

// probe makes the four writes that tell, as all others are made, so that an answer
// that was lost is no verdict. Each has bytes of its own, by which it is known whose
// write landed.
func (s *Store) probe(ctx context.Context) error {
	key := probeFolder + "/" + rand.Text()
	write := func(body string, cond store.Cond) (store.Info, error) {
		return s.Put(ctx, key, strings.NewReader(body), store.PutOptions{Cond: cond})
	}
	first, err := write("1", store.IfAbsent)
	if err != nil {
		return verdict(err, "If-None-Match: * where nothing is there", http.StatusNotImplemented) // 400 may be of much else
	}
	defer func() { _ = s.Delete(ctx, key) }() // an empty object more is no harm
	for _, w := range []struct {
		body    string
		cond    store.Cond
		feature string
	}{
		{"2", store.IfAbsent, "If-None-Match: *"},
		{"3", `"00000000000000000000000000000000"`, "If-Match"},
	} {
		switch _, err := write(w.body, w.cond); {
		case err == nil:
			return fmt.Errorf("it ignores %s: %w", w.feature, ErrUnconditional)
		case !errors.Is(err, store.ErrConflict):
			return verdict(err, w.feature, http.StatusNotImplemented, http.StatusBadRequest)
		}
	}
	if _, err := write("4", store.IfVersion(first)); err != nil {
		return verdict(err, "If-Match with the right ETag", http.StatusNotImplemented, http.StatusBadRequest)
	}
	return nil
}

// verdict is what a write says of the server that had to succeed, or to be refused for
// its condition, and met err. Only a refusal of what is right, or an answer with one of
// these statuses, is the server's last word; all else, such as an outage, is err.
func verdict(err error, feature string, last ...int) error {
	switch {
	case errors.Is(err, store.ErrConflict):
		return fmt.Errorf("it refuses %s (%w): %w", feature, err, ErrUnconditional)
	case judge(err) == fatal && slices.Contains(last, status(err)):
		return fmt.Errorf("it answers %s with %w: %w", feature, err, ErrUnconditional)
	}
	return err
}
