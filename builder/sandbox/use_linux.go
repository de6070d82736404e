package sandbox

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// slack is how far above its limit the kernel lets the number of processes
	// come, as long as that is not most of what the machine can have: the watch
	// has the better words.
	slack = 4
	// watchPause is the least time between two looks at what is used.
	watchPause = 100 * time.Millisecond
	// watchShare is what part of the time looking may take, while that leaves
	// no more than watchMost between two looks: a bomb makes looking slow.
	watchShare = 50
	watchMost  = 500 * time.Millisecond
)

// watchUse looks at what the processes use, and tells when it is too much of
// something. stop ends it.
func (k *keeper) watchUse() (tooMuch <-chan string, stop func()) {
	found, done := make(chan string, 1), make(chan struct{})
	go func() {
		timer := time.NewTimer(watchPause)
		defer timer.Stop()
		for {
			select {
			case <-done:
				return
			case <-timer.C:
			}
			begun := time.Now()
			if reason := k.tooMuch(); reason != "" {
				found <- reason
				return
			}
			timer.Reset(min(max(watchPause, watchShare*time.Since(begun)), watchMost))
		}
	}()
	return found, func() { close(done) }
}

// tooMuch names the first limit that is passed.
func (k *keeper) tooMuch() string {
	if reason := k.fullDisk(); reason != "" {
		return reason
	}
	all := k.processes()
	if n := len(all); n > k.Walls.Limits.Processes {
		return fmt.Sprintf("it has more than %d processes at once: raise --max-processes, or mend the script", k.Walls.Limits.Processes)
	}
	if left := machineMemory("MemAvailable"); left > 0 && left < machineMemory("MemTotal")/64 {
		return fmt.Sprintf("the machine is out of memory (%s left): let the script run fewer things at once, or take a bigger machine", left/mebi*mebi)
	}
	if most := k.Walls.Limits.Memory; most > 0 && k.memoryAbove(most, all) {
		return tooMuchMemory(most)
	}
	return ""
}

func tooMuchMemory(most Size) string {
	return fmt.Sprintf("it uses more than %s of memory: raise --max-memory, let the script run fewer things at once, or take a bigger machine", most)
}

func (k *keeper) fullDisk() string {
	for _, d := range k.disks {
		if reason := d.full(k.Walls.Limits.FreeDisk); reason != "" {
			return reason
		}
	}
	return ""
}

// lacked says what a command that failed by itself had run out of: it may have been
// quicker than the watch.
func (k *keeper) lacked() string {
	failed := ended(k.out.Status)
	if failed == nil {
		return ""
	}
	if reason := k.fullDisk(); reason != "" {
		return reason
	}
	if killedForMemory() > k.killed {
		return fmt.Sprintf("%v, and the kernel %s", failed, killedHint)
	}
	return ""
}

const killedHint = "ended a process for want of memory meanwhile: let the script run fewer things at once, or take a bigger machine"

// killedForMemory counts the processes that the kernel ended for want of memory since
// the machine started, in all control groups; kernels before 4.13 do not tell.
func killedForMemory() int {
	text, _ := os.ReadFile("/proc/vmstat") // without it none are known
	for line := range strings.Lines(string(text)) {
		if count, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(count))
			return n
		}
	}
	return 0
}

// processes lists the command's processes.
func (k *keeper) processes() []int {
	if !k.Spaces {
		var all []int
		for _, p := range descendants() {
			all = append(all, p.pid)
		}
		return all
	}
	dir, err := os.Open("/proc") // the namespace's own
	if err != nil {
		return nil
	}
	defer dir.Close() //nolint:errcheck // nothing was written
	names, _ := dir.Readdirnames(-1)
	var all []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid != os.Getpid() {
			all = append(all, pid)
		}
	}
	return all
}

// disk is a file system that the command may write to, as it was before: one that
// was filled before we looked would never seem to lose anything.
type disk struct {
	path  string
	bytes Size
	files uint64
}

// writable are the file systems of the command's folders.
func (k *keeper) writable() []disk {
	var all []disk
	seen := map[unix.Fsid]bool{}
	paths := k.View.Write
	if k.Spaces && k.View.Tmp != "" {
		paths = append([]string{"/tmp"}, paths...)
	}
	for _, path := range paths {
		var s unix.Statfs_t
		if unix.Statfs(path, &s) == nil && !seen[s.Fsid] {
			seen[s.Fsid] = true
			all = append(all, disk{path, Size(s.Bavail) * Size(s.Bsize), s.Ffree})
		}
	}
	return all
}

// leastFiles is how many files may still be made when that is all right.
const leastFiles = 10_000

// full tells whether too little is left, or less than half of little.
func (d disk) full(least Size) string {
	var s unix.Statfs_t
	if unix.Statfs(d.path, &s) != nil {
		return ""
	}
	if left := Size(s.Bavail) * Size(s.Bsize); left < min(least, d.bytes/2) {
		return fmt.Sprintf("it fills the disk of %s (%s left): free space there, build elsewhere (--work-dir), or lower --min-free-disk", d.path, left/mebi*mebi)
	}
	if s.Files > 0 && s.Ffree < min(leastFiles, d.files/2) { // some file systems do not count
		return fmt.Sprintf("it fills the disk of %s with files (%d more can be made): remove files there, or build elsewhere (--work-dir)", d.path, s.Ffree)
	}
	return ""
}
