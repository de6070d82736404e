package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// group is a control group (version 2) of one command's own, below ours. Where
// ours is not delegated to us there is none; where no controllers are, it only
// ends processes.
type group struct{ dir string }

// groupName is before the number of the process that made a group.
const groupName = "condaworker-"

// newGroup makes one with the limits' hard bounds; nil where that is not allowed.
func newGroup(l Limits) *group {
	self, _ := os.ReadFile("/proc/self/cgroup") // without them there are no groups
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	above := ownGroup(string(self), string(mounts))
	if above == "" {
		return nil
	}
	removeDead(above)
	dir, err := os.MkdirTemp(above, fmt.Sprintf("%s%d-", groupName, os.Getpid()))
	if err != nil {
		return nil
	}
	g := &group{dir}
	g.set("memory.max", strconv.FormatInt(int64(l.Memory), 10)) // no such file: no such controller
	g.set("memory.oom.group", "1")
	g.set("pids.max", strconv.Itoa(mostProcesses(l)))
	return g
}

// ownGroup is the folder of this process's group, from the texts of
// /proc/self/cgroup and /proc/self/mountinfo; "" where version 2 is not mounted.
func ownGroup(self, mounts string) string {
	path, found := "", false
	for line := range strings.Lines(self) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			path, found = p, true
		}
	}
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !found || len(fields) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		if below, ok := strings.CutPrefix(path, strings.TrimSuffix(fields[3], "/")); ok { // a container sees a part of the tree
			return filepath.Join(fields[4], below)
		}
	}
	return ""
}

// removeDead removes the groups of programs that were killed.
func removeDead(above string) {
	dirs, _ := filepath.Glob(filepath.Join(above, groupName+"*"))
	for _, dir := range dirs {
		number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), groupName), "-")
		pid, err := strconv.Atoi(number)
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.Remove(dir) // one with processes in it stays
		}
	}
}

// set writes a setting of the group.
func (g *group) set(name, value string) bool {
	f, err := os.OpenFile(filepath.Join(g.dir, name), os.O_WRONLY, 0)
	if err != nil {
		return false
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close()) == nil
}

// take puts a process into the group; what it starts is in it as well.
func (g *group) take(pid int) bool { return g.set("cgroup.procs", strconv.Itoa(pid)) }

// end kills what is left in the group and removes it. full tells that the kernel
// ended processes of it for want of memory.
func (g *group) end() (full bool) {
	events, _ := os.ReadFile(filepath.Join(g.dir, "memory.events"))
	for line := range bytes.Lines(events) {
		if count, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("oom_kill ")); ok && string(count) != "0" {
			full = true
		}
	}
	g.set("cgroup.kill", "1") // kernels since 5.14
	for range 100 {           // the dead leave it in a moment
		if err := os.Remove(g.dir); err == nil || errors.Is(err, os.ErrNotExist) {
			break
		}
		time.Sleep(look)
	}
	return full
}
