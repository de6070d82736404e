package meter

import (
	"math"
	"time"
)

// maxPoints bounds a series however long the run is.
const maxPoints = 600

// Series is how a run went: one value of each for every stretch of
// SecondsPerPoint, from the start on.
type Series struct {
	SecondsPerPoint float64   `json:"seconds_per_point"`
	CPU             []float64 `json:"cpu_seconds"`  // used from the start to the stretch's end
	Memory          []int64   `json:"memory_bytes"` // the most that was seen in it; between two measurements of PSS estimated from RSS
	Disk            []int64   `json:"disk_bytes"`   // the most that was seen in it
	Processes       []int     `json:"processes"`    // the most that was seen in it
}

// point is what was seen at a moment, or the most of a stretch.
type point struct {
	cpu          time.Duration
	memory, disk int64
	processes    int
}

func (p point) most(q point) point {
	return point{max(p.cpu, q.cpu), max(p.memory, q.memory), max(p.disk, q.disk), max(p.processes, q.processes)}
}

// series collects points; where they are too many, neighbours become one.
type series struct {
	step   time.Duration // what a point stands for
	points []point
	last   point // as last seen, which holds until something else is
	at     time.Duration
}

// add notes what was seen at a time after the start.
func (s *series) add(at time.Duration, p point) {
	p.cpu = max(p.cpu, s.last.cpu) // it never falls, even where a part of it was not seen
	i := int(at / s.step)
	for ; i >= maxPoints; i = int(at / s.step) {
		s.halve()
	}
	for j := max(0, len(s.points)-1); j < i; j++ {
		if j == len(s.points) {
			s.points = append(s.points, s.last)
		}
		s.points[j].cpu = s.between(p, at, time.Duration(j+1)*s.step)
	}
	if len(s.points) == i {
		s.points = append(s.points, p)
	}
	s.points[i] = s.points[i].most(p)
	s.last, s.at = p, at
}

// between is what was used until a moment between the last look and this one:
// evenly, since nobody looked.
func (s *series) between(p point, at, moment time.Duration) time.Duration {
	if at <= s.at {
		return p.cpu
	}
	share := float64(moment-s.at) / float64(at-s.at)
	return s.last.cpu + time.Duration(share*float64(p.cpu-s.last.cpu))
}

// halve doubles the step.
func (s *series) halve() {
	s.step *= 2
	for i := 0; i < len(s.points); i += 2 {
		s.points[i/2] = s.points[i].most(s.points[min(i+1, len(s.points)-1)])
	}
	s.points = s.points[:(len(s.points)+1)/2]
}

// report returns the series as it is written.
func (s *series) report() *Series {
	r := &Series{SecondsPerPoint: s.step.Seconds()}
	for _, p := range s.points {
		r.CPU = append(r.CPU, math.Round(p.cpu.Seconds()*1000)/1000)
		r.Memory = append(r.Memory, p.memory)
		r.Disk = append(r.Disk, p.disk)
		r.Processes = append(r.Processes, p.processes)
	}
	return r
}
