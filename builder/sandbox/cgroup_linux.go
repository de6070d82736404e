package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// group is the control groups of one command's own, below ours. Where ours are not
// delegated to us there are none; where no controllers are, they only end
// processes.
type group struct {
	dir     string // of version 2; "" if there is none
	numbers string // of version 1's controller of process numbers; "" if there is none
	counts  bool   // dir bounds the number of processes
}

// groupName is before the numbers that tell who made a group.
const groupName = "condaworker-"

// The names of hierarchies: version 2's one, and version 1's of a controller.
const (
	version2      = ""
	pidsHierarchy = "pids"
)

// newGroup makes those that there can be, with the limits' hard bounds; nil if
// there are none. numbers: the number of processes must be bounded, if need be by
// version 1.
func newGroup(l Limits, numbers bool) *group {
	g := &group{dir: makeGroup(currentGroup(version2))}
	most := strconv.Itoa(mostProcesses(l))
	if g.dir != "" {
		set(g.dir, "memory.max", strconv.FormatInt(int64(l.Memory), 10)) // no such file: no such controller
		set(g.dir, "memory.oom.group", "1")
		g.counts = set(g.dir, pidsMax, most)
	}
	if numbers && !g.counts {
		if g.numbers = makeGroup(currentGroup(pidsHierarchy)); g.numbers != "" && !set(g.numbers, pidsMax, most) {
			_ = os.Remove(g.numbers) // nobody is in it
			g.numbers = ""
		}
	}
	if g.dir == "" && g.numbers == "" {
		return nil
	}
	return g
}

// pidsMax bounds the number of a group's tasks.
const pidsMax = "pids.max"

// makeGroup makes a group below one, and removes those that dead ones left there;
// "" where that is not allowed.
func makeGroup(above string) string {
	if above == "" {
		return ""
	}
	space := processSpace()
	removeDead(above, space)
	dir, err := os.MkdirTemp(above, fmt.Sprintf("%s%s-%d-", groupName, space, os.Getpid()))
	if err != nil {
		return ""
	}
	return dir
}

// processSpace is the number of our pid namespace; "0" where the system has none.
func processSpace() string {
	name, _ := os.Readlink("/proc/self/ns/pid")
	number := strings.TrimSuffix(strings.TrimPrefix(name, "pid:["), "]")
	if _, err := strconv.Atoi(number); err != nil {
		return "0"
	}
	return number
}

// currentGroup is the folder of this process's group in a hierarchy.
func currentGroup(hierarchy string) string {
	self, _ := os.ReadFile("/proc/self/cgroup") // without them there are no groups
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	return ownGroup(hierarchy, string(self), string(mounts))
}

// ownGroup is the same from the texts of /proc/self/cgroup and
// /proc/self/mountinfo; "" where the hierarchy is not mounted.
func ownGroup(hierarchy, self, mounts string) string {
	path, found := "", false
	for line := range strings.Lines(self) {
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); len(parts) == 3 && slices.Contains(strings.Split(parts[1], ","), hierarchy) {
			path, found = parts[2], true
		}
	}
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(strings.TrimSpace(line), " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !found || len(fields) < 5 || len(kind) < 3 || !holds(kind[0], kind[2], hierarchy) {
			continue
		}
		if below, ok := strings.CutPrefix(path, strings.TrimSuffix(fields[3], "/")); ok { // a container sees a part of the tree
			return filepath.Join(fields[4], below)
		}
	}
	return ""
}

// holds tells whether a mount of a kind with these options is that of a hierarchy.
func holds(kind, options, hierarchy string) bool {
	if hierarchy == version2 {
		return kind == "cgroup2"
	}
	return kind == "cgroup" && slices.Contains(strings.Split(options, ","), hierarchy)
}

// removeDead ends the groups of programs that were killed, with the processes in
// them. Those of another pid namespace stay: its numbers tell us nothing of who
// lives. When a later one has its number, all that was in it is dead.
func removeDead(above, space string) {
	dirs, _ := filepath.Glob(filepath.Join(above, groupName+space+"-*"))
	for _, dir := range dirs {
		number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), groupName+space+"-"), "-")
		pid, err := strconv.Atoi(number)
		if err == nil && pid > 0 && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			endGroup(dir)
		}
	}
}

// set writes a setting of a group.
func set(dir, name, value string) bool {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return false
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close()) == nil
}

// take puts a process into version 2's group; what it starts is in it as well.
func (g *group) take(pid int) {
	if g.dir != "" && !set(g.dir, "cgroup.procs", strconv.Itoa(pid)) {
		endGroup(g.dir)
		g.dir, g.counts = "", false
	}
}

// door is a file into which a thread writes 0 to be in version 1's group, with what
// it starts; nil where there is none. The process between has other threads, which
// must not be among those that are bounded.
func (g *group) door() *os.File {
	if g == nil || g.numbers == "" {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(g.numbers, "tasks"), os.O_WRONLY, 0)
	if err != nil {
		return nil
	}
	return f
}

// end kills what is left in the groups and removes them. full tells that the kernel
// ended processes for want of memory.
func (g *group) end() (full bool) {
	if g.dir != "" {
		events, _ := os.ReadFile(filepath.Join(g.dir, "memory.events"))
		for line := range bytes.Lines(events) {
			if count, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("oom_kill ")); ok && string(count) != "0" {
				full = true
			}
		}
	}
	endGroup(g.dir)
	endGroup(g.numbers)
	return full
}

// endGroup kills what is in a group and removes it.
func endGroup(dir string) {
	if dir == "" {
		return
	}
	for range 100 { // the dead leave it in a moment
		if !set(dir, "cgroup.kill", "1") { // version 2 of kernels since 5.14
			killAll(filepath.Join(dir, "cgroup.procs"))
		}
		if err := os.Remove(dir); err == nil || errors.Is(err, os.ErrNotExist) {
			return
		}
		time.Sleep(look)
	}
}

// killAll kills the processes that a file lists. One of a namespace that we do not
// see is listed as 0.
func killAll(list string) {
	text, _ := os.ReadFile(list) // without it there is no such group any more
	for word := range strings.FieldsSeq(string(text)) {
		if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone
		}
	}
}

// boundAbove tells whether a group or one above it bounds the number of processes to
// most or less, as a container's or a service's limit does. dir is "" or a group's.
func boundAbove(dir string, most int) bool {
	for ; dir != ""; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, pidsMax))
		if err != nil {
			return false // the topmost has none
		}
		if n, err := strconv.Atoi(string(bytes.TrimSpace(text))); err == nil && n <= most { // "max" bounds nothing
			return true
		}
	}
	return false
}
