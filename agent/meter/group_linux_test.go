package meter

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// groups writes a /proc and a hierarchy as a kernel shows them to a process in
// the group name.
func groups(t *testing.T, name, processes string) (proc, dir string) {
	t.Helper()
	proc = t.TempDir()
	mount := filepath.Join(proc, "mount")
	dir = filepath.Join(mount, "job")
	for path, text := range map[string]string{
		filepath.Join(proc, "self/cgroup"): "4:memory:/x\n0::" + name + "\n",
		filepath.Join(proc, "self/mountinfo"): "22 1 0:20 / /proc rw - proc proc rw\n" +
			fmt.Sprintf("30 1 0:26 /user.slice %s rw,nosuid shared:4 - cgroup2 cgroup2 rw\n", mount),
		filepath.Join(dir, "cgroup.procs"): processes,
		filepath.Join(dir, "memory.peak"):  "123456\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return proc, dir
}

// TestGroup takes a control group's mark only where it is this run's alone.
func TestGroup(t *testing.T) {
	own := fmt.Sprintln(os.Getpid())
	proc, dir := groups(t, "/user.slice/job", own)
	if got := group(proc); got != dir || groupPeak(got) != 123456 {
		t.Errorf("%q, %d bytes, want %q", got, groupPeak(got), dir)
	}
	if err := os.MkdirAll(filepath.Join(dir, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "below", "cgroup.procs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := group(proc); got != "" {
		t.Errorf("a group with one below: %q", got)
	}
	for what, is := range map[string][2]string{
		"shared with others":  {"/user.slice/job", "1\n" + own},
		"of others":           {"/user.slice/job", "1\n"},
		"not mounted":         {"/system.slice/job", own},
		"gone":                {"/user.slice/gone", own},
		"no hierarchy of its": {"", own},
	} {
		proc, _ := groups(t, is[0], is[1])
		if got := group(proc); got != "" {
			t.Errorf("%s: %q", what, got)
		}
	}
	if got := groupPeak(""); got != 0 {
		t.Errorf("no group has held %d bytes", got)
	}
}

// TestGroupMark is the total's, and a phase's only if it rose in it.
func TestGroupMark(t *testing.T) {
	_, dir := groups(t, "/user.slice/job", "")
	m := Start(Options{})
	defer m.Stop()
	m.group, m.first.group = dir, 1000
	p := m.Phase("script")
	if err := os.WriteFile(filepath.Join(dir, "memory.peak"), fmt.Appendln(nil, 1<<40), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := p.End(nil); r.MemoryPeak != 1<<40 || r.MemoryMethod != methodGroup {
		t.Errorf("the mark rose: %d by %s", r.MemoryPeak, r.MemoryMethod)
	}
	if r := m.Phase("pack").End(nil); r.MemoryPeak >= 1<<40 || r.MemoryMethod == methodGroup {
		t.Errorf("the mark stayed: %d by %s", r.MemoryPeak, r.MemoryMethod)
	}
	if r := m.Stop(); r.MemoryPeak != 1<<40 || r.MemoryMethod != methodGroup {
		t.Errorf("in all: %d by %s", r.MemoryPeak, r.MemoryMethod)
	}
}
