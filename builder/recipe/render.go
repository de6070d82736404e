package recipe

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/platform"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/builder/recipe/variant"
)

// Options is what a recipe is rendered for.
type Options struct {
	TargetPlatform string            // to build for, e.g. linux-64
	BuildPlatform  string            // that builds, e.g. linux-64; "" is TargetPlatform
	Variants       variant.Config    // the values to build for, from all files, already merged
	VariantFiles   []VariantFile     // of a meta.yaml, lowest first; Variants goes over them
	Env            map[string]string // for env.get and environ; the caller decides what a recipe may see
	PackageName    string            // replaces the recipe's; "" keeps it
	BuildNumber    *int              // replaces the recipe's; nil keeps it
	Git            Repositories      // asked by git.head_rev and the like, and for GIT_*; nil: those are errors
	HashCompat     HashCompat        // whose rules decide which keys a recipe.yaml uses; "" is Newest
}

// Result is what a recipe renders to.
type Result struct {
	Outputs  []*Output // in build order
	Skipped  []Skipped // what the recipe leaves out, in the recipe's order
	Warnings []tree.Problem
}

// ErrNotFound reports a folder without a recipe.
var ErrNotFound = errors.New("no recipe")

// Find returns the name of the recipe's file in its folder: recipe.yaml, or
// else meta.yaml, which alone is looked for when meta is set. The error is
// ErrNotFound with the names that were tried.
func Find(fsys fs.FS, meta bool) (file string, err error) {
	names := []string{string(V1), "recipe.yml", string(V0), "meta.yml"}
	if meta {
		names = names[2:]
	}
	for _, name := range names {
		info, err := fs.Stat(fsys, name)
		switch {
		case err == nil && !info.IsDir():
			return name, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("look for %s: %w", name, err)
		}
	}
	nested, err := fs.Glob(fsys, "*/*.y*ml")
	if err != nil {
		return "", fmt.Errorf("look for a recipe below: %w", err)
	}
	for _, p := range nested {
		if slices.Contains(names, path.Base(p)) {
			return "", fmt.Errorf("%w: it has none of %s, but there is %s: name that folder", ErrNotFound, strings.Join(names, ", "), p)
		}
	}
	return "", fmt.Errorf("%w: it has none of %s: name the folder that has one", ErrNotFound, strings.Join(names, ", "))
}

// Render evaluates the recipe in file for each variant that it asks for. The
// result has no outputs when the recipe skips this platform. What is wrong with
// the recipe is returned as tree.Problems, doubts are in the result's Warnings,
// also beside an error, and, as far as they concern one output, in its own.
func Render(fsys fs.FS, file string, o Options) (Result, error) {
	text, err := tree.ReadFile(fsys, file, "the recipe")
	if err != nil {
		return Result{}, err
	}
	if o.BuildPlatform == "" {
		o.BuildPlatform = o.TargetPlatform
	}
	target, err := platform.Parse(o.TargetPlatform)
	if err != nil {
		return Result{}, fmt.Errorf("render for %w", err)
	}
	j := &job{Options: o, fsys: fsys, file: path.Base(file), text: text, platform: target, report: &tree.Report{}, reads: map[string]Read{}}
	if j.format() == V1 {
		j.Variants.Set(variant.Key{Name: "target_platform", Values: []any{o.TargetPlatform}})
		j.Variants.Set(variant.Key{Name: "build_platform", Values: []any{o.BuildPlatform}})
	}
	j.variant = j.Variants.First()
	if err := j.checkBytes(); err != nil {
		return Result{}, err
	}
	return j.render()
}

// job is one recipe on its way to outputs.
type job struct {
	Options
	fsys     fs.FS
	file     string // e.g. recipe.yaml
	text     string // of the file, as its author wrote it
	platform platform.Platform
	variant  map[string]any // one value for each key
	report   *tree.Report
	reads    map[string]Read // variant keys that were read, and the first reason
	current  Read            // what is evaluated: the reason of reads that come of it

	blockers []tree.Problem // what stops a build and no rendering

	at    func(line, column int) tree.Pos // from the text that is read as YAML to the file; nil: it is the same
	names map[string]any                  // of the platform; made once
	fuel  *jinja.Budget                   // of all templates together
}

// reader reads YAML as a part of this job.
func (j *job) reader(typed func(tag, text string) any, strict bool) *tree.Reader {
	return &tree.Reader{File: j.file, What: "the recipe", Begin: "package:", Report: j.report, At: j.at, Typed: typed, Strict: strict}
}

// dump is the evaluated recipe, for info/recipe.
func (j *job) dump(root *tree.Node) []byte {
	text, err := root.Dump()
	if err != nil {
		j.report.Fail(root.Pos, "", "cannot write the evaluated recipe: %v", err)
	}
	return text
}

// checkBytes refuses what YAML cannot hold, with its place: the YAML library
// does not say where it is.
func (j *job) checkBytes() error {
	line, column := 1, 1
	for i, r := range j.text {
		at := tree.Pos{File: j.file, Line: line, Column: column}
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(j.text[i:], "\ufffd"):
			j.report.Fail(at, "save the file as UTF-8", "the byte 0x%02x is not UTF-8", j.text[i])
			return j.report.Err()
		case r < 0x20 && r != '\t' && r != '\n', r == 0x7f, strings.ContainsRune("\u0085\u2028\u2029", r):
			// The last three end a line for YAML and for no editor.
			j.report.Fail(at, "remove it", "the control character %U cannot be in a recipe", r)
			return j.report.Err()
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return nil
}

func (j *job) format() Format { return formatOf(j.file, j.text) }

// FormatOf tells in which format a recipe's file is written: by its name, and
// files of other names by what is in them.
func FormatOf(fsys fs.FS, file string) (Format, error) {
	text, err := tree.ReadFile(fsys, file, "the recipe")
	return formatOf(path.Base(file), text), err
}

func formatOf(file, text string) Format {
	name := strings.TrimSuffix(strings.TrimSuffix(file, ".yaml"), ".yml")
	switch {
	case name == "meta" || name == "conda":
		return V0
	case name == "recipe" || !strings.Contains(text, "{%") && strings.Contains(text, "${{"):
		return V1
	case strings.Contains(text, "{%") || strings.Contains(text, "{{"):
		return V0
	}
	return V1
}

// render reads the recipe in its format. tree.Problems come back all together.
func (j *job) render() (Result, error) {
	var result Result
	if j.format() == V0 {
		result = j.renderV0()
	} else {
		result = j.renderV1()
	}
	if err := j.report.Err(); err != nil {
		return Result{Warnings: j.report.Warnings()}, err
	}
	result.Warnings = j.report.Warnings()
	return result, nil
}

// with is the job for one combination of the variant's values.
func (j *job) with(combination map[string]any) *job {
	one := *j
	one.variant, one.reads, one.blockers = combination, map[string]Read{}, nil
	return &one
}
