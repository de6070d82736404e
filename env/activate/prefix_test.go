package activate_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/env/activate"
)

func TestRead(t *testing.T) {
	prefix := t.TempDir()
	for name, content := range map[string]string{
		"etc/conda/activate.d/b.sh": "", "etc/conda/activate.d/a.sh": "", "etc/conda/activate.d/a.bat": "", "etc/conda/activate.d/a.fish": "",
		"etc/conda/deactivate.d/b.sh": "", "etc/conda/deactivate.d/a.sh": "", "etc/conda/deactivate.d/a.bat": "",
		"etc/conda/env_vars.d/1.json": `{"A": "1", "B": "1", "C": "1"}`,
		"etc/conda/env_vars.d/2.json": `{"B": "2", "PORT": 3.10}`,
		"conda-meta/state":            `{"env_vars": {"C": "***unset***", "D": "3", "ON": true, "OFF": false}, "version": 1}`,
	} {
		full := filepath.Join(prefix, name)
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		must(t, os.WriteFile(full, []byte(content), 0o644))
	}
	got, err := activate.Read(prefix)
	must(t, err)
	in := func(name string) string { return filepath.Join(prefix, filepath.FromSlash(name)) }
	want := activate.Activation{
		Scripts:           []string{in("etc/conda/activate.d/a.sh"), in("etc/conda/activate.d/b.sh")},
		DeactivateScripts: []string{in("etc/conda/deactivate.d/b.sh"), in("etc/conda/deactivate.d/a.sh")},
		Vars:              map[string]string{"A": "1", "B": "2", "D": "3", "PORT": "3.10", "ON": "True", "OFF": "False"},
		Path:              []string{in("bin")},
	}
	if runtime.GOOS == "windows" {
		want.Scripts, want.DeactivateScripts = []string{in("etc/conda/activate.d/a.bat")}, []string{in("etc/conda/deactivate.d/a.bat")}
		want.Path = []string{prefix, in("Library/mingw-w64/bin"), in("Library/usr/bin"), in("Library/bin"), in("Scripts"), in("bin")}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A file that is null has nothing, a variable that is null is removed, and what the user
// set himself is in upper case, as conda, mamba and rattler have it.
func TestReadOddValues(t *testing.T) {
	prefix := t.TempDir()
	for name, content := range map[string]string{
		"etc/conda/env_vars.d/1.json": `{"A": "1", "GONE": null, "AGAIN": null, "Mixed": "1"}`,
		"etc/conda/env_vars.d/2.json": `null`,
		"etc/conda/env_vars.d/3.json": `{"AGAIN": "3"}`,
		"conda-meta/state":            `{"env_vars": {"lower": "x", "a": null, "again": "***unset***"}}`,
	} {
		full := filepath.Join(prefix, name)
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		must(t, os.WriteFile(full, []byte(content), 0o644))
	}
	got, err := activate.Read(prefix)
	must(t, err)
	if diff := cmp.Diff(map[string]string{"LOWER": "x", "Mixed": "1"}, got.Vars); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"A", "GONE"}, got.Unset); diff != "" {
		t.Error(diff)
	}
}

func TestReadOfNothing(t *testing.T) {
	got, err := activate.Read(filepath.Join(t.TempDir(), "none"))
	if err != nil || got.Vars == nil || len(got.Vars) != 0 || got.Scripts != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	prefix := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(prefix, "etc/conda/env_vars.d"), 0o755))
	must(t, os.WriteFile(filepath.Join(prefix, "etc/conda/env_vars.d/x.json"), []byte("null"), 0o644))
	if got, err := activate.Read(prefix); err != nil || got.Vars == nil {
		t.Errorf("null: %+v, %v", got, err)
	}
	for broken, why := range map[string]string{
		"{": "unexpected end", `{"A": [1]}`: "[1] is no text", `{"A": {}}`: "{} is no text", `{"A": "x\u0000"}`: "has a NUL",
		`["A"]`: "no JSON object", `"A"`: "no JSON object",
	} {
		must(t, os.WriteFile(filepath.Join(prefix, "etc/conda/env_vars.d/x.json"), []byte(broken), 0o644))
		if _, err := activate.Read(prefix); err == nil || !strings.Contains(err.Error(), "x.json: ") || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "leave out the package") {
			t.Errorf("the broken file %s: %v", broken, err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
