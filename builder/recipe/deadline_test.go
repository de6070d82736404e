package recipe

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/builder/recipe/platform"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/builder/recipe/variant"
)

var update = flag.Bool("update", false, "write testdata/deadline.golden")

// platformLine names a platform that a sample is built for.
var platformLine = regexp.MustCompile(`(?m)^\s*-?\s*platform:\s*(\S+)`)

// TestDeadlineRecipes holds what the recipes of Deadline Cloud's samples render
// to on each of their platforms, or the diagnosis of what is wrong with them: a
// line for each in testdata/deadline.golden.
func TestDeadlineRecipes(t *testing.T) {
	root := conformance(t, "deadline-recipes")
	var got strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "recipe.yaml" && d.Name() != "meta.yaml" {
			return err
		}
		dir := filepath.Dir(path)
		name, err := filepath.Rel(root, dir)
		if err != nil {
			return err
		}
		for _, p := range samplePlatforms(root, name) {
			fmt.Fprintf(&got, "%s %s: %s\n", strings.TrimSuffix(filepath.ToSlash(name), "/recipe")+" "+d.Name(), p, fact(dir, d.Name(), p))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "deadline.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// samplePlatforms are those of the sample's deadline-cloud.yaml, and both usual
// ones when it names none.
func samplePlatforms(root, name string) []string {
	sample, _, _ := strings.Cut(filepath.ToSlash(name), "/")
	text, err := os.ReadFile(filepath.Join(root, sample, "deadline-cloud.yaml"))
	if err != nil {
		return []string{"linux-64", "win-64"}
	}
	var all []string
	for _, m := range platformLine.FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(all, m[1]) {
			all = append(all, m[1])
		}
	}
	return all
}

// fact is what a recipe comes to, in a line.
func fact(dir, file, subdir string) string {
	o := Options{TargetPlatform: subdir}
	files := os.DirFS(dir)
	if local, err := variant.Find(files); err == nil && local != "" && file == "recipe.yaml" {
		target, err := platform.Parse(subdir)
		if err != nil {
			return err.Error()
		}
		if o.Variants, _, err = variant.Read(files, local, variant.Options{Platform: target, Build: target}); err != nil {
			return "refused: " + err.Error()
		}
	}
	r, err := Render(files, file, o)
	if list, ok := errors.AsType[tree.Problems](err); ok {
		return "refused: " + strings.ReplaceAll(list.Error(), "\n", " | ")
	}
	if err != nil {
		return err.Error()
	}
	var parts []string
	for _, o := range r.Outputs {
		parts = append(parts, fmt.Sprintf("%s %s %s %s, %d sources, %d run", o.Name, o.Version, o.BuildString, o.Subdir, len(o.Sources), len(o.Requirements.Run)))
	}
	if len(parts) == 0 {
		parts = append(parts, "skipped")
	}
	for _, w := range r.Warnings {
		parts = append(parts, "warning "+w.Error())
	}
	if len(r.Outputs) > 0 {
		for _, b := range r.Outputs[0].Blockers {
			parts = append(parts, "a build refuses "+b.Error())
		}
	}
	return strings.Join(parts, " | ")
}
