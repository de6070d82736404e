package agent

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/condaworker/condaworker/builder"
	"github.com/condaworker/condaworker/builder/sandbox"
)

// Inside does the work of the process that stands between a build and a foreign
// script, when this process was started as that; main asks before anything else.
func Inside(args []string) (code int, inside bool) { return sandbox.Init(args) }

// wallFlags are the flags that say how foreign scripts are contained.
type wallFlags struct {
	mode    string
	network string
	limits  sandbox.Limits
	read    []string
}

// The values of --network.
const (
	networkByRecipe = "recipe"
	networkOn       = "on"
	networkOff      = "off"
)

func (w *wallFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&w.mode, "sandbox", "", "what contains scripts: auto takes what this host allows, require refuses to build without all of it, landlock does without namespaces, off (default auto)")
	f.StringVar(&w.network, "network", "", "scripts reach the network: on, off, or recipe: as the recipe asks (default recipe)")
	f.Lookup("network").NoOptDefVal = networkOn
	f.StringArrayVar(&w.read, "sandbox-read", nil, "a further file or folder that scripts may read; repeatable")
	f.IntVar(&w.limits.Processes, "max-processes", 0, "end a script that has more processes at once (0: 8192)")
	f.Var(&w.limits.Memory, "max-memory", "end a script that uses more memory, e.g. 16G (0: nine tenths of the machine's)")
	f.Var(&w.limits.FreeDisk, "min-free-disk", "end a script that leaves less of the disk it writes to (0: 2G)")
	f.Var(&w.limits.Output, "max-output", "end a script that prints more (0: 1G)")
}

// validate fills in the defaults.
func (w *wallFlags) validate() error {
	if w.mode == "" {
		w.mode = string(sandbox.Auto)
	}
	if w.network == "" {
		w.network = networkByRecipe
	}
	networks := []string{networkByRecipe, networkOn, networkOff}
	switch {
	case !slices.Contains(sandbox.Modes, sandbox.Mode(w.mode)):
		return usageError{fmt.Errorf("--sandbox %s: it is one of %v", w.mode, sandbox.Modes)}
	case !slices.Contains(networks, w.network):
		return usageError{fmt.Errorf("--network %s: it is one of %v", w.network, networks)}
	case w.limits.Processes < 0:
		return usageError{fmt.Errorf("--max-processes %d: it is a number of processes, or 0 for 8192", w.limits.Processes)}
	}
	return nil
}

// request hands the walls on. Scripts work in a folder whose lock they hold, too.
func (w *wallFlags) request(r *builder.Request, work workDir) {
	r.Walls = sandbox.Walls{Mode: sandbox.Mode(w.mode), Network: w.network == networkOn, Limits: w.limits, InUse: work.lock}
	r.Sealed = w.network == networkOff
	r.Read = absolute(slices.DeleteFunc(w.read, func(path string) bool { return path == "" }))
}
