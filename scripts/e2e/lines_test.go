package e2e

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestNoSessionActsOnForeignText asks the session library itself about what
// becomes of hostile output.
func TestNoSessionActsOnForeignText(t *testing.T) {
	s := start(t)
	t.Log(s.must(t, "go", "run", "./scripts/bench/lines", "-python", s.python, "-n", "100000", "-seed", "2"))
}

// A real session that is cancelled hears why the action ended, and nothing of a
// hostile build is left.
func TestCancelInARealSession(t *testing.T) {
	s := start(t)
	const mark = "sleep 31337" // seconds that nobody else sleeps
	recipe := hello(t, "cancelled", "(trap '' TERM; "+mark+") &\nsetsid "+mark+" &\nprintf '  openjd_env\\n\\377\\n'; echo ready; "+mark)
	temp := t.TempDir()
	c := exec.Command(filepath.Join(filepath.Dir(s.python), "openjd"), "run", filepath.Join(s.root, "scripts/openjd/package_build/template.yaml"), //nolint:gosec // the suite's own
		"--step", "PackageBuild", "-p", "RecipeDir="+recipe, "-p", "S3CondaChannel="+filepath.Join(temp, "c"), "-p", "CondaworkerCommand="+s.program)
	c.Env = append(os.Environ(), "TMPDIR="+temp)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = write, write
	if err := errors.Join(c.Start(), write.Close()); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	for lines := bufio.NewScanner(read); lines.Scan(); {
		log.WriteString(lines.Text() + "\n")
		if strings.HasSuffix(lines.Text(), "| ready") {
			if err := c.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = c.Wait() // a cancelled session fails
	for _, want := range []string{"| ready", "openjd_fail: cancelled by terminated", "exited with code: 143"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the session has no %q:\n%s", want, tail(log.String()))
		}
	}
	if out, code := s.run(t, "pgrep", "-f", "^"+mark); code == 0 {
		t.Errorf("processes are left: %s", out)
	}
	if left, err := filepath.Glob(filepath.Join(temp, "condaworker-*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}
