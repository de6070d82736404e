// Package activate turns a prefix into what activating it does to the variables
// of a process, by the rules of conda activate: PATH, CONDA_PREFIX and their
// kin, etc/conda/env_vars.d/*.json, conda-meta/state, and the scripts of
// etc/conda/activate.d. A prefix without scripts needs no shell.
//
// It starts no process itself: the caller hands it a Shell. Start with Changes;
// Read is for those who source the scripts themselves.
package activate

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Change is what becomes of one variable.
type Change struct {
	Name  string
	Value string // any text without NUL, lines included
	Unset bool   // it is removed
}

// Result is what activating a prefix comes to.
type Result struct {
	Changes  []Change // sorted by name; those that unset come last
	Warnings []string // of scripts that returned another status than 0, which conda tolerates, and of what is left out
}

// Command is what a Shell runs.
type Command struct {
	Args  []string // program and arguments
	Env   []string // the whole environment, NAME=value
	Read  []string // prefixes, which it has to see
	Write string   // the one folder that it has to change
}

// Shell runs a command to its end, tells the user what it prints, and fails when
// its exit status is not 0.
type Shell func(context.Context, Command) error

// ScriptError reports the script at which an activation ended.
type ScriptError struct {
	Script string // absolute
	Err    error  // what the Shell returned
}

// Error names the script, and what to do about it.
func (e *ScriptError) Error() string {
	return fmt.Sprintf("the activation script %s ended the shell: %v; correct it, or leave out its package", e.Script, e.Err)
}

// Unwrap returns the cause.
func (e *ScriptError) Unwrap() error { return e.Err }

// Changes returns what activating prefix, an absolute path, changes in vars. An
// environment that is active in vars already is deactivated first, and counted
// in CONDA_SHLVL, as conda does. Where there are scripts, all of them run in one
// shell, with vars; variables that name no shell's variable (no identifiers) are
// left alone. Errors: *ScriptError, and files of the prefix that cannot be read.
func Changes(ctx context.Context, prefix string, vars map[string]string, shell Shell) (Result, error) {
	to, err := Read(prefix)
	if err != nil {
		return Result{}, fmt.Errorf("read the activation of %s: %w", prefix, err)
	}
	level, _ := strconv.Atoi(vars["CONDA_SHLVL"]) // a text that is no number is none
	from, old := Activation{}, vars["CONDA_PREFIX"]
	if level <= 0 || !filepath.IsAbs(old) {
		level, old = 0, ""
	}
	var r Result
	if old != "" {
		if from, err = Read(old); err != nil { // not ours, and on its way out
			r.Warnings = append(r.Warnings, fmt.Sprintf("the active environment %s is not deactivated: %v", old, err))
		}
	}
	set := to.variables(prefix, old, level)
	set["PATH"] = searchList(to.Path, from.Path, vars["PATH"])
	steps := steps{prefixes: []string{prefix}, before: from.DeactivateScripts, set: set, after: to.Scripts}
	if old != "" {
		steps.prefixes = append(steps.prefixes, old)
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(from.Vars)), to.Unset) {
		if _, again := set[name]; !again {
			steps.unset = append(steps.unset, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !identifier.MatchString(name) {
			r.Warnings = append(r.Warnings, fmt.Sprintf("not set: no shell has a variable called %q", name))
			delete(set, name)
		}
	}
	now, warnings, err := steps.run(ctx, vars, shell)
	r.Warnings = append(r.Warnings, warnings...)
	r.Changes = difference(vars, now)
	return r, err
}

// identifier is what a shell, and a session, take for a variable's name.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// variables are those that conda sets beside PATH.
func (a Activation) variables(prefix, old string, level int) map[string]string {
	set := maps.Clone(a.Vars)
	name := prefix
	if filepath.Base(filepath.Dir(prefix)) == "envs" { // a folder of named environments
		name = filepath.Base(prefix)
	}
	if old != "" && old != prefix {
		set["CONDA_PREFIX_"+strconv.Itoa(level)] = old
	}
	if old != prefix {
		level++
	}
	set["CONDA_PREFIX"], set["CONDA_SHLVL"] = prefix, strconv.Itoa(level)
	set["CONDA_DEFAULT_ENV"], set["CONDA_PROMPT_MODIFIER"] = name, "("+name+") "
	return set
}

// searchList puts folders before a PATH, and takes others out of it.
func searchList(first, without []string, path string) string {
	all := slices.Clone(first)
	for _, folder := range filepath.SplitList(path) {
		if !slices.Contains(without, folder) && !slices.Contains(first, folder) {
			all = append(all, folder)
		}
	}
	return strings.Join(all, string(filepath.ListSeparator))
}

// difference leaves out what every shell changes for itself.
func difference(before, after map[string]string) []Change {
	var changes []Change
	for name, value := range after {
		if old, was := before[name]; !was || old != value {
			changes = append(changes, Change{Name: name, Value: value})
		}
	}
	for name := range before {
		if _, is := after[name]; !is {
			changes = append(changes, Change{Name: name, Unset: true})
		}
	}
	changes = slices.DeleteFunc(changes, func(c Change) bool {
		return !identifier.MatchString(c.Name) || slices.Contains([]string{"_", "SHLVL", "PWD", "OLDPWD"}, c.Name)
	})
	slices.SortFunc(changes, func(a, b Change) int {
		if a.Unset != b.Unset {
			return cmp.Compare(strconv.FormatBool(a.Unset), strconv.FormatBool(b.Unset))
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return changes
}
