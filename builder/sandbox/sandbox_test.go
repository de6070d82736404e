//go:build linux

package sandbox

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if code, inside := Init(os.Args); inside {
		os.Exit(code)
	}
	if len(os.Args) > 2 && os.Args[1] == "tool" {
		tool(os.Args[2:])
		syscall.Exit(0) // the race detector would wait for a second
	}
	os.Exit(m.Run())
}

// skip leaves a test out where the host lacks something that it could have. Under
// CONDAWORKER_TEST_NOSKIP that is a failure.
func skip(t *testing.T, lack string) {
	t.Helper()
	if os.Getenv("CONDAWORKER_TEST_NOSKIP") != "" {
		t.Fatalf("not here, and nothing may be skipped: %s", lack)
	}
	t.Skip("not here: " + lack)
}

// skipWithoutLayer leaves a test out when err is that of a layer that was required.
func skipWithoutLayer(t *testing.T, err error) {
	t.Helper()
	if missing, ok := errors.AsType[*LayerError](err); ok {
		skip(t, missing.Error())
	}
}

// output is a buffer that a command's output is written to while it is read.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func shell(t *testing.T, script string, c Command) (string, error) {
	t.Helper()
	var out output
	c.Args, c.Output, c.Dir = []string{"/bin/sh", "-c", script}, &out, t.TempDir()
	c.View.Write = append(c.View.Write, c.Dir)
	if c.Env == nil {
		c.Env = []string{"PATH=/usr/bin:/bin"}
	}
	if c.Grace == 0 {
		c.Grace = 200 * time.Millisecond
	}
	err := Run(t.Context(), c)
	if left := children(); len(left) > 0 {
		t.Errorf("%q left %v", script, left)
	}
	return out.String(), err
}

func TestExit(t *testing.T) {
	if out, err := shell(t, "echo out; echo err >&2; echo out2", Command{}); err != nil || out != "out\nerr\nout2\n" {
		t.Errorf("%q %v", out, err)
	}
	var exit *ExitError
	if _, err := shell(t, "exit 7", Command{}); !errors.As(err, &exit) || exit.Code != 7 {
		t.Error(err)
	}
	if _, err := shell(t, "kill -9 $$", Command{}); !errors.As(err, &exit) || exit.Signal != "killed" {
		t.Error(err)
	}
}

func TestEnvironmentAndInputAreWhatIsGiven(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "canary")
	out, err := shell(t, "cat; env", Command{Env: []string{"PATH=/usr/bin:/bin", "A=1"}})
	for line := range strings.Lines(out) {
		if name, _, _ := strings.Cut(line, "="); !strings.Contains(" PATH A PWD SHLVL OLDPWD _ ", " "+name+" ") {
			t.Errorf("the command sees %q", line)
		}
	}
	if err != nil || !strings.Contains(out, "A=1\n") {
		t.Errorf("%q %v", out, err)
	}
}

// What a command leaves behind ends, and is named.
func TestNothingIsLeft(t *testing.T) {
	for _, m := range []Mode{Auto, Landlock, Off} {
		for name, script := range map[string]string{
			"background":     "sleep 300 & echo $!",
			"holds the pipe": "(trap '' TERM; sleep 300) & echo $!",
			"own session":    "setsid sleep 300 & echo $!",
			"double fork":    "setsid sh -c '(trap \"\" TERM; while :; do sleep 1; done) & echo $!' & wait",
			"nothing":        "sleep 0.01 & wait; echo none",
			"ends soon":      "(sleep 0.1; echo none) &",
		} {
			left := []string{}
			out, err := shell(t, script, Command{Walls: Walls{Mode: m}, Left: func(names []string) { left = names }})
			strange := slices.ContainsFunc(left, func(name string) bool { return name != "sh" && name != "sleep" && name != "setsid" })
			if err != nil || strange || (len(left) == 0) != (out == "none\n") {
				t.Errorf("%s, %s: %q %v; it left %v", m, name, out, err, left)
			}
		}
	}
}

func TestTimeouts(t *testing.T) {
	out, err := shell(t, "trap '' TERM; echo begun; sleep 300 & wait; sleep 300", Command{Timeout: 300 * time.Millisecond})
	if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "--timeout") || out != "begun\n" {
		t.Errorf("%q %v", out, err)
	}
	if _, err := shell(t, "echo a; sleep 300", Command{IdleTimeout: 300 * time.Millisecond}); !errors.Is(err, ErrIdle) {
		t.Error(err)
	}
	if _, err := shell(t, "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.5; done", Command{IdleTimeout: 3 * time.Second}); err != nil {
		t.Error(err)
	}
}

// Who ends a command says why, and the error tells how the command took it.
func TestHowItEnded(t *testing.T) {
	for _, m := range []Mode{Auto, Landlock, Off} {
		for _, c := range []struct {
			name, script string
			limits       Limits
			grace        time.Duration
			why, signal  string
			code         int
		}{
			{"a time limit", "sleep 300", Limits{}, time.Minute, ErrTimeout.Error(), "terminated", -1},
			{"ignores it", "trap '' TERM; while :; do echo 1234567890; done", Limits{Output: 100}, time.Millisecond, "--max-output", "killed", -1},
			{"leaves by itself", "trap 'exit 0' TERM; while :; do echo 1234567890; done", Limits{Output: 100}, time.Minute, "--max-output", "", 0},
			{"fails then", "trap 'exit 7' TERM; while :; do echo 1234567890; done", Limits{Output: 100}, time.Minute, "--max-output", "", 7},
			{"too many processes", "for i in 1 2 3 4 5 6 7 8; do sleep 300 & done; wait", Limits{Processes: 5}, time.Minute, "--max-processes", "killed", -1},
		} {
			t.Run(string(m)+" "+c.name, func(t *testing.T) {
				timeout := time.Duration(0)
				if c.why == ErrTimeout.Error() {
					timeout = 100 * time.Millisecond
				}
				_, err := shell(t, c.script, Command{Timeout: timeout, Grace: c.grace, Walls: Walls{Mode: m, Limits: c.limits}})
				exit, known := errors.AsType[*ExitError](err)
				if !known || exit.Code != c.code || exit.Signal != c.signal || !strings.Contains(err.Error(), c.why) {
					t.Errorf("%v; %+v", err, exit)
				}
			})
		}
	}
}

func TestCancelEndsTheTree(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the session said so")
	time.AfterFunc(200*time.Millisecond, func() { cancel(why) })
	var out output
	err := Run(ctx, Command{Args: []string{"/bin/sh", "-c", "sleep 300 & sleep 300"}, Output: &out, Dir: "/usr"})
	if !errors.Is(err, why) || len(children()) > 0 {
		t.Errorf("%v, left %v", err, children())
	}
}

func TestOrphansCount(t *testing.T) {
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &before); err != nil {
		t.Fatal(err)
	}
	if _, err := shell(t, "(i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 300) & sleep 1; exit 0", Command{}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &after); err != nil {
		t.Fatal(err)
	}
	if after.Utime.Nano()-before.Utime.Nano() < int64(10*time.Millisecond) {
		t.Error("the CPU time of an orphan is lost")
	}
}

func TestMissingProgram(t *testing.T) {
	var out output
	if err := Run(t.Context(), Command{Args: []string{"/no/such/program"}, Output: &out}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

type refusing struct{}

func (refusing) Write([]byte) (int, error) { return 0, errors.New("nobody listens") }

func TestOutputThatCannotBeToldDoesNotHang(t *testing.T) {
	c := Command{Args: []string{"/bin/sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done"}, Output: refusing{}, Dir: "/usr", Timeout: 30 * time.Second}
	if err := Run(t.Context(), c); err != nil {
		t.Error(err)
	}
}
