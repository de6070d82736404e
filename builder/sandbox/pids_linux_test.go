package sandbox

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
)

// A command's numbers are its own: the machine's stay as they were.
func TestProcessNumbers(t *testing.T) {
	if !kernelSince(6, 14) {
		t.Skip("not here: a kernel since 6.14")
	}
	before, err := os.ReadFile(pidMax)
	if err != nil {
		t.Fatal(err)
	}
	limits := Limits{Processes: 150}
	out, err := shell(t, "cat "+pidMax, Command{Walls: Walls{Mode: Require, Limits: limits}})
	if missing, ok := errors.AsType[*LayerError](err); ok && os.Getenv("CONDAWORKER_TEST_NOSKIP") == "" {
		t.Skip(missing)
	}
	if err != nil || strings.TrimSpace(out) != "600" {
		t.Errorf("inside there are %q numbers, %v, want 600", out, err)
	}
	after, err := os.ReadFile(pidMax)
	if err != nil || string(after) != string(before) {
		t.Errorf("the machine has %q numbers now, %v, and had %q", after, err, before)
	}
}

func TestMostProcessesLeavesTheMachineHalf(t *testing.T) {
	if n := mostProcesses(Limits{Processes: 1 << 30}); n <= 0 || n >= slack<<30 {
		t.Errorf("%d processes", n)
	}
}

// The process between has its threads before a command can take all numbers.
func TestThreadsAreThereBefore(t *testing.T) {
	const count = `set -- $(grep Threads: /proc/$PPID/status); echo $2`
	out, err := shell(t, count, Command{Walls: Walls{Mode: Auto}})
	if n, _ := strconv.Atoi(strings.TrimSpace(out)); err != nil || n < 16 {
		t.Errorf("%q threads, %v", out, err)
	}
	out, err = shell(t, count, Command{Walls: Walls{Mode: Auto, Network: true}})
	if n, _ := strconv.Atoi(strings.TrimSpace(out)); err != nil || n < 16+mostConnecting {
		t.Errorf("with our network: %q threads, %v", out, err)
	}
}

// Who runs first is not inherited.
func TestCommandRunsAsOthersDo(t *testing.T) {
	out, err := shell(t, `cut -d' ' -f41 /proc/self/stat`, Command{Walls: Walls{Mode: Auto}})
	if err != nil || strings.TrimSpace(out) != "0" {
		t.Errorf("the scheduling policy of a command is %q, %v, want 0", out, err)
	}
}
