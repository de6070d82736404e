// Package recipe turns a recipe into outputs: what to fetch, what to run, what
// the package is called and needs. It reads recipe.yaml (CEP 13 and 14) and
// conda-build's meta.yaml, and its callers cannot tell which it was.
//
// It is pure: it reads the recipe's folder through an fs.FS and nothing else,
// so the same bytes always give the same outputs. Whatever is wrong is a
// tree.Problem with line and column of the file as its author wrote it.
//
// The way of a recipe.yaml: tree makes a tree with places, v1_context.go
// and v1_eval.go evaluate the templates of a part when v1*.go reads it, and
// hash.go names the build. The way of a meta.yaml: v0_text.go cuts lines by
// their selectors, evaluates the text and keeps track of where each line came
// from, then tree and v0*.go read it. Start with Render.
package recipe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// maxFileSize of a recipe, in bytes. The largest of conda-forge has a tenth.
const maxFileSize = 1 << 20

// Options is what a recipe is rendered for.
type Options struct {
	TargetPlatform string            // to build for, e.g. linux-64
	BuildPlatform  string            // that builds, e.g. linux-64; "" is TargetPlatform
	Variant        map[string]any    // the selected variant, one value a key, e.g. python: 3.12; may be nil
	Env            map[string]string // for env.get and environ; the caller decides what a recipe may see
	PackageName    string            // replaces the recipe's; "" keeps it
	BuildNumber    *int              // replaces the recipe's; nil keeps it
}

// ErrNotFound reports a folder without a recipe.
var ErrNotFound = errors.New("no recipe")

// Find returns the name of the recipe's file in its folder: recipe.yaml, or
// else meta.yaml. The error is ErrNotFound with the names that were tried.
func Find(fsys fs.FS) (file string, err error) {
	names := []string{string(V1), "recipe.yml", string(V0), "meta.yml"}
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
			return "", fmt.Errorf("%w: looked for %s; there is %s: name that folder", ErrNotFound, strings.Join(names, ", "), p)
		}
	}
	return "", fmt.Errorf("%w: looked for %s", ErrNotFound, strings.Join(names, ", "))
}

// Render evaluates the recipe in file. It returns its outputs in build order,
// none when the recipe skips this platform. What is wrong with the recipe is
// returned as tree.Problems, doubts are in Output.Warnings.
func Render(fsys fs.FS, file string, o Options) ([]*Output, error) {
	text, err := readFile(fsys, file)
	if err != nil {
		return nil, err
	}
	if o.BuildPlatform == "" {
		o.BuildPlatform = o.TargetPlatform
	}
	platform, err := parsePlatform(o.TargetPlatform)
	if err != nil {
		return nil, err
	}
	job := &job{
		Options: o, fsys: fsys, file: path.Base(file), text: text,
		platform: platform, variant: normalVariant(o.Variant), report: &tree.Report{}, used: map[string]bool{},
	}
	job.variant["build_platform"] = o.BuildPlatform // a recipe that asks for it depends on it
	if err := job.checkBytes(); err != nil {
		return nil, err
	}
	out, err := job.render()
	if err != nil || out == nil {
		return nil, err
	}
	out.Warnings = job.report.Warnings()
	return []*Output{out}, nil
}

// job is one recipe on its way to an output.
type job struct {
	Options
	fsys     fs.FS
	file     string // e.g. recipe.yaml
	text     string // of the file, as its author wrote it
	platform platform
	variant  map[string]any
	report   *tree.Report
	used     map[string]bool // variant keys that were read

	at    func(line, column int) tree.Pos // from the text that is read as YAML to the file; nil: it is the same
	names map[string]any                  // of the platform; made once
	steps *jinja.Budget                   // of all templates together
}

// reader reads YAML as a part of this job.
func (j *job) reader(typed func(tag, text string) any, strict bool) *tree.Reader {
	return &tree.Reader{File: j.file, What: "the recipe", Report: j.report, At: j.at, Typed: typed, Strict: strict}
}

// dump is the evaluated recipe, for info/recipe.
func (j *job) dump(root *tree.Node) []byte {
	text, err := root.Dump()
	if err != nil {
		j.report.Fail(root.Pos, "", "cannot write the evaluated recipe: %v", err)
	}
	return text
}

// readFile bounds the size and gives every file the same line ends: places are
// counted in lines.
func readFile(fsys fs.FS, file string) (string, error) {
	f, err := fsys.Open(file)
	if err != nil {
		return "", fmt.Errorf("read the recipe: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("read the recipe: %w", err)
	}
	if len(data) > maxFileSize {
		return "", tree.Problems{{Pos: tree.Pos{File: path.Base(file)}, Text: fmt.Sprintf("the recipe is larger than %d bytes", maxFileSize)}}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data)), nil
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

// format tells the two apart by name, and files of other names by what is in
// them.
func (j *job) format() Format {
	name := strings.TrimSuffix(strings.TrimSuffix(j.file, ".yaml"), ".yml")
	switch {
	case name == "meta" || name == "conda":
		return V0
	case name == "recipe" || !strings.Contains(j.text, "{%") && strings.Contains(j.text, "${{"):
		return V1
	case strings.Contains(j.text, "{%") || strings.Contains(j.text, "{{"):
		return V0
	}
	return V1
}

// render reads the recipe in its format. tree.Problems come back all together.
func (j *job) render() (*Output, error) {
	var out *Output
	if j.format() == V0 {
		out = j.renderV0()
	} else {
		out = j.renderV1()
	}
	if err := j.report.Err(); err != nil {
		return nil, err
	}
	return out, nil
}
