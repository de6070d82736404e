// Package agent is the front desk: it reads the command line, opens channels,
// runs one verb and turns what came of it into log lines and an exit code.
// Only here is it known that there is a farm, an environment and a stdout;
// stdout and stderr themselves are written by agent/openjd alone.
//
// Each verb is a file: build.go, render.go, test.go, publish.go, reindex.go, lock.go,
// channelverbs.go, env.go, doctor.go, version.go. Start with Main.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/agent/openjd"
)

// Host is what the process was started with.
type Host struct {
	Args           []string // without the program's name
	Stdout, Stderr io.Writer
	Env            []string                // NAME=value
	Cancel         context.CancelCauseFunc // ends the run early, e.g. when nobody reads its output
}

// Cancelled is why a context ended: a signal asked for it.
type Cancelled struct{ Signal os.Signal }

// Error names the signal.
func (c Cancelled) Error() string { return "cancelled by " + c.Signal.String() }

// Main runs one command line to its end and returns the exit code (README.md
// has the table). It never calls os.Exit and leaves nothing running.
func Main(ctx context.Context, h Host) int {
	d := &desk{host: h, env: environMap(h.Env, runtime.GOOS == "windows")}
	if d.env["GOMEMLIMIT"] == "" {
		debug.SetMemoryLimit(memory)
	}
	root := d.command()
	root.SetArgs(h.Args)
	root.SetOut(h.Stdout)
	root.SetErr(h.Stderr)
	err := understood(h.Args, root.ExecuteContext(ctx))
	if d.out == nil {
		d.open(false)
	}
	return d.finish(ctx, err)
}

// memory is what the collector tries to keep within: an index of 10^6 packages
// needs about so much, and its garbage would double it. It refuses nothing.
const memory = 900 << 20

// desk is one run of the program.
type desk struct {
	host    Host
	env     map[string]string
	out     *openjd.Output
	verbose bool

	logFormat logFormat
}

// command is the command line. Errors are printed by finish alone, in one
// sentence; the library would add its usage text to each.
func (d *desk) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "condaworker",
		Short:         "Build conda packages on a render-farm worker, publish them and index their channel",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; %s --help lists the options", err, c.CommandPath())}
	})
	root.PersistentFlags().BoolVarP(&d.verbose, "verbose", "v", false, "log more")
	root.PersistentFlags().Var(&d.logFormat, "log-format", "text, or json: each line of the log is a JSON object; directives of a session stay as they are")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(d.buildCommand(), d.renderCommand(), d.testCommand(), d.publishCommand(), d.reindexCommand(), d.lockCommand(), d.channelCommand(), d.envCommand(), d.doctorCommand(), d.versionCommand())
	for _, c := range root.Commands() {
		for _, verb := range append(c.Commands(), c) {
			checkArgs(verb)
		}
	}
	return root
}

// verbs is a command that does nothing itself: it has verbs below it.
func verbs(name, short string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short, Args: cobra.NoArgs}
	var names []string
	for _, verb := range below {
		names = append(names, name+" "+verb.Name())
	}
	list := strings.Join(names, ", ")
	if i := strings.LastIndex(list, ", "); i >= 0 {
		list = list[:i] + " or " + list[i+2:]
	}
	c.RunE = func(*cobra.Command, []string) error { return usageError{fmt.Errorf("name a verb: %s", list)} }
	c.AddCommand(below...)
	return c
}

// checkArgs makes wrong arguments a usage error that shows the right ones.
func checkArgs(c *cobra.Command) {
	args := c.Args
	if args == nil {
		return
	}
	c.Args = func(c *cobra.Command, given []string) error {
		if err := args(c, given); err != nil {
			return usageError{fmt.Errorf("%w (usage: %s)", err, c.UseLine())}
		}
		return nil
	}
}

// open starts the output. machine says that stdout is for a program to read.
func (d *desk) open(machine bool) {
	width := d.width(machine)
	d.out = openjd.New(openjd.Options{
		Stdout:  d.host.Stdout,
		Stderr:  d.host.Stderr,
		Session: d.inSession(),
		JSON:    machine,
		Verbose: d.verbose,
		LogJSON: d.logFormat == jsonLog,
		Redact:  secrets(d.env, d.host.Args),
		Width:   width,
		Colours: width > 0 && d.env["NO_COLOR"] == "",
		Broken:  func(err error) { d.host.Cancel(fmt.Errorf("write the log: %w", err)) },
	})
}

// finish says what went wrong, in one sentence, and picks the exit code.
func (d *desk) finish(ctx context.Context, err error) int {
	if err == nil {
		return 0
	}
	err = why(ctx, err)
	d.out.Fail(err.Error())
	return exitCode(err)
}

// understood gives a type to the two mistakes that the command-line library
// lets pass or reports without one. A command line without a verb is a mistake
// as well: a farm's task that did nothing must not look done.
func understood(args []string, err error) error {
	switch {
	case len(args) == 0:
		return usageError{errors.New("name a verb: build, render, test, publish, reindex, lock, channel, env, doctor or version; condaworker --help tells more")}
	case err != nil && strings.HasPrefix(err.Error(), "unknown command "):
		line := strings.Join(strings.Fields(err.Error()), " ")
		return usageError{fmt.Errorf("%s; condaworker --help lists the verbs", line)}
	}
	return err
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

// Unwrap returns the cause.
func (e usageError) Unwrap() error { return e.error }

// environMap takes the last of several values, as a shell does. Where the case of names
// means nothing all are in upper case: there PATH may be called Path.
func environMap(list []string, anyCase bool) map[string]string {
	vars := make(map[string]string, len(list))
	for _, entry := range list {
		name, value, _ := strings.Cut(entry, "=")
		if anyCase {
			name = strings.ToUpper(name)
		}
		vars[name] = value
	}
	return vars
}

// signalCode is the code that shells give a process which a signal ended.
func signalCode(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return 1
}
