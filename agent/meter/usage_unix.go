//go:build unix

package meter

import (
	"io/fs"
	"syscall"
	"time"
)

// cpuTimes is what this process and its waited-for children have used.
type cpuTimes struct{ user, sys time.Duration }

func (a cpuTimes) minus(b cpuTimes) cpuTimes { return cpuTimes{a.user - b.user, a.sys - b.sys} }

// cpuNow asks the kernel, which counts children that lived for a millisecond
// as well: no sampling.
func cpuNow() cpuTimes {
	var t cpuTimes
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if syscall.Getrusage(who, &r) == nil {
			t.user += time.Duration(r.Utime.Nano())
			t.sys += time.Duration(r.Stime.Nano())
		}
	}
	return t
}

// largestProcess is the kernel's maximum RSS of any one process of the tree
// that has ended, or of this one, in bytes.
func largestProcess() int64 {
	var most int64
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if syscall.Getrusage(who, &r) == nil {
			most = max(most, int64(r.Maxrss)*maxrssUnit)
		}
	}
	return most
}

func allocated(info fs.FileInfo) (int64, fileID) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return info.Size(), fileID{}
	}
	return st.Blocks * 512, fileID{uint64(st.Dev), uint64(st.Ino), uint64(st.Nlink)} //nolint:unconvert,gosec // their types differ between systems
}
