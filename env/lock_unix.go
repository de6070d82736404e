//go:build unix

package env

import (
	"errors"
	"os"
	"syscall"
)

// lockFolder waits until no other process holds the folder; closing the file,
// or the end of the process, gives it back.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.Open(dir) //nolint:gosec // the user's prefix
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX) //nolint:gosec // a descriptor fits
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
