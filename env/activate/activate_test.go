//go:build unix

package activate_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/env/activate"
)

// shell runs programs as they are, and keeps what they print.
func shell(out *strings.Builder) activate.Shell {
	return func(ctx context.Context, command activate.Command) error {
		c := exec.CommandContext(ctx, command.Args[0], command.Args[1:]...) //nolint:gosec // the test's own scripts
		c.Env, c.Stdout, c.Stderr = command.Env, out, out
		return c.Run()
	}
}

func noShell(context.Context, activate.Command) error {
	return errors.New("a shell was started")
}

// prefix is one with these files, in a folder whose name needs quotes.
func prefix(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "it's an env")
	for name, content := range files {
		full := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		must(t, os.WriteFile(full, []byte(content), 0o644))
	}
	return dir
}

// applied is vars after the changes.
func applied(vars map[string]string, changes []activate.Change) map[string]string {
	after := maps.Clone(vars)
	for _, c := range changes {
		after[c.Name] = c.Value
		if c.Unset {
			delete(after, c.Name)
		}
	}
	return after
}

func TestVariablesNeedNoShell(t *testing.T) {
	dir := prefix(t, map[string]string{
		"etc/conda/env_vars.d/app.json": `{"APP": "a 'b' \"c\"\nd", "no-identifier": "x"}`,
		"conda-meta/state":              `{"env_vars": {"MINE": "1"}}`,
	})
	got, err := activate.Changes(t.Context(), dir, map[string]string{"PATH": "/usr/bin:/bin", "MINE": "0"}, noShell)
	must(t, err)
	want := activate.Result{Changes: []activate.Change{
		{Name: "APP", Value: "a 'b' \"c\"\nd"},
		{Name: "CONDA_DEFAULT_ENV", Value: dir},
		{Name: "CONDA_PREFIX", Value: dir},
		{Name: "CONDA_PROMPT_MODIFIER", Value: "(" + dir + ") "},
		{Name: "CONDA_SHLVL", Value: "1"},
		{Name: "MINE", Value: "1"},
		{Name: "PATH", Value: dir + "/bin:/usr/bin:/bin"},
	}, Warnings: []string{`not set: no shell has a variable called "no-identifier"`}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestScriptsRunOnceInOneShell(t *testing.T) {
	dir := prefix(t, map[string]string{
		"etc/conda/env_vars.d/app.json": `{"APP": "1"}`,
		"etc/conda/activate.d/a.sh":     "echo said; export A=\"$APP $CONDA_PREFIX\"\nunset GONE\nlocal_only=1\ncd /",
		"etc/conda/activate.d/b.sh":     "export B=\"$A\"$'\\nquote\\'s \"x\" \\\\ = '\nexport -f f 2>/dev/null; export PATH=\"/opt/tool:$PATH\"\n[ -n \"$NONE\" ] && export NONE",
		"etc/conda/activate.d/c.sh":     "f() { :; }; export -f f; export EMPTY=",
	})
	vars := map[string]string{"PATH": "/usr/bin:/bin", "GONE": "1", "KEPT": "k\nk", "BASH_ENV": "/does/not/exist", "BASH_FUNC_g%%": "() { :; }"}
	var out strings.Builder
	got, err := activate.Changes(t.Context(), dir, vars, shell(&out))
	must(t, err)
	if out.String() != "said\n" {
		t.Errorf("the scripts printed %q", out.String())
	}
	if len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "activate.d/b.sh returned status 1") {
		t.Errorf("warnings: %q", got.Warnings)
	}
	want := map[string]string{
		"APP": "1", "A": "1 " + dir, "B": "1 " + dir + "\nquote's \"x\" \\ = ", "EMPTY": "",
		"PATH": "/opt/tool:" + dir + "/bin:/usr/bin:/bin", "CONDA_PREFIX": dir, "CONDA_DEFAULT_ENV": dir,
		"CONDA_PROMPT_MODIFIER": "(" + dir + ") ", "CONDA_SHLVL": "1",
		"KEPT": "k\nk", "BASH_ENV": "/does/not/exist", "BASH_FUNC_g%%": "() { :; }",
	}
	if diff := cmp.Diff(want, applied(vars, got.Changes)); diff != "" {
		t.Error(diff)
	}
	if last := got.Changes[len(got.Changes)-1]; last != (activate.Change{Name: "GONE", Unset: true}) {
		t.Errorf("the last change is %+v", last)
	}
}

func TestAVariableThatIsNullIsRemoved(t *testing.T) {
	for name, script := range map[string]string{"without a shell": "", "with one": "export SAW=\"$GONE\""} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"etc/conda/env_vars.d/app.json": `{"GONE": null, "NEVER": null, "PATH": null}`}
			if script != "" {
				files["etc/conda/activate.d/a.sh"] = script
			}
			dir := prefix(t, files)
			got, err := activate.Changes(t.Context(), dir, map[string]string{"PATH": "/usr/bin:/bin", "GONE": "1"}, shell(new(strings.Builder)))
			must(t, err)
			after := applied(map[string]string{"GONE": "1"}, got.Changes)
			if value, there := after["GONE"]; there || after["SAW"] != "" || after["PATH"] != dir+"/bin:/usr/bin:/bin" {
				t.Errorf("GONE=%s, %q", value, after)
			}
		})
	}
}

// A script works in the folder of the capture.
func TestStatusesThatAScriptWroteAreNotTaken(t *testing.T) {
	dir := prefix(t, map[string]string{"etc/conda/activate.d/a.sh": "printf '7 7 7\\n' >>\"${0%/*}/statuses\"; export A=1"})
	got, err := activate.Changes(t.Context(), dir, map[string]string{"PATH": "/usr/bin:/bin"}, shell(new(strings.Builder)))
	if err != nil || len(got.Warnings) != 1 || applied(map[string]string{}, got.Changes)["A"] != "1" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAFolderThatCannotBeMadeIsTold(t *testing.T) {
	dir := prefix(t, map[string]string{"etc/conda/activate.d/a.sh": ""})
	t.Setenv("TMPDIR", filepath.Join(dir, "none"))
	if _, err := activate.Changes(t.Context(), dir, nil, noShell); err == nil || !strings.Contains(err.Error(), "let TMPDIR name one") {
		t.Errorf("got %v", err)
	}
}

func TestAScriptThatEndsTheShellIsNamed(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"exit 3":      {"exit 3", "exit status 3"},
		"exit 0":      {"exit 0", "it called exit"},
		"a signal":    {"kill -9 $$", "killed"},
		"its set -e":  {"set -e\nfalse\nexport A=1", "exit status 1"},
		"set -u":      {"set -u\n: $NOT_THERE", "exit status"},
		"became echo": {"exec true", "it called exit"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := prefix(t, map[string]string{"etc/conda/activate.d/1-fine.sh": ":", "etc/conda/activate.d/2-bad.sh": c.script, "etc/conda/activate.d/3.sh": ":"})
			_, err := activate.Changes(t.Context(), dir, map[string]string{"PATH": "/usr/bin:/bin"}, shell(new(strings.Builder)))
			script, ok := errors.AsType[*activate.ScriptError](err)
			if !ok || script.Script != filepath.Join(dir, "etc/conda/activate.d/2-bad.sh") || !strings.Contains(err.Error(), c.want) || !strings.HasSuffix(err.Error(), "; correct it, or leave out its package") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What the session is told comes from a folder that scripts can change.
func TestOnlyWhatTheShellWroteIsRead(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "credentials")
	must(t, os.WriteFile(secret, []byte("KEY=secret\x00"), 0o600))
	for name, put := range map[string]string{"a link": "ln -sf " + secret, "a pipe": "rm -f \"${0%/*}/vars\"; mkfifo", "a folder": "rm -f \"${0%/*}/vars\"; mkdir"} {
		t.Run(name, func(t *testing.T) {
			dir := prefix(t, map[string]string{"etc/conda/activate.d/a.sh": "trap '" + put + " \"${0%/*}/vars\"' EXIT"})
			got, err := activate.Changes(t.Context(), dir, map[string]string{"PATH": "/usr/bin:/bin"}, shell(new(strings.Builder)))
			if err == nil || !strings.Contains(err.Error(), "a script replaced") || len(got.Changes) > 0 && strings.Contains(got.Changes[0].Value, "secret") {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestAnActiveEnvironmentIsLeftFirst(t *testing.T) {
	old := prefix(t, map[string]string{
		"etc/conda/env_vars.d/old.json":  `{"OLD": "1", "BOTH": "old"}`,
		"etc/conda/deactivate.d/old.sh":  "export LEFT=\"$OLD\"; unset SCRIPT",
		"etc/conda/activate.d/unused.sh": "exit 1",
	})
	dir := prefix(t, map[string]string{"etc/conda/env_vars.d/new.json": `{"BOTH": "new"}`})
	vars := map[string]string{
		"PATH": old + "/bin:/usr/bin:/bin", "CONDA_PREFIX": old, "CONDA_SHLVL": "1", "CONDA_DEFAULT_ENV": old,
		"OLD": "1", "BOTH": "old", "SCRIPT": "1",
	}
	got, err := activate.Changes(t.Context(), dir, vars, shell(new(strings.Builder)))
	must(t, err)
	want := map[string]string{
		"PATH": dir + "/bin:/usr/bin:/bin", "CONDA_PREFIX": dir, "CONDA_PREFIX_1": old, "CONDA_SHLVL": "2", "CONDA_DEFAULT_ENV": dir,
		"CONDA_PROMPT_MODIFIER": "(" + dir + ") ", "BOTH": "new", "LEFT": "1",
	}
	if diff := cmp.Diff(want, applied(vars, got.Changes)); diff != "" {
		t.Error(diff)
	}
	again, err := activate.Changes(t.Context(), dir, want, noShell)
	if err != nil || len(again.Changes) != 0 {
		t.Errorf("activating what is active: %+v, %v", again, err)
	}
}

func TestTheEndOfTheContextEndsAnActivation(t *testing.T) {
	dir := prefix(t, map[string]string{"etc/conda/activate.d/a.sh": "exec sleep 60"})
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("cancelled by terminated")
	err := func() error {
		_, err := activate.Changes(ctx, dir, nil, func(ctx context.Context, _ activate.Command) error {
			cancel(cause)
			return context.Cause(ctx)
		})
		return err
	}()
	if !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}
