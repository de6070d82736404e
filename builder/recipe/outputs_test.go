package recipe

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/builder/recipe/platform"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/builder/recipe/variant"
)

// renderAll renders a recipe.yaml for linux-64 with a variants.yaml.
func renderAll(t *testing.T, text, variants string, o Options) Result {
	t.Helper()
	r, err := tryRender(text, variants, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryRender(text, variants string, o Options) (Result, error) {
	files := folder("recipe.yaml", text)
	if o.TargetPlatform == "" {
		o.TargetPlatform = "linux-64"
	}
	if variants != "" {
		files[variant.File] = &fstest.MapFile{Data: []byte(variants)}
		p, err := platform.Parse(o.TargetPlatform)
		if err != nil {
			return Result{}, err
		}
		if o.Variants, _, err = variant.Read(files, variant.File, variant.Options{Platform: p, Build: p}); err != nil {
			return Result{}, err
		}
	}
	return Render(files, "recipe.yaml", o)
}

// built lists outputs as name, version and the variant without what always
// counts.
func built(r Result) []string {
	var all []string
	for _, o := range r.Outputs {
		line := o.Name + " " + o.Version
		for _, key := range sortedKeys(o.Variant) {
			if key != "target_platform" {
				line += " " + key + "=" + tree.ScalarText(o.Variant[key])
			}
		}
		all = append(all, strings.ReplaceAll(line, o.BuildString, "BUILD"))
	}
	return all
}

func TestVariantsAreMultipliedByWhatIsUsed(t *testing.T) {
	const host = "requirements:\n  host: [python, numpy]\n"
	const zipped = "python: ['3.10', '3.11']\nnumpy: ['1', '2']\nunused: [a, b, c]\nzip_keys: [[python, numpy]]\n"
	tests := []struct {
		name, text, variants string
		want                 []string
	}{
		{"zipped", head + host, zipped, []string{"tool 1.10 numpy=1 python=3.10", "tool 1.10 numpy=2 python=3.11"}},
		{"one of a zip", head + "requirements:\n  host: [python]\n", zipped, []string{"tool 1.10 python=3.10", "tool 1.10 python=3.11"}},
		{"not zipped", head + host, "python: ['3.10', '3.11']\nnumpy: ['1', '2']\n", []string{
			"tool 1.10 numpy=1 python=3.10", "tool 1.10 numpy=1 python=3.11", "tool 1.10 numpy=2 python=3.10", "tool 1.10 numpy=2 python=3.11",
		}},
		{"noarch python", head + "build: {noarch: python}\nrequirements:\n  host: [python]\n", zipped, []string{"tool 1.10"}},
		{"only one branch reads it", head + "about:\n  summary: ${{ unused if win else 'x' }}\n", zipped, []string{"tool 1.10"}},
		{"short-circuit", head + "build:\n  skip: win and unused == 'a'\n", zipped, []string{"tool 1.10"}},
		{"scripts count what is not taken", head + "build:\n  script:\n    - if: win\n      then: echo ${{ unused }}\n", "unused: [a]\n", []string{"tool 1.10 unused=a"}},
		{"skip", head + "build:\n  skip: match(python, '<3.11')\n", zipped, []string{"tool 1.10 python=3.11"}},
		{"use_keys", head + "build:\n  variant: {use_keys: [unused]}\n", "unused: [a, b]\n", []string{"tool 1.10 unused=a", "tool 1.10 unused=b"}},
		{"ignore_keys", head + "build:\n  variant: {ignore_keys: [python]}\n" + host, "python: ['3.10']\nnumpy: ['2']\n", []string{"tool 1.10 numpy=2"}},
		{"keys are normalised", head + "requirements:\n  host: [r-base, a.b]\n", "r-base: ['4.4']\na.b: ['1']\n", []string{"tool 1.10 a_b=1 r_base=4.4"}},
		{"types", head + "about:\n  summary: ${{ flag }} ${{ number }}\n", "flag: [true]\nnumber: [3]\n", []string{"tool 1.10 flag=true number=3"}},
		{"the context hides", "context: {python: '3'}\n" + head + "about:\n  summary: ${{ python }}\n", zipped, []string{"tool 1.10"}},
		{"the context reads", "context:\n  python: ${{ python ~ '.x' }}\n" + head, "python: ['3.10']\n", []string{"tool 1.10 python=3.10"}},
		{"templated requirement", head + "requirements:\n  host:\n    - ${{ 'py' ~ 'thon' }}\n", zipped, []string{"tool 1.10 python=3.10", "tool 1.10 python=3.11"}},
		{"conditions in the variant file", head + "requirements:\n  host: [python]\n", "python:\n  - if: win\n    then: ['3.10']\n    else: ['3.12', '3.13']\n", []string{"tool 1.10 python=3.12", "tool 1.10 python=3.13"}},
		{"virtual package", head + "requirements:\n  run: ['__cuda >=12']\n", "", []string{"tool 1.10 __cuda=__cuda >=12"}},
		{"cdt", head + "requirements:\n  build: [\"${{ cdt('mesa-libgl =1.2') }}\"]\n", "cdt_name: [conda]\n", []string{"tool 1.10 cdt_name=conda"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, built(renderAll(t, tt.text, tt.variants, Options{}))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// One program's versions count names in scripts differently; the package says
// which rules were used when they are not the newest.
func TestOlderHashRules(t *testing.T) {
	text := head + "build:\n  script:\n    - if: unix and build_platform == 'x'\n      then: a\n    - if: win\n      then: echo ${{ flavour }}\n"
	variants := "flavour: [plain]\n"
	newest := renderAll(t, text, variants, Options{}).Outputs[0]
	oldest := renderAll(t, text, variants, Options{HashCompat: Oldest}).Outputs[0]
	if _, ok := newest.Variant["flavour"]; !ok || newest.Variant["build_platform"] == nil {
		t.Errorf("newest: %v", newest.Variant)
	}
	if _, ok := oldest.Variant["flavour"]; ok {
		t.Errorf("oldest: %v", oldest.Variant)
	}
	if got := string(oldest.HashInput); !strings.Contains(got, `"hash_compat": "0.57"`) || strings.Contains(string(newest.HashInput), "hash_compat") {
		t.Errorf("the hash's input is %s", got)
	}
}

const several = `
context: {version: "2.0"}
recipe: {name: all, version: "${{ version }}"}
source: {url: https://example.org/top.tgz}
build:
  number: 3
  script: make all
  skip: win
about: {license: MIT, summary: top}
tests:
  - script: [top]
outputs:
  - package: {name: app}
    requirements:
      host: ["${{ pin_subpackage('libapp', exact=True) }}"]
      run: ["${{ pin_subpackage('libapp', upper_bound='x.x') }}"]
    about: {summary: own}
  - package: {name: libapp, version: "2.1.4"}
    build: {script: make lib, number: 0}
    source: {url: https://example.org/lib.tgz}
    requirements:
      host: [python]
      run_exports: ["${{ pin_subpackage('libapp') }}"]
  - if: linux
    then:
      package: {name: extra}
      build: {skip: true}
      requirements: {host: ["${{ stdlib('none') }}"]}
`

func TestSeveralOutputs(t *testing.T) {
	r := renderAll(t, several, "python: ['3.11', '3.12']\n", Options{})
	want := []string{"libapp 2.1.4 python=3.11", "libapp 2.1.4 python=3.12"}
	if diff := cmp.Diff(want, built(Result{Outputs: r.Outputs[:2]})); diff != "" {
		t.Fatal(diff)
	}
	lib, app := r.Outputs[0], r.Outputs[2]
	if got := app.Variant["libapp"]; got != "2.1.4 "+lib.BuildString {
		t.Errorf("the exact pin is %v, the build is %s", got, lib.BuildString)
	}
	if got := app.Requirements.Run[0].MatchSpec(); got != "libapp >=2.1.4,<2.2.0a0" {
		t.Errorf("the pin is %q", got)
	}
	if got := lib.Requirements.RunExports.Weak[0].MatchSpec(); got != "libapp >=2.1.4,<3.0a0" {
		t.Errorf("the export is %q", got)
	}
	if app.BuildNumber != 3 || app.Script.Lines[0] != "make all" || lib.BuildNumber != 0 || lib.Script.Lines[0] != "make lib" {
		t.Errorf("%d %v, %d %v", app.BuildNumber, app.Script, lib.BuildNumber, lib.Script)
	}
	if app.About.Summary != "own" || app.About.License != "MIT" || lib.About.Summary != "top" || len(lib.Sources) != 2 || len(app.Sources) != 1 || len(app.Tests) != 1 {
		t.Errorf("%+v %+v %d %d", app.About, lib.About, len(lib.Sources), len(app.Sources))
	}
	if len(r.Skipped) == 0 || r.Skipped[0].Name != "extra" || r.Skipped[0].Pos.Line != 27 {
		t.Errorf("skipped %+v", r.Skipped)
	}
	if r := renderAll(t, several, "python: ['3.11']\n", Options{TargetPlatform: "win-64"}); len(r.Outputs) != 0 || len(r.Skipped) != 2 {
		t.Errorf("%d outputs, skipped %+v", len(r.Outputs), r.Skipped)
	}
}

const staged = `
recipe: {name: all, version: "1"}
source: {url: https://example.org/top.tgz}
build: {script: never, number: 1}
outputs:
  - staging: {name: built}
    source: {url: https://example.org/staged.tgz}
    build: {script: ["make ${{ flavour }}"]}
    requirements: {host: [python], build: ["${{ compiler('c') }}"]}
  - package: {name: lib}
    inherit: built
    build: {files: [lib/**]}
  - package: {name: doc}
    inherit: {from: built, run_exports: false}
    build: {noarch: generic, files: []}
  - package: {name: other}
`

func TestStaging(t *testing.T) {
	r := renderAll(t, staged, "python: ['3.11']\nflavour: [plain]\nc_compiler: [gcc]\n", Options{})
	want := []string{
		"lib 1 c_compiler=gcc flavour=plain python=3.11", "doc 1 c_compiler=gcc flavour=plain python=3.11", "other 1",
	}
	if diff := cmp.Diff(want, built(r)); diff != "" {
		t.Fatal(diff)
	}
	lib, doc, other := r.Outputs[0], r.Outputs[1], r.Outputs[2]
	if lib.Staging == nil || !lib.Staging.RunExports || len(lib.Staging.Sources) != 2 || lib.Staging.Script.Lines[0] != "make plain" {
		t.Errorf("staging %+v", lib.Staging)
	}
	if len(lib.Sources) != 0 || !lib.Script.Empty() || lib.BuildNumber != 1 {
		t.Errorf("%+v %+v %d", lib.Sources, lib.Script, lib.BuildNumber)
	}
	if doc.Staging.RunExports || !doc.Build.NoFiles || doc.Subdir != "noarch" {
		t.Errorf("%+v", doc)
	}
	if other.Staging != nil || other.Script.Lines[0] != "never" {
		t.Errorf("%+v", other)
	}
}

func TestCyclesAreShown(t *testing.T) {
	text := "recipe: {version: '1'}\noutputs:\n"
	for _, pair := range [][2]string{{"a", "b"}, {"b", "c"}, {"c", "a"}} {
		text += "  - package: {name: " + pair[0] + "}\n    requirements: {host: [" + pair[1] + "]}\n"
	}
	_, err := tryRender(text, "", Options{})
	list, ok := errors.AsType[tree.Problems](err)
	if !ok {
		t.Fatal(err)
	}
	has(t, list, "recipe.yaml:3:5", "a → b → c → a")
	// What only runs together may need each other.
	if r := renderAll(t, strings.ReplaceAll(text, "host: [", "run: ["), "", Options{}); len(r.Outputs) != 3 {
		t.Errorf("%d outputs", len(r.Outputs))
	}
}

func TestReadsAreExplained(t *testing.T) {
	out := renderAll(t, head+"about:\n  summary: a ${{ flavour }}\nrequirements:\n  host: [python]\n", "flavour: [x]\npython: ['3.11']\n", Options{}).Outputs[0]
	want := []Read{
		{Key: "flavour", Pos: tree.Pos{File: "recipe.yaml", Line: 5, Column: 12}, Why: "read by a ${{ flavour }}"},
		{Key: "python", Pos: tree.Pos{File: "recipe.yaml", Line: 7, Column: 10}, Why: "a requirement without a version"},
		{Key: "target_platform", Why: "counts for every recipe"},
	}
	if diff := cmp.Diff(want, out.Reads); diff != "" {
		t.Error(diff)
	}
}

func TestSpecsAreNormalised(t *testing.T) {
	for in, want := range map[string]string{
		"python": "python", "python =3.11": "python 3.11.*", "python=3.11": "python 3.11.*", "python 3.11": "python ==3.11",
		"python ==3.11": "python ==3.11", "python 3.10*": "python 3.10.*", "python >=3.9, <4": "python >=3.9,<4", "a *.*": "a *",
		"a >= 26.01": "a >=26.1", "a[build=x]": "a * x", "a[version='>=1',build=x_*]": "a >=1 x_*", "a 1.2.* *_cpython": "a 1.2.* *_cpython",
		"a=1.2=x": "a ==1.2 x", "a ~=1.4": "a ~=1.4", "a !=1.5.*": "a !=1.5.*", "a 1|2": "a ==1|==2", "conda-forge::A": "conda-forge::a",
		"a >=1.2.*": "a >=1.2", "a (>=1,<2)|>3": "a >=1,<2|>3", "a (>=1|<0.5),(<3)": "a (>=1|<0.5),<3", "a ((>=1|<0.5))": "a >=1|<0.5",
		"a   >=1.2 , <2": "a >=1.2,<2", "a >=1 | <0.5 x_0": "a >=1|<0.5 x_0",
		"a==1.2=x": "a ==1.2 x", "a 1.2.*=x*": "a 1.2.* x*", "a *=x": "a * x", "a >=1.2=x_0": "a >=1.2 x_0", "a =1.2 x*": "a 1.2.* x*",
	} {
		if got := normalSpec(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

// What packages say is read as conda reads it.
func TestSpecsOfPackages(t *testing.T) {
	for in, want := range map[string]string{
		"a =1.2 x*": "a ==1.2 x*", "a=1.2 x_0": "a ==1.2 x_0", "a =1.2": "a 1.2.*", "a =1.2.* x": "a 1.2.* x", "a >=1.2 x": "a >=1.2 x", "a==1.2=x": "a ==1.2 x",
	} {
		if got := (&Output{Format: V1}).RunSpec(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestPinsAreApplied(t *testing.T) {
	for _, tt := range []struct {
		pin           Pin
		version, want string
	}{
		{Pin{Lower: "x.x.x.x.x.x", Upper: "x"}, "1.2.3", "p >=1.2.3,<2.0a0"},
		{Pin{Lower: "x.x", Upper: "x.x"}, "1.2.3", "p >=1.2,<1.3.0a0"},
		{Pin{Lower: "x.x.x", Upper: "x"}, "9d", "p >=9d,<10a"},
		{Pin{Upper: "x.x.x"}, "1", "p <1.0.1.0a0"},
		{Pin{Lower: "x.x", Upper: "x.x.x"}, "2.0.0rc1", "p >=2.0,<2.0.0a2"},
		{Pin{Lower: "x", Upper: "x.x"}, "1.0+cuda118", "p >=1+cuda118,<1.1.0a0"},
		{Pin{Lower: "x.x.x.x", Upper: "x.x.x"}, "1!1.6_5", "p >=1!1.6_5,<1!1.6_6.0a0"},
		{Pin{Lower: "x.x", Upper: "x.x.x.x"}, "1_2_3", "p >=1_2,<1_2_3.1.0a0"},
		{Pin{Lower: "1.5", Upper: "3"}, "2", "p >=1.5,<3"},
		{Pin{}, "2", "p"},
		{Pin{Build: "cpu_*"}, "2", "p * cpu_*"},
		{Pin{Exact: true}, "2.0", "p ==2.0 build_0"},
	} {
		tt.pin.Name = "p"
		if got, err := tt.pin.Apply(tt.version, "build_0"); got != tt.want || err != nil {
			t.Errorf("%v of %s is %q, want %q (%v)", tt.pin, tt.version, got, tt.want, err)
		}
	}
}

func TestFilesBesideTheRecipeAreLoaded(t *testing.T) {
	text := head + "about:\n  summary: ${{ load_from_file('a.json').v }} ${{ load_from_file('b.yaml').list[1] }} ${{ load_from_file('c.txt') | trim }}\n"
	files := folder("recipe.yaml", text)
	files["a.json"] = &fstest.MapFile{Data: []byte(`{"v": 3}`)}
	files["b.yaml"] = &fstest.MapFile{Data: []byte("list: [x, y]\n")}
	files["c.txt"] = &fstest.MapFile{Data: []byte("plain\n")}
	if got := render(t, files, Options{}).About.Summary; got != "3 y plain" {
		t.Errorf("got %q", got)
	}
}

// A recipe's own variants must not take more than a recipe may.
func TestTooManyVariantsAreRefused(t *testing.T) {
	var text, variants strings.Builder
	text.WriteString(head + "requirements:\n  host: [k1, k2, k3, k4]\n  run:\n")
	for range 2000 {
		text.WriteString("    - foo >=1.2,<3\n")
	}
	for _, k := range []string{"k1", "k2", "k3", "k4"} {
		variants.WriteString(k + ": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n")
	}
	_, err := tryRender(text.String(), variants.String(), Options{})
	list, ok := errors.AsType[tree.Problems](err)
	if !ok {
		t.Fatal(err)
	}
	has(t, list, "recipe.yaml:1:1", "give fewer values")
}

// An inline if without else says nothing, wherever it stands.
func TestConditionsThatSayNothing(t *testing.T) {
	text := head + `build:
  noarch: ${{ "python" if win }}
  number: ${{ 1 if win }}
  merge_build_and_host_envs: ${{ true if win }}
  python: {version_independent: "${{ true if win }}", entry_points: ["${{ 'a = b:c' if win }}", "x-y = my-mod:main"]}
requirements:
  run: ["${{ 'x' if win }}", python]
about: {summary: "${{ 'x' if win }}", license: "${{ 'x' if win }}"}
`
	got := render(t, folder("recipe.yaml", text), Options{})
	if got.Noarch != "" || got.BuildNumber != 0 || got.Build.MergeBuildHost || got.Build.VersionIndependent || len(got.Requirements.Run) != 1 || got.About.Summary != "" {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff([]string{"x-y = my-mod:main"}, got.Build.EntryPoints); diff != "" {
		t.Error(diff)
	}
}

// Names of keys that other platforms have are only wrong where they are used.
func TestUndefinedNames(t *testing.T) {
	for _, tt := range []struct {
		context, use string
		fails        bool
	}{
		{"c: ${{ cuda_version.major }}", "a: 1", false},
		{"c: ${{ cuda_version }}", "a: ${{ c }}", true},
		{"c: ${{ cuda_version }}", "a: ${{ c if win else 2 }}", false},
		{"c: ${{ 'x' if win }}", "a: v${{ c }}", false},
		{"c: 1", "a: ${{ cuda_version == '12' }} ${{ cuda_version is defined }} ${{ match(cuda_version, '>=12') }}", false},
		{"c: 1", "a: ${{ cuda_version | default('x') }}", false},
		{"c: 1", "a: ${{ cuda_version | upper }}", true},
		{"c: 1", "a: ${{ 'x' if cuda_version }}", true},
	} {
		_, err := tryRender("context:\n  "+tt.context+"\n"+head+"extra:\n  "+tt.use+"\n", "", Options{})
		if (err != nil) != tt.fails {
			t.Errorf("%s, %s: %v", tt.context, tt.use, err)
		}
	}
}

// An exact pin to the output itself is known wherever it stands, and so are the pins of
// tests; those to a package that it is built with only a build knows.
func TestExactPinsOfConstraintsAndTests(t *testing.T) {
	r := renderAll(t, `recipe: {name: both, version: "1.5"}
outputs:
  - package: {name: lib}
    requirements:
      run_constraints: ["${{ pin_subpackage('lib', exact=True) }}"]
      run_exports: {weak_constraints: ["${{ pin_subpackage('lib', exact=True) }}"], strong_constraints: ["${{ pin_subpackage('lib', exact=True) }}"]}
  - package: {name: app}
    tests:
      - script: "true"
        requirements:
          run: [other, "${{ pin_subpackage('lib', exact=True) }}", "${{ pin_subpackage('app', exact=True) }}", "${{ pin_compatible('lib') }}"]
          build: ["${{ pin_subpackage('lib', upper_bound='x.x') }}"]
`, "", Options{})
	lib, app := r.Outputs[0], r.Outputs[1]
	q := lib.Requirements
	exact := "lib ==1.5 " + lib.BuildString
	if got := slices.Concat(Specs(q.RunConstraints), Specs(q.RunExports.WeakConstraints), Specs(q.RunExports.StrongConstraints)); !slices.Equal(got, []string{exact, exact, exact}) {
		t.Errorf("lib has %q", got)
	}
	test := app.Tests[0]
	if got := append(Specs(test.Pins), test.Requires...); !slices.Equal(got, []string{exact, "app ==1.5 " + app.BuildString, "lib >=1.5,<1.6.0a0", "other"}) || len(test.Pins) != 4 {
		t.Errorf("its test needs %q", got)
	}
	if text := yamlOf(t, app); !strings.Contains(text, "    run:\n    - other\n    - pin_subpackage:\n        name: lib\n        exact: true\n") {
		t.Errorf("the evaluated recipe is\n%s", text)
	}
}

// Whoever pins a build has it in its hash, wherever the pin stands. The hashes are
// rattler-build's.
func TestExactPinsCount(t *testing.T) {
	for _, list := range []string{"run: [PIN]", "run_constraints: [PIN]", "run_exports: [PIN]", "run_exports: {strong_constraints: [PIN, SELF]}"} {
		list = strings.NewReplacer("PIN", `"${{ pin_subpackage('lib', exact=True) }}"`, "SELF", `"${{ pin_subpackage('app', exact=True) }}"`).Replace(list)
		r := renderAll(t, "recipe: {name: both, version: \"1.5\"}\noutputs:\n  - package: {name: lib}\n  - package: {name: app}\n    requirements: {"+list+"}\n", "", Options{})
		if got := r.Outputs[0].BuildString + " " + r.Outputs[1].BuildString; got != "hb0f4dca_0 hcf664b1_0" {
			t.Errorf("%s: %s", list, got)
		}
	}
}
