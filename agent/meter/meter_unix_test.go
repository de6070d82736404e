//go:build unix

package meter

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// mapShared maps a file for reading and writing, shared with others that do.
func mapShared(path string) []byte {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	info, err := f.Stat()
	if err != nil {
		panic(err)
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	return b
}

// allocate returns memory that the run time system does not know of.
func allocate(size int) []byte {
	b, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	return b
}

func ownCPU(t *testing.T) time.Duration {
	t.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// TestCPUOfShortChildren compares with what wait4 says of each child.
func TestCPUOfShortChildren(t *testing.T) {
	const atOnce = 4
	children := 2000
	first := command(t, "quick")
	if err := first.Run(); err != nil {
		t.Fatal(err)
	}
	if first.ProcessState.UserTime()+first.ProcessState.SystemTime() > 15*time.Millisecond {
		children = 100 // not short ones: the race detector takes its time to start
	}
	m := Start(Options{})
	p, own := m.Phase("script"), ownCPU(t)
	var truth atomic.Int64
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for range children / atOnce {
				c := command(t, "quick")
				if err := c.Run(); err != nil {
					t.Error(err)
					return
				}
				truth.Add(int64(c.ProcessState.UserTime() + c.ProcessState.SystemTime()))
			}
		})
	}
	wg.Wait()
	want := (time.Duration(truth.Load()) + ownCPU(t) - own).Seconds()
	got := p.End(nil)
	cpu := got.CPUUser + got.CPUSys
	t.Logf("%.3f s of CPU, %.3f s by wait4, %.3f s wall", cpu, want, got.Seconds)
	if cpu < want*0.95 || cpu > want*1.05 {
		t.Errorf("measured %.3f s of CPU, the truth is %.3f s", cpu, want)
	}
	if r := m.Stop(); r.CPUUser+r.CPUSys < cpu {
		t.Errorf("less in all than in a phase: %+v", r)
	}
}

// TestBurstOfMemory has a child die right after it touched its memory.
func TestBurstOfMemory(t *testing.T) {
	debug.FreeOSMemory() // what earlier tests left in this process counts as well
	// More than any child before, or the kernel has nothing new to tell.
	most := max(300, readCounters().largest>>20+100) << 20
	m := Start(Options{Interval: time.Hour}) // no sample at all
	p := m.Phase("script")
	if err := command(t, fmt.Sprint("burst ", most>>20)).Run(); err != nil {
		t.Fatal(err)
	}
	got := p.End(nil)
	if got.MemoryPeak < most || got.MemoryPeak > most+most/4 || got.MemoryMethod != methodLargest {
		t.Errorf("a child had %d bytes, measured %d by %s", most, got.MemoryPeak, got.MemoryMethod)
	}
	if next := m.Phase("pack").End(nil); next.MemoryPeak > most/2 {
		t.Errorf("the next phase has inherited %d bytes", next.MemoryPeak)
	}
	if r := m.Stop(); r.MemoryPeak != got.MemoryPeak || r.MemoryMethod != methodLargest {
		t.Errorf("in all %d by %s", r.MemoryPeak, r.MemoryMethod)
	}
}
