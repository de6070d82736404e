package activate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// steps are an activation in its order.
type steps struct {
	prefixes []string // in which the scripts lie
	before   []string // scripts to source
	unset    []string
	set      map[string]string
	after    []string // scripts to source
}

// run returns the variables after the steps.
func (s steps) run(ctx context.Context, vars map[string]string, shell Shell) (after map[string]string, warnings []string, err error) {
	scripts := slices.Concat(s.before, s.after)
	if len(scripts) == 0 {
		after = maps.Clone(vars)
		for _, name := range s.unset {
			delete(after, name)
		}
		maps.Copy(after, s.set)
		return after, nil, nil
	}
	if runtime.GOOS == "windows" {
		return nil, nil, fmt.Errorf("the activation script %s: scripts are not run on Windows by this version", scripts[0])
	}
	dir, err := os.MkdirTemp("", "condaworker-activate-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a folder for the activation: %w; let TMPDIR name one that this user can write to", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c := capture{dir: dir, script: filepath.Join(dir, "activate.sh"), statuses: filepath.Join(dir, statusesName), vars: filepath.Join(dir, varsName)}
	if err := os.WriteFile(c.script, []byte(s.text(c, vars)), 0o600); err != nil {
		return nil, nil, fmt.Errorf("write the activation: %w", err)
	}
	without := maps.Clone(vars)
	delete(without, "BASH_ENV") // would be read before; text sets it again
	failed := shell(ctx, Command{Args: []string{"/bin/bash", c.script}, Env: list(without), Read: s.prefixes, Write: dir})
	return c.read(scripts, failed)
}

// text is the whole activation for a shell.
func (s steps) text(c capture, vars map[string]string) string {
	var text strings.Builder
	export := func(name, value string) { fmt.Fprintf(&text, "export %s=%s\n", name, quote(value)) }
	source := func(scripts []string) {
		for _, script := range scripts { // not "." within a condition: there, the script's own set -e had no effect
			fmt.Fprintf(&text, ". %s\nbuiltin printf '%%s\\n' \"$?\" >>%s\n", quote(script), quote(c.statuses))
		}
	}
	if value, has := vars["BASH_ENV"]; has {
		export("BASH_ENV", value)
	}
	source(s.before)
	for _, name := range slices.Sorted(slices.Values(s.unset)) {
		if identifier.MatchString(name) {
			fmt.Fprintf(&text, "unset %s\n", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.set)) {
		export(name, s.set[name])
	}
	source(s.after)
	fmt.Fprintf(&text, "/usr/bin/env -0 >%s\n", quote(c.vars))
	return text.String()
}

// capture is where the shell leaves what became of it. Not in its output: that
// is the scripts' own.
type capture struct {
	dir      string
	script   string
	statuses string // a line for each script that came to its end
	vars     string // NAME=value, each followed by NUL
}

// The names of what is read in the end.
const (
	statusesName = "statuses"
	varsName     = "vars"
)

// file reads one of the two. A script can change the folder: what is no plain file,
// or lies elsewhere, is not read.
func (c capture) file(name string) (text []byte, err error) {
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxCapture {
		return nil, fmt.Errorf("a script replaced %s", filepath.Join(c.dir, name))
	}
	return root.ReadFile(name)
}

// maxCapture bounds what is read, in bytes: a kernel starts no program with as much.
const maxCapture = 64 << 20

func (c capture) read(scripts []string, failed error) (after map[string]string, warnings []string, err error) {
	text, err := c.file(statusesName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	statuses := strings.Fields(string(text))
	statuses = statuses[:min(len(statuses), len(scripts))] // a script can write there, too
	for i, status := range statuses {
		if status != "0" {
			warnings = append(warnings, fmt.Sprintf("the activation script %s returned status %s", scripts[i], status))
		}
	}
	if len(statuses) < len(scripts) {
		if failed == nil { // it said exit 0
			failed = errors.New("it called exit")
		}
		return nil, warnings, &ScriptError{scripts[len(statuses)], failed}
	}
	if failed != nil {
		return nil, warnings, fmt.Errorf("capture the variables after the activation: %w", failed)
	}
	text, err = c.file(varsName)
	if err != nil {
		return nil, warnings, fmt.Errorf("capture the variables after the activation: %w", err)
	}
	after = map[string]string{}
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(text), "\x00"), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		after[name] = value
	}
	return after, warnings, nil
}

// list is vars as a process takes them, sorted.
func list(vars map[string]string) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		all = append(all, name+"="+vars[name])
	}
	return all
}

// quote makes one word of any text for a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
