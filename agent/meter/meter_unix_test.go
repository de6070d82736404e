//go:build unix

package meter

import (
	"fmt"
	"os"
	"runtime/debug"
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

func ownCPU(t testing.TB) time.Duration {
	t.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
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
