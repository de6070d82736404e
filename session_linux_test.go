package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/condaworker/condaworker/agent/openjd/openjdtest"
)

// hostile speaks to the session, prints what its reader cannot take, and starts
// what does not want to end.
const hostile = `
printf 'openjd_env: PATH=x\n   OPENJD_UNSET_ENV\n\377 bad\ropenjd_fail: no\n'
head -c 200000 /dev/zero | tr '\0' x; echo openjd_fail: long
(trap '' TERM; sleep 300) &
setsid sleep 301 &
setsid sh -c '(trap "" TERM HUP; while :; do sleep 1; done) & exit 0' &
`

// action starts a build whose script is given, in both runtimes' ways.
func action(t *testing.T, r openjdtest.Runner, script string, flags ...string) *openjdtest.Action {
	t.Helper()
	r.Dir, r.Grace = t.TempDir(), 20*time.Second
	recipe := filepath.Join(r.Dir, "recipe")
	if err := os.Mkdir(recipe, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"recipe.yaml": "package: {name: small, version: '1.0'}\n", "build.sh": script} {
		if err := os.WriteFile(filepath.Join(recipe, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	a, err := r.Start(t.Context(), append([]string{program, "build", recipe, "--to", filepath.Join(r.Dir, "channel")}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func await(t *testing.T, a *openjdtest.Action, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := a.Await(ctx, text); err != nil {
		t.Fatal(err)
	}
}

// expect fails unless the action ended by itself, with this code and reason,
// and nothing of it is left.
func expect(t *testing.T, r openjdtest.Result, code int, fail string) {
	t.Helper()
	if r.ExitCode != code || r.Killed || !strings.Contains(r.Fail, fail) || (fail == "") != (r.Fail == "") {
		t.Errorf("exit code %d, killed %t, openjd_fail: %s; want %d and %q\n%.3000s", r.ExitCode, r.Killed, r.Fail, code, fail, r.Output)
	}
	if len(r.Rogue) > 0 {
		t.Errorf("the session acts on %.300q", r.Rogue)
	}
	if len(r.Left) > 0 {
		t.Errorf("it leaves %q", r.Left)
	}
	t.Logf("ended after %s: %s", r.Took.Round(time.Millisecond), r.Fail)
}

// runtimes are the two ways in which a session treats an action.
var runtimes = map[string]openjdtest.Runner{
	"Python": {Policy: openjdtest.Python},
	"Rust":   {Policy: openjdtest.Rust, Group: true},
}

func TestSessionCancels(t *testing.T) {
	for name, r := range runtimes {
		for _, c := range []struct {
			name    string
			signals []syscall.Signal
			code    int
			fail    string
		}{
			{"SIGTERM", []syscall.Signal{syscall.SIGTERM}, 143, "cancelled by terminated"},
			{"SIGTERM by sudo and to the group", []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM, syscall.SIGTERM}, 143, "cancelled by terminated"},
			{"SIGINT", []syscall.Signal{syscall.SIGINT}, 130, "cancelled by interrupt"},
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "report.json")
				a := action(t, r, hostile+"echo ready; sleep 302", "--report", file)
				await(t, a, "| ready")
				expect(t, a.Cancel(c.signals...), c.code, c.fail)
				report, err := os.ReadFile(file)
				for _, part := range []string{fmt.Sprintf(`"exit_code": %d`, c.code), `"signal": "terminated"`, `"error": "` + c.fail} {
					if !strings.Contains(string(report), part) {
						t.Errorf("the report has no %s, %v\n%.3000s", part, err, report)
					}
				}
			})
		}
	}
}

// A session that dies closes the pipe: whoever writes next ends.
func TestSessionDies(t *testing.T) {
	for name, r := range runtimes {
		t.Run(name, func(t *testing.T) {
			a := action(t, r, hostile+"echo ready; while :; do echo more; sleep 0.1; done")
			await(t, a, "| ready")
			result := a.Leave()
			if result.ExitCode != 1 || result.Killed || len(result.Left) > 0 {
				t.Errorf("exit code %d, killed %t, left %q", result.ExitCode, result.Killed, result.Left)
			}
			t.Logf("ended after %s", result.Took.Round(time.Millisecond))
		})
	}
}

func TestOwnTimeouts(t *testing.T) {
	for name, r := range runtimes {
		for flag, script := range map[string]string{
			"--timeout":      "while :; do echo busy; sleep 0.1; done",
			"--idle-timeout": "sleep 303",
		} {
			t.Run(name+" "+flag, func(t *testing.T) {
				a := action(t, r, hostile+script, flag, "2s")
				expect(t, a.Wait(), 5, flag)
			})
		}
	}
}

func TestSessionOfASuccess(t *testing.T) {
	for name, r := range runtimes {
		t.Run(name, func(t *testing.T) {
			a := action(t, r, hostile+"mkdir -p $PREFIX; touch $PREFIX/it")
			result := a.Wait()
			expect(t, result, 0, "")
			if result.Progress != "100.0" || !strings.HasPrefix(result.Status, "built small-1.0-") {
				t.Errorf("the monitor shows %s %q", result.Progress, result.Status)
			}
		})
	}
}

// A program that hangs is killed with its group; what a script started is in it.
func TestSessionKills(t *testing.T) {
	for name, r := range runtimes {
		t.Run(name, func(t *testing.T) {
			a := action(t, r, "(trap '' TERM; sleep 304) & echo ready; sleep 305")
			await(t, a, "| ready")
			if err := a.Hang(); err != nil {
				t.Fatal(err)
			}
			a.Hurry(500 * time.Millisecond)
			result := a.Cancel(syscall.SIGTERM)
			if !result.Killed || result.ExitCode != -1 {
				t.Errorf("killed %t, exit code %d", result.Killed, result.ExitCode)
			}
			for _, left := range result.Left {
				if !strings.HasPrefix(left, "file ") { // of its scratch folder, which a later run removes
					t.Error(left)
				}
			}
		})
	}
}

// A script without walls writes on until somebody ends it, also when the build that it
// belongs to was killed. Nobody takes its folder away from it before: it would make it
// again, and who removes that?
func TestAKilledBuildsScriptKeepsItsFolder(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	work := filepath.Join(dir, "work")
	build := func(script string) *exec.Cmd {
		recipe := filepath.Join(t.TempDir(), "recipe.yaml")
		text := "package: {name: small, version: '1.0'}\nbuild: {noarch: generic, script: \"" + script + "\"}\n"
		if err := os.WriteFile(recipe, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return exec.Command(program, "build", recipe, "--to", filepath.Join(dir, "channel"), "--work-dir", work, "--sandbox", "off") //nolint:gosec // our own program
	}
	killed := build("trap '' TERM; echo > " + dir + "/ready; while :; do mkdir -p $PREFIX/share; sleep 0.01; done")
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "ready")); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("its script does not begin")
		}
	}
	_ = killed.Process.Kill()
	_ = killed.Wait()
	for range 2 {
		if out, err := build("mkdir $PREFIX/share; echo > $PREFIX/share/x").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		time.Sleep(2 * time.Second) // in which the script is ended
	}
	left, err := os.ReadDir(work)
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
