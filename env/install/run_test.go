package install

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// systemPython is a package whose python is the machine's, which is found in PATH.
func systemPython(t *testing.T) (pkg made, tag string) {
	t.Helper()
	program, err := exec.LookPath("python3")
	switch {
	case err != nil && os.Getenv("CONDAWORKER_TEST_NOSKIP") != "":
		t.Fatal("there is no python3, and nothing may be skipped")
	case err != nil:
		t.Skip("not here: python3")
	}
	out, err := exec.Command(program, "-c", "import sys; print('%d.%d %s' % (*sys.version_info[:2], sys.implementation.cache_tag), sys.executable)").Output()
	must(t, err)
	fields := strings.Fields(string(out))
	name := "bin/python" + fields[0]
	script := "#!/bin/sh\necho called >>\"$PREFIX/calls\"\nunset PYTHONDONTWRITEBYTECODE\nexec '" + fields[2] + "' \"$@\"\n"
	return made{name: "python", version: fields[0] + ".1", files: []file{{name: name, content: script, mode: 0o755}}}, fields[1]
}

// plainly runs a command with the machine's variables.
func plainly(_ context.Context, c Command) error {
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Dir, cmd.Env = c.Dir, append(os.Environ(), c.Env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return errors.Join(err, errors.New(string(out)))
	}
	return nil
}

func TestModulesAreCompiledByOneProcess(t *testing.T) {
	python, tag := systemPython(t)
	site := "lib/python" + strings.TrimSuffix(python.version, ".1") + "/site-packages/"
	lib := made{name: "lib", noarch: "python", files: []file{
		{name: "site-packages/lib/__init__.py", content: "x = 1\n"},
		{name: "site-packages/lib/template.py", content: "{{ this is no python }}\n"},
		{name: "site-packages/lib/own.py", content: "y = 1\n"},
		{name: "site-packages/lib/__pycache__/own." + tag + ".pyc", content: "its own"},
		{name: "share/other.py", content: "z = 1\n"},
	}}
	second := made{name: "second", noarch: "python", files: []file{{name: "site-packages/second.py", content: "x = 2\n"}}}
	prefix := filepath.Join(t.TempDir(), "env")
	o := Options{Cache: t.TempDir(), Run: plainly, Warn: func(text string) { t.Error(text) }}
	must(t, Install(t.Context(), writeAll(t, []made{lib, python, second}), prefix, o))
	got := tree(t, prefix)
	if got["calls"] != "644 called\n" {
		t.Errorf("python was called: %q", got["calls"])
	}
	want := map[string]bool{
		site + "lib/__pycache__/__init__." + tag + ".pyc": true,
		site + "lib/__pycache__/own." + tag + ".pyc":      true,
		site + "__pycache__/second." + tag + ".pyc":       true,
	}
	found := map[string]bool{}
	for name, text := range got {
		if strings.HasSuffix(name, ".pyc") {
			found[name] = true
			if strings.Contains(name, "own") != strings.HasSuffix(text, "its own") {
				t.Errorf("%s is %q", name, text)
			}
		}
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(filepath.Join(prefix, "conda-meta/lib-1.0-0.json"))
	must(t, err)
	var record struct {
		Files []string `json:"files"`
		Data  struct {
			Paths []pathEntry `json:"paths"`
		} `json:"paths_data"`
	}
	must(t, json.Unmarshal(text, &record))
	last := record.Data.Paths[len(record.Data.Paths)-1]
	if last.PathType != compiled || last.Size == 0 || len(record.Files) != 6 {
		t.Errorf("%+v %v", last, record.Files)
	}
	// They leave with their package.
	o.Remove = []string{"lib", "second"}
	must(t, Install(t.Context(), nil, prefix, o))
	if _, err := os.Stat(filepath.Join(prefix, "lib")); err == nil {
		t.Error("lib is still there")
	}
}

// What python compiled by itself is in no package's way, and leaves with its module: a
// folder with nothing else would be a module still.
func TestWhatPythonCompiledItself(t *testing.T) {
	prefix, cache := filepath.Join(t.TempDir(), "env"), t.TempDir()
	lib := func(version string) made {
		return made{name: "lib", version: version, noarch: "python", files: []file{{name: "site-packages/lib/__init__.py"}, {name: "site-packages/lib/sub/x.py"}}}
	}
	site := filepath.Join(prefix, "lib/python1.0/site-packages")
	imported := func(names ...string) {
		t.Helper()
		for _, name := range names {
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(site, name)), 0o755))
			must(t, os.WriteFile(filepath.Join(site, name), []byte("by python"), 0o644))
		}
	}
	compile := func(_ context.Context, c Command) error {
		imported("lib/__pycache__/__init__.cpython-10.pyc")
		return nil
	}
	must(t, Install(t.Context(), []Package{pythonPackage(t), lib("1.0").write(t)}, prefix, Options{Cache: cache}))
	imported("__pycache__/mine.cpython-10.pyc", "lib/__pycache__/__init__.cpython-10.pyc", "lib/sub/__pycache__/x.cpython-10.opt-1.pyc")
	before := whole(t, prefix)
	o := Options{Cache: cache, Remove: []string{"lib"}, Run: compile, LinkScripts: true}
	failing := made{name: "failing", files: []file{{name: "site-packages/y.py"}, {name: "bin/.failing-post-link.sh"}}}
	o.Run = func(ctx context.Context, c Command) error { return errors.New("exit status 1") }
	if err := Install(t.Context(), writeAll(t, []made{lib("2.0"), failing}), prefix, o); err == nil {
		t.Error("no error")
	}
	if diff := cmp.Diff(before, whole(t, prefix)); diff != "" {
		t.Errorf("as it was -, after the undoing +\n%s", diff)
	}
	o.Run = compile
	must(t, Install(t.Context(), writeAll(t, []made{lib("2.0")}), prefix, o))
	want := map[string]string{
		"__pycache__/mine.cpython-10.pyc": "644 by python", "lib/__init__.py": "644 ", "lib/sub/x.py": "644 ",
		"lib/__pycache__/__init__.cpython-10.pyc": "644 by python",
	}
	if diff := cmp.Diff(want, tree(t, site)); diff != "" {
		t.Error(diff)
	}
	imported("lib/sub/__pycache__/x.cpython-10.pyc")
	must(t, Install(t.Context(), nil, prefix, Options{Cache: cache, Remove: []string{"lib"}}))
	if got := strings.Join(list(t, site), " "); got != "__pycache__" {
		t.Errorf("left: %s", got)
	}
	imported("lib/__pycache__/__init__.cpython-10.pyc") // as other clients leave it
	must(t, Install(t.Context(), writeAll(t, []made{lib("1.0")}), prefix, Options{Cache: cache, Run: compile}))
}

// What python was writing when it was ended goes, too, and if it should stay, with its
// module.
func TestACompilationThatIsCutOff(t *testing.T) {
	prefix, cache := filepath.Join(t.TempDir(), "env"), t.TempDir()
	lib := func(version string) Package {
		return made{name: "lib", version: version, noarch: "python", files: []file{{name: "site-packages/lib/x.py", content: version}}}.write(t)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{Cache: cache}
	o.Run = func(_ context.Context, c Command) error {
		folder := filepath.Join(c.Dir, "lib/python1.0/site-packages/lib", bytecodeFolder)
		return errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(filepath.Join(folder, "x.cpython-10.pyc.1407"), nil, 0o644), os.WriteFile(filepath.Join(folder, "x.cpython-10.pyc"), nil, 0o644))
	}
	must(t, Install(ctx, []Package{pythonPackage(t), lib("1.0")}, prefix, o))
	must(t, os.Remove(filepath.Join(prefix, "lib/python1.0/site-packages/lib", bytecodeFolder, "x.cpython-10.pyc.1407")))
	want := whole(t, prefix)
	compiled := o.Run
	o.Remove = []string{"lib"}
	o.Run = func(ctx context.Context, c Command) error {
		cancel()
		return compiled(ctx, c)
	}
	if err := Install(ctx, []Package{lib("2.0")}, prefix, o); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if diff := cmp.Diff(want, whole(t, prefix)); diff != "" {
		t.Errorf("as it was -, after the undoing +\n%s", diff)
	}
	o.Run = compiled
	must(t, Install(t.Context(), []Package{lib("2.0")}, prefix, o))
	must(t, Install(t.Context(), nil, prefix, Options{Cache: cache, Remove: []string{"lib"}}))
	if _, err := os.Stat(filepath.Join(prefix, "lib")); err == nil {
		t.Error("lib is still there")
	}
}

func TestAPythonThatCannotCompileIsAWarning(t *testing.T) {
	var warnings []string
	pkgs := []Package{pythonPackage(t), noarchPackage(t, "")}
	o := Options{Cache: t.TempDir(), Warn: func(text string) { warnings = append(warnings, text) }}
	o.Run = func(context.Context, Command) error { return errors.New("exec format error") }
	must(t, Install(t.Context(), pkgs, filepath.Join(t.TempDir(), "env"), o))
	if len(warnings) != 1 || !strings.Contains(warnings[0], "bin/python1.0 compiled no module of 2 (exec format error)") {
		t.Error(warnings)
	}
}

func TestLinkScripts(t *testing.T) {
	m := made{name: "demo", files: []file{
		{name: "bin/.demo-post-link.sh", content: "echo \"$PREFIX $PKG_NAME $PKG_VERSION $PKG_BUILDNUM\" >>\"$PREFIX/log\"\necho hello >\"$PREFIX/.messages.txt\"\n", mode: 0o755},
		{name: "bin/.demo-pre-unlink.sh", content: "[ -f \"$PREFIX/share/demo\" ] && echo bye >>\"$PREFIX/log\"\n", mode: 0o755},
		{name: "share/demo", content: "x"},
	}}
	for _, on := range []bool{false, true} {
		prefix := filepath.Join(t.TempDir(), "env")
		var said []string
		o := Options{Cache: t.TempDir(), LinkScripts: on, Run: plainly, Warn: func(text string) { said = append(said, text) }}
		must(t, Install(t.Context(), []Package{m.write(t)}, prefix, o))
		o.Remove = []string{"demo"}
		must(t, Install(t.Context(), nil, prefix, o))
		wantLog, wantSaid := "", []string{"demo-1.0-0 has a post-link script, which is not run", "demo-1.0-0 has a pre-unlink script, which is not run"}
		if on {
			wantLog, wantSaid = prefix+" demo 1.0 0\nbye\n", []string{"demo-1.0-0 says: hello"}
		}
		log, _ := os.ReadFile(filepath.Join(prefix, "log")) // without scripts there is none
		if diff := cmp.Diff(wantLog, string(log)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(wantSaid, said); diff != "" {
			t.Error(diff)
		}
	}
}

// A post-link script finds the prefix activated, and says why it fails.
func TestAPostLinkScriptIsActivated(t *testing.T) {
	m := made{name: "demo", files: []file{
		{name: "bin/.demo-post-link.sh", content: "echo \"$SCRIPT $VARIABLE $(pwd) $#\" >\"$PREFIX/.messages.txt\"\n[ \"$SCRIPT\" != bad ]\n", mode: 0o755},
		{name: "etc/conda/activate.d/a b.sh", content: "export SCRIPT='good one'\ncd /\nfalse\n"},
		{name: "etc/conda/env_vars.d/demo.json", content: `{"VARIABLE": "of demo"}`},
	}}
	prefix := filepath.Join(t.TempDir(), "the env")
	var said []string
	o := Options{Cache: t.TempDir(), LinkScripts: true, Run: plainly, Warn: func(text string) { said = append(said, text) }}
	must(t, Install(t.Context(), []Package{m.write(t)}, prefix, o))
	if want := "demo-1.0-0 says: good one of demo " + prefix + " 0"; len(said) != 1 || said[0] != want {
		t.Errorf("%q, want %q", said, want)
	}
	m.files[1].content = "export SCRIPT=bad\n"
	said = nil
	err := Install(t.Context(), []Package{m.write(t)}, prefix+" 2", o)
	if err == nil || !strings.Contains(err.Error(), "the post-link script of demo-1.0-0") || len(said) != 1 || !strings.Contains(said[0], "says: bad") {
		t.Error(err, said)
	}
}

// A pre-link script is named and not run, whatever may be.
func TestPreLinkScripts(t *testing.T) {
	m := made{name: "demo", files: []file{{name: "bin/.demo-pre-link.sh", content: "echo ran >\"$PREFIX/log\"\n", mode: 0o755}}}
	for _, on := range []bool{false, true} {
		prefix := filepath.Join(t.TempDir(), "env")
		var said []string
		o := Options{Cache: t.TempDir(), LinkScripts: on, Run: plainly, Warn: func(text string) { said = append(said, text) }}
		must(t, Install(t.Context(), []Package{m.write(t)}, prefix, o))
		if len(said) != 1 || !strings.Contains(said[0], "demo-1.0-0 has a pre-link script, which is never run") {
			t.Error(said)
		}
		if _, err := os.Stat(filepath.Join(prefix, "log")); err == nil {
			t.Error("it was run")
		}
	}
}
