package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// What keeps a fork bomb from taking the machine before the watch has seen it: of
// root's processes the kernel counts none against RLIMIT_NPROC.

const pidMax = "/proc/sys/kernel/pid_max"

// mostProcesses is how many the kernel gives a command: more than the limit, but
// never more than half of what the machine can have.
func mostProcesses(l Limits) int {
	most := slack * l.Processes
	text, _ := os.ReadFile(pidMax)
	if all, err := strconv.Atoi(string(bytes.TrimSpace(text))); err == nil && all > 0 {
		most = min(most, all/2)
	}
	return most
}

// limitNumbers gives our namespace so many process numbers and no more. Older
// kernels have one number for all of the machine, which stays as it is.
func (k *keeper) limitNumbers() {
	const least = 400 // the kernel refuses 300
	if k.Spaces && kernelSince(6, 14) {
		_ = os.WriteFile(pidMax, []byte(strconv.Itoa(max(least, mostProcesses(k.Walls.Limits)))), 0)
	}
}

// kernelSince tells whether the kernel is of this version or later.
func kernelSince(major, minor int) bool {
	var u unix.Utsname
	var has [2]int
	if unix.Uname(&u) != nil {
		return false
	}
	if n, _ := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &has[0], &has[1]); n != 2 {
		return false
	}
	return has[0] > major || has[0] == major && has[1] >= minor
}

// startThreads has Go start the threads now that it may want later: one that cannot
// be started, because the command has all process numbers, would be our end.
func (k *keeper) startThreads() {
	const processors = 2 // for Go to run on at a time, each of which can take a thread, and more for garbage
	runtime.GOMAXPROCS(processors)
	n := 8 * processors // and for system calls that take their time
	if k.Walls.Network {
		n += mostConnecting
	}
	var all, over sync.WaitGroup
	all.Add(n)
	for range n {
		over.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			all.Done()
			all.Wait() // until each has one of its own; Go keeps what it once has
		})
	}
	over.Wait()
}

// goFirst lets our threads run before the command's, where we may: among thousands
// of others that want a processor the watch would come too late.
func goFirst() {
	tasks, _ := os.ReadDir("/proc/self/task") // without them nothing changes
	for _, t := range tasks {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.SchedSetAttr(id, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}, 0)
		}
	}
}
