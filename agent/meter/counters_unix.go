//go:build unix

package meter

import (
	"syscall"
	"time"
)

func readCounters() counters {
	var c counters
	var own, children syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &own) != nil || syscall.Getrusage(syscall.RUSAGE_CHILDREN, &children) != nil {
		return c
	}
	c.user = time.Duration(own.Utime.Nano() + children.Utime.Nano())
	c.sys = time.Duration(own.Stime.Nano() + children.Stime.Nano())
	c.largest = max(ownPeak(&own), children.Maxrss*maxrssUnit)
	c.read = (own.Inblock + children.Inblock) * blockUnit
	c.written = (own.Oublock + children.Oublock) * blockUnit
	return c
}
