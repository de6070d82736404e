package meter

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/shirou/gopsutil/v3/process"
)

// tree is this process and its descendants.
type tree struct {
	mu    sync.Mutex
	slow  bool // the kernel does not list children: all processes are read
	known bool // slow is known
}

// node is one process of the tree.
type node struct {
	pid, parent int
	rss         int64 // bytes
}

// look returns the sum of the tree's PSS, which counts a page that n processes
// share as 1/n in each. The kernel has to walk the page tables for it, so it
// is asked only if the sum of RSS, which is cheap and never less, is above
// known: otherwise it would be no news.
func (t *tree) look(known int64) peak {
	t.mu.Lock()
	defer t.mu.Unlock()
	nodes := t.nodes()
	p := peak{processes: len(nodes), method: methodPSS}
	var rss int64
	for _, n := range nodes {
		rss += n.rss
	}
	if rss <= known {
		return p
	}
	for _, n := range nodes {
		if n.parent != 0 && sameMemory(n.pid, n.parent) {
			continue // a child between vfork and exec: it is its parent still
		}
		pss, err := pssOf(n.pid)
		if errors.Is(err, fs.ErrPermission) {
			pss, p.method = n.rss, methodRSS
		}
		p.memory += pss
	}
	return p
}

// nodes returns the processes of the tree, parents before children.
func (t *tree) nodes() []node {
	self := os.Getpid()
	nodes := []node{memoryOf(node{pid: self})}
	children := t.children()
	for i := 0; i < len(nodes); i++ {
		for _, pid := range children(nodes[i].pid) {
			if n := memoryOf(node{pid: pid, parent: nodes[i].pid}); n.rss > 0 {
				nodes = append(nodes, n) // else it is gone, or a zombie
			}
		}
	}
	return nodes
}

func memoryOf(n node) node {
	p := process.Process{Pid: int32(n.pid)} //nolint:gosec // pids are 31 bits
	if info, err := p.MemoryInfo(); err == nil {
		n.rss = int64(info.RSS) //nolint:gosec // no process is that large
	}
	return n
}

// children returns what tells a process's children.
func (t *tree) children() func(pid int) []int {
	if !t.known {
		own := strconv.Itoa(os.Getpid())
		_, err := os.Stat("/proc/self/task/" + own + "/children") // CONFIG_PROC_CHILDREN
		t.slow, t.known = err != nil, true
	}
	if !t.slow {
		return listed
	}
	all := scan()
	return func(pid int) []int { return all[pid] }
}

// listed returns the children of all threads of a process.
func listed(pid int) []int {
	tasks := filepath.Join("/proc", strconv.Itoa(pid), "task")
	threads, err := os.ReadDir(tasks)
	if err != nil {
		return nil
	}
	var found []int
	for _, thread := range threads {
		text, err := os.ReadFile(filepath.Join(tasks, thread.Name(), "children"))
		if err != nil {
			continue
		}
		for word := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				found = append(found, child)
			}
		}
	}
	return found
}

// scan returns the children of every process of the machine.
func scan() map[int][]int {
	all := map[int][]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return all
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		// pid (any name) state ppid ...
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) < 2 {
			continue
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			all[parent] = append(all[parent], pid)
		}
	}
	return all
}

// pssOf is a process's proportional set size; 0 if it is gone.
func pssOf(pid int) (int64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup") // Linux 4.14
	if errors.Is(err, fs.ErrNotExist) && alive(pid) {
		return 0, fs.ErrPermission
	}
	return kib(text, "Pss:"), err
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// sameMemory reports whether two processes share their memory. Where kcmp(2)
// is forbidden they do not, and a rare sample may count a parent twice.
func sameMemory(a, b int) bool {
	const kcmpVM = 1
	differ, _, err := syscall.Syscall6(kcmp, uintptr(a), uintptr(b), kcmpVM, 0, 0, 0)
	return err == 0 && differ == 0
}
