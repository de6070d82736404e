// Command condaworker builds conda packages on a render-farm worker, publishes
// them to a channel and keeps that channel's index.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/condaworker/condaworker/agent"
)

func main() {
	if code, inside := agent.Inside(os.Args); inside {
		os.Exit(code)
	}
	signal.Ignore(syscall.SIGPIPE) // a reader that is gone must look like a failed write, not like death
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM) // Interrupt is CTRL_BREAK, too
	go func() {
		cancel(agent.Cancelled{Signal: <-signals})
		impatience(signals)
	}()
	os.Exit(agent.Main(ctx, agent.Host{
		Args:   os.Args[1:],
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		Env:    os.Environ(),
		Cancel: cancel,
	}))
}

// impatience ends the process at once when a person interrupts it again. A
// session may send the same signal several times, by sudo and to the group, and
// has SIGKILL when it means it.
func impatience(signals <-chan os.Signal) {
	asked := time.Now()
	for s := range signals {
		if s == os.Interrupt && time.Since(asked) > time.Second {
			os.Exit(130)
		}
	}
}
