package install

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// cloneFile makes the new file to, which has the bytes, mode and time of from and
// shares its blocks with it until one of them is written. Where that cannot be the error
// matches errors.ErrUnsupported.
func cloneFile(from, to string) error {
	return copyWith(from, to, func(out, in *os.File) error {
		err := unix.IoctlFileClone(int(out.Fd()), int(in.Fd()))                           //nolint:gosec // they are small numbers
		for _, never := range []error{unix.EXDEV, unix.ENOTTY, unix.EINVAL, unix.EPERM} { // as file systems and sandboxes say it
			if errors.Is(err, never) {
				return errors.Join(errors.ErrUnsupported, err)
			}
		}
		return err
	})
}
