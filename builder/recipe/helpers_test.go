package recipe

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// folder is a recipe's folder with the recipe and empty files beside it.
func folder(file, text string, others ...string) fstest.MapFS {
	f := fstest.MapFS{file: {Data: []byte(text)}}
	for _, name := range others {
		f[name] = &fstest.MapFile{Data: []byte("echo " + name + "\n")}
	}
	return f
}

// render is Render for linux-64 of a recipe that has exactly one output.
func render(t *testing.T, fsys fstest.MapFS, o Options) *Output {
	t.Helper()
	file, err := Find(fsys, false)
	if err != nil {
		t.Fatal(err)
	}
	if o.TargetPlatform == "" {
		o.TargetPlatform = "linux-64"
	}
	result, err := Render(fsys, file, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Outputs) != 1 {
		t.Fatalf("%d outputs, want 1", len(result.Outputs))
	}
	out := *result.Outputs[0]
	out.Warnings = slices.Concat(result.Warnings, out.Warnings)
	return &out
}

// problems renders a recipe that must be refused, at the latest by a build.
func problems(t *testing.T, file, text string) tree.Problems {
	t.Helper()
	result, err := Render(folder(file, text), file, Options{TargetPlatform: "linux-64"})
	var list tree.Problems
	if err == nil && len(result.Outputs) > 0 && len(result.Outputs[0].Blockers) > 0 {
		return result.Outputs[0].Blockers
	}
	if !errors.As(err, &list) {
		t.Fatalf("got %v, want Problems", err)
	}
	return list
}

// has fails unless one of the lines is printed at the place with the text.
func has(t *testing.T, list tree.Problems, place, text string) {
	t.Helper()
	for _, p := range list {
		if strings.HasPrefix(p.Error(), place+": ") && strings.Contains(p.Error(), text) {
			return
		}
	}
	t.Errorf("no %s with %q in\n%v", place, text, list)
}

const (
	sha  = "05e877c06216e102a040e11b6b7fd8364dc699ed01b9386fc407564ce722c454"
	head = "package:\n  name: tool\n  version: 1.10\n"
)

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// yamlOf is the evaluated recipe.
func yamlOf(t *testing.T, o *Output) string {
	t.Helper()
	text, err := o.YAML()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
