package sandbox

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"
)

// A command's first thread ends soon after it has started the command, at any moment
// of a look at its processes.
func TestNoChildIsMissed(t *testing.T) {
	for range 500 {
		started := make(chan int)
		onThreadOfItsOwn(func() {
			pid, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "300"}, nil)
			if err != nil {
				t.Error(err)
			}
			started <- pid
			for end := time.Now().Add(time.Duration(rand.IntN(1000)) * time.Microsecond); time.Now().Before(end); {
			}
		})
		pid := <-started
		if pid == 0 {
			return
		}
		seen := slices.ContainsFunc(descendants(), func(p process) bool { return p.pid == pid })
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
			t.Error(err)
		}
		if !seen {
			t.Fatal("the process is not found")
		}
	}
}
