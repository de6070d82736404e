// Package doctor looks at a host, and at a channel from there, and says what a
// build would miss and what to do about it. It asks only: what it writes has
// names of its own and is removed.
//
// Start with Check, then host.go and channel.go.
package doctor

import (
	"fmt"
	"strings"
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`            // e.g. "user namespaces"
	Status Status `json:"status"`          // ok, missing or limited
	Found  string `json:"found,omitempty"` // what is there, or why it is not
	Todo   string `json:"todo,omitempty"`  // what to change; "" when it is ok
}

// Status says what a check came to.
type Status string

const (
	OK      Status = "ok"
	Missing Status = "missing" // a build cannot run
	Limited Status = "limited" // a build runs, but less well contained or measured, or not every one
)

// Sick names the checks without which a build cannot run.
func Sick(all []Check) []string {
	var names []string
	for _, c := range all {
		if c.Status == Missing {
			names = append(names, c.Name)
		}
	}
	return names
}

// Table renders checks for people, each with what to do below it.
func Table(all []Check) string {
	width := 0
	for _, c := range all {
		width = max(width, len(c.Name))
	}
	var b strings.Builder
	for _, c := range all {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-8s %-*s  %s", c.Status, width, c.Name, c.Found), " ") + "\n")
		if c.Todo != "" {
			fmt.Fprintf(&b, "%-8s %-*s  → %s\n", "", width, "", c.Todo)
		}
	}
	return b.String()
}

// good and bad make checks.
func good(name, found string) Check { return Check{Name: name, Status: OK, Found: found} }

func bad(name string, s Status, found, todo string) Check {
	return Check{Name: name, Status: s, Found: found, Todo: todo}
}
