package builder_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/builder"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// Each output is built for each variant, in build order, and one that requires
// another is built and tested with that very package.
func TestOutputsAreBuiltOneFromTheOther(t *testing.T) {
	dir := folder(t, map[string]string{
		"variants.yaml": "flavour: [sweet, sour]\n",
		"recipe.yaml": `recipe: {name: both, version: "1"}
outputs:
  - package: {name: app}
    build: {script: mkdir -p $PREFIX/bin && cat $PREFIX/lib/f > $PREFIX/bin/app && echo app >> $PREFIX/bin/app}
    requirements:
      host: ["${{ pin_subpackage('lib', exact=True) }}"]
      run: ["${{ pin_subpackage('lib', exact=True) }}"]
    tests:
      - script: test "$(head -1 $PREFIX/bin/app)" = "$(cat $PREFIX/lib/f)"
  - package: {name: lib}
    build: {script: "mkdir -p $PREFIX/lib && echo ${{ flavour }} > $PREFIX/lib/f"}
`,
	})
	platform, err := builder.HostPlatform()
	if err != nil {
		t.Fatal(err)
	}
	h := &heard{}
	made, err := builder.Build(t.Context(), builder.Request{RenderRequest: builder.RenderRequest{Recipe: dir, Platform: platform}, Work: t.TempDir()}, h)
	if err != nil {
		t.Fatalf("%v\n%s", err, h.output())
	}
	var texts []string
	for _, p := range made {
		for _, name := range []string{"bin/app", "lib/f"} {
			if text, ok := contents(t, p)[name]; ok {
				texts = append(texts, p.Record.Name+": "+strings.Join(strings.Fields(text), " "))
			}
		}
	}
	slices.Sort(texts)
	if want := []string{"app: sour app", "app: sweet app", "lib: sour", "lib: sweet"}; !slices.Equal(texts, want) {
		t.Errorf("got %v, want %v", texts, want)
	}
}

// Tests run when all is there that they need, be it built later, and find the files that
// they name all the same.
func TestTestsWaitForLaterOutputs(t *testing.T) {
	const outputs = `recipe: {name: both, version: "1"}
source: {path: given}
outputs:
  - package: {name: core}
    build: {script: touch $PREFIX/core}
    requirements: {run: [extra >=1]}
    tests: [{script: "test -e $PREFIX/extra && grep given from", files: {source: [from]}}]
  - package: {name: between}
    build: {script: touch $PREFIX/between}
    requirements: {run: [core]}
    tests: [{script: test -e $PREFIX/core}]
  - package: {name: alone}
    build: {script: touch $PREFIX/alone}
    tests: [{script: echo alone is tested at once}]
  - package: {name: extra}
    build: {script: touch $PREFIX/extra}
    tests: [{script: "test -e $PREFIX/more", requirements: {run: [more]}}]
  - package: {name: more}
    build: {script: "echo more is built; touch $PREFIX/more"}
    requirements: {run: [extra]}
`
	platform, err := builder.HostPlatform()
	if err != nil {
		t.Fatal(err)
	}
	for _, failing := range []bool{false, true} {
		text, h := outputs, &heard{}
		if failing {
			text = strings.Replace(text, "test -e $PREFIX/extra", "test ! -e $PREFIX/extra", 1)
		}
		dir := folder(t, map[string]string{"recipe.yaml": text, "given/from": "given\n"})
		made, err := builder.Build(t.Context(), builder.Request{
			RenderRequest: builder.RenderRequest{Recipe: dir, Platform: platform}, Work: t.TempDir(), OutputDir: t.TempDir(),
		}, h)
		var names []string
		for _, p := range made {
			names = append(names, p.Record.Name)
		}
		slices.Sort(names)
		if !failing && (err != nil || !slices.Equal(names, []string{"alone", "between", "core", "extra", "more"})) {
			t.Errorf("%v, %v\n%s", names, err, h.output())
		}
		if failing && (!as[*builder.TestError](err) || !strings.Contains(err.Error(), "core-1-") || !slices.Equal(names, []string{"alone", "more"})) {
			t.Errorf("%v, %v", names, err)
		}
		if said := h.output(); strings.Index(said, "alone is tested") > strings.Index(said, "more is built") {
			t.Errorf("what needs nothing waits, too:\n%s", said)
		}
	}
}

func TestStagingOutputsAreRefusedWithTheirPlace(t *testing.T) {
	_, _, err := build(t, map[string]string{"recipe.yaml": `recipe: {name: x, version: "1"}
outputs:
  - staging: {name: built}
    build: {script: make}
  - package: {name: lib}
    inherit: built
`}, nil)
	list, ok := errors.AsType[tree.Problems](err)
	if !ok || list[0].Pos.Line != 5 || !strings.Contains(list.Error(), "give the output a script of its own") {
		t.Errorf("got %v", err)
	}
}

func TestMistakesThatOnlyABuildMeetsStopIt(t *testing.T) {
	_, _, err := build(t, map[string]string{"recipe.yaml": head + "build: {script: 'echo ${{ verzion }}'}\n"}, nil)
	if list, ok := errors.AsType[tree.Problems](err); !ok || !strings.Contains(list.Error(), `recipe.yaml:2:`) || !strings.Contains(list.Error(), `"verzion" is undefined`) {
		t.Errorf("got %v", err)
	}
}
