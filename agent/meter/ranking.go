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
		if used := p.own.total() - r.base[p.id]; used > 0 {
			r.seen[p.id] = Process{PID: p.id.pid, Name: p.name, CPU: used.Seconds()}
		}
	}
	for len(r.seen) > maxRanked {
		delete(r.seen, r.least())
	}
}

func (r *ranking) least() (id processID) {
	least := Process{CPU: -1}
	for key, p := range r.seen {
		if least.CPU < 0 || p.CPU < least.CPU {
			id, least = key, p
		}
	}
	return id
}

// top returns the first three, the one that used most first.
func (r *ranking) top() []Process {
	all := slices.SortedFunc(maps.Values(r.seen), func(a, b Process) int {
		return cmp.Or(cmp.Compare(b.CPU, a.CPU), cmp.Compare(a.PID, b.PID))
	})
	return all[:min(topProcesses, len(all))]
}
