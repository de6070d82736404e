package sandbox

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOwnGroup(t *testing.T) {
	const (
		hybrid = "38 31 0:34 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
		whole  = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
		inside = "30 24 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
	)
	for _, c := range []struct{ self, mounts, want string }{
		{"9:name=systemd:/\n0::/\n", hybrid, "/sys/fs/cgroup/unified"},
		{"0::/system.slice/deadline-worker.service\n", whole, "/sys/fs/cgroup/system.slice/deadline-worker.service"},
		{"0::/docker/abc/build\n", inside, "/sys/fs/cgroup/build"},
		{"0::/elsewhere\n", inside, ""},
		{"4:memory:/a\n", hybrid, ""},
		{"0::/\n", "", ""},
	} {
		if got := ownGroup(c.self, c.mounts); got != c.want {
			t.Errorf("%q in %q: %q, want %q", c.self, c.mounts, got, c.want)
		}
	}
}

func TestGroup(t *testing.T) {
	dir := t.TempDir() // has the files of a group with controllers
	for _, name := range []string{"memory.max", "pids.max", "cgroup.procs", "cgroup.kill"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := &group{dir}
	if !g.set("memory.max", "4096") || g.set("memory.swap.max", "0") || !g.take(7) {
		t.Error("a setting that is there is written, and no other is made")
	}
	if text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs")); string(text) != "7" {
		t.Error(string(text), err)
	}
	events := "low 0\nhigh 0\nmax 12\noom 1\noom_kill 2\noom_group_kill 1\n"
	if err := os.WriteFile(filepath.Join(dir, "memory.events"), []byte(events), 0o600); err != nil {
		t.Fatal(err)
	}
	if !g.end() {
		t.Error("the kernel has killed in it")
	}
}
