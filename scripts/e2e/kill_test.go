package e2e

import (
	"path/filepath"
	"testing"
)

// Builds that are killed at random moments leave no process, no mount and no
// folder that the next build does not remove; scripts/bench/kill does it 10^4
// times.
func TestKilledBuilds(t *testing.T) {
	s := start(t)
	kill := filepath.Join(t.TempDir(), "kill")
	s.must(t, "go", "build", "-o", kill, filepath.Join(s.root, "scripts", "bench", "kill"))
	t.Log(s.must(t, kill, "-n", "200", "-program", s.program))
}
