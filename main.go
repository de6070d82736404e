// Command condaworker builds conda packages on a render-farm worker, publishes
// them to a channel and keeps that channel's index.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/condaworker/condaworker/agent"
)

func main() {
	if code, inside := agent.Inside(os.Args); inside {
		os.Exit(code)
	}
	signal.Ignore(syscall.SIGPIPE) // a reader that is gone must look like a failed write, not like death
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		cancel(agent.Cancelled{Signal: <-signals})
		signal.Stop(signals) // a second one ends the process at once
	}()
	os.Exit(agent.Main(ctx, agent.Host{
		Args:   os.Args[1:],
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		Env:    os.Environ(),
		Cancel: cancel,
	}))
}
