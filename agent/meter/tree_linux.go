package meter

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
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

	asked time.Time     // when PSS was last asked for
	cost  time.Duration // processor time that the answer took
	share float64       // of the sum of RSS that the sum of PSS was then
}

const (
	// pssPause is the time after which PSS is asked for although it cannot be a
	// new peak: only to show how it goes.
	pssPause = time.Second
	// pssRarely times what PSS takes passes before it is asked for again: that is
	// two fifths of a per cent of a processor.
	pssRarely = 250
)

// look returns the tree and the sum of its PSS, which counts a page that n
// processes share as 1/n in each. The kernel has to walk the page tables for
// it, so it is asked only if the sum of RSS, which is cheap and never less, is
// above known, otherwise it would be no news, and not more often than may be,
// unless must says so.
func (t *tree) look(known int64, must bool) sample {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := sample{processes: t.processes(), method: methodPSS}
	var rss int64
	for _, p := range s.processes {
		rss += p.rss
	}
	since := time.Since(t.asked)
	if t.share > 0 && !must && (since < pssRarely*t.cost || rss <= known && since < pssPause) {
		s.now = int64(t.share * float64(rss))
		return s
	}
	t.cost = spent(func() { s.addPSS(pssOf) })
	s.now, s.cost = s.memory, t.cost
	t.asked, t.share = time.Now(), min(1, float64(s.memory)/float64(max(1, rss)))
	return s
}

// addPSS asks the kernel for every process's share of memory. One that may not
// be asked, such as the sandbox's own when it shuts others out, counts with its
// anonymous memory; where none may be, the sum is one of RSS.
func (s *sample) addPSS(pssOf func(pid int) (int64, error)) {
	told, rss := false, int64(0)
	for _, p := range s.processes {
		if p.parent != 0 && sameMemory(p.id.pid, p.parent) {
			continue // a child between vfork and exec: it is its parent still
		}
		pss, err := pssOf(p.id.pid)
		if errors.Is(err, fs.ErrPermission) {
			status, _ := os.ReadFile("/proc/" + strconv.Itoa(p.id.pid) + "/status") // it may be gone
			pss = kib(status, "RssAnon:")
		}
		told = told || err == nil
		s.memory += pss
		rss += p.rss
	}
	if !told {
		s.memory, s.method = rss, methodRSS
	}
}

// processes returns the tree, parents before children.
func (t *tree) processes() []process {
	self := os.Getpid()
	own, _ := readProcess(self) // of this process it cannot fail
	own.id.pid, own.parent = self, 0
	all, children := []process{own}, t.children()
	seen := map[int]bool{self: true} // one that loses its parent moves up
	for i := 0; i < len(all); i++ {
		for _, pid := range children(all[i]) {
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
	text, err := readSmall("/proc/" + strconv.Itoa(pid) + "/stat")
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
	const utime, threads, start, rss = 11, 17, 19, 21 // places after the name: fields 14, 20, 22, 24
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
		single: number(threads) == 1,
	}, err == nil
}

// children returns what tells a process's children.
func (t *tree) children() func(process) []int {
	if !t.known {
		own := strconv.Itoa(os.Getpid())
		_, err := os.Stat("/proc/self/task/" + own + "/children") // CONFIG_PROC_CHILDREN
		t.slow, t.known = err != nil, true
	}
	if !t.slow {
		return listed
	}
	all := scan()
	return func(p process) []int { return all[p.id.pid] }
}

// listed returns the children of all threads of a process.
func listed(p process) (found []int) {
	pid := strconv.Itoa(p.id.pid)
	tasks := "/proc/" + pid + "/task"
	if p.single {
		return childrenOf(found, tasks+"/"+pid)
	}
	threads, err := os.ReadDir(tasks)
	if err != nil {
		return nil
	}
	for _, thread := range threads {
		found = childrenOf(found, tasks+"/"+thread.Name())
	}
	return found
}

// childrenOf adds the children of one thread.
func childrenOf(found []int, thread string) []int {
	text, err := readSmall(thread + "/children")
	if err != nil {
		return found
	}
	for word := range strings.FieldsSeq(string(text)) {
		if child, err := strconv.Atoi(word); err == nil {
			found = append(found, child)
		}
	}
	return found
}

// readSmall reads a file of /proc. It does without what package os does for
// files that may block or be large, which costs as much as the file.
func readSmall(path string) ([]byte, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd) //nolint:errcheck // only read
	text := make([]byte, 0, 1024)
	for {
		n, err := syscall.Read(fd, text[len(text):cap(text)])
		if err != nil || n == 0 {
			return text, err
		}
		if text = text[:len(text)+n]; len(text) == cap(text) {
			text = slices.Grow(text, cap(text))
		}
	}
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
