package recipe

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// metaExpectation is what conda-build makes of a recipe without any channel.
type metaExpectation struct {
	Error   bool
	Outputs []struct {
		Name, Version, Subdir string
		BuildString           string `json:"build_string"`
		Requirements          json.RawMessage
	}
}

// TestMetaConformance compares with conda-build's own rendering of recipes. Some
// ask a git checkout that is not here: what it says is put in its place. One needs
// a setup.py outside of the recipe.
func TestMetaConformance(t *testing.T) {
	root := conformance(t, "meta")
	files, err := filepath.Glob(filepath.Join(root, "*", "expected.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d expectations, %v", len(files), err)
	}
	passed := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want metaExpectation
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(filepath.Dir(file))
		got, err := renderMeta(filepath.Join(filepath.Dir(file), "recipe"))
		switch wanted := want.identities(); {
		case want.Error != (err != nil):
			t.Logf("%s: %v", name, err)
		case !want.Error && !slices.Equal(wanted, got):
			t.Logf("%s: got %q, want %q", name, got, wanted)
		default:
			passed++
		}
	}
	t.Logf("%d of %d", passed, len(files))
	if share := float64(passed) / float64(len(files)); share < 0.98 {
		t.Errorf("%.2f %% of the recipes agree", 100*share)
	}
}

// identities are the outputs' names, versions, build strings and subdirs.
func (m metaExpectation) identities() []string {
	var all []string
	for _, o := range m.Outputs {
		all = append(all, fmt.Sprint(o.Name, " ", o.Version, " ", o.BuildString, " ", o.Subdir))
	}
	slices.Sort(all)
	return all
}

// renderMeta renders a recipe with the variants beside it.
func renderMeta(dir string) ([]string, error) {
	files := os.DirFS(dir)
	o := Options{TargetPlatform: "linux-64", Env: map[string]string{"CONDA_TEST_VAR": "conda_test", "CONDA_TEST_VAR_2": "conda_test_2", "TEST_FN": "test"}}
	o.Env["CONDA_BUILD_TEST_RECIPE_PATH"] = "/checkout"
	o.Git = repositories{"location": "/checkout", "head": "92c836a", "long ": "1.22.0-0-g92c836a"}
	text, err := fs.ReadFile(files, "conda_build_config.yaml")
	switch {
	case err == nil:
		o.VariantFiles = []VariantFile{{Name: "conda_build_config.yaml", Text: strings.ReplaceAll(string(text), "\r\n", "\n")}}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	result, err := Render(files, "meta.yaml", o)
	var all []string
	for _, out := range result.Outputs {
		all = append(all, fmt.Sprint(out.Name, " ", out.Version, " ", out.BuildString, " ", cmp.Or(out.BuiltFor, out.Subdir)))
	}
	slices.Sort(all)
	return all, err
}

// TestOnlyUsedKeysAreMultipliedOut has as many combinations as conda-forge's own
// file, of which a recipe uses a few.
func TestOnlyUsedKeysAreMultipliedOut(t *testing.T) {
	var config strings.Builder
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"} {
		fmt.Fprintf(&config, "%s_key:\n  - 1\n  - 2\n  - 3\n", key)
	}
	text := head + "build:\n  string: x{{ a_key }}{{ b_key }}{{ l_key }}\n"
	result, err := Render(folder("meta.yaml", text), "meta.yaml", Options{
		TargetPlatform: "linux-64", VariantFiles: []VariantFile{{Name: "conda_build_config.yaml", Text: config.String()}},
	})
	if err != nil || len(result.Outputs) != 27 {
		t.Errorf("%d outputs, %v", len(result.Outputs), err)
	}
}

// The values were observed with conda-build.
func TestASubspaceOfZippedKeys(t *testing.T) {
	base := VariantFile{Name: "conda_build_config.yaml", Text: `a:
  - coffee
  - coffee
  - llama
b:
  - 123
  - abc
  - concrete
c:
  - mooo
  - baaa
  - woof
zip_keys:
  - a
  - b
  - c
`}
	text := "package:\n  name: p\n  version: 1\nrequirements:\n  build:\n    - x {{ a }}\n    - y {{ b }}\n"
	for more, want := range map[string]int{
		"": 3, "a:\n  - coffee\n": 2, "a:\n  - coffee\nb:\n  - 123\n": 1, "a:\n  - some\nb:\n  - new\nc:\n  - animal\n": 1, "c:\n  - not an animal\n": -1,
	} {
		files := []VariantFile{base, {Name: "more.yaml", Text: more}}
		result, err := Render(folder("meta.yaml", text), "meta.yaml", Options{TargetPlatform: "linux-64", VariantFiles: files})
		if want < 0 {
			if err == nil || !strings.Contains(err.Error(), "more.yaml:1:1: the value not an animal of c is not among those") {
				t.Errorf("%q: %v", more, err)
			}
			continue
		}
		if err != nil || len(result.Outputs) != want {
			t.Errorf("%q: %d outputs, want %d, %v", more, len(result.Outputs), want, err)
		}
	}
}

// An empty section host makes a prefix of its own for a recipe, and none for an output.
func TestAnEmptySectionHost(t *testing.T) {
	for requirements, merged := range map[string]bool{"{build: [b], host: []}": false, "{build: [b]}": true, "{build: [b], host: [c]}": false} {
		recipe := render(t, folder("meta.yaml", head+"requirements: "+requirements+"\n"), Options{})
		if recipe.Build.MergeBuildHost != merged {
			t.Errorf("%s: one prefix is %v", requirements, !merged)
		}
		output := render(t, folder("meta.yaml", head+"outputs:\n  - name: out\n    requirements: "+requirements+"\n"), Options{})
		if want := merged || requirements == "{build: [b], host: []}"; output.Build.MergeBuildHost != want {
			t.Errorf("output with %s: one prefix is %v", requirements, !want)
		}
	}
}

// conda-build writes what conda makes of a run requirement.
func TestRunSpecsOfMeta(t *testing.T) {
	for in, want := range map[string]string{
		"foo": "foo", "foo 1.2": "foo 1.2.*", "foo=1.2": "foo 1.2.*", "foo =1.2": "foo 1.2.*", "foo ==1.2": "foo 1.2", "foo>=1.2": "foo >=1.2",
		"foo 1.2 h1_0": "foo 1.2 h1_0", "foo >=1,<2": "foo >=1,<2", "foo 1.2.* *_x": "foo 1.2.* *_x", "foo[md5=x]": "foo[md5=x]", "a::foo >=1": "foo >=1",
		"a/linux-64::foo": "foo", "foo * h1_0": "foo * h1_0", "foo=*=h1_0": "foo * h1_0",
	} {
		if got := (&Output{Format: V0}).RunSpec(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

// Rows as conda-build prints them.
func TestPinsOfMeta(t *testing.T) {
	for _, tt := range []struct{ version, lower, upper, want string }{
		{"1.2.3", "x.x.x.x.x.x", "x", ">=1.2.3,<2.0a0"},
		{"1.2.3", "x.x", "x.x", ">=1.2,<1.3.0a0"},
		{"9b", "x.x.x", "x", ">=9b,<10a"},
		{"1.1.1w", "x.x.x.x.x.x", "x.x.x", ">=1.1.1w,<1.1.2a"},
		{"1.2", "x.x.x", "x.x.x.x", ">=1.2,<1.3.0a0"},
		{"1.2.3", "", "x", "<2.0a0"},
		{"1.2.3", "x.x", "", ">=1.2"},
		{"5.0.0a1", "x.x.x", "x", ">=5.0.0a1,<6.0a0"},
		{"1.1.1w", "x.x.x", "x.x.x", ">=1.1.1w,<1.1.2a"},
		{"1.1.1w", "x.x.x.x.x.x", "x.x.x.x", ">=1.1.1w,<1.1.1x"},
		{"9b", "x", "x.x", ">=9b,<9c"},
		{"2023c", "x.x.x.x.x.x", "x", ">=2023c,<2024a"},
		{"2.0.0rc1", "x.x.x.x.x.x", "x.x.x", ">=2.0.0rc1,<2.0.1a"},
		{"2.0.0rc1", "x.x", "x.x.x.x", ">=2.0.0rc1,<2.0.1a"},
		{"3.10.0.rc1", "x.x.x.x", "x.x.x", ">=3.10.0.rc1,<3.10.1.0a0"},
		{"1!2.3", "x.x", "x", ">=1!2.3,<1!3.0a0"},
		{"2.0.1", "1.19", "x", ">=1.19,<2.0a0"},
		{"2.0.1", "x.x", "3", ">=2.0.1,<3"},
		{"2.0.1", "1.19", "3", ">=1.19,<3"},
	} {
		if got := (Pin{Name: "a", Lower: tt.lower, Upper: tt.upper}).applyV0(tt.version, ""); got != "a "+tt.want {
			t.Errorf("%+v: got %s", tt, got)
		}
	}
}

// What constrains others is packed as it is written: a version alone is that version.
func TestConstraintsAndExportsStayAsWritten(t *testing.T) {
	text := head + "build:\n  run_exports:\n    - a 1.0\nrequirements:\n  run:\n    - b 1.0\n  run_constrained:\n    - c 1.0\n"
	q := render(t, folder("meta.yaml", text), Options{}).Requirements
	got := slices.Concat(Specs(q.RunExports.Weak), Specs(q.Run), Specs(q.RunConstraints))
	if want := []string{"a 1.0", "b 1.0.*", "c 1.0"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// What conda-build would take from a file of another tool is said, and not done.
func TestRequirementsTxt(t *testing.T) {
	for run, warned := range map[string]bool{"": true, "requirements:\n  run:\n    - b\n": false} {
		got := render(t, folder("meta.yaml", head+run, "requirements.txt"), Options{})
		if said := slices.ContainsFunc(got.Warnings, func(p tree.Problem) bool { return p.Pos.File == "requirements.txt" }); said != warned || len(Specs(got.Requirements.Run)) > 1 {
			t.Errorf("%q: %v", run, got.Warnings)
		}
	}
}

// Of a noarch package conda-build does not pin Python, whatever else it is.
func TestThePythonOfNoarchPackages(t *testing.T) {
	for noarch, pinned := range map[string]bool{"  noarch: python\n": false, "  noarch: generic\n": false, "  number: 1\n": true} {
		text := head + "build:\n" + noarch + "requirements:\n  host:\n    - python\n  run:\n    - python\n"
		if _, got := render(t, folder("meta.yaml", text), Options{}).Requirements.RunPins["python"]; got != pinned {
			t.Errorf("%s: pinned is %v", noarch, got)
		}
	}
}

// What conda-build knows only later is shown empty, and keeps a recipe from
// being built; what has a default is only doubted.
func TestWhatIsKnownLater(t *testing.T) {
	for _, tt := range []struct {
		template string
		column   int
		want     string
	}{
		{"{{ GIT_DESCRIBE_TAG[1:] }}", 16, "GIT_DESCRIBE_TAG is known only when the source was fetched"},
		{"{{ resolved_packages('host')[0] }}", 16, "resolved_packages is known only when the environments are there"},
		{"{% for p in resolved_packages('host') %}{% endfor %}", 25, "resolved_packages is known only when the environments are there"},
		{"{{ time.strftime('%Y') }}", 16, "time is not to be had"},
		{"{{ datetime.datetime.now() }}", 16, "datetime is not to be had"},
	} {
		list := problems(t, "meta.yaml", head+"about:\n  summary: x"+tt.template+"\n")
		if has(t, list, fmt.Sprint("meta.yaml:5:", tt.column), tt.want); len(list) != 1 {
			t.Errorf("%s: %v", tt.template, list)
		}
	}
	text := "package:\n  name: a\n  version: {{ environ.get('GIT_DESCRIBE_TAG', '0.0') }}\nsource:\n  path: .\n"
	got := render(t, folder("meta.yaml", text), Options{})
	if got.Version != "0.0" || len(got.Blockers) > 0 {
		t.Errorf("version %s, %v", got.Version, got.Blockers)
	}
	has(t, got.Warnings, "meta.yaml:3:28", "GIT_DESCRIBE_TAG is known only when the source was fetched: its default counts here")
}

// Keys that are extended choose nothing, and a file that has only some keys of a
// group chooses among its rows.
func TestExtendedKeysChooseNothing(t *testing.T) {
	files := []VariantFile{
		{Name: "a.yaml", Text: "extend_keys:\n  - flags\nflags:\n  - x\n  - y\nignore_version:\n  - zlib\nzlib:\n  - 1.2\n"},
		{Name: "b.yaml", Text: "flags:\n  - z\n"},
	}
	text := head + "requirements:\n  host:\n    - zlib\nabout:\n  summary: {% if flags %}a{% endif %}\n"
	result, err := Render(folder("meta.yaml", text), "meta.yaml", Options{TargetPlatform: "linux-64", VariantFiles: files})
	if err != nil || len(result.Outputs) != 1 || result.Outputs[0].BuildString != "0" {
		t.Fatalf("%+v, %v", result.Outputs, err)
	}
}

// A pin to another output is shown by its name, and built with its version.
func TestPinsBetweenOutputsOfMeta(t *testing.T) {
	text := `package:
  name: all
  version: 1.2.3
build:
  number: 2
outputs:
  - name: tool
    requirements:
      run:
        - {{ pin_subpackage('lib', max_pin='x.x') }}
        - {{ pin_subpackage('data', exact=True) }}
  - name: lib
  - name: data
    build:
      noarch: generic
`
	result, err := Render(folder("meta.yaml", text), "meta.yaml", Options{TargetPlatform: "linux-64"})
	if err != nil || len(result.Outputs) != 3 {
		t.Fatalf("%d outputs, %v", len(result.Outputs), err)
	}
	tool := result.Outputs[2]
	if run := strings.Join(Specs(tool.Requirements.Run), "; "); tool.Name != "tool" || run != "lib >=1.2.3,<1.3.0a0; data 1.2.3 2" {
		t.Errorf("%s: %s", tool.Name, run)
	}
	circle := strings.Replace(text, "  - name: lib\n", "  - name: lib\n    requirements:\n      host:\n        - tool\n", 1)
	has(t, problems(t, "meta.yaml", circle), "meta.yaml:7:5", "the outputs need each other: tool → lib → tool")
}
