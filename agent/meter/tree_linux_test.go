package meter

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ownMemory is what this process has itself, which counts in all that is measured:
// what earlier tests left is given back first, but for what the system keeps.
func ownMemory() int64 {
	debug.FreeOSMemory()
	return (&tree{}).look(0, true).memory
}

// TestSharedMemoryCountsOnce has four processes map the same 110 MiB.
func TestSharedMemoryCountsOnce(t *testing.T) {
	const size = 110 << 20
	path := filepath.Join(t.TempDir(), "shared")
	write(t, path, size)
	own := ownMemory()
	m := Start(Options{})
	p := m.Phase("script")
	for range 4 {
		defer start(t, "share "+path)()
	}
	got := p.End(nil)
	m.Stop()
	t.Logf("%d bytes by %s", got.MemoryPeak, got.MemoryMethod)
	if got.MemoryPeak < size || got.MemoryPeak-own > size*5/2 || got.MemoryMethod != methodPSS {
		t.Errorf("four processes share %d bytes, measured %d by %s, of which %d are this one's", size, got.MemoryPeak, got.MemoryMethod, own)
	}
	if got.Processes != 5 {
		t.Errorf("%d processes, want 5", got.Processes)
	}
}

// TestSeparateMemoryAddsUp is the opposite: no single process holds as much.
func TestSeparateMemoryAddsUp(t *testing.T) {
	own := ownMemory()
	m := Start(Options{})
	p := m.Phase("script")
	for range 4 {
		defer start(t, "hold 60")()
	}
	got := p.End(nil)
	m.Stop()
	if got.MemoryPeak < 240<<20 || got.MemoryPeak-own > 400<<20 {
		t.Errorf("four processes hold 60 MiB each, measured %d MiB by %s, of which %d are this one's", got.MemoryPeak>>20, got.MemoryMethod, own>>20)
	}
}

// TestScanFindsTheSame compares the two ways to find the tree.
func TestScanFindsTheSame(t *testing.T) {
	defer start(t, "hold 30")()
	fast, slow := &tree{}, &tree{slow: true, known: true}
	a, b := fast.look(0, true), slow.look(0, true)
	if a.running() != 2 || b.running() != 2 {
		t.Errorf("%d and %d processes, want 2", a.running(), b.running())
	}
	if a.memory < 30<<20 || b.memory < 30<<20 {
		t.Errorf("%d and %d bytes, a child alone has 30 MiB", a.memory, b.memory)
	}
	if fast.slow {
		t.Log("this kernel does not list children")
	}
	if news := fast.look(1<<40, false); news.memory != 0 || news.now < 30<<20 {
		t.Errorf("asked for more than a terabyte, told of %d bytes, %d now", news.memory, news.now)
	}
}

// TestSameMemory tells a process from one that shares its memory, as a child
// does until it calls exec.
func TestSameMemory(t *testing.T) {
	defer start(t, "hold 1")()
	children := newProcfs().children(process{id: processID{pid: os.Getpid()}}, nil)
	if len(children) != 1 {
		t.Fatalf("children %v, want one", children)
	}
	if !sameMemory(os.Getpid(), os.Getpid()) || sameMemory(os.Getpid(), children[0]) {
		t.Error("this process does not share its own memory, or a child does")
	}
}

// TestChildBeforeExec looks while children are started, so that sooner or
// later one is seen that still has all of this process's memory.
func TestChildBeforeExec(t *testing.T) {
	const size = 400 << 20 // well over what the tests and the children have of their own
	held := allocate(size)
	fill(held)
	debug.FreeOSMemory() // what earlier tests left
	var wg sync.WaitGroup
	quit := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
					if err := command(t, "quick").Run(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	w := &tree{}
	for range 50 {
		if p := w.look(0, true); p.memory > size*19/10 {
			t.Errorf("%d bytes in %d processes: those of a child that has none of its own were added", p.memory, p.running())
			break
		}
	}
	close(quit)
	wg.Wait()
	if err := syscall.Munmap(held); err != nil {
		t.Error(err)
	}
}

// TestSecretive has a process that does not tell its PSS, as another user's or
// the sandbox's own, and then nobody that does.
func TestSecretive(t *testing.T) {
	defer start(t, "hold 60")()
	all := (&tree{}).processes()
	if len(all) != 2 {
		t.Fatalf("%+v", all)
	}
	own, err := newProcfs().pss(all[0].id.pid)
	if err != nil {
		t.Fatal(err)
	}
	one := sample{processes: all, method: methodPSS}
	one.addPSS(func(pid int) (int64, error) {
		if pid == all[0].id.pid {
			return own, nil
		}
		return 0, fs.ErrPermission
	})
	if held := one.memory - own; one.method != methodPSS || held < 60<<20 || held > all[1].rss {
		t.Errorf("%d bytes by %s, of which %d are resident", held, one.method, all[1].rss)
	}
	none := sample{processes: all, method: methodPSS}
	none.addPSS(func(int) (int64, error) { return 0, fs.ErrPermission })
	if none.method != methodRSS || none.memory != all[0].rss+all[1].rss {
		t.Errorf("%d bytes by %s", none.memory, none.method)
	}
}

func TestParseStat(t *testing.T) {
	rest := " S 7 1 1 0 -1 4194560 1 2 3 4 150 25 300 50 20 0 1 0 987 4096 3 18446744073709551615"
	for line, name := range map[string]string{
		"12 (sh)" + rest: "sh", "12 (a b) c (d)" + rest + "\n": "a b) c (d", "12 ()" + rest: "", "12 (x\n) S 1)" + rest: "x\n) S 1",
	} {
		got, ok := parseStat([]byte(line))
		want := process{processID{12, 987}, 7, name, cpu{1500 * time.Millisecond, 250 * time.Millisecond}, cpu{3 * time.Second, time.Second / 2}, true, 3 * int64(os.Getpagesize())}
		if !ok || got != want {
			t.Errorf("%q: %+v, %v", line, got, ok)
		}
	}
	for _, line := range []string{"", "12", "12 (sh", "(sh)" + rest, ")12 (" + rest, "12 (sh) S 7", "x (sh)" + rest} {
		if got, ok := parseStat([]byte(line)); ok {
			t.Errorf("%q: %+v", line, got)
		}
	}
}

func TestKib(t *testing.T) {
	text := []byte("Name:\tx\nVmHWM:\t    1234 kB\nVmRSS: 2 kB\nBad: x kB\n")
	for label, want := range map[string]int64{"VmHWM:": 1234 << 10, "VmRSS:": 2048, "Bad:": 0, "Pss:": 0} {
		if got := kib(text, label); got != want {
			t.Errorf("kib(%s) = %d, want %d", label, got, want)
		}
	}
	if got := ownPeak(nil); got < 1<<20 {
		t.Errorf("this process never had more than %d bytes", got)
	}
}

// TestTransferred writes through to the disk.
func TestTransferred(t *testing.T) {
	before := readCounters()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 4<<20)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if n := readCounters().written - before.written; n < 4<<20 {
		t.Errorf("wrote 4 MiB, counted %d bytes", n)
	}
}
