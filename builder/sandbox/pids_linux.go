package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// bounds are what of the kernel's keeps a fork bomb from taking the machine before
// the watch has seen it. One of them is enough.
type bounds struct {
	Group   bool // the command has a control group with the controller for it
	Numbers bool // its namespace has process numbers of its own
	User    bool // the kernel counts its user's processes, see isCounted
	Around  bool // our own control group, or one above, has few enough for all
}

// by names what bounds the number of processes; "" is nothing.
func (b bounds) by() string {
	switch {
	case b.Group:
		return "a control group"
	case b.Numbers:
		return "process numbers of its own"
	case b.User:
		return "RLIMIT_NPROC"
	case b.Around:
		return "the control group around us"
	}
	return ""
}

// boundsHere are those that every command has here. Who asks finds out the others.
func boundsHere() bounds {
	users, _ := os.ReadFile("/proc/self/uid_map") // without it they are what they are called
	half := allProcesses() / 2
	return bounds{
		User:   isCounted(os.Geteuid(), string(users)),
		Around: boundAbove(currentGroup(version2), half) || boundAbove(currentGroup(pidsHierarchy), half),
	}
}

// isCounted tells whether the kernel counts the processes of a user against
// RLIMIT_NPROC: it does of all but the machine's root, who may be another user in a
// namespace. users is the text of /proc/self/uid_map.
func isCounted(uid int, users string) bool {
	for line := range strings.Lines(users) {
		var inside, outside, n int
		if _, err := fmt.Sscan(line, &inside, &outside, &n); err == nil && uid >= inside && uid-inside < n {
			return outside+uid-inside != 0
		}
	}
	return uid != 0
}

// processLimit is the layer that bounds the number of processes whatever the watch
// sees. It says by what.
func (k *keeper) processLimit() (string, error) {
	by := k.Bounds.by()
	if by == "" {
		return "", errors.New(uncounted + ": " + uncountedHint)
	}
	return " by " + by, nil
}

// What is said where nothing bounds it.
const (
	processLimit  = "process limit"
	uncounted     = "the kernel counts none of root's processes, and a fork bomb may outrun the watch"
	uncountedHint = "run builds as a user of their own, give the container a limit (docker's --pids-limit), delegate a cgroup with the pids controller, or use a kernel from 6.14 on with namespaces"
)

const pidMax = "/proc/sys/kernel/pid_max"

// allProcesses is how many our pid namespace can have; 0 if that is not told.
func allProcesses() int {
	text, _ := os.ReadFile(pidMax)
	n, _ := strconv.Atoi(string(bytes.TrimSpace(text)))
	return n
}

// mostProcesses is how many the kernel gives a command: more than the limit, but
// never more than half of what the machine can have.
func mostProcesses(l Limits) int {
	most := slack * l.Processes
	if all := allProcesses(); all > 0 {
		most = min(most, all/2)
	}
	return most
}

// limitNumbers gives our namespace so many process numbers and no more. Older
// kernels have one number for all of the machine, which stays as it is.
func (k *keeper) limitNumbers() {
	const least = 400 // the kernel refuses 300
	if k.Spaces && numbersPerSpace() {
		k.Bounds.Numbers = os.WriteFile(pidMax, []byte(strconv.Itoa(max(least, mostProcesses(k.Walls.Limits)))), 0) == nil
	}
}

// numbersPerSpace tells whether the kernel gives each pid namespace process numbers
// of its own.
func numbersPerSpace() bool {
	const major, minor = 6, 14
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
