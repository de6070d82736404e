package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// add counts another schedule's requests.
func (r *Result) add(other Result) {
	r.Requests += other.Requests
	for op, faults := range other.Met {
		if r.Met[op] == nil {
			r.Met[op] = map[string]int{}
		}
		for f, n := range faults {
			r.Met[op][f] += n
		}
	}
}

// Table shows how often each operation met each fault.
func (r Result) Table() string {
	kinds := map[string]bool{}
	for _, faults := range r.Met {
		for f := range faults {
			kinds[f] = true
		}
	}
	var out strings.Builder
	operations := slices.Sorted(maps.Keys(r.Met))
	fmt.Fprintf(&out, "%-32s", "fault")
	for _, op := range operations {
		fmt.Fprintf(&out, "%18s", op)
	}
	for _, f := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Fprintf(&out, "\n%-32s", map[bool]string{true: "none", false: f}[f == ""])
		for _, op := range operations {
			fmt.Fprintf(&out, "%18d", r.Met[op][f])
		}
	}
	return out.String()
}
