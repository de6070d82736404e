package recipe

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/builder/recipe/platform"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/builder/recipe/variant"
	"github.com/condaworker/condaworker/conda"
)

// TestPairs: a recipe that says the same in both formats becomes the same model,
// so that nothing behind it knows which it was. What a format alone decides is
// left out: its hash, and the places and texts of its file.
func TestPairs(t *testing.T) {
	dirs, err := filepath.Glob("testdata/pairs/*")
	if err != nil || len(dirs) < 10 {
		t.Fatalf("%d pairs, %v", len(dirs), err)
	}
	options := cmp.Options{
		cmp.Comparer(func(tree.Pos, tree.Pos) bool { return true }),
		cmp.Transformer("spec", func(d Dependency) string { return pairedSpec(d) }),
	}
	for _, dir := range dirs {
		for _, target := range []string{"linux-64", "linux-aarch64", "osx-arm64"} {
			t.Run(filepath.Base(dir)+"/"+target, func(t *testing.T) {
				old, latest := paired(t, dir, V0, target), paired(t, dir, V1, target)
				if diff := cmp.Diff(old, latest, options); diff != "" {
					t.Errorf("(-meta.yaml +recipe.yaml):\n%s", diff)
				}
			})
		}
	}
}

// pairedSpec is a requirement as a solver gets it; of a pin to what only a solved
// environment knows, the pin.
func pairedSpec(d Dependency) string {
	if d.Pin != nil && d.Resolved == "" {
		return d.Pin.String()
	}
	m, err := conda.ParseMatchSpec(d.MatchSpec())
	if err != nil {
		return d.MatchSpec()
	}
	return m.String() // of the spellings of one version, such as =3.10 and 3.10.*, one
}

// paired is the model without what a format decides.
func paired(t *testing.T, dir string, format Format, target string) []Output {
	t.Helper()
	o := Options{TargetPlatform: target}
	fsys := os.DirFS(dir)
	text, err := os.ReadFile(filepath.Join(dir, variant.CondaFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		t.Fatal(err)
	case format == V0:
		o.VariantFiles = []VariantFile{{Name: variant.CondaFile, Text: string(text)}}
	default:
		host, err := platform.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		if o.Variants, _, err = variant.Read(fsys, variant.CondaFile, variant.Options{Platform: host, Build: host}); err != nil {
			t.Fatal(err)
		}
	}
	result, err := Render(fsys, string(format), o)
	if err != nil {
		t.Fatal(err)
	}
	var all []Output
	for _, p := range result.Outputs {
		out := *p
		if len(out.Blockers) > 0 {
			t.Errorf("%s: %v", format, out.Blockers)
		}
		out.Format, out.File, out.Reads, out.Rendered, out.Hash, out.HashInput, out.Warnings = "", "", nil, nil, "", nil, nil
		out.Variant, out.Naming, out.Requirements.RunPins = nil, nil, nil
		out.Script.Written, out.Script.Long = nil, false
		out.Tests = slices.Clone(out.Tests)
		for i := range out.Tests {
			out.Tests[i].Script.Written = nil
		}
		all = append(all, out)
	}
	return all
}
