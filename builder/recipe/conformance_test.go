package recipe

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/builder/recipe/platform"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/builder/recipe/variant"
)

// conformance is the folder of other tools' answers, beside the project.
func conformance(t *testing.T, name string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "..", "shared", "conformance", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s is missing: there is nothing to compare with", dir)
	}
	return dir
}

// expectation is one variant of a feedstock as another tool rendered it.
type expectation struct {
	Platform string            `json:"target_platform"`
	File     string            `json:"variant_file"`
	Env      map[string]string `json:"env"`
	Hidden   []string          `json:"context_keys"` // that the context hides from the variant
	Outputs  []expectedOutput  `json:"outputs"`
}

type expectedOutput struct {
	Subdir  string         `json:"target_platform"`
	Hash    string         `json:"hash"`
	Variant map[string]any `json:"variant"`
	Recipe  map[string]any `json:"recipe"`
}

// hidden is the expectation when what the context hides does not count: the
// tools changed their mind about it.
func (o expectedOutput) hidden(keys []string) expectedOutput {
	kept := map[string]any{}
	for key, v := range o.Variant {
		if slices.Contains(keys, key) {
			continue
		}
		if n, ok := v.(float64); ok {
			v = int64(n)
		}
		kept[key] = v
	}
	hash := shortHash(pythonJSON(kept, false))
	recipe := maps.Clone(o.Recipe)
	build := maps.Clone(recipe["build"].(map[string]any))
	build["string"] = strings.ReplaceAll(build["string"].(string), o.Hash, hash)
	recipe["build"] = build
	return expectedOutput{o.Subdir, hash, kept, recipe}
}

// levels are how much of an output is compared, the least first.
var levels = []string{"identity", "requirements", "everything"}

// view is what of a rendered output is compared. A list of one is the same as
// its item, and what is empty the same as nothing.
func view(o expectedOutput, level string) any {
	pkg, build := o.Recipe["package"].(map[string]any), o.Recipe["build"].(map[string]any)
	seen := map[string]any{"name": pkg["name"], "version": pkg["version"], "number": build["number"], "string": build["string"], "subdir": o.Subdir}
	if level != "identity" {
		seen["requirements"] = o.Recipe["requirements"]
	}
	if level == "everything" {
		seen["hash"] = o.Hash
		texts := map[string]any{}
		for key, v := range o.Variant {
			texts[key] = tree.ScalarText(v)
		}
		seen["variant"] = texts
		for _, key := range []string{"source", "build", "tests", "about"} {
			seen[key] = o.Recipe[key]
		}
	}
	return plain(seen)
}

func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, item := range v {
			if item = plain(item); item != nil {
				out[key] = item
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		var out []any
		for _, item := range v {
			out = append(out, plain(item))
		}
		switch len(out) {
		case 0:
			return nil
		case 1:
			return out[0]
		}
		return out
	case string:
		if v = strings.TrimRight(v, "\n"); v == "" {
			return nil
		}
		return v
	}
	return v
}

// rendered is a result in the form of the expectations.
func rendered(t *testing.T, r Result) []expectedOutput {
	t.Helper()
	var all []expectedOutput
	for _, o := range r.Outputs {
		text, err := json.Marshal(map[string]any{"target_platform": o.Subdir, "hash": o.Hash, "variant": o.Variant, "recipe": o.Document()})
		if err != nil {
			t.Fatal(err)
		}
		var one expectedOutput
		if err := json.Unmarshal(text, &one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

// agree compares two lists of outputs whatever their order.
func agree(want, got []expectedOutput, level string) string {
	views := func(list []expectedOutput) []string {
		var all []string
		for _, o := range list {
			text, _ := json.Marshal(view(o, level)) // of plain data
			all = append(all, string(text))
		}
		slices.Sort(all)
		return all
	}
	return cmp.Diff(views(want), views(got))
}

// renderVariant renders what an expectation is about, on a linux-64 machine.
func renderVariant(t *testing.T, dir string, want expectation) (Result, error) {
	t.Helper()
	files := os.DirFS(filepath.Join(dir, "recipe"))
	target, err := platform.Parse(want.Platform)
	if err != nil {
		t.Fatal(err)
	}
	machine, err := platform.Parse("linux-64")
	if err != nil {
		t.Fatal(err)
	}
	o := variant.Options{Platform: target, Build: machine, Env: want.Env}
	config, _, err := variant.Read(os.DirFS(filepath.Join(dir, "variants")), want.File, o)
	if err != nil {
		return Result{}, err
	}
	if local, err := variant.Find(files); err == nil && local != "" {
		o.Before = config
		c, _, err := variant.Read(files, local, o)
		if err != nil {
			return Result{}, err
		}
		config = c.Merge(config)
	}
	return Render(files, "recipe.yaml", Options{TargetPlatform: want.Platform, BuildPlatform: "linux-64", Variants: config, Env: want.Env})
}

// TestConformance holds the share of conda-forge's variants that render to what
// conda-forge's tools made of them. What is missing was made by older rules for
// names in scripts, or with an older default compiler.
func TestConformance(t *testing.T) {
	root := conformance(t, "rendering")
	files, err := filepath.Glob(filepath.Join(root, "*", "expected", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d expectations, %v", len(files), err)
	}
	if testing.Short() {
		var few []string
		for eight := range slices.Chunk(files, 8) {
			few = append(few, eight[0])
		}
		files = few
	}
	passed := map[string]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want expectation
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(filepath.Dir(filepath.Dir(file))) + "/" + filepath.Base(file)
		result, err := renderVariant(t, filepath.Dir(filepath.Dir(file)), want)
		if err != nil {
			t.Logf("%s: %v", name, err)
			continue
		}
		var hidden []expectedOutput
		for _, o := range want.Outputs {
			hidden = append(hidden, o.hidden(want.Hidden))
		}
		got := rendered(t, result)
		for _, level := range levels {
			diff := agree(hidden, got, level)
			if diff != "" {
				diff = agree(want.Outputs, got, level)
			}
			if diff != "" {
				t.Logf("%s: %s differs:\n%.600s", name, level, diff)
				break
			}
			passed[level]++
		}
	}
	for level, least := range map[string]float64{"identity": 0.997, "requirements": 0.995, "everything": 0.995} {
		share := float64(passed[level]) / float64(len(files))
		t.Logf("%s: %d of %d", level, passed[level], len(files))
		if share < least {
			t.Errorf("%s: %.2f %% of the variants, want %.2f %%", level, 100*share, 100*least)
		}
	}
}
