package meter

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
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
	files *procfs
	size  int // how many processes there were

	asked time.Time     // when PSS was last asked for
	cost  time.Duration // processor time that the answer took
	share float64       // of the sum of RSS that the sum of PSS was then
}

const (
	// pssPause is the time after which PSS is asked for although it cannot be a
	// new peak: only to show how it goes.
	pssPause = time.Second
	// pssRarely times what PSS takes passes before it is asked for again: that is
	// a quarter of a per cent of a processor.
	pssRarely = 400
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
	t.cost = spent(func() { s.addPSS(t.files.pss) })
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
	files := t.procfs()
	defer files.sweep()
	self := os.Getpid()
	own, _ := files.process(self) // of this process it cannot fail
	own.id.pid, own.parent = self, 0
	all := append(make([]process, 0, t.size+t.size/4+1), own)
	children := t.children()
	seen := map[int]bool{self: true} // one that loses its parent moves up
	for i := 0; i < len(all); i++ {
		for _, pid := range children(all[i]) {
			if seen[pid] {
				continue
			}
			seen[pid] = true
			if p, ok := files.process(pid); ok { // else it is gone
				p.parent = all[i].id.pid
				all = append(all, p)
			}
		}
	}
	t.size = len(all)
	return all
}

// children returns what tells a process's children.
func (t *tree) children() func(process) []int {
	if !t.known {
		own := strconv.Itoa(os.Getpid())
		_, err := os.Stat("/proc/self/task/" + own + "/children") // CONFIG_PROC_CHILDREN
		t.slow, t.known = err != nil, true
	}
	if !t.slow {
		var found []int
		return func(p process) []int {
			found = t.procfs().children(p, found[:0])
			return found
		}
	}
	all := scan()
	return func(p process) []int { return all[p.id.pid] }
}

// close closes the files that were kept open between looks.
func (t *tree) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.procfs().close()
}

func (t *tree) procfs() *procfs {
	if t.files == nil {
		t.files = newProcfs()
	}
	return t.files
}

// scan returns the children of every process of the machine.
func scan() map[int][]int {
	all := map[int][]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return all
	}
	var text []byte
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if text, err = readFile("/proc/"+e.Name()+"/stat", text); err != nil {
			continue
		}
		if p, ok := parseStat(text); ok {
			all[p.parent] = append(all[p.parent], pid)
		}
	}
	return all
}

// sameMemory reports whether two processes share their memory. Where kcmp(2)
// is forbidden they do not, and a rare sample may count a parent twice.
func sameMemory(a, b int) bool {
	const kcmpVM = 1
	differ, _, err := syscall.Syscall6(kcmp, uintptr(a), uintptr(b), kcmpVM, 0, 0, 0)
	return err == 0 && differ == 0
}
