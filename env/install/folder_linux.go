package install

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// folder is an open one of a package that is being unpacked. For each of its files
// os.Root would ask whether one can wait for it, and whether it is a link: five calls
// to the kernel where three do the work.
type folder struct{ *os.File }

func openFolder(root *os.Root, name string) (*folder, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	return &folder{f}, nil
}

// create makes the new file name, which has no folder in it.
func (f *folder) create(name string, mode fs.FileMode) (*os.File, error) {
	const how = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	var fd int
	err := uninterrupted(func() (err error) {
		fd, err = unix.Openat(int(f.Fd()), name, how, uint32(mode)) //nolint:gosec // small numbers
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil //nolint:gosec // not negative
}

// setTime sets the times of the file name.
func (f *folder) setTime(name string, at time.Time) error {
	t, err := unix.TimeToTimespec(at)
	if err == nil {
		err = uninterrupted(func() error {
			return unix.UtimesNanoAt(int(f.Fd()), name, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW) //nolint:gosec // a small number
		})
	}
	if err != nil {
		return &fs.PathError{Op: "set the time of", Path: name, Err: err}
	}
	return nil
}

// uninterrupted does what a signal may cut off until it is done.
func uninterrupted(do func() error) error {
	for {
		if err := do(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
