//go:build unix

package doctor

import "syscall"

// room is how many bytes and files a folder's file system has left for us;
// inodes are 0 where it does not count them.
func room(dir string) (free, inodes uint64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	return st.Bavail * uint64(st.Bsize), st.Ffree, nil //nolint:gosec // a block's size is positive
}
