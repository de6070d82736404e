// Package sandbox runs one foreign command, a recipe's script or a package's
// test, contained: it gets exactly the environment that it is given and sees
// the folders that it is shown, never our stdout, and none of its processes
// outlives it. On Linux a process of ours lies between (see serve): it builds the
// walls with what the kernel offers, without root, and dies with us. Start with Run;
// a program that calls it calls Init first.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
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
	Walls       Walls
	View        View
	Began       func(Layers) // hears which layers hold before the command starts; may be nil

	// Left hears of the processes that the command left behind, by their names, and
	// that were ended; may be nil. Only Linux tells of them.
	Left func(names []string)
}

// Walls say how a command is contained.
type Walls struct {
	Mode    Mode
	Network bool // it reaches what we reach, but for who hands out the machine's credentials
	Limits  Limits

	// InUse is held open until all processes of a command are dead, our own end or not:
	// a lock on it tells others how long the command's folders are in use. Linux only;
	// may be nil.
	InUse *os.File `json:"-"`
}

// Mode says which layers are used.
type Mode string

// The modes. The zero value is Auto.
const (
	Auto     Mode = "auto"     // what the host allows
	Require  Mode = "require"  // all of them, or the command does not run
	Landlock Mode = "landlock" // no namespaces, as on hosts that forbid them
	Off      Mode = "off"      // none; its processes end with it all the same
)

// Modes are all of them, for a flag's help.
var Modes = []Mode{Auto, Require, Landlock, Off}

// View is what a command sees of the file system beside the system's own
// programs, libraries and settings. All paths are absolute; those that do not
// exist are left out.
type View struct {
	Read  []string // files and folders that it can read and execute
	Write []string // folders that it can change
	Tmp   string   // the folder that it has for /tmp and /var/tmp; "" leaves it none
}

// Layers are the walls that hold.
type Layers struct {
	Held    []string // e.g. mount, landlock
	Missing []string // each with its reason
}

// String is one line for the log.
func (l Layers) String() string {
	text := "sandbox: " + strings.Join(l.Held, ", ")
	if len(l.Held) == 0 {
		text = "sandbox: none"
	}
	if len(l.Missing) > 0 {
		text += "; not here: " + strings.Join(l.Missing, ", ")
	}
	return text
}

// ErrTimeout and ErrIdle report that a command was ended by us.
var (
	ErrTimeout = errors.New("it ran into its time limit")
	ErrIdle    = errors.New("it printed nothing for too long")
)

// ExitError is how a command ended: one that failed by itself, or, wrapped in why,
// one that was ended.
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

// stopError is a command that we ended: it speaks of why, and wraps how the command
// ended then, if that is known.
type stopError struct{ why, how error }

func (e *stopError) Error() string { return e.why.Error() }

func (e *stopError) Unwrap() []error {
	if e.how == nil {
		return []error{e.why}
	}
	return []error{e.why, e.how}
}

// LimitError is a command that was ended because it used too much.
type LimitError struct{ Reason string }

// Error says of what, and which flag allows more.
func (e *LimitError) Error() string { return e.Reason }

// LayerError is a layer that was required and that the host does not give.
type LayerError struct {
	Layer  string // e.g. landlock
	Reason string
}

// Error names the layer.
func (e *LayerError) Error() string {
	return fmt.Sprintf("the sandbox's layer %q is not to be had here (%s): allow it on this host, or use --sandbox=auto", e.Layer, e.Reason)
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
// Errors: *ExitError, *LimitError, *LayerError, ErrTimeout, ErrIdle, or the
// cause of ctx's end. Where we ended the command, an *ExitError tells how it took
// that: its code may be 0 then.
func Run(ctx context.Context, c Command) error {
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	c.Walls.Limits = c.Walls.Limits.orDefault()
	if c.Walls.Mode == "" {
		c.Walls.Mode = Auto
	}
	return run(ctx, c)
}

// program is a command on its way: p tells it to end and waits for its end.
type program interface {
	// wait returns how it ended, when all that it started is dead.
	wait() error
	// end asks it to end, and sees to it after grace.
	end(grace time.Duration)
}

// follow copies p's output, watches its time and its end, and sweeps up.
func follow(ctx context.Context, c Command, p program, read *os.File) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := newWatch(c, cancel)
	defer watch.stop()
	var copying sync.WaitGroup
	copying.Go(func() { // ends with the last writer
		_, _ = io.Copy(io.MultiWriter(watch, c.Output), read)
		_, _ = io.Copy(watch, read) // output that cannot be told must not make the command hang
	})
	var err error
	exited := make(chan struct{})
	go func() { defer close(exited); err = p.wait() }()
	select {
	case <-exited:
	case <-ctx.Done():
		p.end(c.Grace)
		<-exited
		if err == nil {
			err = &ExitError{}
		}
		err = &stopError{context.Cause(ctx), err} // how it died is our doing
	}
	_ = read.SetReadDeadline(time.Now().Add(drain)) // a writer that escaped must not hold us
	copying.Wait()
	return errors.Join(err, read.Close())
}

// ended names how a process ended.
func ended(status syscall.WaitStatus) error {
	switch {
	case status.Signaled():
		return &ExitError{-1, status.Signal().String()}
	case status.ExitStatus() != 0:
		return &ExitError{Code: status.ExitStatus()}
	}
	return nil
}

// watch ends a command that runs or is silent for too long, or prints too much.
type watch struct {
	whole, idle *time.Timer
	quiet       time.Duration
	printed     atomic.Int64
	most        Size
	cancel      context.CancelCauseFunc
}

// newWatch starts the timers that c asks for.
func newWatch(c Command, cancel context.CancelCauseFunc) *watch {
	w := &watch{quiet: c.IdleTimeout, most: c.Walls.Limits.Output, cancel: cancel}
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
	if Size(w.printed.Add(int64(len(p)))) > w.most {
		w.cancel(&LimitError{fmt.Sprintf("it printed more than %s: raise --max-output, or make the script quieter", w.most)})
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
