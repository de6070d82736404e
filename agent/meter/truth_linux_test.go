package meter

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// systemRole lets the test binary stand in for programs that only Linux has.
func systemRole(role, argument string) (done bool) {
	switch role {
	case "crowd":
		asCrowd(megabytes(argument) >> 20)
	case "forks":
		asForks(allocate(megabytes(argument)))
	case "burst":
		asBurst(allocate(megabytes(argument)))
	case "init":
		asInit(argument)
	case "burn":
		burn(time.Duration(megabytes(argument)>>20) * time.Millisecond)
	default:
		return false
	}
	ownTruth()
	return true
}

// usedBy tells the test what wait4 said of a child, or getrusage of ourselves:
// a line "truth <nanoseconds>".
func usedBy(r *syscall.Rusage) {
	_, _ = fmt.Fprintln(os.Stdout, "truth", r.Utime.Nano()+r.Stime.Nano())
}

// ownTruth is the last thing that a child does.
func ownTruth() {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	usedBy(&r)
}

// asCrowd runs short programs, four at a time.
func asCrowd(count int) {
	var used syscall.Rusage
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range count / 4 {
				c := exec.Command("/bin/true")
				if err := c.Run(); err != nil {
					panic(err)
				}
				mu.Lock()
				used.Utime.Usec += c.ProcessState.UserTime().Microseconds()
				used.Stime.Usec += c.ProcessState.SystemTime().Microseconds()
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	usedBy(&used)
}

// asForks is a tree of four processes that share memory which the first one
// filled before it forked. Each reads it all many times.
func asForks(memory []byte) {
	fill(memory)
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		panic(err)
	}
	var children [3]int
	for i := range children {
		pid, _, err := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
		if err != 0 {
			panic(err)
		}
		if pid == 0 {
			inFork(memory, uintptr(pipe[1]))
		}
		children[i] = int(pid)
	}
	readAll(memory)
	if _, err := io.ReadFull(os.NewFile(uintptr(pipe[0]), "pipe"), make([]byte, len(children))); err != nil {
		panic(err)
	}
	ready()
	for _, pid := range children {
		var r syscall.Rusage
		if _, err := syscall.Wait4(pid, nil, 0, &r); err != nil {
			panic(err)
		}
		usedBy(&r)
	}
}

// inFork is a forked child's life. The run time system has lost its threads in
// it, so that only the kernel may be asked for anything.
//
//go:norace
func inFork(memory []byte, write uintptr) {
	b := [1]byte{readAll(memory)}
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, write, uintptr(unsafe.Pointer(&b)), 1) // ready
	_, _, _ = syscall.RawSyscall(syscall.SYS_READ, 0, uintptr(unsafe.Pointer(&b)), 1)      // until the test is
	_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
}

//go:norace
func readAll(memory []byte) (sum byte) {
	for range 20 {
		for i := 0; i < len(memory); i += 64 {
			sum += memory[i]
		}
	}
	return sum
}

// asBurst has memory for 50 ms.
func asBurst(memory []byte) {
	fill(memory)
	time.Sleep(50 * time.Millisecond)
	if err := syscall.Munmap(memory); err != nil {
		panic(err)
	}
}

// asInit is a namespace's first process: it runs another role and waits for
// it, as the sandbox's does.
func asInit(role string) {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), "METER_TEST_CHILD="+role)
	c.Stdin, c.Stdout = os.Stdin, os.Stdout
	if err := c.Run(); err != nil {
		panic(err)
	}
}

// burn uses processor time, tells of it, and waits.
func burn(d time.Duration) {
	var r syscall.Rusage
	for r.Utime.Nano()+r.Stime.Nano() < d.Nanoseconds() {
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			panic(err)
		}
	}
	ownTruth()
	ready()
}

// namespaced makes a command the first process of a pid namespace, as an
// ordinary user may where user namespaces are allowed.
func namespaced(t *testing.T, c *exec.Cmd) *exec.Cmd {
	t.Helper()
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	probe := exec.Command("/bin/true")
	probe.SysProcAttr = c.SysProcAttr
	if err := probe.Run(); errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
		if os.Getenv("CONDAWORKER_TEST_NOSKIP") != "" {
			t.Fatalf("this host allows no user namespaces, and nothing may be skipped: %v", err)
		}
		t.Skipf("not here: user namespaces: %v", err)
	}
	return c
}

// truths sums up what a child told.
func truths(t *testing.T, output []byte) (sum time.Duration) {
	t.Helper()
	for line := range strings.Lines(string(output)) {
		var ns int64
		if _, err := fmt.Sscanf(line, "truth %d\n", &ns); err == nil {
			sum += time.Duration(ns)
		}
	}
	if sum == 0 {
		t.Errorf("the child told %q", output)
	}
	return sum
}

// runMeasured runs a child to its end within a phase. truth is the processor
// time of all processes, this one included, as wait4 and getrusage tell it; it
// has the end of each process as well, which a child cannot tell of itself.
func runMeasured(t *testing.T, c *exec.Cmd) (got PhaseReport, truth time.Duration) {
	t.Helper()
	debug.FreeOSMemory() // what earlier tests left in this process counts as well
	m := Start(Options{})
	defer m.Stop()
	p, own := m.Phase("script"), ownCPU(t)
	var out bytes.Buffer
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	told, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(told); lines.Scan(); {
		if lines.Text() == "ready" {
			m.lookAtTree(true) // the child holds on for it
			_ = in.Close()
		}
		_, _ = fmt.Fprintln(&out, lines.Text())
	}
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	own = ownCPU(t) - own
	got = p.End(nil)
	truth = c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	if told := truths(t, out.Bytes()); told > truth {
		t.Errorf("the processes used %v, wait4 says %v", told, truth)
	}
	return got, truth + own
}

// TestTruth compares with what is known, out here and in a pid namespace.
func TestTruth(t *testing.T) {
	for _, c := range []struct {
		role   string
		count  int64
		memory int64 // MiB that the processes hold between them at one time
	}{{"crowd", 2000, 0}, {"forks", 110, 110}, {"burst", 1024, 1024}} {
		for where, prefix := range map[string]string{"here": "", "namespace": "init "} {
			t.Run(c.role+"/"+where, func(t *testing.T) {
				if c.role == "burst" { // more than any child before, or the kernel's mark has nothing new to tell
					c.count = max(c.count, readCounters().largest>>20+50)
					c.memory = c.count
				}
				child := command(t, fmt.Sprint(prefix, c.role, " ", c.count))
				if prefix != "" {
					child = namespaced(t, child)
				}
				got, truth := runMeasured(t, child)
				used := got.CPUUser + got.CPUSys
				t.Logf("cpu %.3f s, truth %.3f s: %+.2f %%", used, truth.Seconds(), 100*(used/truth.Seconds()-1))
				t.Logf("memory %d MiB by %s, known %d MiB: %+.1f MiB", got.MemoryPeak>>20, got.MemoryMethod, c.memory, float64(got.MemoryPeak-c.memory<<20)/(1<<20))
				if used < 0.98*truth.Seconds() || used > 1.02*truth.Seconds() {
					t.Errorf("measured %.3f s of CPU, the truth is %.3f s", used, truth.Seconds())
				}
				if known := c.memory << 20; got.MemoryPeak < known || got.MemoryPeak > known+known/10+programs {
					t.Errorf("measured %d bytes by %s, known are %d", got.MemoryPeak, got.MemoryMethod, known)
				}
			})
		}
	}
}

// programs is more than the test program itself needs, a few times over and
// with the race detector.
const programs = 200 << 20

// TestNobodyWaits kills a namespace's first process: the kernel then ends the
// others, and adds what they used to no sum.
func TestNobodyWaits(t *testing.T) {
	m := Start(Options{})
	defer m.Stop()
	p, own := m.Phase("script"), ownCPU(t)
	c := namespaced(t, command(t, "init burn 600"))
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	told, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(told)
	lines.Scan()
	truth := truths(t, lines.Bytes()).Seconds()
	lines.Scan()
	m.lookAtTree(true)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	truth += (ownCPU(t) - own).Seconds()
	got := p.End(nil)
	used, waited := got.CPUUser+got.CPUSys, c.ProcessState.UserTime()+c.ProcessState.SystemTime()
	t.Logf("cpu %.3f s, truth %.3f s and the first process; wait4 says %v of the namespace", used, truth, waited)
	if used < truth-0.05 || used > truth+0.1 { // each process's time is seen in hundredths of a second
		t.Errorf("measured %.3f s of CPU, the truth is %.3f s", used, truth)
	}
	if len(got.Top) == 0 || got.Top[0].CPU < 0.5 {
		t.Errorf("top %+v", got.Top)
	}
	next := m.Phase("pack").End(nil)
	if all := m.Stop(); all.CPUUser+all.CPUSys < used || next.CPUUser+next.CPUSys > 0.3 {
		t.Errorf("in all %.3f s, %.3f s in the next phase", all.CPUUser+all.CPUSys, next.CPUUser+next.CPUSys)
	}
}

// TestNamespacedTree sees memory and processes from outside.
func TestNamespacedTree(t *testing.T) {
	own := ownMemory()
	m := Start(Options{})
	defer m.Stop()
	p := m.Phase("script")
	stop := startCommand(t, namespaced(t, command(t, "init hold 60")))
	got := p.End(nil)
	stop()
	if got.Processes != 3 || got.MemoryPeak < 60<<20 || got.MemoryPeak-own > 60<<20+programs {
		t.Errorf("%d processes hold %d bytes by %s", got.Processes, got.MemoryPeak, got.MemoryMethod)
	}
}
