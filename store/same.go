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
	info.Found = same
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
	a, b := make([]byte, min(size, 1<<16)), make([]byte, min(size, 1<<16))
	for left := size; left > 0; {
		n := min(left, int64(len(a)))
		_, errA := io.ReadFull(there, a[:n])
		_, errB := io.ReadFull(body, b[:n])
		if errA != nil || errB != nil { // both have size bytes: neither may end here
			return false, errors.Join(errA, errB)
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return false, nil
		}
		left -= n
	}
	return true, nil
}
