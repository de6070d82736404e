package recipe

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/builder/recipe/platform"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/builder/recipe/variant"
)

const vendorV0 = `{% set name = "keyshot" %}
{% set version = "2025.2" %}
{% set short = ".".join(version.split(".")[:1]) %}
{% set build = "14.1" %}

package:
  name: {{ name }}
  version: {{ version }}

source:
  # the installer
  - url: archive_files/keyshot_{{ version.replace(".", "_") }}_{{ short }}.zip  # [not osx]
    sha256: 05e877c06216e102a040e11b6b7fd8364dc699ed01b9386fc407564ce722c454
    folder: installer
    patches:
      - fix.patch
      - windows.patch  # [win]
  - path: ../../{{ name[0] }}
    no_hoist: yes
  - git_url: https://example.org/x.git
    git_rev: v1

build:
  number: 2
  skip: true  # [win or py<38]
  script:
    - install.run --to $PREFIX  # [linux]
    - install.exe               # [win]
    - {{ PYTHON }} -m pip install .
  binary_relocation: False
  detect_binary_files_with_prefix: False
  ignore_prefix_files: ["*.json",
    "*.txt"]
  missing_dso_whitelist:
    - "**"
  script_env:
    - LICENSE_SERVER
    - BUILD_NUMBER = {{ build }}
  entry_points:
    - tool = pkg.main:run

requirements:
  build:
    - python
    - patchelf 0.18
  run:
    - python
    - pywin32 >=307  # [win]
  run_constrained:
    - houdini >=20

test:
  imports:
    - pkg
  commands:
    - keyshot -h
  requires:
    - pip
  files:
    - data.txt

about:
  home: https://example.org
  dev_url:
    - https://example.org/dev
  license: MIT
  license_file:
    - {{ environ["SRC_DIR"] }}/LICENSE
  summary: A tool
  tags: [a,
    b]

extra:
  final: on
`

func TestRenderV0(t *testing.T) {
	at := func(line, column int) tree.Pos { return tree.Pos{File: "meta.yaml", Line: line, Column: column} }
	got := render(t, folder("meta.yaml", vendorV0), Options{Variants: variant.Of(map[string]any{"python": "3.11", "unused": "x"})})
	want := &Output{
		Name: "keyshot", Version: "2025.2", BuildNumber: 2, BuildString: "py311_2", Subdir: "linux-64",
		Sources: []Source{
			{
				URLs: []string{"archive_files/keyshot_2025_2_2025.zip"}, SHA256: sha, Folder: "installer",
				Patches: []string{"fix.patch"}, Pos: tree.Pos{File: "meta.yaml", Line: 12, Column: 5},
			},
			{Path: "../../k", NoHoist: true, Pos: tree.Pos{File: "meta.yaml", Line: 18, Column: 5}},
			{Git: &Git{URL: "https://example.org/x.git", Rev: "v1"}, Pos: tree.Pos{File: "meta.yaml", Line: 20, Column: 5}},
		},
		Script: Script{
			Lines:   []string{"install.run --to $PREFIX", "${PYTHON} -m pip install ."},
			Env:     map[string]string{"BUILD_NUMBER": "14.1"},
			PassEnv: []string{"LICENSE_SERVER"},
		},
		Requirements: Requirements{
			Build: []Dependency{
				{Spec: "python 3.11.*", Pos: at(44, 7)}, {Spec: "patchelf 0.18", Resolved: "patchelf 0.18.*", Pos: at(45, 7)},
			},
			Run:            []Dependency{{Spec: "python", Pos: at(47, 7)}},
			RunConstraints: []Dependency{{Spec: "houdini >=20", Pos: at(50, 7)}},
			RunPins: map[string]Pin{
				"python": {Name: "python", Lower: "x.x", Upper: "x.x"}, "r-base": {Name: "r-base", Lower: "x.x", Upper: "x.x"},
			},
		},
		Build: Build{
			IgnoreBinaryFiles: true, IgnorePrefixGlobs: []string{"*.json", "*.txt"},
			EntryPoints: []string{"tool = pkg.main:run"}, MergeBuildHost: true, NoBinaryRelocation: true, MissingDSOAllow: []string{"**"},
		},
		Tests: []Test{{Script: Script{Lines: []string{"keyshot -h"}}, Python: &PythonTest{Imports: []string{"pkg"}, NoPip: true}, Requires: []string{"pip"}, Files: []string{"data.txt"}}},
		About: About{
			Home: "https://example.org", Repository: "https://example.org/dev", License: "MIT", LicenseFiles: []string{"LICENSE"},
			Summary: "A tool", Other: map[string]any{"tags": []any{"a", "b"}},
		},
		Extra:   map[string]any{"final": true},
		Variant: map[string]any{"python": "3.11", "target_platform": "linux-64"},
		Reads: []Read{
			{Key: "python", Pos: at(44, 5), Why: "used in the recipe's text"},
			{Key: "target_platform", Pos: at(6, 1), Why: "every package for one platform depends on it"},
		},
		HashInput: []byte("{}"), Format: V0, File: "meta.yaml", Pos: at(6, 1),
	}
	want.Rendered, want.Naming = got.Rendered, got.Naming
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSkippedByASelector(t *testing.T) {
	for _, o := range []Options{{TargetPlatform: "win-64"}, {TargetPlatform: "linux-64", Variants: variant.Of(map[string]any{"python": "3.7"})}} {
		outs, err := Render(folder("meta.yaml", vendorV0), "meta.yaml", o)
		if err != nil || len(outs.Outputs) != 0 {
			t.Errorf("%d outputs, %v", len(outs.Outputs), err)
		}
	}
}

// The rows were observed with conda-build.
func TestSelectors(t *testing.T) {
	for in, want := range map[string]string{
		"a: 1  # [linux]": "a: 1", "a: 1 #[linux]": "a: 1", "a: 1  [linux]": "a: 1", "a: 1  # [win]": "",
		"a: 1 # [linux] trailing": "a: 1", "a: 1 # see [link](http://x)": "a: 1 # see [link](http://x)",
		"a: [linux]": "a:", "a: x[0]": "", "a: 1 # [any([linux])]": "a: 1 # [any([linux])]", "'a # [linux]'": "'a'",
		"a: 1 # [unknown_x]": "", "a: 1 # [not unknown_x]": "a: 1", "  # [win] comment": "-",
		"a # [linux64 and x86_64]": "a", "a # [linux and not aarch64]": "a", "a # [py==312]": "a", "a # [py<38]": "",
		"a # [build_platform == 'linux-64']": "a", "a # [environ.get('X', 'y') == 'y']": "a", "a # [os.environ.get('HOME')]": "a",
		"a # [cuda == 12]": "a", "a # [c_compiler.startswith('g')]": "a", "a # [osx or (linux and (1 < 2))]": "a",
	} {
		p, err := platform.Parse("linux-64")
		if err != nil {
			t.Fatal(err)
		}
		j := &job{
			Options:  Options{TargetPlatform: "linux-64", BuildPlatform: "linux-64", Env: map[string]string{"HOME": "/root"}},
			platform: p, report: &tree.Report{}, reads: map[string]Read{},
		}
		r := j.v0(map[string]any{"cuda": "12", "c_compiler": "gcc", "python": "3.12"})
		got, keep := r.chooseLine(in, func(int) tree.Pos { return tree.Pos{} }, map[string]bool{})
		if !keep {
			got = ""
		} else if got == "" {
			got = "-"
		}
		if got != want || r.report.Failed() {
			t.Errorf("%q became %q, want %q %v", in, got, want, r.report.Err())
		}
	}
}

func TestBuildStringsV0(t *testing.T) {
	number := 7
	py := map[string]any{"python": "3.11"}
	both := "requirements:\n  host: [python,\n    pip]\n  run: [python,\n    a]\n"
	tests := []struct {
		name, text string
		options    Options
		want       string
	}{
		{"plain", "", Options{}, "0"},
		{"number", "", Options{BuildNumber: &number}, "7"},
		{"python", both, Options{Variants: variant.Of(py)}, "py311_0"},
		{"noarch python", both + "build:\n  noarch: python\n", Options{Variants: variant.Of(py)}, "py_0"},
		{"noarch", "build:\n  noarch: generic\n", Options{}, "0"},
		{"noarch for linux", both + "    - __linux\nbuild:\n  noarch: python\n", Options{Variants: variant.Of(py)}, "pyha63b06e_0"},
		{"compiler", "requirements:\n  build:\n    - {{ compiler('c') }}\n", Options{Variants: variant.Of(map[string]any{"c_compiler": "gcc"})}, "h9bf148f_0"},
		{"jinja variable", "about:\n  summary: {{ something }} {{ something2 }}\n", Options{Variants: variant.Of(map[string]any{"something": "abc", "something2": "ghi"})}, "h1404630_0"},
		{"string", "build:\n  number: 3\n  string: x_{{ PKG_BUILDNUM }}\n", Options{}, "x_3"},
		{"hash in string", "build:\n  string: h{{ PKG_HASH }}_{{ PKG_BUILDNUM }}_{{ something }}\n", Options{Variants: variant.Of(map[string]any{"something": "abc"}), BuildNumber: &number}, "he9ea0c1_7_abc"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := head + tt.text
			if tt.name == "noarch for linux" {
				text = head + "requirements:\n  host:\n    - python\n  run:\n    - python\n    - __linux\nbuild:\n  noarch: python\n"
			}
			got := render(t, folder("meta.yaml", text), tt.options)
			if got.BuildString != tt.want {
				t.Errorf("got %s, want %s from %s", got.BuildString, tt.want, got.HashInput)
			}
		})
	}
}

func TestOnePrefixOrTwo(t *testing.T) {
	for text, want := range map[string]bool{
		"requirements:\n  build:\n    - a\n":                                    true,
		"requirements:\n  build:\n    - a\n  host:\n    - b\n":                  false,
		"requirements:\n  build:\n    - {{ compiler('c') }}\n":                  false,
		"build:\n  merge_build_host: False\nrequirements:\n  build:\n    - a\n": false,
		"build:\n  merge_build_host: True\nrequirements:\n  host:\n    - a\n":   true,
		"requirements:\n  run:\n    - a\n":                                      false,
	} {
		if got := render(t, folder("meta.yaml", head+text), Options{}).Build.MergeBuildHost; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestScriptsAndTestFilesV0(t *testing.T) {
	files := []string{"build.sh", "bld.bat", "run_test.sh", "run_test.py"}
	got := render(t, folder("meta.yaml", head+"test:\n  commands:\n    - a\n", files...), Options{})
	if got.Script.File != "build.sh" {
		t.Errorf("script %+v", got.Script)
	}
	want := []Test{{Script: Script{Lines: []string{"echo run_test.sh", "a"}}}, {Script: Script{File: "run_test.py", Interpreter: "python"}, Requires: []string{"python"}}}
	if diff := cmp.Diff(want, got.Tests); diff != "" {
		t.Error(diff)
	}
	if got := render(t, folder("meta.yaml", head, files...), Options{TargetPlatform: "win-64"}); got.Script.File != "bld.bat" {
		t.Errorf("script %+v", got.Script)
	}
	_, err := Render(folder("meta.yaml", head+"build:\n  script: a\n", files...), "meta.yaml", Options{TargetPlatform: "linux-64"})
	if err == nil {
		t.Error("a script and a build.sh: no error")
	}
}

func TestPackageVariables(t *testing.T) {
	text := head + "source:\n  url: https://example.org/{{ PKG_NAME }}-{{ PKG_VERSION }}.zip\nbuild:\n  script: echo {{ PKG_HASH }} {{ environ.get('PKG_NAME') }}\n"
	got := render(t, folder("meta.yaml", text), Options{})
	if got.Sources[0].URLs[0] != "https://example.org/tool-1.10.zip" || got.Script.Lines[0] != "echo ${PKG_HASH} tool" {
		t.Errorf("got %v %v", got.Sources, got.Script)
	}
}

func TestScriptVariablesOnWindows(t *testing.T) {
	text := head + "build:\n  script: {{ PYTHON }} -m pip\nabout:\n  license_file: {{ RECIPE_DIR }}/LICENSE\n"
	got := render(t, folder("meta.yaml", text), Options{TargetPlatform: "win-64"})
	if got.Script.Lines[0] != "%PYTHON% -m pip" || got.About.LicenseFiles[0] != "LICENSE" {
		t.Errorf("got %v %v", got.Script, got.About.LicenseFiles)
	}
	list := problems(t, "meta.yaml", head+"about:\n  summary: {{ PREFIX|upper }}\n")
	has(t, list, "meta.yaml:5:15", "${PREFIX} is known only when the script runs")
}

func TestWarningsV0(t *testing.T) {
	text := `package:
  name: tool
  version: 1.10
source:
  - folder: x
build:
  number: 1
  number: 0
  preserve_egg_dir:
    - a
  rpaths: [lib]
  string: fixed
about:
  homepage: x
  license: Commercial
`
	number := 1
	list := tree.Problems(render(t, folder("meta.yaml", text), Options{BuildNumber: &number}).Warnings)
	has(t, list, "meta.yaml:5:5", "no url, path or git_url for linux-64")
	has(t, list, "meta.yaml:8:3", "twice, first in line 7")
	has(t, list, "meta.yaml:9:3", "preserve_egg_dir has no effect")
	has(t, list, "meta.yaml:12:11", "does not follow the build number 1")
	has(t, list, "meta.yaml:14:3", `here it is called "home"`)
	has(t, list, "meta.yaml:15:12", "write LicenseRef-Commercial")
}

func TestRefusedKeysMayAskForNothing(t *testing.T) {
	for _, text := range []string{"run_exports: ''", "run_exports: {}", "features:", "pin_depends: False", "include_recipe: True"} {
		render(t, folder("meta.yaml", head+"build:\n  "+text+"\n"), Options{})
	}
}

func TestFileNamesV0(t *testing.T) {
	for _, tt := range []struct{ url, name, want string }{
		{"http://a/vray_rhel8?x=1", "vray", "vray"},
		{"http://a/b.zip", "x.ZIP", ""},
		{"http://a/b.tar.xz?x=1", "x.tgz", ""},
		{"http://a/b.zip", "b.exe", "b.exe"},
		{"http://a/b", "", ""},
	} {
		text := head + "source:\n  url: " + tt.url + "\n  fn: " + tt.name + "\n"
		if got := render(t, folder("meta.yaml", text), Options{}).Sources[0].FileName; got != tt.want {
			t.Errorf("%s as %q: got %q, want %q", tt.url, tt.name, got, tt.want)
		}
	}
}

func TestTestsInOtherLanguagesV0(t *testing.T) {
	files := folder("meta.yaml", head+"test:\n  requires:\n    - perl 5.32\n  imports:\n    - a\n    - lang: perl\n      imports:\n        - B\n    - lang: r\n      imports:\n        - c\n")
	for _, name := range []string{"run_test.pl", "run_test.r", "run_test.lua"} {
		files[name] = &fstest.MapFile{}
	}
	with := func(more ...string) []string { return append([]string{"perl 5.32.*"}, more...) }
	want := []Test{
		{Requires: with(), Python: &PythonTest{Imports: []string{"a"}, NoPip: true}},
		{Requires: with(), Perl: []string{"B"}},
		{Requires: with(), R: []string{"c"}},
		{Requires: with(), Script: Script{File: "run_test.pl", Interpreter: "perl"}},
		{Requires: with("r-base"), Script: Script{File: "run_test.r", Interpreter: "rscript"}},
		{Requires: with("lua"), Script: Script{File: "run_test.lua", Interpreter: "lua"}},
	}
	if diff := cmp.Diff(want, render(t, files, Options{}).Tests); diff != "" {
		t.Error(diff)
	}
}

// What is installed, what the build string says and what the package will run
// with are one version, with and without a variant.
func TestOnePythonWithoutAVariant(t *testing.T) {
	text := head + "requirements:\n  host:\n    - python\n    - perl\n  run:\n    - python\n"
	got := render(t, folder("meta.yaml", text), Options{})
	host, run := Specs(got.Requirements.Host), Specs(got.Requirements.Run)
	if diff := cmp.Diff([]string{"python 3.11.*", "perl 5.26.2.*", "python"}, append(host, run...)); diff != "" || got.BuildString != "py311_0" {
		t.Errorf("%s\n%s", got.BuildString, diff)
	}
	if pinned, err := got.ApplyPin(got.Requirements.RunPins["python"], "3.11.9", "0"); err != nil || pinned != "python >=3.11,<3.12.0a0" {
		t.Errorf("it runs with %s, %v", pinned, err)
	}
}

func TestPackageVariablesFollowTheGivenName(t *testing.T) {
	text := head + "about:\n  summary: {{ PKG_NAME }} {{ environ['PKG_NAME'] }}\n"
	if got := render(t, folder("meta.yaml", text), Options{PackageName: "other"}); got.Name != "other" || got.About.Summary != "other other" {
		t.Errorf("%s: %s", got.Name, got.About.Summary)
	}
}

func TestProblemsV0(t *testing.T) {
	tests := []struct{ name, text, place, want string }{
		{"syntax", "package:\n  name: {{ 'a: b: c' }}\n", "meta.yaml:2:9", "YAML is not valid"},
		{"undefined", "{% set version = '1' %}\n# [win]\na: 1 # [win]\npackage:\n  version: {{ verson }}\n", "meta.yaml:5:15", `"verson" is undefined; did you mean "version"?`},
		{"selector", head + "about:\n  summary: x # [linux or]\n", "meta.yaml:5:25", "the selector [linux or] is not valid"},
		{"flow list", head + "build:\n  script: [\"a b\", 'c']\n", "meta.yaml:5:17", "write the list over several lines"},
		{"unclosed", "{% if linux %}\n" + head, "meta.yaml:1:1", "no {% endif %}"},
		{"filter", head + "about:\n  summary: {{ name | uper }}\n", "meta.yaml:5:22", `did you mean "upper"?`},
		{"after a dropped line", "x: 1 # [win]\n{% for i in [1, 2] %}\n{% endfor %}\npackage:\n  name: A\n  version: 1\n", "meta.yaml:5:9", "write a"},
		{"in a value", "{% set v = '1-2' %}\npackage:\n  name: a\n  version: {{ v }}\n", "meta.yaml:4:12", "write 1_2"},
		{"sha", head + "source:\n  url: a\n  sha256: X\n", "meta.yaml:6:11", "expected 64 hex digits"},
		{"folder", head + "source:\n  url: a\n  folder: ../x\n", "meta.yaml:6:11", "leaves the work folder"},
		{"recipe.yaml's if", head + "source:\n  - if: linux-64\n    then:\n      url: a\n", "meta.yaml:5:5", "if: and then: are recipe.yaml's"},
		{"another hash", head + "source:\n  url: a\n  sha512: b\n", "meta.yaml:6:11", "expected 128"},
		{"an archive's name", head + "source:\n  url: http://a/b?c=d.zip\n  fn: d.zip\n", "meta.yaml:6:7", "it would not be unpacked"},
		{"misspelt section", head + "requirement:\n  run:\n    - a\n", "meta.yaml:4:1", `did you mean "requirements"?`},
		{"misspelt key", head + "source:\n  ulr: a\n", "meta.yaml:5:3", `did you mean "url"?`},
		{"the other format's key", head + "tests:\n  - script: a\n", "meta.yaml:4:1", `here it is called "test"`},
		{"no match spec", head + "requirements:\n  run:\n    - python >=3.11,<\n", "meta.yaml:6:7", `requirements.run: read match spec "python >=3.11,<"`},
		{"no version", "package:\n  name: a\n  version: 1.+2\n", "meta.yaml:3:12", "package.version"},
		{"open quote", head + "about:\n  summary: \"a\n  home: b\n", "meta.yaml:5:12", "close the quote"},
		{"no colon", head + "about:\n  home: b\nfoo\n", "meta.yaml:6:1", "could not find expected ':'"},
		{"nothing left", "a # [win]", "meta.yaml:1:1", "the recipe is empty"},
		{"late variable", head + "build:\n  script_env:\n    - A={{ SRC_DIR }}/x\n", "meta.yaml:6:7", "build.script_env holds ${SRC_DIR}, which is known only when the script runs"},
		{"noarch", head + "build:\n  noarch: perl\n", "meta.yaml:5:11", "write python or generic"},
		{"entry point", head + "build:\n  entry_points:\n    - a\n", "meta.yaml:6:7", "name = module:function"},
		{"function", "{% set data = load_setup_py_data() %}\n" + head, "meta.yaml:1:1", "load_setup_py_data finds no name"},
		{"no package", "about:\n  summary: a\n", "meta.yaml:1:1", "no package"},
		{"requirements", head + "requirements:\n  - a\n", "meta.yaml:5:3", "below run: or host:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { has(t, problems(t, "meta.yaml", tt.text), tt.place, tt.want) })
	}
}

// What only other builders can fetch or check is in the model all the same.
func TestOtherSourcesV0(t *testing.T) {
	long := strings.Repeat("ab", 64)
	text := head + "source:\n  - hg_url: https://example.org/a\n    hg_tag: tip\n  - svn_url: https://example.org/b\n    svn_rev: 7\n    svn_ignore_externals: true\n" +
		"  - url: https://example.org/c.zip\n    sha512: " + long + "\n    content_hash_skip:\n      - x\n  - path: x\n    path_via_symlink: true\n    folder: y\n"
	got := render(t, folder("meta.yaml", text), Options{})
	want := []Source{
		{Other: &OtherSource{System: "hg", URL: "https://example.org/a", Rev: "tip"}},
		{Other: &OtherSource{System: "svn", URL: "https://example.org/b", Rev: "7", Options: map[string]string{"svn_ignore_externals": "true"}}},
		{URLs: []string{"https://example.org/c.zip"}, Hashes: map[string]string{"sha512": long}, HashSkip: []string{"x"}},
		{Path: "x", Folder: "y", Symlink: true},
	}
	for i := range got.Sources {
		got.Sources[i].Pos = tree.Pos{}
	}
	if diff := cmp.Diff(want, got.Sources); diff != "" {
		t.Error(diff)
	}
	has(t, got.Warnings, "meta.yaml:15:5", "source.path_via_symlink has no effect")
}

// A target sends the package elsewhere; it is built for the platform all the same.
func TestTargetOfAnOutput(t *testing.T) {
	got := render(t, folder("meta.yaml", head+"outputs:\n  - name: b\n    target: linux-aarch64\n"), Options{})
	if got.Subdir != "linux-aarch64" || got.BuiltFor != "linux-64" || got.Variant["target_platform"] != "linux-64" {
		t.Errorf("%s, built for %s, %v", got.Subdir, got.BuiltFor, got.Variant)
	}
}
