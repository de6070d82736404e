package sandbox

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tree is the processes that a command starts. We are their subreaper: what
// loses its parent becomes our child, whatever session or group it is in.
type tree struct{ before []int }

func newTree() *tree {
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // kernels since 3.4 have it
	return &tree{children()}
}

const (
	look     = 5 * time.Millisecond
	killTime = 5 * time.Second // a process in a system call may take a moment to die
)

// end asks every process of the tree to end, kills those that do not within
// grace, and reaps them.
func (t *tree) end(grace time.Duration) {
	started := time.Now()
	asked := false
	for time.Since(started) < grace+killTime {
		mine := slices.DeleteFunc(children(), func(pid int) bool { return slices.Contains(t.before, pid) })
		if len(mine) == 0 {
			return
		}
		switch {
		case time.Since(started) >= grace:
			signalAll(family(mine), syscall.SIGKILL)
		case !asked:
			signalAll(family(mine), syscall.SIGTERM)
			asked = true
		}
		for _, pid := range mine {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // it may be alive still
		}
		time.Sleep(look)
	}
}

// process is a line of the system's table.
type process struct{ pid, parent, group int }

// family are the processes of the table that are or descend from one of roots.
// One pass over the table sees more of a tree that changes quickly than a walk
// down the tree does.
func family(roots []int) []process {
	table := processTable()
	below := map[int][]process{}
	var all []process
	for _, p := range table {
		below[p.parent] = append(below[p.parent], p)
		if slices.Contains(roots, p.pid) {
			all = append(all, p)
		}
	}
	for i := 0; i < len(all); i++ {
		all = append(all, below[all[i].pid]...)
	}
	return all
}

// descendants are the processes of the table that descend from this one. They are
// not looked for from children on: a child is missing there while the thread that
// started it ends.
func descendants() []process {
	return slices.DeleteFunc(family([]int{os.Getpid()}), func(p process) bool { return p.pid == os.Getpid() })
}

// signalAll signals processes, group by group: what is forked meanwhile is in the
// same group. No group of them has others in it, for each command begins a session.
func signalAll(processes []process, s syscall.Signal) {
	ours, _ := syscall.Getpgid(0)
	groups := map[int]bool{ours: true, 0: true}
	for _, p := range processes {
		if !groups[p.group] {
			groups[p.group] = true
			_ = syscall.Kill(-p.group, s) // it may be gone already
		}
		_ = syscall.Kill(p.pid, s)
	}
}

// processTable reads /proc/*/stat.
func processTable() []process {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close() //nolint:errcheck // nothing was written
	names, _ := dir.Readdirnames(-1)
	var all []process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join("/proc", name, "stat"))
		if err != nil {
			continue // the process ended
		}
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:]) // state, parent, group; the name before may hold anything
		if len(fields) < 3 {
			continue
		}
		parent, _ := strconv.Atoi(string(fields[1]))
		group, _ := strconv.Atoi(string(fields[2]))
		all = append(all, process{pid, parent, group})
	}
	return all
}

// nameOf is what a process is called; running is false for one that has ended.
func nameOf(pid int) (name string, running bool) {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	from, to := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if from < 0 || to < from {
		return "", false
	}
	state := bytes.TrimSpace(text[to+1:])
	return string(text[from+1 : to]), !bytes.HasPrefix(state, []byte("Z")) && !bytes.HasPrefix(state, []byte("X"))
}

// children are this process's own.
func children() []int {
	files, _ := filepath.Glob("/proc/self/task/*/children") // a pattern of ours
	var pids []int
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the process ended
		}
		for word := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}
