package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// lockPause is how often a lock is asked for that another process holds.
const lockPause = 5 * time.Millisecond

// shared is a lock file that other users of the folder may hold, too, as far as
// the umask lets them.
var shared = flock.SetPermissions(fileMode)

// ErrHeld says that another process, or call, holds the lock.
var ErrHeld = errors.New("another process works there")

// Lock waits until nobody else holds the file, which is made if it is missing.
// release, or the end of the process, gives it back. A holder may remove the
// file as the last thing it does: those who wait then hold the next one of that
// name. The end of ctx ends the wait with its error.
func Lock(ctx context.Context, file string) (release func() error, err error) {
	return patiently(ctx, file, TryLock)
}

// TryLock is Lock that does not wait: the error is ErrHeld where that had to.
func TryLock(file string) (release func() error, err error) {
	l := flock.New(file, shared)
	release, err = hold(l, l.TryLock)
	if !errors.Is(err, syscall.EBADF) {
		return release, err
	}
	// Linux locks a file of NFSv4 for one alone only if it is open for writing, which
	// elsewhere another user's lock file need not let us.
	l = flock.New(file, shared, flock.SetFlag(os.O_CREATE|os.O_RDWR))
	release, err = hold(l, l.TryLock)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: on this file system only who may write the file can lock it: let its owner allow that to all who write here, by chmod g+w or a+w", err)
	}
	return release, err
}

// Share is Lock for those who mind no other of their kind: they wait only for a holder
// of Lock, and that for all of them.
func Share(ctx context.Context, file string) (release func() error, err error) {
	return patiently(ctx, file, func(file string) (func() error, error) {
		l := flock.New(file, shared)
		return hold(l, l.TryRLock)
	})
}

// LockFolder is Lock of a folder, which must be there; it leaves no file behind.
func LockFolder(ctx context.Context, folder string) (release func() error, err error) {
	return patiently(ctx, folder, func(folder string) (func() error, error) {
		if runtime.GOOS == "windows" { // which locks no folders
			return func() error { return nil }, nil
		}
		l := flock.New(folder, flock.SetFlag(os.O_RDONLY))
		return hold(l, l.TryLock)
	})
}

// Hold is Lock of a file that is there only while it is held.
func Hold(ctx context.Context, file string) (release func() error, err error) {
	release, err = Lock(ctx, file)
	return removing(file, release), err
}

// TryHold is Hold that does not wait: the error is ErrHeld where that had to.
func TryHold(file string) (release func() error, err error) {
	release, err = TryLock(file)
	return removing(file, release), err
}

// removing also removes the file, where an open one can be.
func removing(file string, release func() error) func() error {
	return func() error {
		_ = os.Remove(file) // one that stays harms nobody
		return release()
	}
}

func patiently(ctx context.Context, path string, try func(string) (func() error, error)) (func() error, error) {
	for {
		release, err := try(path)
		if !errors.Is(err, ErrHeld) {
			return release, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the lock of %s: %w", path, ctx.Err())
		case <-time.After(lockPause):
		}
	}
}

// hold also makes sure that what it holds has its name still.
func hold(l *flock.Flock, try func() (bool, error)) (release func() error, err error) {
	got, err := try()
	if err == nil && !got {
		err = ErrHeld
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", l.Path(), err)
	}
	held, err := l.Stat()
	there, gone := os.Stat(l.Path())
	switch {
	case err != nil:
	case errors.Is(gone, fs.ErrNotExist), gone == nil && !os.SameFile(held, there):
		err = ErrHeld // its last holder removed it
	default:
		err = gone
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", l.Path(), err), l.Close())
	}
	return l.Close, nil
}
