package meter

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options say how to measure. The zero value is fine.
type Options struct {
	Interval time.Duration // the least time between two looks at the processes; 0 is 50 ms

	// Tell, when set, hears how a phase goes on, after each Every that it takes;
	// 0 is a minute. It is not called once the phase's End was.
	Tell  func(Progress)
	Every time.Duration
}

// Meter measures from Start to Stop. Its methods are safe for concurrent use.
type Meter struct {
	Options
	start time.Time
	first counters
	group string // the folder of this run's own control group; "" for none
	tree  tree
	begun chan struct{} // a phase has
	quit  chan struct{}
	loops sync.WaitGroup

	walking sync.Mutex  // one walk over the folders at a time
	hurry   atomic.Bool // the one under way is in the way of an exact one

	mu      sync.Mutex // guards what follows
	watched []folder
	disk    folders // when last seen
	now     point   // as last seen
	lost    cpu     // of the phases so far
	total   peak
	ranks   ranking
	series  series
	open    []*Phase
	phases  []PhaseReport
	report  *Report // once stopped
}

// Start begins to measure. It returns at once: the first look is later.
func Start(o Options) *Meter {
	m := &Meter{Options: o, start: time.Now(), group: group("/proc"), begun: make(chan struct{}, 1), quit: make(chan struct{})}
	if m.Interval <= 0 {
		m.Interval = 50 * time.Millisecond
	}
	if m.Every <= 0 {
		m.Every = time.Minute
	}
	m.first = m.count()
	m.series.step = 2 * m.Interval
	m.loops.Go(func() { m.repeat(m.Interval, m.begun, m.sampleTree) })
	m.loops.Go(func() { m.repeat(4*m.Interval, nil, m.sampleDisk) })
	return m
}

// count reads what the system counts.
func (m *Meter) count() counters {
	c := readCounters()
	c.group = groupPeak(m.group)
	return c
}

// Watch adds a folder whose disk use counts from now on, also for itself under
// name, e.g. prefix; it may be missing yet. What is in a watched folder within
// counts there alone, and in the sum of all once. Folders of one name add up.
func (m *Meter) Watch(name, path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watched = append(slices.Clone(m.watched), newFolder(name, path)) // a walk may hold the old slice
}

// Phase begins a step called name, e.g. fetch. Phases follow one another; what
// happens while two are open counts in both.
func (m *Meter) Phase(name string) *Phase {
	counted, seen := m.count(), m.tree.look(0, true)
	p := &Phase{meter: m, name: name, start: time.Now(), first: counted, base: counted.plus(seen.living())}
	p.ranks.begin(seen.processes)
	m.mu.Lock()
	defer m.mu.Unlock()
	p.told = p.base.minus(m.first.cpu).plus(m.lost).total()
	if m.Tell != nil {
		p.pulse = time.AfterFunc(m.Every, p.tell)
	}
	p.peak.raise(peak{folders: m.disk})
	m.open = append(m.open, p)
	select {
	case m.begun <- struct{}{}:
	default: // it is known already
	}
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
		m.lookAtTree(true)
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
	m.tree.close()
	return report
}

// sum makes the report; the caller holds the lock.
func (m *Meter) sum() *Report {
	used := m.total.usage(time.Since(m.start), m.first, m.count(), m.lost)
	used.disk(m.total)
	used.Top = m.ranks.top()
	r := &Report{
		Status:  statusOK,
		Started: m.start.UTC().Round(time.Millisecond),
		Usage:   used,
		Phases:  slices.Clone(m.phases),
		Series:  m.series.report(),
	}
	if slices.ContainsFunc(m.phases, func(p PhaseReport) bool { return p.Status != statusOK }) {
		r.Status = statusFailed
	}
	return r
}

// repeat looks every so often until Stop: after the given pause at least, and
// after what the look itself asks for. Once a phase has begun the first pauses
// are shorter, so that something is seen of a short one.
func (m *Meter) repeat(pause time.Duration, begun <-chan struct{}, look func() (ask time.Duration)) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for short := pause; ; {
		select {
		case <-m.quit:
			return
		case <-begun:
			short = pause / 16
			timer.Reset(short)
		case <-timer.C:
			start := time.Now()
			ask := look()
			slow := 10 * time.Since(start) // a busy machine delays it
			if short *= 2; short < pause {
				timer.Reset(max(short, slow))
				continue
			}
			short = pause
			timer.Reset(max(pause, ask, slow))
		}
	}
}

// Each loop looks so rarely that it takes an eighth of a per cent of a processor;
// with two eighths for PSS and what the run time system adds, they stay well
// below one in all.
const rarely = 800

// sampleTree looks at the processes.
func (m *Meter) sampleTree() (ask time.Duration) {
	var memory time.Duration
	all := spent(func() { memory = m.lookAtTree(false) })
	return rarely * (all - memory)
}

// lookAtTree looks at the processes, and at their memory in any case if must.
// It returns the processor time that memory took.
func (m *Meter) lookAtTree(must bool) (cost time.Duration) {
	m.mu.Lock()
	known := m.total.memory
	for _, p := range m.open {
		known = min(known, p.peak.memory)
	}
	m.mu.Unlock()
	counted := readCPU() // before the look: nobody's time is in both
	s := m.tree.look(known, must)
	m.sawTree(counted, s)
	return s.cost
}

// sawTree notes a look in the total, in the series and in every open phase.
func (m *Meter) sawTree(counted cpu, s sample) {
	used := counted.plus(s.living())
	seen := peak{memory: s.memory, method: s.method, processes: s.running()}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total.raise(seen)
	m.ranks.note(s.processes)
	for _, p := range m.open {
		seen.used = used.minus(p.base)
		p.peak.raise(seen)
		p.ranks.note(s.processes)
	}
	now := min(s.now, m.total.memory) // an estimate is no peak
	m.now = point{used.minus(m.first.cpu).plus(m.lost).total(), now, m.disk.allocated, seen.processes}
	m.series.add(time.Since(m.start), m.now)
}

// sampleDisk looks at the folders, unless a phase's end wants to.
func (m *Meter) sampleDisk() (ask time.Duration) {
	m.walking.Lock()
	defer m.walking.Unlock()
	var use folders
	var done bool
	cost := spent(func() { use, done = walk(m.folders(), &m.hurry) })
	if done {
		m.sawDisk(use)
	}
	return rarely * cost
}

// measureDisk measures the folders exactly.
func (m *Meter) measureDisk() {
	m.hurry.Store(true)
	m.walking.Lock()
	defer m.walking.Unlock()
	m.hurry.Store(false)
	use, _ := walk(m.folders(), new(atomic.Bool))
	m.sawDisk(use)
}

func (m *Meter) folders() []folder {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.watched
}

// sawDisk notes what the folders hold in the total, in the series and in every
// open phase.
func (m *Meter) sawDisk(use folders) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disk, m.now.disk = use, use.allocated
	m.total.raise(peak{folders: use})
	for _, p := range m.open {
		p.peak.raise(peak{folders: use})
	}
	m.series.add(time.Since(m.start), m.now)
}
