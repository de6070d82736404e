//go:build unix

package agent

import (
	"fmt"
	"os"
	"syscall"
)

// tryLock locks a file for as long as it is open in this process, or in one that
// was handed it. Others that we start do not inherit it.
func tryLock(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// openOwn opens a file that is ours and no link: temporary folders are open to
// others.
func openOwn(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) == os.Geteuid() {
			return f, nil
		}
		err = fmt.Errorf("%s is another user's", name)
	}
	_ = f.Close() // nothing was written
	return nil, err
}
