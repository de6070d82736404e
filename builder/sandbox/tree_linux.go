package sandbox

import (
	"fmt"
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
	return &tree{children("self")}
}

const (
	look     = 10 * time.Millisecond
	killTime = 5 * time.Second // a process in a system call may take a moment to die
)

// end asks every process of the tree to end, kills those that do not within
// grace, and reaps them.
func (t *tree) end(grace time.Duration) {
	started := time.Now()
	asked := map[int]bool{}
	for time.Since(started) < grace+killTime {
		alive := t.alive()
		if len(alive) == 0 {
			return
		}
		for _, pid := range alive {
			switch {
			case time.Since(started) >= grace:
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone already
			case !asked[pid]:
				asked[pid] = true
				_ = syscall.Kill(pid, syscall.SIGTERM)
			}
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // ours only when orphaned
		}
		time.Sleep(look)
	}
}

// alive lists the tree's processes, the ended ones that nobody has waited for
// yet included.
func (t *tree) alive() []int {
	var all []int
	for _, pid := range children("self") {
		if !slices.Contains(t.before, pid) {
			all = append(append(all, pid), descendants(strconv.Itoa(pid))...)
		}
	}
	return all
}

// descendants are the processes below one, or below "self".
func descendants(pid string) []int {
	var all []int
	for _, c := range children(pid) {
		all = append(append(all, c), descendants(strconv.Itoa(c))...)
	}
	return all
}

// children reads /proc/<pid>/task/*/children.
func children(pid string) []int {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%s/task/*/children", pid)) // a pattern of ours
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
