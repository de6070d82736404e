// Package http reads a channel from a web server. It never writes. Start with
// Open.
package http

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/condaworker/condaworker/store"
)

// Store is a channel below one URL.
type Store struct {
	base   string
	client *http.Client
}

var _ store.Reader = (*Store)(nil)

// Open returns the channel at base, e.g. https://conda.anaconda.org/conda-forge.
// It connects on the first Get.
func Open(base string) *Store {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = time.Minute
	return &Store{strings.TrimRight(base, "/"), &http.Client{Transport: t}}
}

const attempts = 4

// Get opens part of an object. What may pass (5xx, 429, a lost connection) is
// tried again.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	var err error
	for try := range attempts {
		if try > 0 {
			select {
			case <-ctx.Done():
				return nil, store.Info{}, context.Cause(ctx)
			case <-time.After(time.Duration(try*try) * 250 * time.Millisecond):
			}
		}
		var body io.ReadCloser
		var info store.Info
		var again bool
		if body, info, again, err = s.get(ctx, key, off, n); !again {
			return body, info, err
		}
	}
	return nil, store.Info{}, err
}

// get makes one attempt; again tells whether another one may succeed.
func (s *Store) get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, bool, error) {
	method := http.MethodGet
	if n == 0 {
		method = http.MethodHead
	}
	address := s.base + "/" + (&url.URL{Path: key}).EscapedPath()
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, store.Info{}, false, err
	}
	if r := store.Range(off, n); r != "" {
		req.Header.Set("Range", r)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, store.Info{}, ctx.Err() == nil, fmt.Errorf("read %s: %w", key, err)
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
		return part(resp, off, n), info(key, resp), false, nil
	}
	_ = resp.Body.Close() // the status says it all
	err = fmt.Errorf("read %s from %s: %s", key, s.base, resp.Status)
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		err = fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	case http.StatusUnauthorized, http.StatusForbidden:
		err = fmt.Errorf("%w: %w", err, fs.ErrPermission)
	}
	return nil, store.Info{}, resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests, err
}

// part is what was asked for, also from a server that ignores ranges.
func part(resp *http.Response, off, n int64) io.ReadCloser {
	if resp.StatusCode == http.StatusPartialContent || off == 0 && n <= 0 {
		return resp.Body
	}
	if off < 0 {
		off = max(0, resp.ContentLength+off)
	}
	if _, err := io.CopyN(io.Discard, resp.Body, off); err != nil {
		return resp.Body // at its end: reads as empty
	}
	if n < 0 {
		return resp.Body
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, n), resp.Body}
}

// info reads what the headers tell; a server that sends no length leaves the
// size at -1.
func info(key string, resp *http.Response) store.Info {
	in := store.Info{Key: key, Size: resp.ContentLength, Version: resp.Header.Get("ETag")}
	if _, total, ok := strings.Cut(resp.Header.Get("Content-Range"), "/"); ok {
		if size, err := strconv.ParseInt(total, 10, 64); err == nil {
			in.Size = size
		}
	}
	if t, err := http.ParseTime(resp.Header.Get("Last-Modified")); err == nil {
		in.Modified = t
	}
	return in
}
