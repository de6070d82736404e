package sandbox

import (
	"strings"
	"syscall"
	"testing"
)

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
