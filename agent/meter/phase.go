package meter

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

var errStopped = errors.New("the phase was not ended")

// Phase is a step under way.
type Phase struct {
	meter *Meter
	name  string
	start time.Time
	first counters
	peak  peak // guarded by meter.mu
}

// End ends the step; err is its outcome, nil for success. It measures the disk
// exactly, which takes time in large folders; that time counts in the total
// only. Calling it again returns an empty report.
func (p *Phase) End(err error) PhaseReport {
	m := p.meter
	m.lookAtTree()
	m.mu.Lock()
	used := p.peak.usage(p.start, p.first)
	m.mu.Unlock()
	m.measureDisk()

	m.mu.Lock()
	defer m.mu.Unlock()
	at := slices.Index(m.open, p)
	if at < 0 {
		return PhaseReport{}
	}
	m.open = slices.Delete(m.open, at, at+1)
	used.DiskPeak, used.DiskApparent = p.peak.disk.allocated, p.peak.disk.apparent
	r := PhaseReport{Name: p.name, Status: statusOK, Usage: used}
	if err != nil {
		r.Status, r.Error = statusFailed, err.Error()
	}
	m.phases = append(m.phases, r)
	return r
}

// counters are what the system counts from the process's start on.
type counters struct {
	user, sys     time.Duration
	read, written int64 // bytes, of this process and its waited-for children
	largest       int64 // bytes resident in the largest process so far
}

// peak is the highest that was seen of each.
type peak struct {
	memory    int64
	method    string
	disk      diskUse
	processes int
}

type diskUse struct{ allocated, apparent int64 } // bytes

func (p *peak) raise(seen peak) {
	if seen.memory > p.memory {
		p.memory, p.method = seen.memory, seen.method
	}
	if seen.disk.allocated > p.disk.allocated {
		p.disk = seen.disk
	}
	p.processes = max(p.processes, seen.processes)
}

// usage is the peak with what was counted since first. The largest process
// tells something of this time only if it grew in it: the kernel's mark never
// falls, so that a second burst is caught if it is higher than the first.
func (p peak) usage(start time.Time, first counters) Usage {
	wall := time.Since(start)
	last := readCounters()
	if last.largest > first.largest {
		p.raise(peak{memory: last.largest, method: methodLargest})
	}
	return Usage{
		Seconds:      wall.Seconds(),
		CPUUser:      (last.user - first.user).Seconds(),
		CPUSys:       (last.sys - first.sys).Seconds(),
		MemoryPeak:   p.memory,
		MemoryMethod: cmp.Or(p.method, methodNone),
		DiskPeak:     p.disk.allocated,
		DiskApparent: p.disk.apparent,
		Read:         last.read - first.read,
		Written:      last.written - first.written,
		Processes:    p.processes,
	}
}
