package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
)

// HashKey is the metadata key under which a package's writer puts its sha256
// (rattler's name for it). Two objects that both carry it are compared by it.
const HashKey = "package-sha256"

// Same tells whether the object at key has the bytes of body, and describes
// it. A door uses it to tell its own earlier attempt from another writer's.
func Same(ctx context.Context, r Reader, key string, body io.ReadSeeker, o PutOptions) (Info, bool, error) {
	there, info, err := r.Get(ctx, key, 0, -1)
	if errors.Is(err, fs.ErrNotExist) {
		return Info{}, false, nil
	}
	if err != nil {
		return info, false, err
	}
	same, err := sameBytes(there, info, body, o)
	return info, same, errors.Join(err, there.Close())
}

// sameBytes compares sizes first, hashes if both sides have one, and bytes only
// then.
func sameBytes(there io.Reader, info Info, body io.ReadSeeker, o PutOptions) (bool, error) {
	size, err := body.Seek(0, io.SeekEnd)
	if err != nil || size != info.Size {
		return false, err
	}
	if mine, theirs := o.Meta[HashKey], info.Meta[HashKey]; mine != "" && theirs != "" {
		return mine == theirs, nil
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	a, b := make([]byte, 1<<16), make([]byte, 1<<16)
	for {
		n, errA := io.ReadFull(there, a)
		m, errB := io.ReadFull(body, b)
		if n != m || !bytes.Equal(a[:n], b[:m]) {
			return false, nil
		}
		if ended(errA) && ended(errB) {
			return true, nil
		}
		if errA != nil || errB != nil {
			return false, errors.Join(errA, errB)
		}
	}
}

// ended tells an end, also in the middle of a block, from a failure.
func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
