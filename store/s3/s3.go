// Package s3 keeps a channel below a prefix of an S3 bucket. It is the only
// package that knows the AWS SDK. What the answers to a conditional write mean
// is decided in one place, settle. Start with Put.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/condaworker/condaworker/store"
)

// Store is a channel in a bucket.
type Store struct {
	current        atomic.Pointer[s3.Client]
	moving         sync.Mutex // a client is made of the current one's options, which share what New writes to
	bucket, prefix string
	endpoint       string // of another make than Amazon's; else ""
	owner          string // the account that the bucket must belong to; "": any
}

var _ store.Store = (*Store)(nil)

// key is the object's key in the bucket: the one place where the prefix is
// added.
func (s *Store) key(key string) string { return path.Join(s.prefix, key) }

// Get opens part of an object with one request.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	if err := store.ValidKey(key); err != nil {
		return nil, store.Info{}, err
	}
	if n == 0 {
		info, err := s.head(ctx, key)
		return http.NoBody, info, err
	}
	in := &s3.GetObjectInput{Bucket: &s.bucket, Key: aws.String(s.key(key))}
	if r := store.Range(off, n); r != "" {
		in.Range = &r
	}
	var out *s3.GetObjectOutput
	err := s.ask(ctx, func(ctx context.Context) (err error) {
		out, err = s.client().GetObject(ctx, in)
		return err
	})
	if code(err) == "InvalidRange" { // an empty object, or off behind its end
		info, err := s.head(ctx, key)
		return http.NoBody, info, err
	}
	if err != nil {
		return nil, store.Info{}, s.explain(ctx, "s3:GetObject", key, err)
	}
	info := store.Info{
		Key: key, Size: aws.ToInt64(out.ContentLength), Version: aws.ToString(out.ETag),
		Modified: aws.ToTime(out.LastModified), Meta: out.Metadata,
	}
	if at, ok := middleware.GetServerTime(out.ResultMetadata); ok && out.LastModified != nil {
		info.Age = max(at.Sub(info.Modified), 0)
	}
	if _, total, ok := strings.Cut(aws.ToString(out.ContentRange), "/"); ok {
		if size, err := strconv.ParseInt(total, 10, 64); err == nil {
			info.Size = size
		}
	}
	return &resumed{ctx: ctx, s: s, info: info, body: out.Body, off: first(out, off), left: aws.ToInt64(out.ContentLength)}, info, nil
}

// first is the offset at which an answer begins.
func first(out *s3.GetObjectOutput, off int64) int64 {
	var at int64
	if _, err := fmt.Sscanf(aws.ToString(out.ContentRange), "bytes %d-", &at); err == nil {
		return at
	}
	return max(off, 0)
}

// resumed is an object's body that goes on where a connection was lost, as
// long as the object is the same. When another was put in its place, whoever reads
// must begin anew: the error matches store.ErrConflict.
type resumed struct {
	ctx       context.Context // of the Get
	s         *Store
	info      store.Info
	body      io.ReadCloser
	off, left int64
	lost      int // connections so far
}

// Read returns what is there. A body that ends early is asked for anew.
func (r *resumed) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.off += int64(n)
	r.left -= int64(n)
	if err == nil || r.left <= 0 || r.lost == attempts || r.ctx.Err() != nil {
		return n, err
	}
	r.lost++
	if again := r.reopen(); again != nil {
		return n, fmt.Errorf("%w, and asked for the rest: %w", err, again)
	}
	return n, nil
}

func (r *resumed) reopen() error {
	if err := store.Backoff(r.ctx, r.lost); err != nil {
		return err
	}
	in := &s3.GetObjectInput{
		Bucket: &r.s.bucket, Key: aws.String(r.s.key(r.info.Key)), IfMatch: &r.info.Version,
		Range: aws.String(store.Range(r.off, r.left)),
	}
	if r.off == 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=0-%d", r.left-1))
	}
	var out *s3.GetObjectOutput
	err := r.s.ask(r.ctx, func(ctx context.Context) (err error) {
		out, err = r.s.client().GetObject(ctx, in)
		return err
	})
	replaced := status(err) == http.StatusPreconditionFailed
	if err != nil && !replaced {
		return r.s.explain(r.ctx, "s3:GetObject", r.info.Key, err)
	}
	if err == nil && aws.ToString(out.ETag) != r.info.Version { // not every server asks for If-Match here
		replaced = true
		_ = out.Body.Close() // it is of no use
	}
	if replaced {
		return fmt.Errorf("%s was replaced while it was read: %w", r.info.Key, store.ErrConflict)
	}
	_ = r.body.Close() // it has failed
	r.body = out.Body
	return nil
}

// Close ends the body.
func (r *resumed) Close() error { return r.body.Close() }

// head describes an object without its bytes.
func (s *Store) head(ctx context.Context, key string) (store.Info, error) {
	var out *s3.HeadObjectOutput
	err := s.ask(ctx, func(ctx context.Context) (err error) {
		out, err = s.client().HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: aws.String(s.key(key))})
		if code(err) == "BadRequest" && (regionOf(err) == "" || regionOf(err) == s.region()) { // it is not the region, or does not end there
			err = s.reason(ctx, key, err)
		}
		return err
	})
	if code(err) == "Forbidden" {
		err = s.reason(ctx, key, err)
	}
	if err != nil {
		return store.Info{}, s.explain(ctx, "s3:GetObject", key, err)
	}
	return store.Info{
		Key: key, Size: aws.ToInt64(out.ContentLength), Version: aws.ToString(out.ETag),
		Modified: aws.ToTime(out.LastModified), Meta: out.Metadata,
	}, nil
}

// Delete removes an object. S3 does not say whether there was one.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := store.ValidKey(key); err != nil {
		return err
	}
	err := s.ask(ctx, func(ctx context.Context) error {
		_, err := s.client().DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: aws.String(s.key(key))})
		return err
	})
	if err != nil {
		return s.explain(ctx, "s3:DeleteObject", key, err)
	}
	return nil
}

// Put writes body with one request, or, when it is large and can be read at any
// offset, as a package's file can, in parts. An index is written with one request
// however large it is, up to S3's bound of 5 GiB.
func (s *Store) Put(ctx context.Context, key string, body io.ReadSeeker, o store.PutOptions) (store.Info, error) {
	if err := store.ValidKey(key); err != nil {
		return store.Info{}, err
	}
	size, err := body.Seek(0, io.SeekEnd)
	if err != nil {
		return store.Info{}, fmt.Errorf("write %s: %w", key, err)
	}
	w := write{s: s, key: key, body: body, size: size, o: o}
	at, anywhere := body.(io.ReaderAt)
	switch {
	case size > singlePut && anywhere:
		defer w.abandon(ctx)
		return w.settle(ctx, func(ctx context.Context) (string, error) { return w.parts(ctx, at) })
	case size > longestPut:
		return store.Info{}, fmt.Errorf("write %s: it has %d bytes, and S3 takes at most 5 GiB in one request, as an index is sent: keep some of the packages in another channel", key, size)
	}
	return w.settle(ctx, w.whole)
}

const (
	singlePut  = 64 << 20 // bytes from which on what can be sent in parts is
	longestPut = 5 << 30  // S3's own bound of one request's body, in bytes
)

// write is one Put under way.
type write struct {
	s    *Store
	key  string
	body io.ReadSeeker
	size int64
	o    store.PutOptions
	up   upload // where the body goes in parts, as far as it has come
}

// whole sends the body with one PutObject and returns the new ETag.
func (w *write) whole(ctx context.Context) (string, error) {
	if _, err := w.body.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	in := &s3.PutObjectInput{
		Bucket: &w.s.bucket, Key: aws.String(w.s.key(w.key)), Body: w.body, ContentLength: &w.size,
		Metadata: w.o.Meta, ContentType: text(w.o.ContentType), CacheControl: text(w.o.CacheControl),
	}
	in.IfNoneMatch, in.IfMatch = w.conditions()
	out, err := w.s.client().PutObject(ctx, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ETag), nil
}

// conditions are the headers If-None-Match and If-Match.
func (w *write) conditions() (ifNoneMatch, ifMatch *string) {
	switch w.o.Cond {
	case store.Always:
		return nil, nil
	case store.IfAbsent:
		return aws.String("*"), nil
	}
	return nil, aws.String(string(w.o.Cond))
}

// text is nil for an empty text: the SDK sends no header then.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

var errNoETag = errors.New("the server confirmed the write without an ETag: it cannot keep a channel")
