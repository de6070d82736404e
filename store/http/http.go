// Package http reads a channel from a web server. It never writes. Start with
// Open.
package http

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/condaworker/condaworker/store"
	"github.com/condaworker/condaworker/store/stall"
)

// Store is a channel below one URL.
type Store struct {
	base        string
	name        string // of base in messages: without a password or token
	client      *http.Client
	credentials Credentials
	pause       time.Duration // before the second attempt; later ones are longer
}

var _ store.Reader = (*Store)(nil)

// Open returns the channel at base, e.g. https://conda.anaconda.org/conda-forge.
// It connects on the first Get.
func Open(base string, c Credentials) *Store {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	return over(t, base, c)
}

// silence is how long a server may take to begin its answer, and how long a body may
// stand still on its way. A longer one is a lost connection.
const silence = time.Minute

// over is the channel at base on a transport of its own.
func over(t *http.Transport, base string, c Credentials) *Store {
	stall.Bound(t, silence)
	t.DisableCompression = true // ask does that
	client := &http.Client{Transport: stall.Client{Send: t.RoundTrip, Limit: silence}, CheckRedirect: redirect}
	s := &Store{base: strings.TrimRight(base, "/"), name: "its URL", client: client, credentials: c, pause: 250 * time.Millisecond}
	if u, err := store.ParseURL(s.base); err == nil {
		s.name = u.String()
	}
	return s
}

// redirect tells no other server where it was sent from: there may be a token in it.
// The library keeps credentials for another port of the host, for its subdomains, and
// without encryption: they go to none of these.
func redirect(r *http.Request, via []*http.Request) error {
	r.Header.Del("Referer")
	if first := via[0].URL; r.URL.Host != first.Host || r.URL.Scheme != first.Scheme && r.URL.Scheme != "https" {
		r.Header.Del("Authorization")
	}
	if len(via) >= 10 {
		return errors.New("it redirects too often")
	}
	return nil
}

const (
	attempts = 4

	// patience is how long a server that says when to come back is waited for.
	patience = 30 * time.Second
)

// Get opens part of an object. What may pass (5xx, 429, a lost connection) is
// tried again, and a body that breaks off goes on.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	if err := store.ValidKey(key); err != nil {
		return nil, store.Info{}, err
	}
	for try := 1; ; try++ {
		body, info, wait, err := s.get(ctx, key, off, n)
		if err == nil {
			return s.resume(ctx, body, info, off, n), info, nil
		}
		if wait == hopeless || try == attempts {
			return nil, store.Info{}, err
		}
		wait = max(wait, time.Duration(try*try)*s.pause)
		if err := store.Pause(ctx, wait, wait+wait/4); err != nil {
			return nil, store.Info{}, err
		}
	}
}

// hopeless is the wait before an attempt that would fail like the one before.
const hopeless time.Duration = -1

// get makes one attempt; wait is how long to wait at least before another one.
func (s *Store) get(ctx context.Context, key string, off, n int64) (_ io.ReadCloser, _ store.Info, wait time.Duration, err error) {
	resp, err := s.ask(ctx, key, n == 0, store.Range(off, n))
	if err == nil && n == 0 && (resp.StatusCode == http.StatusMethodNotAllowed || resp.StatusCode == http.StatusNotImplemented) {
		_ = resp.Body.Close() // it knows no HEAD
		resp, err = s.ask(ctx, key, false, "")
	}
	if err == nil && resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		// An empty object, off behind the end, or a server that wants a suffix
		// to be shorter than the object.
		_ = resp.Body.Close()
		resp, err = s.ask(ctx, key, false, "")
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // its URL may be a redirect's, with a signature
	}
	if err != nil {
		if ctx.Err() != nil {
			wait = hopeless
		} else {
			err = fmt.Errorf("%w; correct the URL, or see whether this machine can reach it", err)
		}
		return nil, store.Info{}, wait, fmt.Errorf("read %s from %s: %w", key, s.name, err)
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
		body, err := part(resp, off, n)
		if err != nil {
			err = errors.Join(fmt.Errorf("read %s from %s: %w", key, s.name, err), resp.Body.Close())
		}
		return body, info(key, resp), hopeless, err
	}
	_ = resp.Body.Close() // the status says it all
	err = fmt.Errorf("read %s from %s: %s", key, s.name, resp.Status)
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusGone, http.StatusNotImplemented: // which package servers say of files that they know nothing of
		err = fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	case http.StatusUnauthorized, http.StatusForbidden:
		err = fmt.Errorf("%w: put what this server knows you by into ~/.netrc or ~/.rattler/credentials.json, or correct it there: %w", err, fs.ErrPermission)
	}
	return nil, store.Info{}, comeBack(resp), err
}

// comeBack is when to ask again after a refusal: as Retry-After says, if it passes.
func comeBack(resp *http.Response) time.Duration {
	if resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests || resp.StatusCode == http.StatusNotImplemented {
		return hopeless
	}
	seconds, err := strconv.ParseInt(resp.Header.Get("Retry-After"), 10, 32)
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, patience)
}

// ask sends one request.
func (s *Store) ask(ctx context.Context, key string, head bool, byteRange string) (*http.Response, error) {
	method := http.MethodGet
	if head {
		method = http.MethodHead
	}
	address := s.base + "/" + (&url.URL{Path: key}).EscapedPath()
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	if byteRange != "" {
		req.Header.Set("Range", byteRange)
	}
	whole := byteRange == ""
	if whole { // also when its header alone is asked for: a server may tag what it compresses otherwise
		req.Header.Set("Accept-Encoding", "gzip")
	}
	s.credentials.sign(req)
	resp, err := s.client.Do(req)
	if err == nil && whole && !head && resp.Header.Get("Content-Encoding") == "gzip" {
		resp.Header.Del("Content-Encoding")
		resp.Body, resp.ContentLength = &unzipped{ReadCloser: resp.Body}, -1
	}
	return resp, err
}

// unzipped is a body as it was before it was compressed for the way. The library's own
// would lie below what watches the connection, and take many reads of that for one.
type unzipped struct {
	io.ReadCloser
	zip *gzip.Reader // nil until the first Read
}

// Read returns what has arrived.
func (u *unzipped) Read(b []byte) (n int, err error) {
	if u.zip == nil {
		if u.zip, err = gzip.NewReader(u.ReadCloser); err != nil {
			return 0, err
		}
	}
	return u.zip.Read(b)
}

// part is what was asked for, also from a server that ignores ranges.
func part(resp *http.Response, off, n int64) (io.ReadCloser, error) {
	if resp.StatusCode == http.StatusPartialContent {
		return resp.Body, rightRange(resp, off)
	}
	if off == 0 && n <= 0 {
		return resp.Body, nil
	}
	if off < 0 && resp.ContentLength < 0 {
		return nil, errors.New("the server knows neither ranges nor the object's length, so its end cannot be read")
	}
	if off < 0 {
		off = max(0, resp.ContentLength+off)
	}
	if _, err := io.CopyN(io.Discard, resp.Body, off); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if n < 0 {
		return resp.Body, nil
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, n), resp.Body}, nil
}

// rightRange is an error when the answer begins elsewhere than was asked: a
// cache between may answer with a part that it has.
func rightRange(resp *http.Response, off int64) error {
	said := resp.Header.Get("Content-Range")
	first, _, _ := strings.Cut(strings.TrimPrefix(said, "bytes "), "-")
	at, err := strconv.ParseInt(first, 10, 64)
	if err != nil || off >= 0 && at != off {
		return fmt.Errorf("the server sent %q when asked for %q", said, resp.Request.Header.Get("Range"))
	}
	return nil
}

// info reads what the headers tell; a server that sends no length, or only that of a
// compressed form, leaves the size at -1.
func info(key string, resp *http.Response) store.Info {
	in := store.Info{Key: key, Size: resp.ContentLength, Version: tag(resp.Header.Get("ETag"))}
	if resp.Header.Get("Content-Encoding") == "gzip" {
		in.Size = -1
	}
	if _, total, ok := strings.Cut(resp.Header.Get("Content-Range"), "/"); ok {
		size, err := strconv.ParseInt(total, 10, 64)
		if err != nil { // "*": the server does not know
			size = -1
		}
		in.Size = size
	}
	if t, err := http.ParseTime(resp.Header.Get("Last-Modified")); err == nil {
		in.Modified = t
	}
	in.Fresh = fresh(resp.Header)
	return in
}

// tag is an ETag as the object has it. Servers that compress on the way mark the tag of
// that form, and some do so for GET alone: nginx by W/, Apache and Caddy by -gzip.
func tag(etag string) string {
	etag = strings.TrimPrefix(etag, "W/")
	if bare, marked := strings.CutSuffix(etag, `-gzip"`); marked {
		return bare + `"`
	}
	return etag
}

// fresh is what Cache-Control and Age leave of an answer's lifetime (RFC 9111).
func fresh(h http.Header) time.Duration {
	var seconds int64
	for directive := range strings.SplitSeq(strings.ToLower(strings.Join(h.Values("Cache-Control"), ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-cache", "no-store":
			return 0
		case "max-age":
			seconds, _ = strconv.ParseInt(strings.Trim(value, `"`), 10, 32)
		}
	}
	age, _ := strconv.ParseInt(h.Get("Age"), 10, 32)
	return time.Duration(max(0, seconds-max(0, age))) * time.Second
}
