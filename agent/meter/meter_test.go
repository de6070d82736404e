package meter

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain lets the test binary stand in for the programs that a build runs.
func TestMain(m *testing.M) {
	role, argument, _ := strings.Cut(os.Getenv("METER_TEST_CHILD"), " ")
	if systemRole(role, argument) {
		return
	}
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

func command(t testing.TB, role string) *exec.Cmd {
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
func start(t testing.TB, role string) (stop func()) {
	t.Helper()
	return startCommand(t, command(t, role))
}

func startCommand(t testing.TB, c *exec.Cmd) (stop func()) {
	t.Helper()
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
	m := Start(Options{})
	m.Watch("work", a)
	m.Watch("prefix", filepath.Join(a, "within"))
	m.Watch("missing", filepath.Join(a, "missing"))
	m.Watch("other", b)
	m.Watch("work", a)
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
	if prefix := got.DiskFolders["prefix"]; prefix < files/2 || prefix > files/2+folders {
		t.Errorf("the folder within occupies %d of %v", prefix, got.DiskFolders)
	}
	if prefix := after.DiskFolders["prefix"]; prefix > folders {
		t.Errorf("the folder within occupies %d when it is empty", prefix)
	}
	r := m.Stop()
	if r.DiskPeak != got.DiskPeak || !cmp.Equal(r.DiskFolders, got.DiskFolders) {
		t.Errorf("in all %d, %v, want %d, %v", r.DiskPeak, r.DiskFolders, got.DiskPeak, got.DiskFolders)
	}
	if sum := got.DiskFolders["work"] + got.DiskFolders["prefix"] + got.DiskFolders["other"]; sum < got.DiskPeak { // the file with two names may have been seen in either
		t.Errorf("the folders %v occupy %d", got.DiskFolders, got.DiskPeak)
	}
}

// TestDiskIsWatchedBetweenPhaseEnds has a large file come and go within a
// phase.
func TestDiskIsWatchedBetweenPhaseEnds(t *testing.T) {
	dir := t.TempDir()
	m := Start(Options{Interval: 1})
	m.Watch("work", dir)
	p := m.Phase("script")
	write(t, filepath.Join(dir, "f"), 10<<20)
	for seen := int64(0); seen < 10<<20; { // ends by the test's deadline if it does not
		m.mu.Lock()
		seen = m.total.folders.allocated
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
	m := Start(Options{Interval: 1})
	m.Watch("work", dir)
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
	m := Start(Options{})
	m.Watch("work", dir)
	if r := m.Stop(); r.DiskPeak < 1<<20 || r.Status != "ok" || r.Seconds <= 0 {
		t.Errorf("report %+v", r)
	}
}

func TestSummary(t *testing.T) {
	got := Summary(Report{Usage: Usage{
		Seconds: 59.97, CPUSys: 0.04, CPUUser: 90061, MemoryPeak: 15196160, MemoryMethod: methodPSS, DiskPeak: 36,
		DiskFolders: map[string]int64{"work": 20, "other": 3, "prefix": 10, "test prefix": 6}, Read: 2048, Written: 1 << 30, Processes: 7,
		Top: []Process{{PID: 12, Name: "cc1 plus\x1b[2J", CPU: 61.23}, {PID: 13, Name: "sh", CPU: 0.5}},
	}})
	want := `
####################################################################################
Resource usage summary:

Total time: 0:01:00.0
CPU usage: sys=0:00:00.0, user=25:01:01.0
Maximum memory usage observed: 14.5M
Total disk usage observed (not including envs): 23B
Disk usage of all folders: 36B
Memory measured as: sum of the processes' proportional set sizes, sampled
Disk usage of other: 3B
Disk usage of prefix: 10B
Disk usage of test prefix: 6B
Disk usage of work: 20B
Read and written: 2.0K, 1.0G
Process count: 7
Most CPU: cc1-plus-[2J (process 12) 0:01:01.2
Most CPU: sh (process 13) 0:00:00.5
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
	one := 1
	for want, exit := range map[string]Exit{"": {}, " exit-code 1": {Code: &one}, " signal bus-error": {Signal: "bus error"}} {
		got := PhaseLine(PhaseReport{Name: "test numpy", Status: "failed", Error: "x", Exit: exit, Usage: Usage{
			Seconds: 1.5, CPUUser: 0.25, MemoryPeak: 1 << 20, MemoryMethod: methodPSS, DiskPeak: 2048, Read: 1, Written: 2, Processes: 3,
		}})
		want = "phase test-numpy status failed seconds 1.50 cpu-user-seconds 0.25 cpu-sys-seconds 0.00 " +
			"memory-peak-bytes 1048576 memory-method sum_pss disk-peak-bytes 2048 read-bytes 1 written-bytes 2 processes 3" + want
		if got != want {
			t.Error(got)
		}
	}
}

func TestReportAsJSON(t *testing.T) {
	code := 7
	r := Report{
		Status: "failed", Started: time.Unix(0, 0).UTC(), Usage: Usage{Seconds: 2, MemoryMethod: methodPSS, DiskFolders: map[string]int64{"work": 1}},
		Phases: []PhaseReport{{Name: "fetch", Start: 1, Status: "failed", Error: "no", Exit: Exit{Code: &code}, Usage: Usage{Top: []Process{{1, "sh", 2}}}}},
		Series: &Series{0.1, []float64{1}, []int64{2}, []int64{3}, []int{4}},
	}
	got, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	usage := func(seconds, method, folders string) string {
		return `"seconds":` + seconds + `,"cpu_user":0,"cpu_sys":0,"memory_peak_bytes":0,"memory_method":"` + method +
			`","disk_peak_bytes":0,"disk_apparent_bytes":0,` + folders + `"read_bytes":0,"written_bytes":0,"processes":0`
	}
	want := `{"status":"failed","started":"1970-01-01T00:00:00Z",` + usage("2", "sum_pss", `"disk_folders":{"work":1},`) +
		`,"phases":[{"name":"fetch","start":1,"status":"failed","exit_code":7,` + usage("0", "", "") +
		`,"top_processes":[{"pid":1,"name":"sh","cpu_seconds":2}],"error":"no"}]` +
		`,"series":{"seconds_per_point":0.1,"cpu_seconds":[1],"memory_bytes":[2],"disk_bytes":[3],"processes":[4]}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

// TestExit tells how a step's command ended.
func TestExit(t *testing.T) {
	m := Start(Options{})
	defer m.Stop()
	coded, killed := m.Phase("script"), m.Phase("script")
	coded.Exited(7, "")
	killed.Exited(-1, "killed")
	if r := coded.End(errors.New("it failed")); r.Code == nil || *r.Code != 7 || r.Signal != "" {
		t.Errorf("%+v", r.Exit)
	}
	if r := killed.End(errors.New("it failed")); r.Code != nil || r.Signal != "killed" {
		t.Errorf("%+v", r.Exit)
	}
	if r := m.Phase("fetch").End(errors.New("no such host")); r.Exit != (Exit{}) {
		t.Errorf("%+v", r.Exit)
	}
	if r := m.Phase("fetch").End(nil); r.Code == nil || *r.Code != 0 {
		t.Errorf("%+v", r.Exit)
	}
}

func TestRanking(t *testing.T) {
	at := func(pid int, start uint64, used time.Duration) process {
		return process{id: processID{pid, start}, name: fmt.Sprint("p", pid), own: cpu{user: used}}
	}
	var r ranking
	r.begin([]process{at(1, 0, time.Hour)})
	r.note([]process{at(1, 0, time.Hour+time.Second), at(2, 0, 3*time.Second), at(3, 0, 0)})
	for i := range 1000 { // short ones crowd
		r.note([]process{at(100+i, 0, time.Duration(i)*time.Millisecond)})
	}
	r.note([]process{at(2, 0, 5*time.Second), at(2, 9, 2*time.Second)}) // the number was given again
	want := []Process{{2, "p2", 5}, {2, "p2", 2}, {1, "p1", 1}}
	if got := r.top(); !cmp.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	if len(r.seen) > maxRanked {
		t.Errorf("it keeps %d", len(r.seen))
	}
	if got := new(ranking).top(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// TestSeries is a run of eight hours, seen every 50 ms, with a peak of one look.
func TestSeries(t *testing.T) {
	s := series{step: 100 * time.Millisecond}
	const looks = 8 * 3600 * 20
	for i := range looks {
		p := point{cpu: time.Duration(i) * time.Millisecond, memory: 100, disk: int64(i), processes: 2}
		if i == 12_345 {
			p.memory, p.processes = 1<<30, 50
		}
		s.add(time.Duration(i)*50*time.Millisecond, p)
	}
	r := s.report()
	n := len(r.CPU)
	if n > maxPoints || n < maxPoints/2 || len(r.Memory) != n || len(r.Disk) != n || len(r.Processes) != n {
		t.Fatalf("%d points, %d, %d, %d", n, len(r.Memory), len(r.Disk), len(r.Processes))
	}
	if all := r.SecondsPerPoint * float64(n); all < 8*3600 || all > 8*3600+r.SecondsPerPoint {
		t.Errorf("%d points of %v s", n, r.SecondsPerPoint)
	}
	at := int(12_345 * 0.05 / r.SecondsPerPoint)
	for i, memory := range r.Memory {
		if want := int64(100); memory != want && (i != at || memory != 1<<30) {
			t.Errorf("point %d: %d bytes", i, memory)
		}
	}
	if r.Memory[at] != 1<<30 || r.Processes[at] != 50 || r.CPU[n-1] != float64(looks-1)/1000 || !slices.IsSorted(r.CPU) {
		t.Errorf("point %d: %d bytes, %d processes; at the end %v s", at, r.Memory[at], r.Processes[at], r.CPU[n-1])
	}
}

// TestSeriesHoldsWhatWasLastSeen: a short peak is not drawn out until the next
// look.
func TestSeriesHoldsWhatWasLastSeen(t *testing.T) {
	s := series{step: time.Second}
	s.add(100*time.Millisecond, point{memory: 9, cpu: 5 * time.Second})
	s.add(200*time.Millisecond, point{memory: 2, cpu: 4 * time.Second})
	s.add(3500*time.Millisecond, point{memory: 3, cpu: 6 * time.Second})
	if got, want := s.report(), (&Series{1, []float64{5.242, 5.545, 5.848, 6}, []int64{9, 2, 2, 3}, []int64{0, 0, 0, 0}, []int{0, 0, 0, 0}}); !cmp.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// TestPulse has a phase of three and a half minutes, and a short one.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []Progress
		m := Start(Options{Interval: time.Second, Tell: func(p Progress) { heard = append(heard, p) }})
		long := m.Phase("script")
		time.Sleep(210 * time.Second)
		long.End(nil)
		short := m.Phase("pack")
		time.Sleep(59 * time.Second)
		short.End(nil)
		time.Sleep(5 * time.Minute)
		m.Stop()
		if len(heard) != 3 {
			t.Fatalf("%+v", heard)
		}
		for i, p := range heard {
			if p.Phase != "script" || p.Time != time.Duration(i+1)*time.Minute || p.Memory == 0 && runtime.GOOS != "darwin" {
				t.Errorf("%+v", p)
			}
		}
	})
}

// TestLooks are closer together at a phase's beginning, and rarer when they are
// expensive.
func TestLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Meter{begun: make(chan struct{}), quit: make(chan struct{})}
		start := time.Now()
		var at []int64 // milliseconds
		go m.repeat(160*time.Millisecond, m.begun, func() (ask time.Duration) {
			now := time.Since(start)
			at = append(at, now.Milliseconds())
			if now > time.Second { // from here on it asks for more
				ask = 400 * time.Millisecond
			}
			if now > 2*time.Second { // and from here on it takes long
				time.Sleep(500 * time.Millisecond)
			}
			return ask
		})
		time.Sleep(500 * time.Millisecond)
		m.begun <- struct{}{}
		time.Sleep(12 * time.Second)
		close(m.quit)
		synctest.Wait()
		want := []int64{160, 320, 480, 510, 530, 570, 650, 810, 970, 1130, 1530, 1930, 2330, 7830}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Error(diff)
		}
	})
}

func TestProgressLine(t *testing.T) {
	got := Progress{"test numpy", 61 * time.Second, 1.873, 5, 6, 7}.Line()
	want := "phase test-numpy status running seconds 61 cpu-usage-percent 187.3 memory-used-bytes 5 disk-used-bytes 6 processes 7"
	if got != want {
		t.Error(got)
	}
}

// TestAnEstimateIsNoPeak: between two measurements memory is not said to be
// more than was ever measured.
func TestAnEstimateIsNoPeak(t *testing.T) {
	m := &Meter{start: time.Now(), series: series{step: time.Hour}}
	m.sawTree(cpu{}, sample{memory: 100, now: 100, method: methodPSS})
	m.sawTree(cpu{}, sample{now: 500})
	if got := m.series.report().Memory; len(got) != 1 || got[0] != 100 || m.total.memory != 100 {
		t.Errorf("points %v, peak %d", got, m.total.memory)
	}
}
