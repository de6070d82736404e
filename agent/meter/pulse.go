package meter

import (
	"fmt"
	"time"
)

// Progress is how a phase that is under way goes on.
type Progress struct {
	Phase     string
	Time      time.Duration // since it began
	CPU       float64       // processors in use on average since the line before
	Memory    int64         // bytes of the process tree at this moment
	Disk      int64         // bytes in the watched folders
	Processes int
}

// Line has the style of PhaseLine.
func (p Progress) Line() string {
	return fmt.Sprintf("phase %s status running seconds %.0f cpu-usage-percent %.1f memory-used-bytes %d disk-used-bytes %d processes %d",
		label(p.Phase), p.Time.Seconds(), 100*p.CPU, p.Memory, p.Disk, p.Processes)
}

// tell is called each time that a phase has taken another Every.
func (p *Phase) tell() {
	p.telling.Lock()
	defer p.telling.Unlock()
	if p.over {
		return
	}
	p.meter.Tell(p.progress())
	p.pulse.Reset(p.meter.Every)
}

// progress is how it goes, by the last look.
func (p *Phase) progress() Progress {
	m := p.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	used := m.now.cpu - p.told
	p.told = m.now.cpu
	return Progress{
		Phase: p.name, Time: time.Since(p.start), CPU: used.Seconds() / m.Every.Seconds(),
		Memory: m.now.memory, Disk: m.now.disk, Processes: m.now.processes,
	}
}

// quiet ends the lines about a phase.
func (p *Phase) quiet() {
	if p.pulse == nil {
		return
	}
	p.pulse.Stop()
	p.telling.Lock() // until one under way is written
	defer p.telling.Unlock()
	p.over = true
}
