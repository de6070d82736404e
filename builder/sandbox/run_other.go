//go:build !linux

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Init is for Linux, where a process of ours lies between.
func Init([]string) (code int, inside bool) { return 0, false }

// run runs c by the system's own means (contain), without the watch over what
// it uses.
func run(ctx context.Context, c Command) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	p, layers, err := contain(c, write)
	if err == nil && c.Walls.Mode == Require {
		err = &LayerError{"namespaces", "they are Linux's own"}
	}
	if err != nil {
		return errors.Join(err, read.Close(), write.Close())
	}
	if c.Began != nil {
		c.Began(layers)
	}
	err = p.start()
	if err = errors.Join(err, write.Close()); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", c.Args[0], err), read.Close())
	}
	return follow(ctx, c, p, read)
}

// child is a command that runs directly below us.
type child struct {
	cmd   *exec.Cmd
	sweep func(*os.Process) // kills what is left of its processes
	tie   func(*os.Process) error
}

// start starts the command and ties it to us.
func (p *child) start() error {
	if err := p.cmd.Start(); err != nil {
		return err
	}
	if p.tie == nil {
		return nil
	}
	return p.tie(p.cmd.Process)
}

func (p *child) wait() error {
	err := p.cmd.Wait()
	p.sweep(p.cmd.Process)
	return verdict(err)
}

// end has no way to ask that all programs understand.
func (p *child) end(time.Duration) { p.sweep(p.cmd.Process) }

// verdict names how a command ended.
func verdict(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if s, ok := exit.Sys().(syscall.WaitStatus); ok {
		return ended(s)
	}
	return &ExitError{Code: exit.ExitCode()}
}
