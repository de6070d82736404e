package builder

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/pack"
	"github.com/condaworker/condaworker/builder/recipe"
	"github.com/condaworker/condaworker/builder/sandbox"
	"github.com/condaworker/condaworker/env/activate"
)

// ScriptError reports that a build script failed.
type ScriptError struct {
	Package string // e.g. blender-4.2.5-hb0f4dca_0
	Err     error  // a *sandbox.ExitError, *sandbox.LimitError, sandbox.ErrTimeout or sandbox.ErrIdle
}

// Error says which package's script failed and how.
func (e *ScriptError) Error() string {
	return fmt.Sprintf("the build script of %s failed: %v", e.Package, e.Err)
}

// Unwrap returns the cause.
func (e *ScriptError) Unwrap() error { return e.Err }

// script runs the recipe's script in the work folder. What it adds to the
// prefix becomes the package.
func (b *build) script(ctx context.Context) error {
	before, err := pack.Scan(b.dirs.prefix, nil)
	if err != nil {
		return err
	}
	b.before = before
	vars, err := b.environ()
	if err != nil {
		return err
	}
	if b.out.Script.File == "" && len(b.out.Script.Lines) == 0 {
		b.Info("the recipe has no script")
		return nil
	}
	err = b.run(ctx, b.out.Script, job{
		name: "build", dir: filepath.Join(b.dirs.work, filepath.FromSlash(b.out.Script.Dir)),
		vars: vars, prefixes: []string{b.dirs.prefix, b.dirs.buildPrefix}, view: b.scriptView(),
	})
	if err != nil && ctx.Err() == nil {
		return &ScriptError{b.dist(), err}
	}
	return err
}

// job is where and how a recipe's script runs.
type job struct {
	name     string // of the generated files, e.g. build
	dir      string // working folder
	vars     map[string]string
	prefixes []string // to activate, in this order
	view     sandbox.View
}

// run runs s. Its commands are one script for one shell, as conda-build and
// recipe.yaml builders treat them.
func (b *build) run(ctx context.Context, s recipe.Script, j job) error {
	args, err := b.commandLine(s, j)
	if err != nil {
		return err
	}
	j.vars = maps.Clone(j.vars)
	if j.vars["BASH_ENV"], err = b.activation(j); err != nil {
		return err
	}
	if err := j.makeTmp(); err != nil {
		return err
	}
	lines := b.Lines()
	err = sandbox.Run(ctx, sandbox.Command{
		Args: args, Dir: j.dir, Env: environList(j.vars), Output: lines,
		Timeout: b.Timeout, IdleTimeout: b.IdleTimeout,
		Walls: b.walls(), View: j.view, Began: b.tellLayers, Left: b.tellLeft,
	})
	return errors.Join(err, lines.Close())
}

// commandLine is the interpreter and its script. bash gets the recipe's own
// file, so that its messages name the line that the author knows.
func (b *build) commandLine(s recipe.Script, j job) ([]string, error) {
	file := filepath.Join(b.Dir, filepath.FromSlash(s.File))
	if s.File == "" {
		file = filepath.Join(b.dirs.scripts, j.name+".sh")
		if err := os.WriteFile(file, []byte(strings.Join(s.Lines, "\n")+"\n"), 0o644); err != nil {
			return nil, fmt.Errorf("write the script: %w", err)
		}
	}
	interpreter := s.Interpreter
	if interpreter == "" && filepath.Ext(s.File) == ".py" {
		interpreter = "python"
	}
	if interpreter == "" || interpreter == "bash" {
		return []string{"/bin/bash", "-e", file}, nil
	}
	// Another interpreter comes from the activated environment: bash activates
	// (BASH_ENV) and becomes it.
	return []string{"/bin/bash", "-c", `exec "$0" "$@"`, program(interpreter), file}, nil
}

// program is what an interpreter of a recipe is called on disk.
func program(interpreter string) string {
	switch interpreter {
	case "rscript":
		return "Rscript"
	case "nushell":
		return "nu"
	case "powershell":
		return "pwsh"
	}
	return interpreter
}

// activation writes the file that bash reads before the script (BASH_ENV): it
// runs the activation scripts of each prefix once, with CONDA_PREFIX naming
// that prefix, as conda activate does; the script sees its own again.
func (b *build) activation(j job) (string, error) {
	var text strings.Builder
	text.WriteString("unset BASH_ENV\n")
	for _, prefix := range slices.Compact(slices.Clone(j.prefixes)) { // the two may be one
		found, err := activate.Read(prefix)
		if err != nil {
			return "", fmt.Errorf("read the activation of %s: %w", prefix, err)
		}
		maps.Copy(j.vars, found.Vars)
		if len(found.Scripts) > 0 {
			fmt.Fprintf(&text, "export CONDA_PREFIX=%s\n", shellQuote(prefix))
		}
		for _, script := range found.Scripts {
			fmt.Fprintf(&text, ". %s\n", shellQuote(script))
		}
		if len(found.Scripts) > 0 { // one may have gone elsewhere
			fmt.Fprintf(&text, "[ \"$PWD\" = %[1]s ] || cd %[1]s\n", shellQuote(j.dir))
		}
	}
	fmt.Fprintf(&text, "export CONDA_PREFIX=%s\n", shellQuote(j.vars["PREFIX"]))
	file := filepath.Join(b.dirs.scripts, "activate_"+j.name+".sh")
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		return "", fmt.Errorf("write the activation: %w", err)
	}
	return file, nil
}

// shellQuote makes one word of any text for a POSIX shell.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
