package meter

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

const (
	topProcesses = 3
	maxRanked    = 64 // more than can be among the first three by chance
)

// ranking is the processes that used most processor time, as last seen.
type ranking struct {
	base map[processID]time.Duration // what those that were there before had used by then
	seen map[processID]Process

	least float64 // seconds that are more than any have that are not kept, or as much
}

// begin takes what has been used so far for granted.
func (r *ranking) begin(processes []process) {
	r.base = make(map[processID]time.Duration, len(processes))
	for _, p := range processes {
		r.base[p.id] = p.own.total()
	}
}

// note takes the figures of a later look, which never fall.
func (r *ranking) note(processes []process) {
	if r.seen == nil {
		r.seen = map[processID]Process{}
	}
	for _, p := range processes {
		if used := (p.own.total() - r.base[p.id]).Seconds(); used > r.least {
			r.seen[p.id] = Process{PID: p.id.pid, Name: p.name, CPU: used}
		}
	}
	if len(r.seen) > maxRanked {
		r.cut()
	}
}

// cut leaves half of what may be kept, so that it need not cut soon again.
func (r *ranking) cut() {
	ids := slices.SortedFunc(maps.Keys(r.seen), func(a, b processID) int { return moreCPU(r.seen[a], r.seen[b]) })
	for _, id := range ids[maxRanked/2:] {
		delete(r.seen, id)
	}
	r.least = r.seen[ids[maxRanked/2-1]].CPU
}

// moreCPU sorts the one that used most first.
func moreCPU(a, b Process) int {
	return cmp.Or(cmp.Compare(b.CPU, a.CPU), cmp.Compare(a.PID, b.PID))
}

// top returns the first three, the one that used most first.
func (r *ranking) top() []Process {
	all := slices.SortedFunc(maps.Values(r.seen), moreCPU)
	return all[:min(topProcesses, len(all))]
}
