package recipe

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

var v0Test = keys{
	"commands": honoured, "imports": honoured, "requires": honoured, "files": honoured, "source_files": honoured,
	"downstreams": honoured, "script": honoured,
}

// tests reads the test section and the test scripts beside the recipe, which
// conda-build runs without being told; those of an output it must be told of.
func (r *v0Recipe) tests(out *Output, separate bool) {
	n := r.root.Get("test")
	if n == nil {
		n = &tree.Node{Kind: tree.Map}
	}
	if !r.known(n, "test", v0Test) {
		return
	}
	t := Test{
		Files:  r.belowAll(n.Get("files"), "test.files", "the recipe's folder"),
		Source: r.belowAll(n.Get("source_files"), "test.source_files", "the work folder"),
	}
	t.Requires, t.Pins = r.testRequires(n.Get("requires"))
	modules := r.imports(n.Get("imports"))
	if imports := modules["python"]; len(imports) > 0 {
		t.Python = &PythonTest{Imports: imports, NoPip: true}
	}
	if !separate {
		t.Script.Lines = r.testFile()
	}
	t.Script.Lines = append(t.Script.Lines, r.strs(n.Get("commands"), "test.commands")...)
	if len(t.Script.Lines) > 0 || t.Python != nil {
		out.Tests = append(out.Tests, t)
	}
	other := Test{Requires: t.Requires, Pins: t.Pins, Files: t.Files, Source: t.Source}
	for _, m := range []Test{{Perl: modules["perl"]}, {R: modules["r"]}, {Lua: modules["lua"]}} {
		if len(m.Perl)+len(m.R)+len(m.Lua) > 0 {
			m.Requires, m.Pins, m.Files, m.Source = other.Requires, other.Pins, other.Files, other.Source
			out.Tests = append(out.Tests, m)
		}
	}
	if file := r.below(n.Get("script"), "test.script", "the recipe's folder"); file != "" {
		out.Tests = append(out.Tests, other.runBy(file))
	}
	for _, name := range r.strs(n.Get("downstreams"), "test.downstreams") {
		out.Tests = append(out.Tests, Test{Downstream: name})
	}
	if separate {
		return
	}
	for _, name := range []string{"run_test.py", "run_test.pl", "run_test.r", "run_test.lua"} {
		if r.exists(name) {
			out.Tests = append(out.Tests, other.runBy(name))
		}
	}
}

// testRequires are match specs and pins.
func (r *v0Recipe) testRequires(n *tree.Node) (specs []string, pins []Dependency) {
	for _, item := range n.All() {
		text, pin := r.str(item, "test.requires"), r.pins[item]
		if m := numpyXX.FindStringSubmatch(text); m != nil {
			pin = builtVersion(m[1])
		}
		if pin != nil {
			pins = append(pins, Dependency{Spec: text, Pin: pin, Pos: item.Pos})
		} else if text != "" {
			specs = append(specs, starred(text))
		}
	}
	return specs, pins
}

// interpreters are those of test scripts, by the file's extension, and the packages
// that conda-build installs for them.
var interpreters = map[string]struct{ name, from string }{
	".py": {"python", "python"}, ".pl": {"perl", "perl"}, ".r": {"rscript", "r-base"}, ".R": {"rscript", "r-base"}, ".lua": {"lua", "lua"},
}

// runBy is the test as a script of the recipe's folder.
func (t Test) runBy(file string) Test {
	by := interpreters[path.Ext(file)]
	t.Script = Script{File: file, Interpreter: by.name}
	if by.from != "" && !slices.ContainsFunc(t.Requires, func(spec string) bool { return specName(spec) == by.from }) {
		t.Requires = append(slices.Clone(t.Requires), by.from)
	}
	return t
}

// testFile is the text of run_test.sh, or run_test.bat on Windows: it runs
// before the commands, in the same shell.
func (r *v0Recipe) testFile() []string {
	name := r.defaultScript("run_test.sh", "run_test.bat")
	if name == "" {
		return nil
	}
	text, err := fs.ReadFile(r.fsys, name)
	if err != nil {
		r.report.Fail(tree.Pos{File: name}, "", "cannot read it: %v", err)
		return nil
	}
	return []string{strings.TrimRight(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")}
}

// imports are module names by language; those without one are python's.
func (r *v0Recipe) imports(n *tree.Node) map[string][]string {
	all := map[string][]string{}
	for _, item := range n.All() {
		if item.Kind != tree.Map {
			all["python"] = append(all["python"], r.str(item, "test.imports"))
			continue
		}
		lang := r.str(item.Get("lang"), "test.imports.lang")
		if !slices.Contains([]string{"python", "perl", "r", "lua"}, lang) {
			r.report.Warn(item.Pos, "lang is python, perl, r or lua", "test.imports: modules of %q are not tested", lang)
		}
		all[lang] = append(all[lang], r.strs(item.Get("imports"), "test.imports.imports")...)
	}
	return all
}
