package meter

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what to watch.
type Options struct {
	Dirs     []string      // folders whose disk use counts, e.g. the work folder; may be missing
	Interval time.Duration // the least time between two looks at the processes; 0 is 50 ms
}

// Meter measures from Start to Stop. Its methods are safe for concurrent use.
type Meter struct {
	interval time.Duration
	start    time.Time
	first    counters
	tree     tree
	quit     chan struct{}
	loops    sync.WaitGroup

	walking sync.Mutex  // one walk over the folders at a time
	hurry   atomic.Bool // the one under way is in the way of an exact one

	mu     sync.Mutex // guards what follows
	dirs   []string
	disk   diskUse // when last seen
	total  peak
	open   []*Phase
	phases []PhaseReport
	report *Report // once stopped
}

// Start begins to measure. It returns at once: the first look is later.
func Start(o Options) *Meter {
	m := &Meter{
		interval: o.Interval,
		start:    time.Now(),
		first:    readCounters(),
		quit:     make(chan struct{}),
	}
	if m.interval <= 0 {
		m.interval = 50 * time.Millisecond
	}
	m.Watch(o.Dirs...)
	m.loops.Go(func() { m.repeat(m.interval, m.lookAtTree) })
	m.loops.Go(func() { m.repeat(4*m.interval, m.lookAtDisk) })
	return m
}

// Watch adds folders whose disk use counts from now on, e.g. a prefix. One
// within another, or named twice, counts once.
func (m *Meter) Watch(dirs ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dirs = slices.Concat(m.dirs, dirs) // a walk may hold the old slice
}

// Phase begins a step called name, e.g. fetch. Phases follow one another; what
// happens while two are open counts in both.
func (m *Meter) Phase(name string) *Phase {
	p := &Phase{meter: m, name: name, start: time.Now(), first: readCounters()}
	m.mu.Lock()
	defer m.mu.Unlock()
	p.peak.raise(peak{disk: m.disk})
	m.open = append(m.open, p)
	return p
}

// Stop ends the measurement and returns what was seen; phases that are still
// open have failed. Calling it again returns the same.
func (m *Meter) Stop() Report {
	m.mu.Lock()
	open := slices.Clone(m.open)
	stopped, noPhase := m.report != nil, len(m.open)+len(m.phases) == 0
	m.mu.Unlock()
	for _, p := range open {
		p.End(errStopped)
	}
	if noPhase && !stopped {
		m.lookAtTree()
		m.measureDisk()
	}
	m.mu.Lock()
	if m.report == nil {
		close(m.quit)
		m.report = m.sum()
	}
	report := *m.report
	m.mu.Unlock()
	m.loops.Wait()
	return report
}

// sum makes the report; the caller holds the lock.
func (m *Meter) sum() *Report {
	r := &Report{
		Status: statusOK,
		Usage:  m.total.usage(m.start, m.first),
		Phases: slices.Clone(m.phases),
	}
	if slices.ContainsFunc(m.phases, func(p PhaseReport) bool { return p.Status != statusOK }) {
		r.Status = statusFailed
	}
	return r
}

// repeat looks every so often until Stop: at least 200 times what looking
// takes, so that both loops stay below one per cent together, and at least the
// given pause. Where a look at the processes takes more than 10 ms it is more
// often a busy machine that delays it than work of ours; two seconds are enough
// then, unless that were more than a tenth of the time.
func (m *Meter) repeat(pause time.Duration, look func() (most time.Duration)) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-m.quit:
			return
		case <-timer.C:
			begun := time.Now()
			most := look()
			cost := time.Since(begun)
			timer.Reset(max(pause, min(200*cost, most), 10*cost))
		}
	}
}

// lookAtTree samples the processes.
func (m *Meter) lookAtTree() (most time.Duration) {
	m.mu.Lock()
	known := m.total.memory
	for _, p := range m.open {
		known = min(known, p.peak.memory)
	}
	m.mu.Unlock()
	m.saw(m.tree.look(known))
	return 2 * time.Second
}

// lookAtDisk samples the folders, unless a phase's end wants to.
func (m *Meter) lookAtDisk() (most time.Duration) {
	m.walking.Lock()
	defer m.walking.Unlock()
	if use, done := walk(m.watched(), &m.hurry); done {
		m.saw(peak{disk: use})
	}
	return time.Hour
}

// measureDisk measures the folders exactly.
func (m *Meter) measureDisk() {
	m.hurry.Store(true)
	m.walking.Lock()
	defer m.walking.Unlock()
	m.hurry.Store(false)
	use, _ := walk(m.watched(), new(atomic.Bool))
	m.saw(peak{disk: use})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disk = use
}

func (m *Meter) watched() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dirs
}

// saw notes a sample in the total and in every open phase.
func (m *Meter) saw(p peak) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total.raise(p)
	for _, open := range m.open {
		open.peak.raise(p)
	}
}
