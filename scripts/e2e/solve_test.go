package e2e

import (
	"path/filepath"
	"testing"
)

// TestSolverAgrees: of 200 random requests py-rattler and we find the same ones to
// have a solution, in an index of 20,000 records and in each real one that is here.
func TestSolverAgrees(t *testing.T) {
	s := start(t)
	args := []string{"run", "./scripts/bench/solve", "-python", s.python, "-n", "200", "-synthetic", "20000"}
	t.Log(s.must(t, "go", append(args, realIndexes(t, s.root)...)...))
}

// realIndexes are repodata.json files beside the project; none when it is alone.
func realIndexes(t *testing.T, root string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "..", "shared", "conformance", "repodata", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}
