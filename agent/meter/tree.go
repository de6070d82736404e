package meter

import "time"

// sample is what one look at the process tree shows.
type sample struct {
	processes []process     // parents before their children; this process is the first
	memory    int64         // in bytes; 0 if it is no more than what was known before
	method    string        // how memory was found
	now       int64         // memory at this moment, estimated where it was not measured
	cost      time.Duration // processor time that measuring memory took
}

// process is one of the tree.
type process struct {
	id     processID
	parent int
	name   string
	own    cpu   // of its threads
	waited cpu   // of the children that it has waited for
	single bool  // it is known to have one thread
	rss    int64 // in bytes; 0 for one that has ended and was not waited for yet
}

// processID tells a process from others that had its number.
type processID struct {
	pid   int
	start uint64 // when it started, in the system's own unit
}

// cpu is processor time.
type cpu struct{ user, sys time.Duration }

func (c cpu) total() time.Duration { return c.user + c.sys }
func (c cpu) plus(d cpu) cpu       { return cpu{c.user + d.user, c.sys + d.sys} }
func (c cpu) minus(d cpu) cpu      { return cpu{c.user - d.user, c.sys - d.sys} }

// most is the greater of two.
func (c cpu) most(d cpu) cpu {
	if d.total() > c.total() {
		return d
	}
	return c
}

// living is the processor time of this process's descendants, as far as the
// kernel has not yet added it to this process's own sum.
func (s sample) living() cpu {
	var sum cpu
	for i, p := range s.processes {
		if i > 0 {
			sum = sum.plus(p.own).plus(p.waited)
		}
	}
	return sum
}

// running is how many processes have not ended.
func (s sample) running() int {
	n := 0
	for _, p := range s.processes {
		if p.rss > 0 {
			n++
		}
	}
	return n
}
