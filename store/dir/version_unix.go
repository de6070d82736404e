//go:build unix

package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// version tells two contents of one name apart: each write is a new file, with
// a number and a time of its own.
func version(st fs.FileInfo) string {
	var inode uint64
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		inode = s.Ino
	}
	return fmt.Sprintf("%x-%x-%x", inode, st.Size(), st.ModTime().UnixNano())
}

// syncDir makes a name in a folder durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
