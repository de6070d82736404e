// Package sandbox runs one foreign command: a recipe's script or a package's
// test. The command gets exactly the environment it is given, never our stdout,
// and none of its processes outlives it. Start with Run.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Command is what to run.
type Command struct {
	Args        []string      // program and arguments
	Dir         string        // working folder
	Env         []string      // the whole environment, NAME=value
	Output      io.Writer     // takes stdout and stderr, in the order they were written
	Timeout     time.Duration // for the whole command; 0 is none
	IdleTimeout time.Duration // without any output; 0 is none
	Grace       time.Duration // between asking a process to end and killing it; default 1 s
}

// ErrTimeout and ErrIdle report that a command was ended by us.
var (
	ErrTimeout = errors.New("it ran into its time limit")
	ErrIdle    = errors.New("it printed nothing for too long")
)

// ExitError is a command that failed by itself.
type ExitError struct {
	Code   int    // exit code; -1 when a signal ended it
	Signal string // e.g. killed; "" when it exited
}

// Error has conda-build's words for an exit code.
func (e *ExitError) Error() string {
	if e.Signal != "" {
		return "ended by signal: " + e.Signal
	}
	return fmt.Sprintf("returned non-zero exit status %d", e.Code)
}

const (
	defaultGrace = time.Second
	// drain is how long output may still come after every process is dead.
	drain = time.Second
)

// Run runs c to its end and then ends every process that it left behind:
// daemons, those in sessions of their own and those that ignore a TERM too.
// One command runs at a time in a process: what appears among our children
// meanwhile is taken for the command's.
// Errors: *ExitError, ErrTimeout, ErrIdle, or the cause of ctx's end.
func Run(ctx context.Context, c Command) error {
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := newWatch(c, cancel)
	defer watch.stop()

	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	tree := newTree()
	cmd := &exec.Cmd{Path: c.Args[0], Args: c.Args, Dir: c.Dir, Env: c.Env, Stdout: write, Stderr: write, SysProcAttr: attributes()}
	err = cmd.Start()
	err = errors.Join(err, write.Close())
	if err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", c.Args[0], err), read.Close())
	}
	var copying sync.WaitGroup
	copying.Go(func() { // ends with the last writer
		_, _ = io.Copy(io.MultiWriter(watch, c.Output), read)
		_, _ = io.Copy(io.Discard, read) // output that cannot be told must not make the command hang
	})
	exited := make(chan struct{})
	go func() { defer close(exited); err = cmd.Wait() }()
	select {
	case <-exited:
		tree.end(c.Grace, nil)
	case <-ctx.Done():
		tree.end(c.Grace, cmd.Process)
		<-exited
		err = context.Cause(ctx) // how it died is our doing
	}
	_ = read.SetReadDeadline(time.Now().Add(drain)) // a writer that escaped must not hold us
	copying.Wait()
	return errors.Join(verdict(err), read.Close())
}

// verdict names how a command ended.
func verdict(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return &ExitError{-1, s.Signal().String()}
	}
	return &ExitError{Code: exit.ExitCode()}
}

// watch ends a command that runs or is silent for too long.
type watch struct {
	whole, idle *time.Timer
	quiet       time.Duration
}

// newWatch starts the timers that c asks for.
func newWatch(c Command, cancel context.CancelCauseFunc) *watch {
	w := &watch{quiet: c.IdleTimeout}
	if c.Timeout > 0 {
		w.whole = time.AfterFunc(c.Timeout, func() {
			cancel(fmt.Errorf("%w of %s: raise --timeout, or mend the script", ErrTimeout, c.Timeout))
		})
	}
	if c.IdleTimeout > 0 {
		w.idle = time.AfterFunc(c.IdleTimeout, func() {
			cancel(fmt.Errorf("%w (%s): raise --idle-timeout, or mend the script", ErrIdle, c.IdleTimeout))
		})
	}
	return w
}

// Write notices output.
func (w *watch) Write(p []byte) (int, error) {
	if w.idle != nil {
		w.idle.Reset(w.quiet)
	}
	return len(p), nil
}

// stop ends the timers; one that has fired has cancelled already.
func (w *watch) stop() {
	for _, t := range []*time.Timer{w.whole, w.idle} {
		if t != nil {
			t.Stop()
		}
	}
}
