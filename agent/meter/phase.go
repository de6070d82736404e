package meter

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

var errStopped = errors.New("the phase was not ended")

// Phase is a step under way.
type Phase struct {
	meter *Meter
	name  string
	start time.Time
	first counters
	base  cpu         // what was used when it began, living processes included
	pulse *time.Timer // while it runs; nil if nobody listens
	exit  Exit        // of its command, guarded by meter.mu as is what follows
	peak  peak
	ranks ranking
	told  time.Duration // processor time of the run when its last line was written

	telling sync.Mutex // held while a line about it is written
	over    bool       // no more lines
}

// Exit is how a command ended: by its code, or by a signal.
type Exit struct {
	Code   *int   `json:"exit_code,omitempty"` // 0 for a step that succeeded; missing when no command's end decided
	Signal string `json:"signal,omitempty"`    // e.g. killed
}

// Exited notes how the command that decided the step's outcome ended: its exit
// code, or the signal's name.
func (p *Phase) Exited(code int, signal string) {
	p.meter.mu.Lock()
	defer p.meter.mu.Unlock()
	p.exit = Exit{Code: &code}
	if signal != "" {
		p.exit = Exit{Signal: signal}
	}
}

// End ends the step; err is its outcome, nil for success. It measures the disk
// exactly, which takes time in large folders; that time counts in the total
// only. Calling it again returns an empty report.
func (p *Phase) End(err error) PhaseReport {
	m := p.meter
	p.quiet()
	m.lookAtTree(true)
	m.mu.Lock()
	last := m.count()
	lost := p.peak.lost(last.minus(p.first.cpu))
	used := p.peak.usage(time.Since(p.start), p.first, last, lost)
	m.mu.Unlock()
	m.measureDisk()

	m.mu.Lock()
	defer m.mu.Unlock()
	at := slices.Index(m.open, p)
	if at < 0 {
		return PhaseReport{}
	}
	m.open = slices.Delete(m.open, at, at+1)
	m.lost = m.lost.plus(lost)
	used.disk(p.peak)
	used.Top = p.ranks.top()
	r := PhaseReport{Name: p.name, Start: p.start.Sub(m.start).Seconds(), Status: statusOK, Usage: used, Exit: p.exit}
	switch {
	case err != nil:
		r.Status, r.Error = statusFailed, err.Error()
	case p.exit == Exit{}:
		r.Code = new(int)
	}
	m.phases = append(m.phases, r)
	return r
}

// counters are what the system counts from the process's start on.
type counters struct {
	cpu                 // of this process and its waited-for children
	read, written int64 // bytes, of the same
	largest       int64 // bytes resident in the largest process so far
	group         int64 // bytes that its own control group has held at most; 0 where it has none
}

// peak is the highest that was seen of each.
type peak struct {
	memory    int64
	method    string
	folders   folders
	processes int
	used      cpu // since the beginning, as the living processes showed
}

// lost is processor time that was seen to be used and that the kernel has not
// counted: of processes whose parent did not wait for them, as when a pid
// namespace ends before they do.
func (p *peak) lost(counted cpu) cpu {
	if p.used.total() <= counted.total() {
		return cpu{}
	}
	return p.used.minus(counted)
}

func (p *peak) raise(seen peak) {
	if seen.memory > p.memory {
		p.memory, p.method = seen.memory, seen.method
	}
	p.folders = p.folders.most(seen.folders)
	p.processes = max(p.processes, seen.processes)
	p.used = p.used.most(seen.used)
}

// usage is the peak with what was counted from first to last. The marks of the
// kernel never fall, so that they tell something of this time only if they
// grew in it: a second burst is caught if it is higher than the first.
func (p peak) usage(wall time.Duration, first, last counters, lost cpu) Usage {
	if last.largest > first.largest {
		p.raise(peak{memory: last.largest, method: methodLargest})
	}
	if last.group > first.group {
		p.raise(peak{memory: last.group, method: methodGroup})
	}
	used := last.cpu.minus(first.cpu).plus(lost)
	return Usage{
		Seconds:      wall.Seconds(),
		CPUUser:      used.user.Seconds(),
		CPUSys:       used.sys.Seconds(),
		MemoryPeak:   p.memory,
		MemoryMethod: cmp.Or(p.method, methodNone),
		Read:         last.read - first.read,
		Written:      last.written - first.written,
		Processes:    p.processes,
	}
}

// disk adds what the folders held at most.
func (u *Usage) disk(p peak) {
	u.DiskPeak, u.DiskApparent = p.folders.allocated, p.folders.apparent
	u.DiskFolders = maps.Clone(p.folders.each)
}
