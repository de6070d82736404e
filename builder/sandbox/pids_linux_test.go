package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A command's numbers are its own: the machine's stay as they were.
func TestProcessNumbers(t *testing.T) {
	if !numbersPerSpace() {
		t.Skip("not here: a kernel since 6.14")
	}
	before, err := os.ReadFile(pidMax)
	if err != nil {
		t.Fatal(err)
	}
	limits := Limits{Processes: 150}
	out, err := shell(t, "cat "+pidMax, Command{Walls: Walls{Mode: Require, Limits: limits}})
	skipWithoutLayer(t, err)
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

// Root's commands are bounded by the kernel, without the watch: it would act at
// more processes than there ever are.
func TestProcessLimit(t *testing.T) {
	if os.Getenv(canaryEnv) == "" {
		if !numbersPerSpace() {
			t.Skip("not here: a kernel since 6.14, which gives the bomb a namespace with few numbers")
		}
		if os.Geteuid() != 0 {
			skip(t, "root, whose processes the kernel does not count")
		}
		runAs(t, 0, "^TestProcessLimit$")
		return
	}
	if all := allProcesses(); all != 16_000 {
		t.Fatalf("the namespace of these tests has %d process numbers", all)
	}
	if err := os.WriteFile(pidMax, []byte("2000"), 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND, ""), unix.Mount("", "/proc/sys", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")); err != nil {
		t.Fatal(err) // as in a container, where no namespace gets numbers of its own
	}
	for _, m := range []Mode{Landlock, Auto} {
		for _, a := range []hostile{
			{name: "processes", script: `f() { f | f & }; f; sleep 60`, says: "Resource temporarily unavailable", want: ErrTimeout.Error()},
			{name: "threads", script: `for i in 1 2 3; do $TOOL threads & done; sleep 60`, says: "Resource temporarily unavailable|errno=11", want: ErrTimeout.Error()},
			{name: "no bomb", script: `for i in {1..200}; do sleep 0.1 & done; wait; echo $?`, says: "^0\n$"},
		} {
			t.Run(string(m)+" "+a.name, func(t *testing.T) { countAttack(t, m, a) })
		}
	}
}

// countAttack counts the tasks of an attack.
func countAttack(t *testing.T, m Mode, a hostile) {
	limits := Limits{Processes: 5000}
	bound, before := mostProcesses(limits), countTasks()
	if bound != 1000 {
		t.Fatalf("the bound is %d", bound)
	}
	var most atomic.Int64
	stop := make(chan struct{})
	var counting sync.WaitGroup
	counting.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(look):
				most.Store(max(most.Load(), int64(countTasks()-before)))
			}
		}
	})
	var out firstOutput
	var layers Layers
	dir, self := t.TempDir(), os.Args[0]
	err := Run(t.Context(), Command{
		Args: []string{"/bin/bash", "-c", a.script}, Dir: dir, Output: &out, Timeout: 4 * time.Second, Grace: 10 * time.Millisecond,
		Env:   []string{"PATH=/usr/bin:/bin", "TOOL=" + self + " tool", "GOTRACEBACK=none"},
		Walls: Walls{Mode: m, Limits: limits}, View: View{Write: []string{dir}, Read: []string{self}},
		Began: func(l Layers) { layers = l },
	})
	close(stop)
	counting.Wait()
	const ours = 50 // threads of the process between, and of this one
	t.Logf("at most %d tasks; %s", most.Load(), layers)
	if most.Load() > int64(bound+ours) {
		t.Errorf("there were %d tasks, and %d are the bound", most.Load(), bound)
	}
	if a.want == "" && err != nil || a.want != "" && (err == nil || !strings.Contains(err.Error(), a.want)) || !regexp.MustCompile(a.says).MatchString(out.String()) {
		t.Errorf("%v, and it says\n%.2000s", err, out.String())
	}
	if !strings.Contains(layers.String(), "process limit by a control group") {
		t.Error(layers)
	}
}

// countTasks counts the threads of this pid namespace.
func countTasks() int {
	tasks, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*") // a pattern of ours
	return len(tasks)
}

func TestIsCounted(t *testing.T) {
	const all = "         0          0 4294967295\n"
	for _, c := range []struct {
		uid   int
		users string
		want  bool
	}{
		{0, all, false},
		{1000, all, true},
		{0, "0 1000 1\n1 100000 65536\n", true}, // root of a container without root
		{65534, "65534 0 1\n", false},           // the machine's root by another name
		{5, "0 1000 1\n1 100000 65536\n", true},
		{0, "", false},
		{7, "no numbers", true},
	} {
		if got := isCounted(c.uid, c.users); got != c.want {
			t.Errorf("user %d in %q: %v", c.uid, c.users, got)
		}
	}
}

// A limit counts wherever above it stands, and one that is as high as the machine's
// is none.
func TestBoundAbove(t *testing.T) {
	for most, want := range map[int]bool{499: false, 500: true} {
		top := t.TempDir()
		dir := filepath.Join(top, "container", "worker")
		err := errors.Join(os.MkdirAll(dir, 0o755),
			os.WriteFile(filepath.Join(top, "container", pidsMax), []byte("500\n"), 0o600),
			os.WriteFile(filepath.Join(dir, pidsMax), []byte("max\n"), 0o600))
		if got := boundAbove(dir, most); got != want || err != nil || boundAbove("", most) || boundAbove(top, most) {
			t.Errorf("at most %d: %v, %v", most, got, err)
		}
	}
}

// Each bound is named, and a lack of all is an error that says what to do.
func TestProcessLimitIsNamed(t *testing.T) {
	for _, c := range []struct {
		bounds bounds
		want   string
	}{
		{bounds{User: true, Group: true}, " by a control group"},
		{bounds{User: true, Numbers: true}, " by process numbers of its own"},
		{bounds{User: true}, " by RLIMIT_NPROC"},
		{bounds{Around: true}, " by the control group around us"},
	} {
		k := &keeper{order: order{Bounds: c.bounds}}
		if got, err := k.processLimit(); got != c.want || err != nil {
			t.Errorf("%+v: %q, %v", c.bounds, got, err)
		}
	}
	if _, err := new(keeper).processLimit(); err == nil || !strings.Contains(err.Error(), "--pids-limit") {
		t.Error(err)
	}
}
