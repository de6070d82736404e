// Package measure runs other programs for the benches and says what they took.
package measure

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// Result is what a run took and said last.
type Result struct {
	Seconds float64
	CPU     float64 // seconds of all processors
	MiB     int     // the most memory that it had, as often as it was looked at
	Last    string  // line of what it printed
}

// Run runs args with more variables in its environment (NAME=value). The error of a
// run that fails has what it printed.
func Run(ctx context.Context, args []string, vars ...string) (r Result, err error) {
	c := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // the bench's own commands
	c.Env = append(os.Environ(), vars...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	begun := time.Now()
	if err := c.Start(); err != nil {
		return r, err
	}
	ended, peak := make(chan struct{}), make(chan int)
	go func() { peak <- peakOf(c.Process.Pid, ended) }()
	err = c.Wait()
	r.Seconds = time.Since(begun).Seconds()
	close(ended)
	r.MiB = <-peak
	if err != nil {
		return r, fmt.Errorf("%w\n%s", err, out.Bytes())
	}
	r.CPU = (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	r.Last = string(lines[len(lines)-1])
	return r, nil
}

// peakOf looks at a process until it ended. (What the system says at the end counts
// the parent's memory before the exec, too.)
func peakOf(pid int, ended <-chan struct{}) (mib int) {
	for {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // gone at the end
		if _, after, ok := bytes.Cut(text, []byte("VmHWM:")); ok {
			var kib int
			if _, err := fmt.Sscan(string(after), &kib); err == nil {
				mib = max(mib, kib/1024)
			}
		}
		select {
		case <-ended:
			return mib
		case <-time.After(2 * time.Millisecond):
		}
	}
}
