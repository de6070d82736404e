package indexer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/store"
)

// badPackage is why a stored package cannot be indexed. Anything else that
// goes wrong is the store's fault, and ends the run.
type badPackage struct{ reason error }

func (b badPackage) Error() string { return b.reason.Error() }

// look makes the index record of a stored package: from the record that it
// carries, else from its info part by range reads, else by reading it whole.
func look(ctx context.Context, s store.Reader, key string) (json.RawMessage, error) {
	body, info, err := s.Get(ctx, key, 0, 0)
	if err != nil {
		return nil, err
	}
	if err := body.Close(); err != nil {
		return nil, err
	}
	subdir, file := path.Split(key)
	subdir = path.Clean(subdir)
	if r, ok := carried(info, subdir, file); ok {
		return r, nil
	}
	from := &ranged{ctx: ctx, s: s, key: key, size: info.Size}
	index, err := archive.ReadInfo(from, info.Size, file)
	if from.err != nil {
		return nil, from.err
	}
	if err != nil {
		return nil, badPackage{err}
	}
	sum, md, err := storedHashes(ctx, s, info)
	if err != nil {
		return nil, err
	}
	record, in, err := checkedRecord(file, index.IndexJSON, md, sum, info.Size)
	if err == nil && in != subdir {
		err = fmt.Errorf("its info/index.json has the subdir %s", in)
	}
	if err != nil {
		return nil, badPackage{err}
	}
	return record, nil
}

// carried is the record in the object's metadata, if it is of this object.
func carried(info store.Info, subdir, file string) (json.RawMessage, bool) {
	text, sum := info.Meta[metaRecord], info.Meta[metaSHA256]
	if text == "" {
		return nil, false
	}
	var r conda.Record
	if json.Unmarshal([]byte(text), &r) != nil || r.Size != info.Size || r.SHA256 != sum {
		return nil, false
	}
	record, in, err := checkedRecord(file, []byte(text), r.MD5, r.SHA256, r.Size)
	return record, err == nil && in == subdir
}

// storedHashes are the hashes that the object carries, else those of its bytes.
func storedHashes(ctx context.Context, s store.Reader, info store.Info) (sum, md string, err error) {
	if sum, md = info.Meta[metaSHA256], info.Meta[metaMD5]; len(sum) == 64 && len(md) == 32 {
		return sum, md, nil
	}
	body, _, err := s.Get(ctx, info.Key, 0, -1)
	if err != nil {
		return "", "", err
	}
	digest, err := archive.Sum(ctx, body)
	return digest.SHA256, digest.MD5, errors.Join(err, body.Close())
}

// ranged reads an object at any offset, a request a read. It remembers an
// error of the store, which is not the package's fault.
type ranged struct {
	ctx  context.Context // of the one call that reads
	s    store.Reader
	key  string
	size int64
	err  error
}

func (r *ranged) ReadAt(p []byte, off int64) (int, error) {
	if off >= r.size {
		return 0, io.EOF
	}
	body, _, err := r.s.Get(r.ctx, r.key, off, int64(len(p)))
	if err != nil {
		r.err = err
		return 0, err
	}
	n, err := io.ReadFull(body, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	if err = errors.Join(err, body.Close()); err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

func notThere(err error) bool { return errors.Is(err, fs.ErrNotExist) }
