package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOwnGroup(t *testing.T) {
	const (
		hybrid = "38 31 0:34 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
		whole  = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
		inside = "30 24 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
	)
	const bothVersions = "9:name=systemd:/\n8:cpu,pids:/worker\n0::/\n"
	for _, c := range []struct{ hierarchy, self, mounts, want string }{
		{version2, bothVersions, hybrid, "/sys/fs/cgroup/unified"},
		{version2, "0::/system.slice/deadline-worker.service\n", whole, "/sys/fs/cgroup/system.slice/deadline-worker.service"},
		{version2, "0::/docker/abc/build\n", inside, "/sys/fs/cgroup/build"},
		{version2, "0::/elsewhere\n", inside, ""},
		{version2, "4:memory:/a\n", hybrid, ""},
		{version2, "0::/\n", "", ""},
		{pidsHierarchy, bothVersions, hybrid, "/sys/fs/cgroup/pids/worker"},
		{pidsHierarchy, "0::/\n", hybrid, ""},
		{pidsHierarchy, bothVersions, whole, ""},
		{"memory", bothVersions, hybrid, ""},
	} {
		if got := ownGroup(c.hierarchy, c.self, c.mounts); got != c.want {
			t.Errorf("%q of %q in %q: %q, want %q", c.hierarchy, c.self, c.mounts, got, c.want)
		}
	}
}

func TestGroup(t *testing.T) {
	dir := t.TempDir() // has the files of a group with controllers
	for _, name := range []string{"memory.max", pidsMax, "cgroup.procs", "cgroup.kill"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !set(dir, "memory.max", "4096") || set(dir, "memory.swap.max", "0") {
		t.Error("a setting that is there is written, and no other is made")
	}
	g := &group{dir: dir}
	g.take(7)
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

// A group of a maker who is dead ends with the processes in it; those of the living
// and of other pid namespaces do not.
func TestRemoveDead(t *testing.T) {
	for _, hierarchy := range []string{version2, pidsHierarchy} {
		t.Run("hierarchy "+hierarchy, func(t *testing.T) {
			above := currentGroup(hierarchy)
			if above == "" {
				t.Skipf("not here: the control groups' hierarchy %q", hierarchy)
			}
			if err := unix.Access(above, unix.W_OK); err != nil {
				t.Skipf("not here: a control group that is ours: %s: %v", above, err)
			}
			above, err := os.MkdirTemp(above, "condaworker.test-") //nolint:usetesting // it is a control group
			if err != nil {
				t.Fatal(err)
			}
			defer os.Remove(above)
			space, gone := processSpace(), exec.CommandContext(t.Context(), "true")
			if err := gone.Run(); err != nil {
				t.Fatal(err)
			}
			for name, dead := range map[string]bool{
				fmt.Sprintf("%s%s-%d-1", groupName, space, gone.Process.Pid):  true,
				fmt.Sprintf("%s%s-%d-2", groupName, space, os.Getpid()):       false,
				fmt.Sprintf("%s%s1-%d-3", groupName, space, gone.Process.Pid): false,
			} {
				dir := filepath.Join(above, name)
				left := exec.CommandContext(t.Context(), "sleep", "300")
				if err := errors.Join(os.Mkdir(dir, 0o755), left.Start()); err != nil {
					t.Fatal(err)
				}
				if !set(dir, "cgroup.procs", strconv.Itoa(left.Process.Pid)) {
					t.Fatal("nothing can be put into " + dir)
				}
				removeDead(above, space)
				members, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
				if dead != errors.Is(err, os.ErrNotExist) || !dead && strings.TrimSpace(string(members)) != strconv.Itoa(left.Process.Pid) {
					t.Errorf("%s: it has %q, %v; want it to be gone: %v", name, members, err, dead)
				}
				endGroup(dir)
				if err := left.Wait(); err == nil || err.Error() != "signal: killed" {
					t.Error(err)
				}
			}
		})
	}
}
