package meter

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// group is the folder of the control group (version 2) that holds this process
// and nothing but it, as systemd-run or a container makes one; "" if there is
// none. What the kernel counts in it is this run's then: only our own children
// are born into it. proc is /proc.
func group(proc string) string {
	name := groupName(proc)
	mounts, err := os.ReadFile(filepath.Join(proc, "self/mountinfo"))
	if name == "" || err != nil {
		return ""
	}
	for line := range strings.Lines(string(mounts)) {
		// id parent device root mount-point options... - cgroup2 ...
		where, kind, _ := strings.Cut(line, " - ")
		fields := strings.Fields(where)
		if !strings.HasPrefix(kind, "cgroup2 ") || len(fields) < 5 {
			continue
		}
		below, err := filepath.Rel(fields[3], name)
		if err != nil || strings.HasPrefix(below, "..") {
			continue
		}
		if dir := filepath.Join(fields[4], below); ours(dir) {
			return dir
		}
	}
	return ""
}

// groupName is this process's group in the one hierarchy of version 2.
func groupName(proc string) string {
	text, err := os.ReadFile(filepath.Join(proc, "self/cgroup"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if name, found := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); found {
			return name
		}
	}
	return ""
}

// ours reports whether a group has this process alone, and no groups below.
func ours(dir string) bool {
	processes, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil || string(bytes.TrimSpace(processes)) != strconv.Itoa(os.Getpid()) {
		return false
	}
	below, err := filepath.Glob(filepath.Join(dir, "*", "cgroup.procs"))
	return err == nil && len(below) == 0
}

// groupPeak is the most memory that a group has held since it was made, in
// bytes; 0 where the kernel does not tell (before Linux 5.19, or without the
// memory controller).
func groupPeak(dir string) int64 {
	if dir == "" {
		return 0
	}
	text, err := os.ReadFile(filepath.Join(dir, "memory.peak"))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
