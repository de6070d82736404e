// Package mem keeps a channel in memory: for tests only. It counts requests,
// can lose answers, and has S3's versions (the MD5 of the bytes), so that code
// which needs more than S3 gives fails here too.
package mem

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // S3's own ETag
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/condaworker/condaworker/store"
)

// Store holds objects. Its zero value is an empty channel.
type Store struct {
	// Fault, if set, may fail an attempt of a Put: before it lands or after.
	Fault func(key string) (lands bool, err error)
	// Delay is slept before each answer, so that callers interleave.
	Delay time.Duration

	mu      sync.Mutex // guards what follows
	objects map[string]object
	counts  map[string]int // requests by name: get, put, list, delete
	read    int64          // bytes that Get gave out
}

// object is one object and its version.
type object struct {
	data     []byte
	meta     map[string]string
	version  string
	modified time.Time
}

var _ store.Store = (*Store)(nil)

// Counts are the requests so far by name, and under "bytes" what Get gave out.
func (s *Store) Counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := maps.Clone(s.counts)
	if all == nil {
		all = map[string]int{}
	}
	all["bytes"] = int(s.read)
	return all
}

// request counts a request and returns with the mutex held.
func (s *Store) request(name string) {
	time.Sleep(s.Delay)
	s.mu.Lock()
	if s.counts == nil {
		s.counts, s.objects = map[string]int{}, map[string]object{}
	}
	s.counts[name]++
}

// Get opens part of an object.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, store.Info, error) {
	if err := store.ValidKey(key); err != nil {
		return nil, store.Info{}, err
	}
	s.request("get")
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	if !ok {
		return nil, store.Info{}, fmt.Errorf("get %s: %w", key, fs.ErrNotExist)
	}
	size := int64(len(o.data))
	if off < 0 {
		off = max(0, size+off)
	}
	d := o.data[min(off, size):]
	if n >= 0 {
		d = d[:min(n, int64(len(d)))]
	}
	s.read += int64(len(d))
	in := o.info(key, true)
	in.Age = time.Since(o.modified)
	return io.NopCloser(bytes.NewReader(d)), in, ctx.Err()
}

// info describes the object as S3 does: a listing has no metadata.
func (o object) info(key string, withMeta bool) store.Info {
	in := store.Info{Key: key, Size: int64(len(o.data)), Version: o.version, Modified: o.modified}
	if withMeta {
		in.Meta = maps.Clone(o.meta)
	}
	return in
}

// List yields what is there when it begins.
func (s *Store) List(ctx context.Context, prefix string, o store.ListOptions) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		s.request("list")
		var all []store.Info
		for _, key := range slices.Sorted(maps.Keys(s.objects)) {
			rest, ok := strings.CutPrefix(key, prefix)
			if !ok || key <= o.After {
				continue
			}
			in := s.objects[key].info(key, false)
			if folder, _, found := strings.Cut(rest, "/"); found && o.Shallow {
				in = store.Info{Key: prefix + folder + "/"}
			}
			if n := len(all); (n == 0 || all[n-1].Key != in.Key) && in.Key > o.After {
				all = append(all, in)
			}
		}
		s.mu.Unlock()
		for _, in := range all {
			if !yield(in, ctx.Err()) {
				return
			}
		}
	}
}

// errGaveUp is a Put whose every attempt failed.
var errGaveUp = errors.New("gave up")

// Put makes up to five attempts, as a real door would.
func (s *Store) Put(ctx context.Context, key string, body io.ReadSeeker, o store.PutOptions) (store.Info, error) {
	if err := store.ValidKey(key); err != nil {
		return store.Info{}, err
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return store.Info{}, err
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return store.Info{}, err
	}
	for range 5 {
		in, err := s.try(key, data, o)
		if err == nil || errors.Is(err, store.ErrConflict) {
			return in, err
		}
		if ctx.Err() != nil {
			return store.Info{}, context.Cause(ctx)
		}
	}
	return store.Info{}, fmt.Errorf("put %s: %w", key, errGaveUp)
}

// try is one attempt. One that finds its own bytes has succeeded: an earlier
// attempt landed.
func (s *Store) try(key string, data []byte, o store.PutOptions) (store.Info, error) {
	lands, fault := true, error(nil)
	if s.Fault != nil {
		lands, fault = s.Fault(key)
	}
	s.request("put")
	defer s.mu.Unlock()
	if !lands {
		return store.Info{}, fault
	}
	old, exists := s.objects[key]
	if o.Cond == store.IfAbsent && exists || o.Cond != store.Always && o.Cond != store.IfAbsent && o.Cond != store.Cond(old.version) {
		if exists && bytes.Equal(old.data, data) {
			in := old.info(key, true)
			in.Found = true
			return in, fault
		}
		return old.info(key, true), fmt.Errorf("put %s: %w", key, store.ErrConflict)
	}
	n := object{data: data, meta: maps.Clone(o.Meta), version: fmt.Sprintf("%x", md5.Sum(data)), modified: time.Now()} //nolint:gosec // S3's own ETag
	s.objects[key] = n
	return n.info(key, true), fault
}

// Delete removes an object.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := store.ValidKey(key); err != nil {
		return err
	}
	s.request("delete")
	defer s.mu.Unlock()
	delete(s.objects, key)
	return ctx.Err()
}
