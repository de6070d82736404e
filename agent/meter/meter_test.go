package meter

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMain lets the test binary stand in for the programs that a build runs.
func TestMain(m *testing.M) {
	role, argument, _ := strings.Cut(os.Getenv("METER_TEST_CHILD"), " ")
	switch role {
	case "":
		os.Exit(m.Run())
	case "quick":
	case "burst":
		fill(allocate(megabytes(argument)))
	case "hold":
		held := allocate(megabytes(argument))
		fill(held)
		ready()
		fill(held)
	case "share":
		shared := mapShared(argument)
		fill(shared)
		ready()
		fill(shared)
	}
}

func megabytes(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n << 20
}

// fill touches every page, unseen by the race detector, which would hold
// several times as much.
//
//go:norace
func fill(b []byte) {
	for i := 0; i < len(b); i += 4096 {
		b[i]++
	}
}

// ready tells the test that the child is, and waits until the test is.
func ready() {
	_, _ = os.Stdout.WriteString("ready\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func command(t *testing.T, role string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self)
	c.Env = []string{"METER_TEST_CHILD=" + role, "GORACE=atexit_sleep_ms=0"} // else each waits a second
	return c
}

// start starts a child and waits until it is ready; stop ends it.
func start(t *testing.T, role string) (stop func()) {
	t.Helper()
	c := command(t, role)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	return func() {
		_ = in.Close()
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// write writes a file of zeros, of which this process holds little at a time.
func write(t *testing.T, path string, size int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 1<<20); size > 0; size -= len(block) {
		if _, err := f.Write(block[:min(size, len(block))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPhasesAndStatus(t *testing.T) {
	m := Start(Options{})
	good := m.Phase("fetch").End(nil)
	bad := m.Phase("script")
	failed := bad.End(errors.New("exit status 7"))
	if again := bad.End(nil); !cmp.Equal(again, PhaseReport{}) {
		t.Errorf("ended twice: %+v", again)
	}
	m.Phase("pack")
	r := m.Stop()
	if good.Status != "ok" || good.Error != "" || failed.Status != "failed" || failed.Error != "exit status 7" {
		t.Errorf("phases %+v, %+v", good, failed)
	}
	if len(r.Phases) != 3 || r.Status != "failed" || r.Phases[2].Name != "pack" || r.Phases[2].Status != "failed" {
		t.Errorf("report %+v", r)
	}
	if diff := cmp.Diff([]PhaseReport{good, failed}, r.Phases[:2]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(r, m.Stop()); diff != "" {
		t.Errorf("stopped twice: %s", diff)
	}
	m = Start(Options{})
	m.Phase("fetch").End(nil)
	if r := m.Stop(); r.Status != "ok" {
		t.Errorf("status %q without a failure", r.Status)
	}
}

func TestDiskIsTheHighestOfAllFolders(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	m := Start(Options{Dirs: []string{a, filepath.Join(a, "within"), filepath.Join(a, "missing")}})
	m.Watch(b, a)
	script := m.Phase("script")
	if err := os.Mkdir(filepath.Join(a, "within"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(a, "within", "f"), 100<<20)
	write(t, filepath.Join(b, "f"), 100<<20)
	if err := os.Link(filepath.Join(b, "f"), filepath.Join(a, "other name")); err != nil {
		t.Fatal(err)
	}
	got := script.End(nil)
	pack := m.Phase("pack")
	if err := os.Remove(filepath.Join(a, "within", "f")); err != nil {
		t.Fatal(err)
	}
	if u := pack.End(nil); u.DiskPeak < got.DiskPeak {
		t.Errorf("the phase began with %d bytes, measured %d", got.DiskPeak, u.DiskPeak)
	}
	after := m.Phase("test").End(nil)
	const files, folders = 200 << 20, 1 << 20
	if got.DiskPeak < files || got.DiskPeak > files+folders {
		t.Errorf("two files of 100 MiB occupy %d", got.DiskPeak)
	}
	if got.DiskApparent != files {
		t.Errorf("two files of 100 MiB are %d long", got.DiskApparent)
	}
	if after.DiskPeak > files/2+folders {
		t.Errorf("a phase with one of them has %d", after.DiskPeak)
	}
	if r := m.Stop(); r.DiskPeak != got.DiskPeak {
		t.Errorf("in all %d, want %d", r.DiskPeak, got.DiskPeak)
	}
}

// TestDiskIsWatchedBetweenPhaseEnds has a large file come and go within a
// phase.
func TestDiskIsWatchedBetweenPhaseEnds(t *testing.T) {
	dir := t.TempDir()
	m := Start(Options{Dirs: []string{dir}, Interval: 1})
	p := m.Phase("script")
	write(t, filepath.Join(dir, "f"), 10<<20)
	for seen := int64(0); seen < 10<<20; { // ends by the test's deadline if it does not
		m.mu.Lock()
		seen = m.total.disk.allocated
		m.mu.Unlock()
	}
	if err := os.Remove(filepath.Join(dir, "f")); err != nil {
		t.Fatal(err)
	}
	if u := p.End(nil); u.DiskPeak < 10<<20 {
		t.Errorf("the file had 10 MiB, measured %d", u.DiskPeak)
	}
	m.Stop()
}

// TestFoldersThatVanish walks while somebody deletes.
func TestFoldersThatVanish(t *testing.T) {
	dir := t.TempDir()
	m := Start(Options{Dirs: []string{dir}, Interval: 1})
	for i := range 30 {
		p := m.Phase("script")
		top := filepath.Join(dir, strconv.Itoa(i))
		for j := range 20 {
			sub := filepath.Join(top, strconv.Itoa(j))
			if err := os.MkdirAll(sub, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(sub, "f"), 1)
		}
		if err := os.RemoveAll(top); err != nil {
			t.Fatal(err)
		}
		p.End(nil)
	}
	if r := m.Stop(); len(r.Phases) != 30 {
		t.Errorf("%d phases", len(r.Phases))
	}
}

func TestWithoutPhases(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "f"), 1<<20)
	m := Start(Options{Dirs: []string{dir}})
	if r := m.Stop(); r.DiskPeak < 1<<20 || r.Status != "ok" || r.Seconds <= 0 {
		t.Errorf("report %+v", r)
	}
}

func TestSummary(t *testing.T) {
	got := Summary(Report{Usage: Usage{Seconds: 59.97, CPUSys: 0.04, CPUUser: 90061, MemoryPeak: 15196160, DiskPeak: 36}})
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
}

func TestClockAndSize(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "0:00:00.0", 6.4: "0:00:06.4", 59.94: "0:00:59.9", 59.95: "0:01:00.0", 3599.97: "1:00:00.0", -1: "0:00:00.0",
	} {
		if got := clock(seconds); got != want {
			t.Errorf("clock(%v) = %s, want %s", seconds, got, want)
		}
	}
	for bytes, want := range map[int64]string{
		0: "0B", 1023: "1023B", 1024: "1.0K", 1048575: "1024.0K", 1 << 20: "1.0M", 5 << 40: "5.0T", 3 << 60: "3.0E",
	} {
		if got := size(bytes); got != want {
			t.Errorf("size(%d) = %s, want %s", bytes, got, want)
		}
	}
}

func TestPhaseLine(t *testing.T) {
	got := PhaseLine(PhaseReport{Name: "test numpy", Status: "failed", Error: "x", Usage: Usage{
		Seconds: 1.5, CPUUser: 0.25, MemoryPeak: 1 << 20, DiskPeak: 2048, Processes: 3,
	}})
	want := "phase test-numpy status failed seconds 1.50 cpu-user-seconds 0.25 cpu-sys-seconds 0.00 " +
		"memory-peak-bytes 1048576 disk-peak-bytes 2048 processes 3"
	if got != want {
		t.Error(got)
	}
}

func TestReportAsJSON(t *testing.T) {
	r := Report{Status: "failed", Usage: Usage{Seconds: 2, MemoryMethod: methodPSS}, Phases: []PhaseReport{{Name: "fetch", Status: "failed", Error: "no"}}}
	got, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	usage := func(seconds, method string) string {
		return `"seconds":` + seconds + `,"cpu_user":0,"cpu_sys":0,"memory_peak_bytes":0,"memory_method":"` + method +
			`","disk_peak_bytes":0,"disk_apparent_bytes":0,"read_bytes":0,"written_bytes":0,"processes":0`
	}
	want := `{"status":"failed",` + usage("2", "sum_pss") + `,"phases":[{"name":"fetch","status":"failed",` + usage("0", "") + `,"error":"no"}]}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}
