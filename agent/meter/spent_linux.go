package meter

import (
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// spent is the processor time that do takes: how long it takes tells more of
// what else runs.
func spent(do func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	do()
	return threadTime() - before
}

// threadTime is to the nanosecond; getrusage knows no less than a clock tick.
func threadTime() time.Duration {
	const threadClock = 3 // CLOCK_THREAD_CPUTIME_ID, which package syscall lacks
	var t syscall.Timespec
	if _, _, err := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, threadClock, uintptr(unsafe.Pointer(&t)), 0); err != 0 {
		return 0
	}
	return time.Duration(t.Nano())
}
