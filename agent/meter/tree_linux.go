package meter

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// tree is this process and its descendants, those in namespaces of their own
// included: /proc shows them with the numbers that they have out here.
type tree struct {
	mu    sync.Mutex
	slow  bool // the kernel does not list children: all processes are read
	known bool // slow is known

	asked time.Time // when PSS was last asked for
	share float64   // of the sum of RSS that the sum of PSS was then
}

// pssPause is the time after which PSS is asked for although it cannot be a new
// peak: only to show how it goes.
const pssPause = time.Second

// look returns the tree and the sum of its PSS, which counts a page that n
// processes share as 1/n in each. The kernel has to walk the page tables for
// it, so it is asked only if the sum of RSS, which is cheap and never less, is
// above known: otherwise it would be no news.
func (t *tree) look(known int64) sample {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := sample{processes: t.processes(), method: methodPSS}
	var rss int64
	for _, p := range s.processes {
		rss += p.rss
	}
	if rss <= known && t.share > 0 && time.Since(t.asked) < pssPause {
		s.now = int64(t.share * float64(rss))
		return s
	}
	for _, p := range s.processes {
		if p.parent != 0 && sameMemory(p.id.pid, p.parent) {
			continue // a child between vfork and exec: it is its parent still
		}
		pss, err := pssOf(p.id.pid)
		if errors.Is(err, fs.ErrPermission) {
			pss, s.method = p.rss, methodRSS
		}
		s.memory += pss
	}
	s.now = s.memory
	t.asked, t.share = time.Now(), min(1, float64(s.memory)/float64(max(1, rss)))
	return s
}

// processes returns the tree, parents before children.
func (t *tree) processes() []process {
	self := os.Getpid()
	own, _ := readProcess(self) // of this process it cannot fail
	own.id.pid, own.parent = self, 0
	all, children := []process{own}, t.children()
	seen := map[int]bool{self: true} // one that loses its parent moves up
	for i := 0; i < len(all); i++ {
		for _, pid := range children(all[i].id.pid) {
			if seen[pid] {
				continue
			}
			seen[pid] = true
			if p, ok := readProcess(pid); ok { // else it is gone
				p.parent = all[i].id.pid
				all = append(all, p)
			}
		}
	}
	return all
}

// tick is the unit of times in proc(5): USER_HZ is 100 wherever Go runs.
const tick = time.Second / 100

// readProcess reads /proc/<pid>/stat.
func readProcess(pid int) (process, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, false
	}
	return parseStat(text)
}

// parseStat reads a line of proc_pid_stat(5). The name may hold anything,
// blanks and parentheses too.
func parseStat(text []byte) (process, bool) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 1 || end < open {
		return process{}, false
	}
	const utime, start, rss = 11, 19, 21 // places after the name: fields 14, 22, 24
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) <= rss {
		return process{}, false
	}
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(fields[i], 10, 64) // the kernel writes numbers
		return n
	}
	ticks := func(i int) time.Duration { return time.Duration(number(i)) * tick }
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:open])))
	return process{
		id:     processID{pid, uint64(number(start))}, //nolint:gosec // ticks since boot
		parent: int(number(1)),
		name:   string(text[open+1 : end]),
		own:    cpu{ticks(utime), ticks(utime + 1)},
		waited: cpu{ticks(utime + 2), ticks(utime + 3)},
		rss:    number(rss) * int64(os.Getpagesize()),
	}, err == nil
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
		if p, ok := readProcess(pid); ok {
			all[p.parent] = append(all[p.parent], pid)
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
