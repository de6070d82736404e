package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

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

// probe makes the four writes that tell. Each has bytes of its own, so that no
// answer can be taken for another's.
func (s *Store) probe(ctx context.Context) error {
	key := probeFolder + "/" + rand.Text()
	etag, err := s.probeWrite(ctx, key, "1", "*", "")
	if err != nil {
		return s.explain(ctx, "s3:PutObject", key, err)
	}
	defer func() { _ = s.Delete(ctx, key) }() // an empty object more is no harm
	for _, w := range []struct{ body, none, match, feature string }{
		{"2", "*", "", "If-None-Match: *"},
		{"3", "", `"00000000000000000000000000000000"`, "If-Match"},
	} {
		switch _, err := s.probeWrite(ctx, key, w.body, w.none, w.match); {
		case err == nil:
			return fmt.Errorf("it ignores %s: %w", w.feature, ErrUnconditional)
		case judge(err) != refused:
			return fmt.Errorf("it answers %s with %w: %w", w.feature, err, ErrUnconditional)
		}
	}
	if _, err := s.probeWrite(ctx, key, "4", "", etag); err != nil {
		return fmt.Errorf("it refuses If-Match with the right ETag (%w): %w", err, ErrUnconditional)
	}
	return nil
}

func (s *Store) probeWrite(ctx context.Context, key, body, none, match string) (etag string, err error) {
	err = s.ask(ctx, func(ctx context.Context) error {
		out, err := s.client().PutObject(ctx, &s3.PutObjectInput{
			Bucket: &s.bucket, Key: aws.String(s.key(key)), Body: bytes.NewReader([]byte(body)), ContentLength: aws.Int64(int64(len(body))),
			IfNoneMatch: text(none), IfMatch: text(match),
		})
		if err == nil {
			etag = aws.ToString(out.ETag)
		}
		return err
	})
	return etag, err
}
