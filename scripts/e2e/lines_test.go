package e2e

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNoSessionActsOnForeignText asks the session library itself about what
// becomes of hostile output.
func TestNoSessionActsOnForeignText(t *testing.T) {
	s := start(t)
	t.Log(s.must(t, "go", "run", "./scripts/bench/lines", "-python", s.python, "-n", "100000", "-seed", "2"))
}

// On a terminal a line tells how a download goes on, and is gone at its end.
func TestProgressOnATerminal(t *testing.T) {
	s := start(t)
	const size = 8 << 20
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		for range 16 {
			_, _ = w.Write(make([]byte, size/16)) // the program may be gone
			time.Sleep(100 * time.Millisecond)
		}
	}))
	t.Cleanup(vendor.Close)
	recipe := hello(t, "slow", "true")
	sum := sha256.Sum256(make([]byte, size))
	write(t, filepath.Join(recipe, "recipe.yaml"), fmt.Sprintf("package: {name: slow, version: '1.0'}\nsource: {url: '%s/vendor.bin', sha256: %x}\n", vendor.URL, sum))
	t.Setenv("TERM", "xterm")
	out := s.must(t, "script", "-qec", s.program+" build "+recipe+" --to "+filepath.Join(t.TempDir(), "c"), "/dev/null")
	if !regexp.MustCompile(`\r\x1b\[Kfetch [0-9]s  [0-9.]+ of 8\.0 MiB, [0-9.]+ MiB/s, [0-9]s left\r`).MatchString(out) {
		t.Errorf("no line tells of the download: %q", tail(out))
	}
	if !strings.Contains(out, "\r\x1b[K\x1b[36mINFO  \x1b[0mphase fetch") {
		t.Errorf("the line stays: %q", tail(out))
	}
	plain := s.must(t, s.program, "build", recipe, "--output-dir", t.TempDir())
	if strings.ContainsAny(plain, "\x1b\r") {
		t.Errorf("codes for a terminal where there is none: %q", tail(plain))
	}
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
