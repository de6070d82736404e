package e2e

import "testing"

// TestNoSessionActsOnForeignText asks the session library itself about what
// becomes of hostile output.
func TestNoSessionActsOnForeignText(t *testing.T) {
	s := start(t)
	t.Log(s.must(t, "go", "run", "./scripts/bench/lines", "-python", s.python, "-n", "100000", "-seed", "2"))
}
