package builder_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/builder"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/condatest"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/env/solve"
)

// exportingChannel has a compiler, which exports strongly, and libraries, which
// export in all ways. Nobody asks for base, on which lib depends.
func exportingChannel(t *testing.T) env.Channel {
	t.Helper()
	return exporting(t, []exporter{
		{"cc", "12.3", "", `{"strong":["cc-runtime >=12"],"weak":["never 1.0"],"strong_constrains":["cc-old <9"],"noarch":["never-noarch"]}`},
		{"cc-runtime", "12.4", "", `{"weak":["cc-base"]}`},
		{"lib", "1.2.3", "base", `{"weak":["lib >=1.2,<2.0a0"],"strong":["lib-data 1.2","lib-data ==1.2"],"weak_constrains":["lib-old <1"],"noarch":["lib-noarch >=1"]}`},
		{"lib-data", "1.2", "", ""},
		{"base", "7.0", "", `["base >=7"]`},
		{"plain", "3.1.4", "", ""},
		{"numpy", "1.26.4", "", `["numpy >=1.23,<3"]`},
	})
}

// exporter is a package and its info/run_exports.json.
type exporter struct{ name, version, depends, exports string }

// exporting is a channel of them.
func exporting(t *testing.T, all []exporter) env.Channel {
	t.Helper()
	var paths []string
	for _, p := range all {
		in := condatest.Index(p.name, p.version, 0, "noarch")
		if p.depends != "" {
			in["depends"] = []string{p.depends}
		}
		files := map[string]string{"share/" + p.name: p.version}
		if p.exports != "" {
			files["info/run_exports.json"] = p.exports
		}
		paths = append(paths, condatest.Write(t, fmt.Sprintf("%s-%s-0.conda", p.name, p.version), in, files))
	}
	return indexed(t, paths)
}

// The rows are what conda-build and rattler-build make of the same recipes.
func TestWhatAPackageNeeds(t *testing.T) {
	channel := exportingChannel(t)
	for _, tt := range []struct {
		name, recipe        string
		depends, constrains string
	}{
		{"recipe.yaml", `
requirements: {build: [cc], host: [lib, plain], run: ["z >=1", "${{ pin_compatible('plain', upper_bound='x.x') }}"], run_constraints: [y <2]}
`, "z >=1 | plain >=3.1.4,<3.2.0a0 | cc-runtime >=12 | lib-data ==1.2 | lib >=1.2,<2.0a0", "y <2 | cc-old <9 | lib-old <1"},
		{"meta.yaml", `
requirements: {build: [cc], host: [lib, plain], run: ["z >=1", "{{ pin_compatible('plain', max_pin='x.x') }}"], run_constrained: [y <2]}
`, "cc-base | cc-runtime >=12 | lib >=1.2,<2.0a0 | lib-data 1.2 | lib-data 1.2.* | plain >=3.1.4,<3.2.0a0 | z >=1", "cc-old <9 | lib-old <1 | y <2"},

		{"recipe.yaml", `
requirements: {build: [cc], host: [lib], ignore_run_exports: {by_name: [lib-data, cc-old], from_package: [plain]}}
`, "cc-runtime >=12 | lib >=1.2,<2.0a0", "lib-old <1"},
		{"meta.yaml", `
build: {ignore_run_exports: [lib-data, "cc-old <9"], ignore_run_exports_from: [cc-runtime]}
requirements: {build: [cc], host: [lib]}
`, "cc-runtime >=12 | lib >=1.2,<2.0a0", "lib-old <1"},
		{"meta.yaml", `
build: {ignore_run_exports: ["*"]}
requirements: {build: [cc], host: [lib], run: [z]}
`, "z", ""},

		{"recipe.yaml", `
build: {noarch: generic}
requirements: {build: [cc], host: [lib], run: [z]}
`, "z | lib-noarch >=1", ""},
		{"meta.yaml", `
build: {noarch: generic}
requirements: {build: [cc], host: [lib], run: [z]}
`, "lib-noarch >=1 | z", ""},

		// Without host requirements a meta.yaml's prefixes are one: weak exports count.
		{"meta.yaml", `
requirements: {build: [lib], run: [lib]}
`, "lib >=1.2,<2.0a0 | lib-data 1.2 | lib-data 1.2.*", "lib-old <1"},
		{"recipe.yaml", `
requirements: {build: [lib], run: [lib]}
`, "lib | lib-data ==1.2", ""},
		{"recipe.yaml", `
build: {merge_build_and_host_envs: true}
requirements: {build: [cc], host: [lib]}
`, "lib-data ==1.2 | lib >=1.2,<2.0a0", "lib-old <1"},

		// All that are built in one prefix, and some of it for host: weak exports of these count.
		{"meta.yaml", `
build: {merge_build_host: true}
requirements: {build: [lib], host: [plain], run: ["{{ pin_compatible('lib', max_pin='x.x') }}"]}
`, "lib >=1.2.3,<1.3.0a0 | lib-data 1.2 | lib-data 1.2.*", ""},
		{"meta.yaml", `
build: {merge_build_host: true}
requirements: {build: [cc, plain], host: [base]}
`, "base >=7 | cc-base | cc-runtime >=12", "cc-old <9"},
		{"meta.yaml", `
requirements: {build: [cc], host: [], run: [z]}
`, "cc-base | cc-runtime >=12 | z", "cc-old <9"},

		{"meta.yaml", `
requirements: {host: [plain], run: ["{{ pin_compatible('plain', max_pin='x.x') }}", "{{ pin_compatible('plain', min_pin='x', max_pin=None) }}", plain]}
`, "plain >=3 | plain >=3.1.4,<3.2.0a0", ""},
		{"meta.yaml", `
requirements: {host: [lib, plain], run: ["{{ pin_compatible('lib', exact=True) }}", lib >=1, "elsewhere::z >=1"], run_constrained: [y 2, "x  =1"]}
`, "lib 1.2.3 0 | lib-data 1.2 | lib-data 1.2.* | z >=1", "lib-old <1 | x =1 | y 2"},

		// x.x is the version that is installed, also of what another package exports.
		{"meta.yaml", `
requirements: {host: [numpy >=1.26, plain], run: [numpy x.x, plain   x.x]}
`, "numpy >=1.26,<1.27.0a0 | plain >=3.1,<3.2.0a0", ""},

		// A lower bound stands for a version that nothing else tells.
		{"meta.yaml", `
requirements: {host: [plain], run: ["{{ pin_compatible('other', lower_bound='1.2', upper_bound='2') }}", "{{ pin_compatible('more', lower_bound='1.2.3', max_pin='x.x', exact=True) }}"]}
`, "more >=1.2.3,<1.3.0a0 | other >=1.2,<2", ""},
		{"recipe.yaml", `
requirements: {build: [cc], host: ["${{ pin_compatible('cc', upper_bound='x') }}"], run: ["${{ pin_compatible('cc', exact=True) }}", "${{ pin_compatible('base', lower_bound='x', upper_bound=None) }}"]}
`, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := "package: {name: a, version: \"1\"}\n" + tt.recipe
			p, h, err := build(t, map[string]string{tt.name: text}, func(r *builder.Request) { r.Channels = []env.Channel{channel} })
			if tt.depends == "" {
				if problem, ok := errors.AsType[tree.Problems](err); !ok || !strings.Contains(problem.Error(), "recipe.yaml:3:") || !strings.Contains(problem.Error(), "the package is built without base") {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, h.output())
			}
			depends, constrains := strings.Join(p.Record.Depends, " | "), strings.Join(p.Record.Constrains, " | ")
			if diff := cmp.Diff([]string{tt.depends, tt.constrains}, []string{depends, constrains}); diff != "" {
				t.Errorf("%s\n%s", tt.recipe, diff)
			}
		})
	}
}

func TestExactRequirementsThatExcludeEachOther(t *testing.T) {
	_, _, err := build(t, map[string]string{
		"meta.yaml": "package: {name: a, version: \"1\"}\nrequirements: {host: [plain], run: [\"{{ pin_compatible('plain', exact=True) }}\", plain 3.1.4 7]}\n",
	}, func(r *builder.Request) { r.Channels = []env.Channel{exportingChannel(t)} })
	if err == nil || !strings.Contains(err.Error(), "the package would need both plain 3.1.4 0 and plain 3.1.4 7, which exclude each other: require one of them") {
		t.Error(err)
	}
}

// A test that needs what the package was built with gets that, and the package says so
// to whoever runs its tests again.
func TestTestsNeedWhatThePackageWasBuiltWith(t *testing.T) {
	var paths []string
	for _, version := range []string{"3.1.4", "4.0"} {
		paths = append(paths, condatest.Write(t, "plain-"+version+"-0.conda", condatest.Index("plain", version, 0, "noarch"), map[string]string{"share/plain": version}))
	}
	channel := indexed(t, paths)
	const head, check = "package: {name: a, version: \"1\"}\nrequirements: {host: [plain <4]}\n", "grep -qx 3.1.4 $PREFIX/share/plain"
	for _, tt := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{"meta.yaml": head + "test:\n  requires:\n    - {{ pin_compatible('plain', max_pin='x.x') }}\n  commands:\n    - " + check + "\n"}, "plain >=3.1.4,<3.2.0a0"},
		{map[string]string{
			"meta.yaml":               head + "test:\n  requires:\n    - plain\n  commands:\n    - " + check + "\n",
			"conda_build_config.yaml": "pin_run_as_build:\n  plain: x.x\n",
		}, "plain >=3.1,<3.2.0a0"},
		{map[string]string{"recipe.yaml": head + "tests:\n  - script: " + check + "\n    requirements: {run: [\"${{ pin_compatible('plain') }}\", \"${{ pin_subpackage('a', exact=True) }}\"]}\n"}, "plain >=3.1.4,<4.0a0"},
	} {
		p, _ := mustBuild(t, tt.files, func(r *builder.Request) { r.Channels = []env.Channel{channel} })
		if got := contents(t, p)["info/test/test_time_dependencies.json"]; !strings.Contains(got, `"`+tt.want+`"`) {
			t.Errorf("%v: its tests need %s", tt.files, got)
		}
	}
}

// What a test is run with does not hide what the package lacks, as with rattler-build.
func TestWhatATestIsRunWithHasAPrefixOfItsOwn(t *testing.T) {
	file := condatest.Write(t, "tool-1.0-0.conda", condatest.Index("tool", "1.0", 0, "noarch"), map[string]string{"share/tool": "x", "etc/conda/activate.d/tool.sh": "export TOOL=on\n"})
	p, _ := mustBuild(t, map[string]string{"recipe.yaml": `package: {name: a, version: "1"}
tests:
  - script: test ! -e $PREFIX/share/tool && test -e $BUILD_PREFIX/share/tool && test $TOOL = on && test $CONDA_PREFIX = $PREFIX && case $PATH in $BUILD_PREFIX/bin:$PREFIX/bin:*) ;; *) false;; esac
    requirements: {build: [tool >=1]}
  - script: test ! -e $BUILD_PREFIX/share/tool
`}, func(r *builder.Request) { r.Channels = []env.Channel{indexed(t, []string{file})} })
	if got := contents(t, p)["info/test/test_time_dependencies.json"]; !strings.Contains(got, `"tool >=1"`) {
		t.Errorf("its tests need %s", got)
	}
}

// A package tells what it was built with.
func TestTheRecipeInAPackageIsFinal(t *testing.T) {
	for format, want := range map[string]string{
		"meta.yaml":   "requirements:\n  build:\n  - cc 12.3 0\n  host:\n  - base 7.0 0\n  - cc-runtime 12.4 0\n  - lib 1.2.3 0\n  run:\n  - cc-base\n  - cc-runtime >=12\n",
		"recipe.yaml": "finalized_dependencies:\n  build:\n    resolved:\n    - cc 12.3 0\n  host:\n    resolved:\n    - base 7.0 0\n    - cc-runtime 12.4 0\n    - lib 1.2.3 0\n  run:\n    depends:\n    - cc-runtime >=12\n",
	} {
		text := "package: {name: a, version: \"1\"}\nrequirements: {build: [cc], host: [lib]}\n"
		p, _ := mustBuild(t, map[string]string{format: text}, func(r *builder.Request) { r.Channels = []env.Channel{exportingChannel(t)} })
		name := map[string]string{"meta.yaml": "meta.yaml", "recipe.yaml": "rendered_recipe.yaml"}[format]
		if got := contents(t, p)["info/recipe/"+name]; !strings.Contains(got, want) {
			t.Errorf("%s:\n%s", name, got)
		}
	}
	p, _ := mustBuild(t, map[string]string{"meta.yaml": `package: {name: a, version: "1.5"}
build: {run_exports: {weak: ["{{ pin_subpackage('a', max_pin='x.x') }}"]}, skip: false}
requirements: {build: [lib]}
`}, func(r *builder.Request) { r.Channels = []env.Channel{exportingChannel(t)} })
	got := contents(t, p)["info/recipe/meta.yaml"]
	for _, want := range []string{"    weak:\n    - a >=1.5,<1.6.0a0\n", "requirements:\n  build:\n  - base 7.0 0\n  - lib 1.2.3 0\n  run:\n", "run_constrained:\n  - lib-old <1\n", "skip: false\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// The python that a package was built with is the one that it runs with.
func TestPinRunAsBuild(t *testing.T) {
	p, _ := mustBuild(t, map[string]string{
		"conda_build_config.yaml": "pin_run_as_build:\n  plain: {max_pin: x.x}\n  lib: x.x\n",
		"meta.yaml":               "package: {name: a, version: \"1\"}\nrequirements: {host: [plain, lib], run: [plain, lib >=1, base]}\nbuild: {ignore_run_exports: ['*']}\n",
	}, func(r *builder.Request) { r.Channels = []env.Channel{exportingChannel(t)} })
	if diff := cmp.Diff([]string{"base", "lib >=1.2,<1.3.0a0", "plain >=3.1.4,<3.2.0a0"}, p.Record.Depends); diff != "" {
		t.Error(diff)
	}
	p, _ = mustBuild(t, map[string]string{
		"conda_build_config.yaml": "pin_run_as_build:\n  lib: x.x\n",
		"meta.yaml":               "package: {name: a, version: \"1\"}\nrequirements: {host: [lib]}\n",
	}, func(r *builder.Request) { r.Channels = []env.Channel{exportingChannel(t)} })
	if !slices.Contains(p.Record.Depends, "lib >=1.2,<1.3.0a0") {
		t.Errorf("what lib exports became %q", p.Record.Depends)
	}
}

// The hash of a meta.yaml's package has the virtual packages that others export, and its
// build string shows what is installed. The first hash is conda-build's own for
// {"__linux": "__linux"}.
func TestTheBuildStringIsFinalWithTheEnvironments(t *testing.T) {
	channel := exporting(t, []exporter{
		{"sysroot", "2.17", "", `{"strong":["__linux"]}`},
		{"r-base", "4.3.1", "", `["r-base >=4.3,<4.4.0a0"]`},
		{"python", "3.12.4", "", ""},
		{"pip", "24.0", "python", ""},
	})
	for _, tt := range []struct{ build, requirements, want string }{
		{"", "{build: [sysroot], host: []}", "ha63b06e_0"},
		{"string: \"x_h{{ PKG_HASH }}\"", "{build: [sysroot], host: []}", "x_ha63b06e"},
		{"string: fixed", "{build: [sysroot], host: []}", "fixed"},
		{"noarch: generic", "{build: [sysroot], host: []}", "0"},
		{"", "{host: [r-base >=4]}", "r43_0"},
		{"", "{host: [pip], run: [python]}", "py312_0"},
		{"", "{build: [pip], run: [python]}", "py312_0"},
	} {
		text := "package: {name: a, version: \"1\"}\nbuild:\n  script: echo $PKG_BUILD_STRING h$PKG_HASH > $PREFIX/named\n"
		if tt.build != "" {
			text += "  " + tt.build + "\n"
		}
		text += "requirements: " + tt.requirements + "\n"
		p, h, err := build(t, map[string]string{"meta.yaml": text}, func(r *builder.Request) {
			r.Channels = []env.Channel{channel}
			r.Virtual = func() []conda.Record { return []conda.Record{{Name: "__linux", Version: "0", Build: "0"}} }
		})
		if err != nil {
			t.Errorf("%s: %v\n%s", text, err, h.output())
			continue
		}
		all := contents(t, p)
		if p.Record.Build != tt.want || !strings.HasPrefix(all["named"], tt.want+" h") || !strings.Contains(all["info/recipe/meta.yaml"], "string: "+tt.want) && !strings.Contains(all["info/recipe/meta.yaml"], "string: '"+tt.want+"'") {
			t.Errorf("%s: got %s, the script saw %q", text, p.Record.Build, all["named"])
		}
		if strings.Contains(tt.want, "ha63b06e") && (all["info/hash_input.json"] != `{"__linux": "__linux"}` || !strings.HasSuffix(all["named"], " ha63b06e\n")) {
			t.Errorf("%s: hashed %s, the script saw %q", text, all["info/hash_input.json"], all["named"])
		}
	}
}

// A task that is tried again finds what it published under the final name.
func TestATaskFindsItsPackageUnderTheFinalName(t *testing.T) {
	file := condatest.Write(t, "sysroot-2.17-0.conda", condatest.Index("sysroot", "2.17", 0, "noarch"), map[string]string{"share/s": "s", "info/run_exports.json": `{"strong":["__linux"]}`})
	var asked []string
	p, h, err := build(t, map[string]string{"meta.yaml": "package: {name: a, version: \"1\"}\nbuild: {script: exit 1}\nrequirements: {build: [sysroot], host: []}\n"}, func(r *builder.Request) {
		r.Channels = []env.Channel{indexed(t, []string{file})}
		r.Virtual = func() []conda.Record { return []conda.Record{{Name: "__linux", Version: "0", Build: "0"}} }
		r.NextBuildNumber = func(context.Context, string, string, []string) (int, bool, error) { return 4, true, nil }
		r.Stored = func(_ context.Context, key string) (bool, error) {
			asked = append(asked, path.Base(key))
			return strings.HasSuffix(key, "/a-1-ha63b06e_4.conda"), nil
		}
	})
	if err != nil || !strings.HasSuffix(p.Stored, "/a-1-ha63b06e_4.conda") || !slices.Equal(asked, []string{"a-1-4.conda", "a-1-ha63b06e_4.conda"}) {
		t.Errorf("found %q, asked for %q, %v\n%s", p.Stored, asked, err, h.output())
	}
}

// Who pins a package's build gets the final one.
func TestExactPinsHaveTheFinalBuildString(t *testing.T) {
	file := condatest.Write(t, "sysroot-2.17-0.conda", condatest.Index("sysroot", "2.17", 0, "noarch"), map[string]string{"share/s": "s", "info/run_exports.json": `{"strong":["__linux"]}`})
	channel := indexed(t, []string{file})
	platform, err := builder.HostPlatform()
	if err != nil {
		t.Fatal(err)
	}
	h := &heard{}
	made, err := builder.Build(t.Context(), builder.Request{
		RenderRequest: builder.RenderRequest{Recipe: folder(t, map[string]string{"meta.yaml": `package: {name: both, version: "1.5"}
outputs:
  - name: lib
    build:
      script: touch $PREFIX/lib
      run_exports: {weak: ["{{ pin_subpackage('lib', exact=True) }}"]}
    requirements: {build: [sysroot], host: []}
  - name: app
    build: {script: touch $PREFIX/app}
    requirements: {host: ["{{ pin_subpackage('lib', exact=True) }}"], run: ["{{ pin_subpackage('lib', exact=True) }}"]}
    test: {requires: ["{{ pin_subpackage('lib', exact=True) }}"], commands: [test -f $PREFIX/lib]}
`}), Platform: platform},
		Work: t.TempDir(), Channels: []env.Channel{channel},
		Virtual: func() []conda.Record { return []conda.Record{{Name: "__linux", Version: "0", Build: "0"}} },
	}, h)
	if err != nil || len(made) != 2 {
		t.Fatalf("%d packages, %v\n%s", len(made), err, h.output())
	}
	if want := "lib 1.5 ha63b06e_0"; !slices.Contains(made[1].Record.Depends, want) || !strings.Contains(string(made[0].RunExports), `"`+want+`"`) {
		t.Errorf("lib is %s and exports %s; app depends on %q", made[0].Record.Build, made[0].RunExports, made[1].Record.Depends)
	}
}

// What a package exports is in it, as readers of either format expect, and counts
// for the next output at once.
func TestRunExportsOfAnOutputReachTheNext(t *testing.T) {
	for format, text := range map[string]string{
		"recipe.yaml": `recipe: {name: both, version: "1.5"}
outputs:
  - package: {name: lib}
    build: {script: touch $PREFIX/lib}
    requirements: {host: [plain], run_exports: {weak: ["${{ pin_subpackage('lib', upper_bound='x.x') }}"], strong: ["${{ pin_compatible('plain') }}"], weak_constraints: [old <1]}}
  - package: {name: app}
    build: {script: touch $PREFIX/app}
    requirements: {host: [lib]}
`,
		"meta.yaml": `package: {name: both, version: "1.5"}
outputs:
  - name: lib
    build:
      script: touch $PREFIX/lib
      run_exports: {weak: ["{{ pin_subpackage('lib', max_pin='x.x') }}"], strong: ["{{ pin_compatible('plain') }}"], weak_constrains: [old <1]}
    requirements: {host: [plain]}
  - name: app
    build: {script: touch $PREFIX/app}
    requirements: {host: [lib]}
`,
	} {
		t.Run(format, func(t *testing.T) {
			platform, err := builder.HostPlatform()
			if err != nil {
				t.Fatal(err)
			}
			h := &heard{}
			made, err := builder.Build(t.Context(), builder.Request{
				RenderRequest: builder.RenderRequest{Recipe: folder(t, map[string]string{format: text}), Platform: platform},
				Work:          t.TempDir(), Channels: []env.Channel{exportingChannel(t)},
			}, h)
			if err != nil || len(made) != 2 {
				t.Fatalf("%d packages, %v\n%s", len(made), err, h.output())
			}
			exports, err := conda.ParseExports([]byte(contents(t, made[0])["info/run_exports.json"]))
			want := conda.Exports{Weak: []string{"lib >=1.5,<1.6.0a0"}, Strong: []string{"plain >=3.1.4,<4.0a0"}, WeakConstrains: []string{"old <1"}}
			if diff := cmp.Diff(want, exports); diff != "" || err != nil {
				t.Errorf("%s %v", diff, err)
			}
			depends := strings.Join(made[1].Record.Depends, " | ")
			if format == "recipe.yaml" && depends != "plain >=3.1.4,<4.0a0 | lib >=1.5,<1.6.0a0" || format == "meta.yaml" && depends != "lib >=1.5,<1.6.0a0 | plain >=3.1.4,<4.0a0" {
				t.Errorf("app depends on %s", depends)
			}
			if diff := cmp.Diff([]string{"old <1"}, made[1].Record.Constrains); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRequirementsThatCollideAreShownInTheRecipe(t *testing.T) {
	c := exportingChannel(t)
	_, _, err := build(t, map[string]string{"recipe.yaml": `package: {name: a, version: "1"}
requirements:
  build: [cc]
  host:
    - plain
    - lib >=1
    - base >=7
    - cc-runtime <12
`}, func(r *builder.Request) { r.Channels = []env.Channel{c} })
	collision, ok := errors.AsType[*builder.RequirementError](err)
	if _, unsolvable := errors.AsType[*solve.UnsolvableError](err); !ok || !unsolvable {
		t.Fatal(err)
	}
	want := `recipe.yaml:8:7: cc-runtime <12
the host environment cannot be made: no packages in ` + c.URL + ` fit together:
  - you asked for cc-runtime <12, and there is only cc-runtime 12.4`
	if !strings.HasPrefix(collision.Error(), want) {
		t.Error(collision)
	}
}

// What is wrong with requirements is said with what to change.
func TestRequirementsThatCannotBeHadSayWhatToDo(t *testing.T) {
	channel := exportingChannel(t)
	for _, tt := range []struct {
		format, requirements, want string
		channels                   []env.Channel
	}{
		{"recipe.yaml", "{host: [plain]}", "nothing provides plain\nthere is no channel to take it from: name one with -c", nil},
		{"recipe.yaml", "{host: [plain, \"${{ pin_compatible('plain') }}\"]}", "plain is not there; add plain to the build requirements", []env.Channel{channel}},
		{"recipe.yaml", "{host: [plain], run: [\"${{ pin_compatible('lib') }}\"]}", "the package is built without lib; add lib to the host requirements", []env.Channel{channel}},
		{"meta.yaml", "{build: [lib], host: [], run: [\"{{ pin_compatible('lib') }}\"]}", "the package is built without lib; add lib to the host requirements", []env.Channel{channel}},
		{"meta.yaml", "{host: [plain], run: [numpy x.x]}", "the package is built without numpy; add numpy to the host requirements", []env.Channel{channel}},
		{"meta.yaml", "{host: [plain], run: [\"{{ pin_compatible('lib', upper_bound='2') }}\"]}", "the package is built without lib; add lib to the host requirements", []env.Channel{channel}},
		{"recipe.yaml", "{host: [plain], run: [\"${{ pin_compatible('lib', lower_bound='1', upper_bound='2') }}\"]}", "the package is built without lib; add lib to the host requirements", []env.Channel{channel}},
		{"meta.yaml", "{host: [plain], run: [a]}", "a would depend on itself: do not require it", []env.Channel{channel}},
	} {
		_, _, err := build(t, map[string]string{tt.format: "package: {name: a, version: \"1\"}\nrequirements: " + tt.requirements + "\n"}, func(r *builder.Request) { r.Channels = tt.channels })
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.requirements, err)
		}
	}
}

func TestRunExportsThatCannotBeReadNameTheirPackage(t *testing.T) {
	file := condatest.Write(t, "bad-1.0-0.conda", condatest.Index("bad", "1.0", 0, "noarch"), map[string]string{"share/bad": "x", "info/run_exports.json": `{"weak":["lib >>1"]}`})
	channel := indexed(t, []string{file})
	_, _, err := build(t, map[string]string{"recipe.yaml": "package: {name: a, version: \"1\"}\nrequirements: {host: [bad]}\n"}, func(r *builder.Request) {
		r.Channels = []env.Channel{channel}
	})
	if err == nil || !strings.Contains(err.Error(), "bad 1.0 0") || !strings.Contains(err.Error(), "lib >>1") || !strings.Contains(err.Error(), "ignore the run_exports from bad") {
		t.Error(err)
	}
	for format, ignore := range map[string]string{
		"recipe.yaml": "requirements: {host: [bad], ignore_run_exports: {from_package: [bad]}}\n",
		"meta.yaml":   "build: {ignore_run_exports_from: [bad], number: 1}\nrequirements: {host: [bad]}\n",
	} {
		p, _ := mustBuild(t, map[string]string{format: "package: {name: a, version: \"1\"}\n" + ignore}, func(r *builder.Request) { r.Channels = []env.Channel{channel} })
		if len(p.Record.Depends) > 0 {
			t.Errorf("%s depends on %q", format, p.Record.Depends)
		}
	}
}
