package indexer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/store"
)

// badPackage is why a stored package cannot be indexed. Anything else that
// goes wrong is the store's fault, and ends the run.
type badPackage struct{ reason error }

func (b badPackage) Error() string { return b.reason.Error() }

// looked is what came of looking into a package.
type looked struct {
	info       store.Info // of the object
	record     json.RawMessage
	runExports json.RawMessage // nil: not known
	bad        error           // why it cannot be indexed
}

// lookAgain looks into many packages at a time, but for those that an earlier
// attempt read and that are listed as they were then: another writer who is first
// once more costs no more than a listing.
func (r *run) lookAgain(ctx context.Context, files []string, listed map[string]store.Info) ([]looked, error) {
	all := make([]looked, len(files))
	var unseen []string
	var at []int
	for i, file := range files {
		was, seen := r.before[file]
		all[i] = was.looked
		if !seen || !same(was.listed, listed[file]) {
			unseen, at = append(unseen, file), append(at, i)
		}
	}
	found, err := r.lookAll(ctx, unseen, listed)
	if err != nil {
		return nil, err
	}
	for i, file := range unseen {
		all[at[i]] = found[i]
		if bad := found[i].bad; !notThere(bad) && !closed(bad) { // else the next may be luckier
			r.before[file] = sight{listed[file], found[i]}
		}
	}
	return all, nil
}

// same tells whether an object is listed as it was. Of one that could not be looked at
// nobody knows.
func same(a, b store.Info) bool {
	return a.Size >= 0 && a.Version == b.Version && a.Size == b.Size && a.Modified.Equal(b.Modified)
}

// lookAll looks into many packages at a time. listed may tell their sizes.
func (r *run) lookAll(ctx context.Context, files []string, listed map[string]store.Info) ([]looked, error) {
	found := make([]looked, len(files))
	err := r.each(ctx, len(files), func(ctx context.Context, i int) error {
		l, err := look(ctx, r.s, r.subdir+"/"+files[i], listed[files[i]].Size)
		var bad badPackage
		switch {
		case errors.As(err, &bad), notThere(err), closed(err): // or it went away since the listing
			found[i].bad = err
		case err != nil:
			return fmt.Errorf("read %s: %w", files[i], err)
		default:
			found[i] = l
		}
		return nil
	})
	return found, err
}

// each does n things, Options.Concurrency of them at a time. The first error
// ends it.
func (r *run) each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, cmp.Or(r.o.Concurrency, defaultConcurrency)) {
		wg.Go(func() { // not one for each thing: that its stack grows costs as much as some requests
			for i := next.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if err := do(ctx, int(i)); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// look makes the index record of a stored package: it is the one that the
// object carries, else index.json with the hashes that the object carries,
// else with those of its bytes, which are read for that alone, or at once if
// size says that they are few.
func look(ctx context.Context, s store.Reader, key string, size int64) (looked, error) {
	if err := store.ValidKey(key); err != nil { // others may put anything into a bucket
		return looked{}, badPackage{fmt.Errorf("%w: rename the object, or delete it", err)}
	}
	if 0 < size && size <= smallPackage {
		whole, err := fetch(ctx, s, key)
		if err != nil {
			return looked{}, err
		}
		s = whole
	}
	d, err := describe(ctx, s, key)
	l := looked{info: d.info, record: d.record, runExports: d.runExports}
	if err != nil || d.record != nil && d.runExports != nil {
		return l, err
	}
	if d.index == nil { // carried, but without its run_exports
		inside, err := inside(ctx, s, d.info)
		if err != nil {
			return l, err
		}
		l.runExports = runExportsOf(inside.RunExports)
		return l, nil
	}
	sum, md, err := hashes(ctx, s, d.info)
	if err != nil {
		return l, err
	}
	if l.record, err = conda.RecordFromIndex(d.index, md, sum, d.info.Size); err != nil {
		return l, badPackage{err}
	}
	return l, nil
}

// fetched is one object that was read whole.
type fetched struct {
	info store.Info
	data []byte
}

func fetch(ctx context.Context, s store.Reader, key string) (f fetched, err error) {
	body, info, err := s.Get(ctx, key, 0, -1)
	if err != nil {
		return f, err
	}
	f.info = info
	f.data, err = io.ReadAll(io.LimitReader(body, info.Size+1))
	if err = errors.Join(err, body.Close()); err == nil && int64(len(f.data)) != info.Size {
		err = fmt.Errorf("%d of its %d bytes came: %w", len(f.data), info.Size, io.ErrUnexpectedEOF)
	}
	return f, err
}

// Get reads a part of what was read.
func (f fetched) Get(_ context.Context, _ string, off, n int64) (io.ReadCloser, store.Info, error) {
	if n < 0 {
		n = f.info.Size
	}
	return io.NopCloser(io.NewSectionReader(bytes.NewReader(f.data), off, n)), f.info, nil
}

// described is what is known of a stored package without its payload.
type described struct {
	info       store.Info
	index      json.RawMessage // its checked index.json, unless the object carries its record
	record     json.RawMessage // the index record which the object carries
	runExports json.RawMessage // nil: not known
}

// describe never reads the package's payload: a package that is refused must
// be cheap, for each run looks at it again.
func describe(ctx context.Context, s store.Reader, key string) (described, error) {
	info, exists, err := head(ctx, s, key)
	if err == nil && !exists {
		err = fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	d := described{info: info}
	if err != nil {
		return d, err
	}
	subdir, file := path.Split(key)
	subdir = path.Clean(subdir)
	if r, ok := carried(info, subdir, file); ok {
		d.record, d.runExports = r, carriedRunExports(info)
		return d, nil
	}
	in, err := inside(ctx, s, info)
	if err != nil {
		return d, err
	}
	named, err := checkIndex(file, in.IndexJSON, subdir) // packages of before 2016 name none
	if err == nil && named != subdir {
		err = fmt.Errorf("its info/index.json has the subdir %s: move it there", named)
	}
	if err == nil {
		d.index, err = conda.WithSubdir(in.IndexJSON, subdir)
	}
	if err != nil {
		return d, badPackage{err}
	}
	d.runExports = runExportsOf(in.RunExports)
	return d, nil
}

// inside reads the metadata in a stored package.
func inside(ctx context.Context, s store.Reader, info store.Info) (archive.Info, error) {
	from := &ranged{ctx: ctx, s: s, info: info}
	in, err := archive.ReadInfo(from, info.Size, path.Base(info.Key))
	if from.err != nil {
		return in, from.err
	}
	if err != nil {
		return in, badPackage{fmt.Errorf("%w: store it again, or delete it", err)}
	}
	return in, nil
}

// runExportsOf is what a package exports, from its info/run_exports.json; nil
// when that is no good: a client that needs it finds out from the package.
func runExportsOf(text []byte) json.RawMessage {
	exports, err := conda.NormalRunExports(text)
	if err != nil {
		return nil
	}
	return exports
}

// carriedRunExports are in the object's metadata, as Publish puts them there.
func carriedRunExports(info store.Info) json.RawMessage {
	text := info.Meta[metaRunExports]
	if text == "" {
		return nil
	}
	return runExportsOf([]byte(text))
}

// carried is the record in the object's metadata, if it is of this object.
func carried(info store.Info, subdir, file string) (json.RawMessage, bool) {
	text, sum := info.Meta[metaRecord], info.Meta[metaSHA256]
	if text == "" {
		return nil, false
	}
	var r conda.Record
	if json.Unmarshal([]byte(text), &r) != nil || r.Size != info.Size || r.SHA256 != sum || !areHashes(r.SHA256, r.MD5) {
		return nil, false
	}
	record, in, err := checkedRecord(file, []byte(text), r.MD5, r.SHA256, r.Size)
	return record, err == nil && in == subdir
}

const (
	sha256Digits = 64
	md5Digits    = 32
)

// areHashes tells whether these are hashes as an index has them.
func areHashes(sha256, md5 string) bool {
	return isHash(sha256, sha256Digits) && isHash(md5, md5Digits)
}

func isHash(text string, digits int) bool {
	return len(text) == digits && strings.Trim(text, "0123456789abcdef") == ""
}

// hashes are those that the object carries, else those of its bytes.
func hashes(ctx context.Context, s store.Reader, info store.Info) (sum, md string, err error) {
	if sum, md = info.Meta[metaSHA256], info.Meta[metaMD5]; areHashes(sum, md) {
		return sum, md, nil
	}
	if whole, ok := s.(fetched); ok {
		digest := archive.SumOf(whole.data)
		return digest.SHA256, digest.MD5, nil
	}
	body, now, err := s.Get(ctx, info.Key, 0, -1)
	if err != nil {
		return "", "", err
	}
	digest, err := archive.Sum(ctx, body)
	if err = errors.Join(err, body.Close()); err != nil {
		return "", "", err
	}
	if err := unchanged(info, now); err != nil {
		return "", "", err
	}
	if digest.Size != info.Size {
		return "", "", fmt.Errorf("%d of its %d bytes came: %w", digest.Size, info.Size, io.ErrUnexpectedEOF)
	}
	return digest.SHA256, digest.MD5, nil
}

// unchanged is an error, worth another attempt, if a package was replaced
// while it was read: its record would be of no bytes that ever were.
func unchanged(was, now store.Info) error {
	if was.Version != now.Version {
		return fmt.Errorf("it was replaced while it was read: %w", store.ErrConflict)
	}
	return nil
}

// ranged reads an object at any offset, a request a read. It remembers an
// error of the store, which is not the package's fault.
type ranged struct {
	ctx  context.Context // of the one call that reads
	s    store.Reader
	info store.Info
	err  error
}

// ReadAt takes an answer that ends before the object does for the store's
// fault: a connection that was cut must not look like a package that is.
func (r *ranged) ReadAt(p []byte, off int64) (int, error) {
	left := max(0, r.info.Size-off)
	n := min(int64(len(p)), left)
	if n == 0 {
		return 0, io.EOF
	}
	body, now, err := r.s.Get(r.ctx, r.info.Key, off, n)
	if err != nil {
		r.err = err
		return 0, err
	}
	got, err := io.ReadFull(body, p[:n])
	if err = errors.Join(err, body.Close(), unchanged(r.info, now)); err != nil {
		r.err = err
		return got, err
	}
	if got < len(p) {
		return got, io.EOF
	}
	return got, nil
}

func notThere(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// closed tells whether one object cannot be read by whom other objects can: who
// put it there is another account, has a key of its own, or is another user.
func closed(err error) bool {
	return errors.Is(err, fs.ErrPermission) && !errors.Is(err, store.ErrCredentials)
}
