//go:build unix

package meter

import (
	"io/fs"
	"syscall"
)

func stat(info fs.FileInfo) file {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return file{diskUse: diskUse{allocated: info.Size()}}
	}
	return file{
		inode:   inode{uint64(st.Dev), st.Ino}, //nolint:unconvert,gosec // Dev's type differs between systems
		diskUse: diskUse{allocated: st.Blocks * 512},
		names:   uint64(st.Nlink), //nolint:unconvert // and so does this one's
		known:   true,
	}
}
