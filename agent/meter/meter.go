// Package meter measures what a run uses: wall and CPU time, memory and disk,
// for each phase and in all. It measures the whole process tree, this process
// included, and never prints. Start with Meter and Report.
package meter

import (
	"sync"
	"time"
)

// Options say what to watch.
type Options struct {
	Dirs []string // folders whose disk use counts, e.g. the work folder; may be missing
}

// Meter measures from Start to Stop. Its phases follow one another.
type Meter struct {
	dirs  []string
	start time.Time
	cpu   cpuTimes
	quit  chan struct{}
	done  chan struct{}

	mu     sync.Mutex // guards what follows
	total  peak
	now    *peak // of the phase under way
	phases []PhaseReport
}

// peak is the highest that was seen of each.
type peak struct {
	memory    int64
	disk      int64
	processes int
}

func (p *peak) raise(memory, disk int64, processes int) {
	p.memory = max(p.memory, memory)
	p.disk = max(p.disk, disk)
	p.processes = max(p.processes, processes)
}

// Start begins to measure.
func Start(o Options) *Meter {
	m := &Meter{
		dirs: o.Dirs, start: time.Now(), cpu: cpuNow(),
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	go m.sample()
	return m
}

// Phase begins a step called name, e.g. fetch.
func (m *Meter) Phase(name string) *Phase {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = &peak{}
	return &Phase{m: m, name: name, start: time.Now(), cpu: cpuNow()}
}

// Phase is a step under way.
type Phase struct {
	m     *Meter
	name  string
	start time.Time
	cpu   cpuTimes
}

// End ends the step; err is its outcome. It measures the disk exactly.
func (p *Phase) End(err error) PhaseReport {
	m := p.m
	memory, processes := treeMemory()
	disk := diskUse(m.dirs)
	used := cpuNow().minus(p.cpu)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.raise(memory, disk, processes)
	m.total.raise(memory, disk, processes)
	r := PhaseReport{
		Name: p.name, Seconds: time.Since(p.start).Seconds(),
		CPUUser: used.user.Seconds(), CPUSys: used.sys.Seconds(),
		MemoryPeak: m.now.memory, DiskPeak: m.now.disk, Processes: m.now.processes,
	}
	if err != nil {
		r.Error = err.Error()
	}
	m.phases = append(m.phases, r)
	return r
}

// Stop ends the measurement and returns what was seen. Status is "ok"; a
// caller that knows better changes it.
func (m *Meter) Stop() Report {
	close(m.quit)
	<-m.done
	memory, processes := treeMemory()
	used := cpuNow().minus(m.cpu)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total.raise(max(memory, largestProcess()), diskUse(m.dirs), processes)
	return Report{
		Status: "ok", Seconds: time.Since(m.start).Seconds(),
		CPUUser: used.user.Seconds(), CPUSys: used.sys.Seconds(),
		MemoryPeak: m.total.memory, MemoryMethod: memoryMethod,
		DiskPeak: m.total.disk, Processes: m.total.processes, Phases: m.phases,
	}
}

// A sample is taken again after this many times what it cost, so that the
// meter itself stays below one per cent of a processor.
const (
	sparing   = 100
	firstWait = 20 * time.Millisecond
	longWait  = 2 * time.Second
)

// sample watches memory and disk, each at its own pace: walking a large folder
// takes much longer than asking for the memory of a few processes.
func (m *Meter) sample() {
	defer close(m.done)
	memory := time.NewTimer(firstWait)
	disk := time.NewTimer(firstWait)
	defer memory.Stop()
	defer disk.Stop()
	for {
		begun := time.Now()
		select {
		case <-m.quit:
			return
		case begun = <-memory.C:
			bytes, processes := treeMemory()
			m.saw(bytes, 0, processes)
			memory.Reset(pause(begun))
		case begun = <-disk.C:
			m.saw(0, diskUse(m.dirs), 0)
			disk.Reset(pause(begun))
		}
	}
}

func pause(begun time.Time) time.Duration {
	return max(min(sparing*time.Since(begun), 20*longWait), 5*firstWait)
}

func (m *Meter) saw(memory, disk int64, processes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total.raise(memory, disk, processes)
	if m.now != nil {
		m.now.raise(memory, disk, processes)
	}
}
