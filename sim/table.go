package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// outcome is a row of the table: a fault, or the answer to a request that met
// none.
type outcome string

func outcomeOf(f fault, status int) outcome {
	if f == none {
		return outcome("answered " + strconv.Itoa(status))
	}
	return outcome(f)
}

// add counts another schedule's requests.
func (r *Result) add(other Result) {
	r.Requests += other.Requests
	for op, all := range other.Met {
		if r.Met[op] == nil {
			r.Met[op] = map[outcome]int{}
		}
		for what, n := range all {
			r.Met[op][what] += n
		}
	}
}

var operations = []operation{get, head, list, put, over, create, remove}

// Table shows how often each operation came to each outcome; "-" is what
// cannot be.
func (r Result) Table() string {
	rows := map[outcome]bool{}
	for _, op := range operations {
		for _, what := range slices.Concat(possible(op), slices.Collect(maps.Keys(r.Met[op]))) {
			rows[what] = true
		}
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%-32s", "")
	for _, op := range operations {
		fmt.Fprintf(&out, "%18s", op)
	}
	for _, what := range slices.Sorted(maps.Keys(rows)) {
		fmt.Fprintf(&out, "\n%-32s", what)
		for _, op := range operations {
			cell := fmt.Sprint(r.Met[op][what])
			if cell == "0" && !slices.Contains(possible(op), what) {
				cell = "-"
			}
			fmt.Fprintf(&out, "%18s", cell)
		}
	}
	return out.String()
}

// Scarce are the cells of the table that can be and have less than least.
func (r Result) Scarce(least int) []string {
	var all []string
	for _, op := range operations {
		for _, what := range possible(op) {
			if n := r.Met[op][what]; n < least {
				all = append(all, fmt.Sprintf("%s, %s: %d", op, what, n))
			}
		}
	}
	return all
}
