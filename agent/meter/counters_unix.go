//go:build unix

package meter

import (
	"syscall"
	"time"
)

func readCounters() counters {
	own, children := rusage()
	return counters{
		cpu:     cpuOf(own, children),
		largest: max(ownPeak(&own), children.Maxrss*maxrssUnit),
		read:    (own.Inblock + children.Inblock) * blockUnit,
		written: (own.Oublock + children.Oublock) * blockUnit,
	}
}

// readCPU is the part of readCounters that each look needs.
func readCPU() cpu { return cpuOf(rusage()) }

// rusage is what this process used, and its children that were waited for; by
// getrusage(2) no call of it fails.
func rusage() (own, children syscall.Rusage) {
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &own)
	_ = syscall.Getrusage(syscall.RUSAGE_CHILDREN, &children)
	return own, children
}

func cpuOf(own, children syscall.Rusage) cpu {
	return cpu{
		time.Duration(own.Utime.Nano() + children.Utime.Nano()),
		time.Duration(own.Stime.Nano() + children.Stime.Nano()),
	}
}
