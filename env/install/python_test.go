package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// pythonPackage is a python that is no more than a shell script: it says how it
// was called.
func pythonPackage(t *testing.T) Package {
	t.Helper()
	return made{name: "python", files: []file{{name: "bin/python1.0", content: "#!/bin/sh\necho \"python $*\"\n", mode: 0o755}}}.write(t)
}

func noarchPackage(t *testing.T, entryPoints string) Package {
	t.Helper()
	return made{
		name: "lib", noarch: "python",
		files: []file{
			{name: "site-packages/lib/__init__.py", content: "x = 1\n"},
			{name: "site-packages/lib/again.py", target: "__init__.py"},
			{name: "python-scripts/script", content: "#!" + placeholder + "/bin/python\n", mode: 0o755, record: text(placeholder)},
			{name: "share/lib", content: "data"},
		},
		info: []file{{name: "info/link.json", content: `{"noarch": {"type": "python", "entry_points": [` + entryPoints + `]}, "package_metadata_version": 1}`}},
	}.write(t)
}

func TestNoarchPythonIsLaidOutForItsPython(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("packages are installed on Unix")
	}
	for _, name := range []string{"p", "with a blank", strings.Repeat("long", 40)} {
		prefix := filepath.Join(t.TempDir(), name)
		// The package comes first: python may depend on it, as on pip.
		pkgs := []Package{noarchPackage(t, `"tool = lib.main:App.run", "other=lib:x [extra]"`), pythonPackage(t)}
		must(t, Install(t.Context(), pkgs, prefix, Options{Cache: t.TempDir()}))
		for _, f := range []string{"lib/python1.0/site-packages/lib/__init__.py", "lib/python1.0/site-packages/lib/again.py", "bin/other", "share/lib"} {
			if _, err := os.Stat(filepath.Join(prefix, f)); err != nil {
				t.Error(err)
			}
		}
		for _, gone := range []string{"site-packages", "python-scripts"} {
			if _, err := os.Stat(filepath.Join(prefix, gone)); err == nil {
				t.Errorf("%s is in the prefix", gone)
			}
		}
		tool := filepath.Join(prefix, "bin", "tool")
		out, err := exec.Command(tool, "-x", "a b").CombinedOutput()
		if want := "python " + tool + " -x a b\n"; err != nil || string(out) != want {
			t.Errorf("%s: %q %v, want %q", name, out, err, want)
		}
		source, err := os.ReadFile(tool)
		if err != nil || !strings.Contains(string(source), "from lib.main import App\n") || !strings.Contains(string(source), "sys.exit(App.run())") {
			t.Errorf("%s %v", source, err)
		}
		record, err := os.ReadFile(filepath.Join(prefix, "conda-meta", "lib-1.0-0.json"))
		if err != nil || !strings.Contains(string(record), `"bin/tool"`) || !strings.Contains(string(record), `"path_type": "unix_python_entry_point"`) || strings.Contains(string(record), `"site-packages/`) {
			t.Errorf("%s %v", record, err)
		}
	}
}

// A file where an entry point comes gives way to it, as with rattler.
func TestAnEntryPointReplacesAFile(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "env")
	must(t, Install(t.Context(), []Package{pythonPackage(t), noarchPackage(t, `"script = lib:x"`)}, prefix, Options{Cache: t.TempDir()}))
	text, err := os.ReadFile(filepath.Join(prefix, "bin", "script"))
	if err != nil || !strings.Contains(string(text), "from lib import x") {
		t.Errorf("%s %v", text, err)
	}
	record, err := os.ReadFile(filepath.Join(prefix, "conda-meta", "lib-1.0-0.json"))
	if n := strings.Count(string(record), `"_path": "bin/script"`); err != nil || n != 1 {
		t.Errorf("it is recorded %d times, %v", n, err)
	}
}

func TestNoarchPythonIntoAPrefixWithPython(t *testing.T) {
	prefix, cache := t.TempDir(), t.TempDir()
	must(t, Install(t.Context(), []Package{pythonPackage(t)}, prefix, Options{Cache: cache}))
	must(t, Install(t.Context(), []Package{noarchPackage(t, "")}, prefix, Options{Cache: cache}))
	if _, err := os.Stat(filepath.Join(prefix, "lib/python1.0/site-packages/lib/__init__.py")); err != nil {
		t.Error(err)
	}
}

func TestWherePythonKeepsModules(t *testing.T) {
	for _, tt := range []struct{ version, own, want string }{
		{"3.12.4", "", "lib/python3.12/site-packages"},
		{"3.13.0rc1", "lib/python3.13t/site-packages", "lib/python3.13t/site-packages"},
		{"3", "", ""},
		{"3.12", "../elsewhere", ""},
		{"3.12", "/etc", ""},
		{"3.12", "conda-meta", ""},
	} {
		p, err := newPython(tt.version, tt.own)
		if (err != nil) != (tt.want == "") || p != nil && p.sitePackages != tt.want {
			t.Errorf("%s %q: %v %v", tt.version, tt.own, p, err)
		}
	}
}

func TestEntryPointsThatAreNoneAreRefused(t *testing.T) {
	for _, entry := range []string{`"../x = a:b"`, `"x"`, `"x = a"`, `"x = a:b; import os"`, `"x/y = a:b"`, `". = a:b"`, `".. = a:b"`, `7`, `" = a:b"`, `"x = a b:c"`} {
		prefix := filepath.Join(t.TempDir(), "p")
		err := Install(t.Context(), []Package{pythonPackage(t), noarchPackage(t, entry)}, prefix, Options{Cache: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), "info/link.json") {
			t.Errorf("%s: %v", entry, err)
		}
	}
}
