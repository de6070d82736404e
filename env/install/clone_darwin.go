package install

import (
	"errors"

	"golang.org/x/sys/unix"
)

// cloneFile makes the new file to, which has the bytes, mode and time of from and
// shares its blocks with it until one of them is written. Where that cannot be the error
// matches errors.ErrUnsupported.
func cloneFile(from, to string) error {
	err := unix.Clonefile(from, to, unix.CLONE_NOFOLLOW)
	if errors.Is(err, unix.EXDEV) {
		return errors.Join(errors.ErrUnsupported, err)
	}
	return err
}
