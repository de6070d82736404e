package recipe

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/builder/recipe/variant"
)

const vendorV1 = `context:
  version: "4.2.5"
  short: ${{ (version | split("."))[:2] | join(".") }}
  number: 3

package:
  name: blender
  version: ${{ version }}

source:
  - if: linux
    then:
      url: https://example.org/Blender${{ short }}/blender-${{ version }}-linux.tar.xz
      sha256: 05E877c06216e102a040e11b6b7fd8364dc699ed01b9386fc407564ce722c454
      target_directory: blender
  - if: win
    then:
      - path: ../../archives/blender-${{ version }}.zip
      - url: [https://example.org/a.py, https://example.org/b.py]
        file_name: a.py
  - git: https://example.org/tool.git
    tag: v${{ version }}

build:
  number: ${{ number }}
  script:
    - if: unix
      then:
        - bash $RECIPE_DIR/build.sh
        - ${{ PYTHON }} -m pip install .
      else: build.bat
  prefix_detection:
    ignore_binary_files: True
    ignore: ["*.json"]
  dynamic_linking:
    binary_relocation: False
    missing_dso_allowlist: "**"
  files:
    exclude: ["**/*.pdb"]
  python:
    entry_points:
      - tool=pkg.main:run

requirements:
  build:
    - patchelf
    - ${{ "pywin32 >=307" if win }}
  run: python >=3.11
  run_constraints:
    - houdini >=20.0, <21

tests:
  - if: unix
    then:
      script:
        - blender -h
      requirements:
        run: [pip]
      files:
        recipe: test.py
  - python:
      imports: [pkg]
      python_version: ["3.11", "3.12"]

about:
  homepage: https://example.org
  license: GPL-3.0-or-later
  license_file: [LICENSE, NOTICE]
  summary: >
    Three
    dimensions.

extra:
  maintainers: [me]
`

func TestRenderV1(t *testing.T) {
	got := render(t, folder("recipe.yaml", vendorV1), Options{})
	want := &Output{
		Name: "blender", Version: "4.2.5", BuildNumber: 3, BuildString: "hb0f4dca_3", Subdir: "linux-64",
		Sources: []Source{
			{
				URLs: []string{"https://example.org/Blender4.2/blender-4.2.5-linux.tar.xz"}, SHA256: sha, Folder: "blender",
				Pos: tree.Pos{File: "recipe.yaml", Line: 13, Column: 7},
			},
			{Git: &Git{URL: "https://example.org/tool.git", Tag: "v4.2.5"}, Pos: tree.Pos{File: "recipe.yaml", Line: 21, Column: 5}},
		},
		Script: Script{
			Lines:   []string{"bash $RECIPE_DIR/build.sh", "${PYTHON} -m pip install ."},
			Written: []string{"bash $RECIPE_DIR/build.sh", "${{ PYTHON }} -m pip install ."},
		},
		Requirements: Requirements{
			Build:          []Dependency{{Spec: "patchelf", Pos: tree.Pos{File: "recipe.yaml", Line: 46, Column: 7}}},
			Run:            []Dependency{{Spec: "python >=3.11", Pos: tree.Pos{File: "recipe.yaml", Line: 48, Column: 8}}},
			RunConstraints: []Dependency{{Spec: "houdini >=20.0,<21", Pos: tree.Pos{File: "recipe.yaml", Line: 50, Column: 7}}},
		},
		Build: Build{
			IgnoreBinaryFiles: true, IgnorePrefixGlobs: []string{"*.json"}, FilesExclude: []string{"**/*.pdb"},
			EntryPoints: []string{"tool = pkg.main:run"}, NoBinaryRelocation: true, MissingDSOAllow: []string{"**"},
		},
		Tests: []Test{
			{Script: Script{Lines: []string{"blender -h"}, Written: []string{"blender -h"}}, Requires: []string{"pip"}, Files: []string{"test.py"}},
			{Python: &PythonTest{Imports: []string{"pkg"}, Versions: []string{"3.11", "3.12"}}},
		},
		About: About{
			Home: "https://example.org", License: "GPL-3.0-or-later", LicenseFiles: []string{"LICENSE", "NOTICE"},
			Summary: "Three dimensions.",
		},
		Extra:   map[string]any{"maintainers": []any{"me"}},
		Variant: map[string]any{"target_platform": "linux-64"}, Hash: "b0f4dca", HashInput: []byte(`{"target_platform": "linux-64"}`),
		Reads: []Read{{Key: "target_platform", Why: "counts for every recipe"}}, Pos: tree.Pos{File: "recipe.yaml", Line: 1, Column: 1},
		Format: V1, File: "recipe.yaml",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRenderV1ForWindows(t *testing.T) {
	got := render(t, folder("recipe.yaml", vendorV1), Options{TargetPlatform: "win-64"})
	if diff := cmp.Diff([]string{"build.bat"}, got.Script.Lines); diff != "" {
		t.Error(diff)
	}
	if len(got.Sources) != 3 || got.Sources[0].Path != "../../archives/blender-4.2.5.zip" || got.Sources[1].FileName != "a.py" || len(got.Sources[1].URLs) != 2 {
		t.Errorf("sources %+v", got.Sources)
	}
	if diff := cmp.Diff([]string{"patchelf", "pywin32 >=307"}, Specs(got.Requirements.Build)); diff != "" {
		t.Error(diff)
	}
	if got.BuildString != "h9490d1a_3" || len(got.Tests) != 1 {
		t.Errorf("build string %s, %d tests", got.BuildString, len(got.Tests))
	}
}

func TestRenderedRecipeIsPlainYAML(t *testing.T) {
	text := "context:\n  v: 1.10\n" + "package:\n  name: tool\n  version: ${{ v }}\n" +
		"source:\n  - if: win\n    then:\n      path: x\nabout:\n  summary: 'yes: no'\n"
	got := render(t, folder("recipe.yaml", text), Options{})
	want := `schema_version: 1
package:
  name: tool
  version: '1.10'
build:
  number: 0
  string: hb0f4dca_0
about:
  summary: 'yes: no'
`
	if diff := cmp.Diff(want, yamlOf(t, got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again := render(t, folder("recipe.yaml", want), Options{})
	if diff := cmp.Diff(want, yamlOf(t, again)); diff != "" {
		t.Errorf("rendered again (-want +got):\n%s", diff)
	}
}

func TestScalarsKeepTheirText(t *testing.T) {
	for version, want := range map[string]string{"1.10": "1.10", "25.01": "25.01", `"7"`: "7", "7": "7", "2024.01.01": "2024.01.01", "007": "007", "1e3": "1e3", "0x10": "0x10"} {
		got := render(t, folder("recipe.yaml", "package:\n  name: tool\n  version: "+version+"\n"), Options{})
		if got.Version != want {
			t.Errorf("version: %s became %s", version, got.Version)
		}
	}
}

func TestContextKeepsTypes(t *testing.T) {
	text := `context:
  number: 3
  quoted: "3"
  copy: ${{ number }}
  mixed: ${{ number }}${{ number }}
  flag: ${{ linux }}
  list: [a, b]
` + head + `extra:
  same: ${{ number == copy }}
  text: ${{ quoted is string }}
  mixed: ${{ mixed + 1 }}
  flag: ${{ flag }}
  list: ${{ list | join("-") }}
`
	got := render(t, folder("recipe.yaml", text), Options{})
	want := map[string]any{"same": true, "text": true, "mixed": int64(34), "flag": true, "list": "a-b"}
	if diff := cmp.Diff(want, got.Extra); diff != "" {
		t.Error(diff)
	}
}

func TestSkip(t *testing.T) {
	for _, tt := range []struct {
		skip string
		want int
	}{
		{"true", 0},
		{"false", 1},
		{"linux", 0},
		{"win or osx", 1},
		{"[win, linux]", 0},
		{"[win]", 1},
		{`target_platform == "linux-64"`, 0},
		{`match(python, "<3.12")`, 0},
		{`match(python, ">=3.12")`, 1},
		{"${{ linux }}", 0},
	} {
		fsys := folder("recipe.yaml", head+"build:\n  skip: "+tt.skip+"\n")
		outs, err := Render(fsys, "recipe.yaml", Options{TargetPlatform: "linux-64", Variants: variant.Of(map[string]any{"python": "3.11"})})
		if err != nil || len(outs.Outputs) != tt.want {
			t.Errorf("skip: %s gave %d outputs, %v", tt.skip, len(outs.Outputs), err)
		}
	}
}

func TestScriptsV1(t *testing.T) {
	files := []string{"build.sh", "build.bat", "tool.py", "make.sh"}
	tests := []struct {
		build, platform string
		want            Script
	}{
		{"", "linux-64", Script{File: "build.sh", Implied: true}},
		{"", "win-64", Script{File: "build.bat", Implied: true}},
		{"script: make", "linux-64", Script{File: "make.sh", Written: []string{"make"}, Interpreter: "bash"}},
		{"script: tool.py", "linux-64", Script{File: "tool.py", Written: []string{"tool.py"}, Interpreter: "python"}},
		{"script: make install", "linux-64", Script{Lines: []string{"make install"}, Written: []string{"make install"}}},
		{"script: [a, b]", "linux-64", Script{Lines: []string{"a", "b"}, Written: []string{"a", "b"}}},
		{"script: ${{ PREFIX }}/x", "win-64", Script{Lines: []string{"%PREFIX%/x"}, Written: []string{"${{ PREFIX }}/x"}}},
		{
			"script: {file: tool.py, env: {A: 1, B: ''}, secrets: [S], cwd: sub}", "linux-64",
			Script{File: "tool.py", Written: []string{"tool.py"}, Long: true, Interpreter: "python", Env: map[string]string{"A": "1"}, Secrets: []string{"S"}, Dir: "sub"},
		},
		{"script: {content: [a], interpreter: bash}", "linux-64", Script{Lines: []string{"a"}, Written: []string{"a"}, Long: true, Interpreter: "bash"}},
	}
	for _, tt := range tests {
		t.Run(tt.build+" "+tt.platform, func(t *testing.T) {
			got := render(t, folder("recipe.yaml", head+"build:\n  "+tt.build+"\n", files...), Options{TargetPlatform: tt.platform})
			if diff := cmp.Diff(tt.want, got.Script); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBuildStringsV1(t *testing.T) {
	python := map[string]any{"python": "3.11.* *_cpython", "unused": "x"}
	number := 7
	tests := []struct {
		name, text string
		options    Options
		want       string
	}{
		{"platform", "", Options{}, "hb0f4dca_0"},
		{"noarch", "build:\n  noarch: generic\n", Options{}, "h4616a5c_0"},
		{"noarch python", "build:\n  noarch: python\nrequirements:\n  host: [python]\n", Options{Variants: variant.Of(python)}, "pyh4616a5c_0"},
		{"python", "requirements:\n  host: [python]\n", Options{Variants: variant.Of(python)}, "py311h82375c7_0"},
		{"run python only", "requirements:\n  run: [python]\n", Options{Variants: variant.Of(python)}, "hb0f4dca_0"},
		{"number", "build:\n  number: 2\n", Options{BuildNumber: &number}, "hb0f4dca_7"},
		{"string", "build:\n  number: 2\n  string: x_${{ hash }}_${{ build_number }}\n", Options{BuildNumber: &number}, "x_b0f4dca_7"},
		{"fixed", "build:\n  string: fixed\n", Options{BuildNumber: &number}, "fixed"},
		{"virtual", "requirements:\n  run: [__glibc >=2.17]\n", Options{}, "hcc556be_0"},
		{"worked example", "requirements:\n  build:\n    - ${{ compiler('cxx') }}\n    - ${{ stdlib('c') }}\n", Options{Variants: variant.Of(map[string]any{
			"c_stdlib": "sysroot", "c_stdlib_version": "2.17", "cxx_compiler": "gxx", "cxx_compiler_version": "14",
			"channel_sources": "conda-forge", "channel_targets": "conda-forge main", "python": "3.12",
		})}, "h171cf75_0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := render(t, folder("recipe.yaml", head+tt.text), tt.options)
			if got.BuildString != tt.want {
				t.Errorf("got %s, want %s from %s", got.BuildString, tt.want, got.HashInput)
			}
		})
	}
}

func TestCompilersBecomeSpecs(t *testing.T) {
	text := head + "requirements:\n  build:\n    - ${{ compiler('cxx') }}\n    - ${{ compiler('rust') }}\n  host: [python, zlib]\n"
	got := render(t, folder("recipe.yaml", text), Options{Variants: variant.Of(map[string]any{"cxx_compiler_version": 14, "python": "3.12.* *_cpython", "zlib": "1"})})
	want := [][]string{{"gxx_linux-64 14.*", "rust_linux-64"}, {"python 3.12.* *_cpython", "zlib =1"}}
	if diff := cmp.Diff(want, [][]string{Specs(got.Requirements.Build), Specs(got.Requirements.Host)}); diff != "" {
		t.Error(diff)
	}
	if host := got.Requirements.Host; host[0].Spec != "python" || host[1].Spec != "zlib" {
		t.Errorf("the recipe does not say %v", host)
	}
}

func TestBuildNumberReplacesTheContextEntry(t *testing.T) {
	text := "context:\n  n: 0\n  label: b${{ n }}\n" + head + "build:\n  number: ${{ n }}\n  string: ${{ label }}\n"
	number := 4
	got := render(t, folder("recipe.yaml", text), Options{BuildNumber: &number})
	if got.BuildString != "b4" || got.BuildNumber != 4 || len(got.Warnings) > 0 {
		t.Errorf("got %s, number %d, %v", got.BuildString, got.BuildNumber, got.Warnings)
	}
}

func TestOptionsReplaceNameAndReadTheGivenEnvironment(t *testing.T) {
	text := "context:\n  bucket: '${{ env.get(\"BUCKET\", default=\"none\") }}'\n" + head + "source:\n  url: s3://${{ bucket }}/a.zip\n"
	got := render(t, folder("recipe.yaml", text), Options{PackageName: "other", Env: map[string]string{"BUCKET": "farm"}})
	if got.Name != "other" || got.Sources[0].URLs[0] != "s3://farm/a.zip" {
		t.Errorf("got %s %v", got.Name, got.Sources)
	}
	if got := render(t, folder("recipe.yaml", text), Options{}); got.Sources[0].URLs[0] != "s3://none/a.zip" {
		t.Errorf("got %v", got.Sources)
	}
}

func TestWarningsV1(t *testing.T) {
	text := `package:
  name: tool
  version: "20.5"
source:
  - url: file://tool-{{ target_platform }}.tgz
  - path: ../linux-64 # [linux]
build:
  string: fixed
  script:
    - bld.bat
    - echo '{{ print }}' # [linux] of a shell
about:
  license: GPL3
`
	number := 1
	list := tree.Problems(render(t, folder("recipe.yaml", text), Options{BuildNumber: &number}).Warnings)
	has(t, list, "recipe.yaml:5:22", "{{ target_platform }} has no $ before it")
	has(t, list, "recipe.yaml:6:23", "# [linux] is meta.yaml's selector")
	has(t, list, "recipe.yaml:8:11", "does not follow the build number 1")
	has(t, list, "recipe.yaml:10:7", `"bld.bat" in a list is a command`)
	has(t, list, "recipe.yaml:13:12", "write GPL-3.0-only or GPL-3.0-or-later")
	if len(list) != 5 {
		t.Errorf("%d warnings:\n%v", len(list), list)
	}
}

func TestProblemsV1(t *testing.T) {
	tests := []struct{ name, text, place, want string }{
		{"syntax", "package: [\n", "recipe.yaml:1:11", "YAML is not valid"},
		{"tab", "a:\n\tb: 1\n", "recipe.yaml:2:1", "not tabs"},
		{"utf8", "a: \xff\n", "recipe.yaml:1:4", "0xff is not UTF-8"},
		{"control", "a: \x01\n", "recipe.yaml:1:4", "U+0001"},
		{"empty", "", "recipe.yaml:1:1", "the recipe is empty; begin with package:"},
		{"list", "- a\n", "recipe.yaml:1:1", "a list, not a mapping"},
		{"two documents", "a: 1\n---\nb: 1\n", "recipe.yaml:1:1", "one document"},
		{"duplicate", head + "about:\n  summary: a\n  summary: b\n", "recipe.yaml:6:3", "twice, first in line 5"},
		{"anchor", head + "extra:\n  a: &x 1\n", "recipe.yaml:5:6", "no anchors"},
		{"merge", head + "extra:\n  <<: {a: 1}\n", "recipe.yaml:5:3", "merge keys"},
		{"never closed", head + "about:\n  summary: a ${{ version\n", "recipe.yaml:5:14", "never closed"},
		{"tag", head + "extra: !python/x [a]\n", "recipe.yaml:4:8", "the YAML tag !python/x is not supported"},
		{"steps", head + "build:\n  steps: [{run: a}]\n  script: b\n", "recipe.yaml:5:10", "both script and steps"},
		{"step", head + "build:\n  steps: [{ran: a}]\n", "recipe.yaml:5:12", `did you mean "run"?`},
		{"cache", "cache: {}\n" + head, "recipe.yaml:1:1", "replaced by staging outputs"},
		{"late env", head + "build:\n  script:\n    env:\n      A: ${{ PREFIX }}/x\n    content: a\n", "recipe.yaml:7:10", "${PREFIX}, which is known only when the script runs; set the variable in the script"},
		{"unknown", head + "about:\n  licence: MIT\n", "recipe.yaml:5:3", `unknown key "licence" in about; did you mean "license"?`},
		{"other format", head + "about:\n  home: x\n", "recipe.yaml:5:3", `called "homepage"`},
		{"no version in outputs", "outputs:\n  - package: {name: a}\n", "recipe.yaml:2:14", "package.version is missing"},
		{"package and outputs", head + "outputs: []\n", "recipe.yaml:1:1", "call it recipe:"},
		{"requirements and outputs", "requirements: {}\noutputs: []\n", "recipe.yaml:1:1", "move them into the outputs"},
		{"inherit", "recipe: {version: 1}\noutputs:\n  - package: {name: a}\n    inherit: b\n", "recipe.yaml:4:14", `no staging output "b"`},
		{"name", "package:\n  name: ../x\n  version: 1\n", "recipe.yaml:2:9", "not a package name"},
		{"version", "package:\n  name: a\n  version: 1-2\n", "recipe.yaml:3:12", "write 1_2 or 1.2"},
		{"slash", "package:\n  name: a\n  version: 1/2\n", "recipe.yaml:3:12", "not a version"},
		{"no version", "package:\n  name: a\n", "recipe.yaml:2:3", "package.version is missing"},
		{"number", head + "build:\n  number: -1\n", "recipe.yaml:5:11", "integer from 0"},
		{"sha", head + "source:\n  url: a\n  sha256: PLACEHOLDER_SHA\n", "recipe.yaml:6:11", `"PLACEHOLDER_SHA": expected 64 hex digits; replace it by what sha256sum ARCHIVE prints`},
		{"short sha", head + "source:\n  url: a\n  sha256: abc\n", "recipe.yaml:6:11", "3 hex digits: expected 64"},
		{"folder", head + "source:\n  url: a\n  target_directory: ../x\n", "recipe.yaml:6:21", "leaves the work folder"},
		{"patch", head + "source:\n  url: a\n  patches: [a/../../x]\n", "recipe.yaml:6:13", "leaves the recipe's folder"},
		{"no source", head + "source:\n  sha256: a\n", "recipe.yaml:5:3", "no url, path or git"},
		{"undefined", head + "about:\n  summary: a ${{ target_platfrm }}\n", "recipe.yaml:5:18", `did you mean "target_platform"?`},
		{"in a block", head + "about:\n  summary: |\n    one\n      two ${{ x }}\n", "recipe.yaml:7:15", `"x" is undefined`},
		{"in a folded block", head + "about:\n  summary: >\n    one\n    two\n\n    three ${{ x }}\n", "recipe.yaml:9:15", `"x" is undefined`},
		{"in quotes", head + "about:\n  summary: \"a\\n\\\"b ${{ x }}\"\n", "recipe.yaml:5:24", `"x" is undefined`},
		{"in single quotes", head + "about:\n  summary: 'a''b ${{ x }}'\n", "recipe.yaml:5:22", `"x" is undefined`},
		{"over lines", head + "about:\n  summary: a\n    b ${{ x }}\n", "recipe.yaml:6:11", `"x" is undefined`},
		{"condition", head + "source:\n  - if: linux-65\n    then: {path: x}\n", "recipe.yaml:5:14", "target_platform =="},
		{"then", head + "source:\n  - if: linux\n    them: {path: x}\n", "recipe.yaml:6:5", `did you mean "then"?`},
		{"if in a mapping", head + "source:\n  if: linux\n  then: {path: x}\n", "recipe.yaml:5:7", "in a list only"},
		{"pin", head + "requirements:\n  run: ['${{ pin_subpackage(\"a\", exact=true) }}']\n", "recipe.yaml:5:9", `there is no output "a"`},
		{"old pin", head + "requirements:\n  run: ['${{ pin_subpackage(\"a\", max_pin=\"x\") }}']\n", "recipe.yaml:5:14", "write upper_bound"},
		{"exact pin with a bound", head + "requirements:\n  run: ['${{ pin_subpackage(\"a\", exact=true, upper_bound=\"x\") }}']\n", "recipe.yaml:5:14", "exact goes with no other argument"},
		{"match spec", head + "requirements:\n  run: ['>=3']\n", "recipe.yaml:5:9", "begin with the package's name"},
		{"version", head + "requirements:\n  run: ['a >=1,,2']\n", "recipe.yaml:5:9", "requirements.run"},
		{"file outside", head + "about:\n  summary: ${{ load_from_file('../../etc/passwd') }}\n", "recipe.yaml:5:16", "outside of the recipe's folder"},
		{"attribute walk", head + "about:\n  summary: ${{ ''.__class__ }}\n", "recipe.yaml:5:19", `text has no "__class__"`},
		{"stdlib", head + "requirements:\n  build: ${{ stdlib('c') }}\n", "recipe.yaml:5:14", "c_stdlib"},
		{"env", head + "about:\n  summary: ${{ env.get('X') }}\n", "recipe.yaml:5:20", "X is not set"},
		{"schema", "schema_version: 2\n" + head, "recipe.yaml:1:17", "not known"},
		{"boolean", head + "build:\n  merge_build_and_host_envs: maybe\n", "recipe.yaml:5:30", "true or false"},
		{"type", head + "about:\n  summary: [a]\n", "recipe.yaml:5:12", "must be text"},
		{"string", head + "build:\n  string: a-b\n", "recipe.yaml:5:11", "file name"},
		{"secret", head + "build:\n  script: {content: a, secrets: ['A B']}\n", "recipe.yaml:5:34", "not a variable's name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { has(t, problems(t, "recipe.yaml", tt.text), tt.place, tt.want) })
	}
}

func TestProblemsComeTogether(t *testing.T) {
	list := problems(t, "recipe.yaml", "package:\n  name: A B\n  version: 1-2\nabout:\n  summry: x\n")
	if len(list) != 3 || list[0].Pos.Line != 2 || list[2].Pos.Line != 5 {
		t.Errorf("got\n%v", list)
	}
}

func TestWhatFollowsFromAFailedContextEntryIsNotReported(t *testing.T) {
	text := `context:
  a: ${{ b }}
  c: ${{ a }}
package:
  name: tool
  version: ${{ a }}
build:
  skip: a == 1
  script:
    - if: c
      then: x
    - ${{ a }} ${{ c }}
`
	list := problems(t, "recipe.yaml", text)
	has(t, list, "recipe.yaml:2:10", `"b" is undefined`)
	if len(list) != 1 {
		t.Errorf("%d problems:\n%v", len(list), list)
	}
}

// What other tools accept is shown with a warning; what a build could not do is
// kept for the build.
func TestDoubtsDoNotStopRendering(t *testing.T) {
	tests := []struct {
		name, text, place, want string
		blocks                  bool
	}{
		{"capitals", "package:\n  name: Blender\n  version: 1\n", "recipe.yaml:2:9", "write blender", false},
		{"late", head + "build:\n  script: ${{ PREFIX | upper }}\n", "recipe.yaml:5:15", "known only when the script runs", true},
		{"undefined", head + "build:\n  script: echo ${{ verzion }}\n", "recipe.yaml:5:20", `"verzion" is undefined`, true},
		{"skip", head + "build:\n  skip: windwos\n", "recipe.yaml:5:9", `"windwos" is undefined`, true},
		{"file", head + "build:\n  script: {file: nowhere}\n", "recipe.yaml:5:18", "there is no nowhere in the recipe's folder", true},
		{"pin", head + "requirements:\n  run: ['${{ pin_subpackage(\"a\") }}']\n", "recipe.yaml:5:9", `there is no output "a"`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := render(t, folder("recipe.yaml", tt.text), Options{})
			list := got.Warnings
			if tt.blocks {
				list = got.Blockers
			}
			has(t, list, tt.place, tt.want)
		})
	}
}
