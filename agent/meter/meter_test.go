package meter

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain lets the test binary stand in for a build's child processes.
func TestMain(m *testing.M) {
	switch mb, _ := strconv.Atoi(os.Getenv("METER_CHILD_MB")); {
	case os.Getenv("METER_CHILD_SPIN") != "":
		for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
			_ = size(int64(end.Nanosecond()))
		}
	case mb > 0:
		held := make([]byte, mb<<20)
		for i := 0; i < len(held); i += 4096 {
			held[i] = 1
		}
	default:
		os.Exit(m.Run())
	}
}

func child(t *testing.T, variable string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self)
	c.Env = []string{variable}
	return c
}

func TestCPUOfChildrenIsExact(t *testing.T) {
	m := Start(Options{})
	var truth time.Duration
	for range 3 {
		c := child(t, "METER_CHILD_SPIN=1")
		if err := c.Run(); err != nil {
			t.Fatal(err)
		}
		truth += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	}
	r := m.Stop()
	if got := r.CPUUser + r.CPUSys; got < truth.Seconds()*0.98 {
		t.Errorf("measured %.3f s of CPU, the children alone used %.3f s", got, truth.Seconds())
	}
}

func TestBurstOfMemoryIsCaught(t *testing.T) {
	m := Start(Options{})
	if err := child(t, "METER_CHILD_MB=200").Run(); err != nil {
		t.Fatal(err)
	}
	if r := m.Stop(); r.MemoryPeak < 200<<20 {
		t.Errorf("a child had 200 MB, measured %s", size(r.MemoryPeak))
	}
}

func TestDiskIsAllDirsAtTheirHighest(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	m := Start(Options{Dirs: []string{a, b, filepath.Join(a, "missing")}})
	p := m.Phase("script")
	for _, dir := range []string{a, b} {
		if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 3<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(a, "f"), filepath.Join(a, "second name")); err != nil {
		t.Fatal(err)
	}
	got := p.End(errors.New("exit status 7"))
	if err := os.Remove(filepath.Join(b, "f")); err != nil {
		t.Fatal(err)
	}
	r := m.Stop()
	if r.DiskPeak < 6<<20 || r.DiskPeak > 7<<20 {
		t.Errorf("two files of 3 MB, measured %d", r.DiskPeak)
	}
	if diff := cmp.Diff([]PhaseReport{got}, r.Phases); diff != "" || got.Error != "exit status 7" || got.Name != "script" {
		t.Errorf("phase %+v %s", got, diff)
	}
}

func TestSummary(t *testing.T) {
	got := Summary(Report{Seconds: 59.97, CPUSys: 0.04, CPUUser: 90061, MemoryPeak: 15196160, DiskPeak: 36})
	want := `
####################################################################################
Resource usage summary:

Total time: 0:01:00.0
CPU usage: sys=0:00:00.0, user=25:01:01.0
Maximum memory usage observed: 14.5M
Total disk usage observed: 36B
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := PhaseLine(PhaseReport{Name: "pack", Seconds: 1.5, Error: "x", DiskPeak: 2048}); got != "phase pack failed seconds 1.50 cpu-user 0.00 cpu-sys 0.00 memory-peak 0B disk-peak 2.0K" {
		t.Error(got)
	}
}
