package meter

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// procfs reads files of /proc again and again. It keeps them open: opening one
// costs several times what reading it does. A file of a process or thread that
// has ended reads as nothing, whoever has its number now.
type procfs struct {
	held  map[procFile]heldFile
	most  int    // how many may be held
	round uint64 // of looks
	text  []byte // what was read last
}

// procFile names a file of a process.
type procFile struct{ pid, thread int }

// The files besides that of a thread's children.
const (
	statFile   = 0  // in place of a thread
	taskFolder = -1 // its threads
)

type heldFile struct {
	fd   int
	used uint64 // in which round
}

// newProcfs may hold a quarter of the files that this process may have open.
func newProcfs() *procfs {
	p := &procfs{held: map[procFile]heldFile{}, text: make([]byte, 4096)}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		p.most = int(min(limit.Cur/4, 4096)) //nolint:gosec // a small number
	}
	return p
}

func (f procFile) path() string {
	folder := "/proc/" + strconv.Itoa(f.pid)
	switch f.thread {
	case statFile:
		return folder + "/stat"
	case taskFolder:
		return folder + "/task"
	}
	return folder + "/task/" + strconv.Itoa(f.thread) + "/children"
}

// with calls do with the file open.
func (p *procfs) with(f procFile, do func(fd int) error) error {
	if held, ok := p.held[f]; ok {
		p.held[f] = heldFile{held.fd, p.round}
		return do(held.fd)
	}
	fd, err := syscall.Open(f.path(), syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if len(p.held) < p.most {
		p.held[f] = heldFile{fd, p.round}
	} else {
		defer syscall.Close(fd) //nolint:errcheck // only read
	}
	return do(fd)
}

// process reads /proc/<pid>/stat.
func (p *procfs) process(pid int) (is process, ok bool) {
	file := procFile{pid, statFile}
	read := func(fd int) (err error) {
		p.text, err = readSmall(fd, p.text)
		return err
	}
	err := p.with(file, read)
	if _, held := p.held[file]; err != nil && held { // it is gone; another may have its number
		p.drop(func(f procFile, _ heldFile) bool { return f.pid == pid })
		err = p.with(file, read)
	}
	if err != nil {
		return process{}, false
	}
	return parseStat(p.text)
}

// children adds the children of all threads of a process to found.
func (p *procfs) children(of process, found []int) []int {
	threads := []int{of.id.pid}
	if !of.single {
		threads = p.threads(of.id.pid)
	}
	for _, thread := range threads {
		err := p.with(procFile{of.id.pid, thread}, func(fd int) (err error) {
			p.text, err = readSmall(fd, p.text)
			return err
		})
		if err != nil {
			continue // the thread is gone
		}
		for word := range bytes.FieldsSeq(p.text) {
			if child, err := strconv.Atoi(string(word)); err == nil {
				found = append(found, child)
			}
		}
	}
	return found
}

// pss is a process's proportional set size in bytes; 0 if it is gone. The file
// is opened each time: one that is kept tells of the memory before an exec.
func (p *procfs) pss(pid int) (bytes int64, err error) {
	p.text, err = readFile("/proc/"+strconv.Itoa(pid)+"/smaps_rollup", p.text) // Linux 4.14
	if errors.Is(err, fs.ErrNotExist) && syscall.Kill(pid, 0) == nil {
		return 0, fs.ErrPermission
	}
	return kib(p.text, "Pss:"), err
}

// threads lists those of a process.
func (p *procfs) threads(pid int) (all []int) {
	_ = p.with(procFile{pid, taskFolder}, func(fd int) error {
		_, err := syscall.Seek(fd, 0, 0)
		for n := 1; err == nil && n > 0; {
			n, err = syscall.ReadDirent(fd, p.text[:cap(p.text)])
			_, _, names := syscall.ParseDirent(p.text[:max(0, n)], -1, nil)
			for _, name := range names {
				if thread, err := strconv.Atoi(name); err == nil {
					all = append(all, thread)
				}
			}
		}
		return err
	}) // what is gone has none
	return all
}

// sweep closes what was not read since the last sweep.
func (p *procfs) sweep() {
	p.drop(func(_ procFile, held heldFile) bool { return held.used != p.round })
	p.round++
}

// close closes all, and holds nothing from now on.
func (p *procfs) close() {
	p.drop(func(procFile, heldFile) bool { return true })
	p.most = 0
}

func (p *procfs) drop(which func(procFile, heldFile) bool) {
	for f, held := range p.held {
		if which(f, held) {
			_ = syscall.Close(held.fd) // only read
			delete(p.held, f)
		}
	}
}

// readSmall reads a file of /proc from its beginning into text's room, or into
// more of it. A long list comes in pieces of a page.
func readSmall(fd int, text []byte) ([]byte, error) {
	const page = 4096
	text = text[:0]
	for {
		text = slices.Grow(text, page)
		n, err := syscall.Pread(fd, text[len(text):cap(text)], int64(len(text)))
		if err != nil {
			return text, err
		}
		text = text[:len(text)+n]
		if n < page/2 {
			return text, nil
		}
	}
}

// readFile reads a file of /proc into text's room. It does without what package
// os does for files that may block or be large.
func readFile(path string, text []byte) ([]byte, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return text[:0], err
	}
	defer syscall.Close(fd) //nolint:errcheck // only read
	return readSmall(fd, text)
}

// tick is the unit of times in proc(5): USER_HZ is 100 wherever Go runs.
const tick = time.Second / 100

// parseStat reads a line of proc_pid_stat(5). The name may hold anything,
// blanks and parentheses too.
func parseStat(text []byte) (process, bool) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 1 || end < open {
		return process{}, false
	}
	const parent, utime, threads, start, rss = 1, 11, 17, 19, 21 // places after the name: fields 4, 14, 20, 22, 24
	var fields [rss + 1]int64
	n := 0
	for word := range bytes.FieldsSeq(text[end+1:]) {
		if n == len(fields) {
			break
		}
		fields[n], _ = strconv.ParseInt(string(word), 10, 64) // the kernel writes numbers, but for the state
		n++
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text[:open])))
	if n < len(fields) || err != nil {
		return process{}, false
	}
	ticks := func(i int) time.Duration { return time.Duration(fields[i]) * tick }
	return process{
		id:     processID{pid, uint64(fields[start])}, //nolint:gosec // ticks since boot
		parent: int(fields[parent]),
		name:   string(text[open+1 : end]),
		own:    cpu{ticks(utime), ticks(utime + 1)},
		waited: cpu{ticks(utime + 2), ticks(utime + 3)},
		rss:    fields[rss] * int64(os.Getpagesize()),
		single: fields[threads] == 1,
	}, true
}
