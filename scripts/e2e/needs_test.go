package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
)

// libraries are recipes of what the others are built with: a compiler that is
// activated and exports strongly, and libraries that export in all ways.
var libraries = map[string]string{
	"runtime": `
package: {name: runtime, version: "12.4"}
build: {script: mkdir -p $PREFIX/lib && echo runtime > $PREFIX/lib/runtime}
requirements: {run_exports: ["${{ pin_subpackage('runtime', upper_bound='x') }}"]}
`,
	"gcc_linux-64": `
package: {name: gcc_linux-64, version: "12.3"}
build:
  script:
    - mkdir -p $PREFIX/bin $PREFIX/etc/conda/activate.d
    - echo 'echo compiled by $CC_HOME' > $PREFIX/bin/cc12 && chmod +x $PREFIX/bin/cc12
    - echo 'export CC=$CONDA_PREFIX/bin/cc12 CC_HOME=$CONDA_PREFIX FLAGS="-I$PREFIX/include"' > $PREFIX/etc/conda/activate.d/cc.sh
requirements:
  run_exports: {strong: [runtime >=12], weak: [never], strong_constraints: [runtime-old <9], noarch: [never]}
`,
	"lib": `
package: {name: lib, version: "1.2.3"}
build: {script: mkdir -p $PREFIX/lib && echo lib > $PREFIX/lib/lib}
requirements:
  run: [base]
  run_exports:
    weak: ["${{ pin_subpackage('lib', upper_bound='x.x') }}"]
    weak_constraints: [lib-old <1]
    noarch: [base >=1]
`,
	"base":  "package: {name: base, version: \"7.0\"}\nbuild: {script: touch $PREFIX/base}\nrequirements: {run_exports: [base >=7]}\n",
	"plain": "package: {name: plain, version: \"3.1.4\"}\nbuild: {script: touch $PREFIX/plain}\n",
}

// needing are recipes, without their package section, and what becomes of them.
// What another package adds to host exports too with conda-build alone.
var needing = []struct {
	name, recipe, meta  string
	depends, constrains []string // sorted
	alone               []string // further depends of the meta.yaml
}{
	{
		name: "app",
		recipe: `requirements:
  build: ["${{ compiler('c') }}"]
  host: [lib, plain]
  run: ["${{ pin_compatible('plain', lower_bound='x.x', upper_bound='x.x') }}"]
  run_constraints: [other <2]
`,
		meta: `requirements:
  build:
    - {{ compiler('c') }}
  host:
    - lib
    - plain
  run:
    - {{ pin_compatible('plain', min_pin='x.x', max_pin='x.x') }}
  run_constrained:
    - other <2
`,
		depends:    []string{"lib >=1.2.3,<1.3.0a0", "plain >=3.1,<3.2.0a0", "runtime >=12"},
		constrains: []string{"lib-old <1", "other <2", "runtime-old <9"},
		alone:      []string{"runtime >=12.4,<13.0a0"},
	},
	{
		name: "ignoring",
		recipe: `requirements:
  build: ["${{ compiler('c') }}"]
  host: [lib, plain]
  ignore_run_exports: {by_name: [runtime-old], from_package: [lib]}
`,
		meta: `build:
  ignore_run_exports:
    - runtime-old
  ignore_run_exports_from:
    - lib
    - runtime
requirements:
  build:
    - {{ compiler('c') }}
  host:
    - lib
    - plain
`,
		depends:    []string{"runtime >=12"},
		constrains: []string{},
	},
	{
		name: "everywhere",
		recipe: `build: {noarch: generic}
requirements:
  build: ["${{ compiler('c') }}"]
  host: [lib]
  run: ["${{ pin_compatible('lib', exact=True) }}"]
`,
		meta: `build:
  noarch: generic
requirements:
  build:
    - {{ compiler('c') }}
  host:
    - lib
  run:
    - {{ pin_compatible('lib', exact=True) }}
`,
		depends:    []string{"lib ==1.2.3 @", "base >=1"},
		constrains: []string{},
	},
}

// Packages that are built with others of their channel need what these export, in
// both formats, and a client installs them with all of it. What a recipe.yaml
// becomes is what rattler-build makes of it.
func TestRunExportsReachPackages(t *testing.T) {
	s := start(t)
	for _, channel := range []string{filepath.Join(t.TempDir(), "channel"), "s3://packages/exports"} {
		for _, name := range []string{"runtime", "gcc_linux-64", "base", "lib", "plain"} {
			recipe := filepath.Join(t.TempDir(), name)
			write(t, filepath.Join(recipe, "recipe.yaml"), libraries[name])
			s.must(t, s.program, "build", recipe, "--to", channel)
		}
		for _, tt := range needing {
			t.Run(tt.name+" recipe.yaml in "+door(channel), func(t *testing.T) {
				recipe := s.buildNeeding(t, channel, tt.name, "1", "recipe.yaml", tt.recipe, tt.depends, tt.constrains)
				if door(channel) == "a folder" {
					theirs := filepath.Join(t.TempDir(), "theirs")
					s.must(t, s.python, "-c", rattlerBuild, filepath.Join(recipe, "recipe.yaml"), theirs, "file://"+channel)
					checkNeeds(t, recordOf(t, theirs), tt.depends, tt.constrains)
				}
			})
			t.Run(tt.name+" meta.yaml in "+door(channel), func(t *testing.T) {
				s.buildNeeding(t, channel, tt.name, "2", "meta.yaml", tt.meta, append(tt.alone, tt.depends...), tt.constrains)
			})
		}
	}
}

// buildNeeding builds a package that shows what it was built with, checks what it
// needs, and installs it.
func (s suite) buildNeeding(t *testing.T, channel, name, version, format, text string, depends, constrains []string) (recipe string) {
	t.Helper()
	recipe = filepath.Join(t.TempDir(), "recipe")
	write(t, filepath.Join(recipe, format), "package:\n  name: "+name+"\n  version: \""+version+"\"\n"+text)
	write(t, filepath.Join(recipe, "build.sh"), `test "$CC_HOME" = "$BUILD_PREFIX" && test "$FLAGS" = "-I$PREFIX/include"
test -f $PREFIX/lib/lib && test -f $PREFIX/base && test -f $PREFIX/lib/runtime && test ! -e $PREFIX/bin/cc12
mkdir -p $PREFIX/share && sh $CC > $PREFIX/share/`+name+"\n")
	out := filepath.Join(t.TempDir(), "out")
	s.must(t, s.program, "build", recipe, "--to", channel, "--output-dir", out)
	made := recordOf(t, out)
	checkNeeds(t, made, depends, constrains)
	prefix := filepath.Join(t.TempDir(), "env")
	installed := s.install(t, channel, name+"=="+version, prefix)
	shown, err := os.ReadFile(filepath.Join(prefix, "share", name)) //nolint:gosec // the test's own
	if err != nil || !strings.HasPrefix(string(shown), "compiled by ") || !strings.Contains(installed, made.FileName) {
		t.Errorf("a client installs %s with %q, %v", installed, shown, err)
	}
	return recipe
}

// odd are requirements of recipe.yaml at the edges of the rules.
var odd = []string{
	"{build: [lib], run: [lib]}",
	"{build: [gcc_linux-64], host: [lib]}\nbuild: {merge_build_and_host_envs: true}",
	"{build: [gcc_linux-64, lib]}\nbuild: {merge_build_and_host_envs: true}",
	"{build: [gcc_linux-64], host: ['${{ pin_compatible(\"gcc_linux-64\", upper_bound=\"x\") }}']}",
	"{host: [pre, lib], run: ['lib   >=1.2 , <2', 'pre =2', '${{ pin_compatible(\"pre\") }}', '${{ pin_compatible(\"pre\", lower_bound=\"x.x\", upper_bound=\"x.x.x\") }}']}",
	"{host: [pre, lib], run_constraints: ['${{ pin_compatible(\"pre\", upper_bound=none) }}', 'q=1.2'], run_exports: ['${{ pin_compatible(\"pre\") }}', 'foo 1.2.*', \"${{ pin_subpackage('a', exact=True) }}\"], ignore_run_exports: {by_name: [lib], from_package: [pre]}}",
	"{build: [gcc_linux-64], host: [lib, pre]}\nbuild: {noarch: generic}",
	"{build: [gcc_linux-64, runtime], host: [runtime], run_constraints: [\"${{ pin_subpackage('a', exact=True) }}\"], run_exports: {weak_constraints: [\"${{ pin_subpackage('a', exact=True) }}\"], noarch: [\"${{ pin_subpackage('a', upper_bound=None) }}\"]}}",
	"{host: [local], run: ['${{ pin_compatible(\"local\", lower_bound=\"x\", upper_bound=\"x.x\") }}', 'c::z =1.2 h*'], run_constraints: ['${{ pin_compatible(\"local\", lower_bound=\"x.x.x\", upper_bound=\"x.x.x\") }}']}",
}

// Whatever requirements say, index.json and run_exports.json are rattler-build's.
func TestRequirementsAreRattlerBuilds(t *testing.T) {
	s := start(t)
	channel := filepath.Join(t.TempDir(), "channel")
	libraries := maps.Clone(libraries)
	libraries["pre"] = "package: {name: pre, version: 2.0.0rc1}\nbuild: {script: touch $PREFIX/pre}\nrequirements: {run_exports: [pre ==2.0.0rc1 0, lib]}\n"
	libraries["local"] = "package: {name: local, version: 1.6_5+cuda}\nbuild: {script: touch $PREFIX/local}\nrequirements: {run_exports: ['y =1.2 h*', 'x ==1.2 h_0']}\n"
	for _, name := range []string{"runtime", "gcc_linux-64", "base", "lib", "pre", "local"} {
		recipe := filepath.Join(t.TempDir(), name)
		write(t, filepath.Join(recipe, "recipe.yaml"), libraries[name])
		s.must(t, s.program, "build", recipe, "--to", channel)
	}
	for _, requirements := range odd {
		recipe, ours, theirs := t.TempDir(), filepath.Join(t.TempDir(), "ours"), filepath.Join(t.TempDir(), "theirs")
		write(t, filepath.Join(recipe, "recipe.yaml"), "package: {name: a, version: \"1\"}\nrequirements: "+requirements+"\n")
		write(t, filepath.Join(recipe, "build.sh"), "touch $PREFIX/a\n")
		s.must(t, s.program, "build", recipe, "-c", channel, "--output-dir", ours)
		s.must(t, s.python, "-c", rattlerBuild, filepath.Join(recipe, "recipe.yaml"), theirs, "file://"+channel)
		a, b := recordOf(t, ours), recordOf(t, theirs)
		checkNeeds(t, a, b.Depends, b.Constrains)
		if a.FileName != b.FileName || string(a.RunExports) != string(b.RunExports) {
			t.Errorf("%s: %s exports %s, theirs is %s and exports %s", requirements, a.FileName, a.RunExports, b.FileName, b.RunExports)
		}
	}
}

// rattlerBuild builds a recipe.yaml with rattler-build.
const rattlerBuild = `
import sys
from rattler_build import Stage0Recipe, ToolConfiguration
recipe, out, channel = sys.argv[1:]
Stage0Recipe.from_file(recipe).run_build(tool_config=ToolConfiguration(test_strategy="skip"), output_dir=out, channels=[channel])
`

// checkNeeds compares without regard to order, in which tools are free.
func checkNeeds(t *testing.T, r conda.Record, depends, constrains []string) {
	t.Helper()
	plain := func(list []string) []string {
		list = append([]string{}, list...)
		for i, spec := range list { // exact pins: the build string is not the test's affair
			if words := strings.Fields(spec); len(words) == 3 {
				list[i] = words[0] + " ==" + strings.TrimPrefix(words[1], "==") + " @"
			}
		}
		slices.Sort(list)
		return list
	}
	if diff := cmp.Diff([][]string{plain(depends), plain(constrains)}, [][]string{plain(r.Depends), plain(r.Constrains)}); diff != "" {
		t.Errorf("%s (-want +got):\n%s", r.FileName, diff)
	}
}

// recordOf is what the one package below dir says of itself and what it exports.
func recordOf(t *testing.T, dir string) conda.Record {
	t.Helper()
	file := onlyPackage(t, dir)
	f, err := os.Open(file) //nolint:gosec // the test's own
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	stat, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	info, err := archive.ReadInfo(f, stat.Size(), file)
	if err != nil {
		t.Fatal(err)
	}
	r := conda.Record{FileName: filepath.Base(file)}
	if err := json.Unmarshal(info.IndexJSON, &r); err != nil {
		t.Fatal(err)
	}
	if r.RunExports, err = conda.NormalRunExports(info.RunExports); err != nil {
		t.Fatal(err)
	}
	return r
}

// onlyPackage is the one package below dir.
func onlyPackage(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*", "*.conda"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return found[0]
}
