package sandbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Files in memory that the watch lets pass meet the limit that the container has:
// whoever of us the kernel ends then, the reason is named.
func TestFilesInMemory(t *testing.T) {
	above := currentGroup("memory")
	if above == "" {
		t.Skip("not here: version 1's control groups for memory")
	}
	if err := unix.Access(above, unix.W_OK); err != nil {
		t.Skip("not here: a control group that is ours: " + err.Error())
	}
	group, err := os.MkdirTemp(above, "condaworker.test-") //nolint:usetesting // it is a control group
	if err == nil {
		err = os.WriteFile(filepath.Join(group, "memory.limit_in_bytes"), []byte("200M"), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer endGroup(group)
	enter := `echo $$ >` + group + `/cgroup.procs && exec "$@"`
	script := "while :; do cat /dev/zero >/dev/shm/fill; done"
	out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", enter, "sh", os.Args[0], "tool", "run", string(Auto), script, t.TempDir()).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "for want of memory") {
		t.Errorf("%v: %s", err, out)
	}
}

// What lies in shared memory is the command's, whether a process has it or not.
func TestSharedMemoryCounts(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, fill := range []string{"head -c 500M /dev/zero >/dev/shm/fill", "$TOOL segment 500"} {
		out, err := shell(t, fill+"; sleep 60", Command{
			Env: []string{"PATH=/usr/bin:/bin", "TOOL=" + self + " tool"}, Timeout: 20 * time.Second,
			Walls: Walls{Mode: Require, Limits: Limits{Memory: 256 * mebi}}, View: View{Read: []string{self}},
		})
		skipWithoutLayer(t, err)
		if err == nil || !strings.Contains(err.Error(), "--max-memory") {
			t.Errorf("%s: %v\n%s", fill, err, out)
		}
	}
}

// A command that the kernel ended for want of memory, before the watch saw what it
// used, is told from one that failed or was ended otherwise.
func TestLackedMemory(t *testing.T) {
	const exited, killed = syscall.WaitStatus(137 << 8), syscall.WaitStatus(syscall.SIGKILL)
	before := killedForMemory()
	for status, says := range map[syscall.WaitStatus]string{exited: "returned non-zero exit status 137", killed: "ended by signal: killed"} {
		k := &keeper{killed: before - 1, out: outcome{Status: status}}
		if got := k.lacked(); !strings.HasPrefix(got, says) || !strings.Contains(got, "for want of memory") {
			t.Errorf("%v: %q", status, got)
		}
		k.killed = before + 1 // others may be killed while we test
		if got := k.lacked(); got != "" {
			t.Errorf("%v, and nothing was killed: %q", status, got)
		}
	}
	if got := (&keeper{killed: before - 1}).lacked(); got != "" {
		t.Errorf("it did not fail: %q", got)
	}
}
