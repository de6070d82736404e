package recipe

import (
	"io/fs"
	"path"
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
		Requires: wordSpecs(r.strs(n.Get("requires"), "test.requires")),
		Files:    r.belowAll(n.Get("files"), "test.files", "the recipe's folder"),
		Source:   r.belowAll(n.Get("source_files"), "test.source_files", "the work folder"),
	}
	if imports := r.imports(n.Get("imports")); len(imports) > 0 {
		t.Python = &PythonTest{Imports: imports, NoPip: true}
	}
	if !separate {
		t.Script.Lines = r.testFile()
	}
	t.Script.Lines = append(t.Script.Lines, r.strs(n.Get("commands"), "test.commands")...)
	if len(t.Script.Lines) > 0 || t.Python != nil {
		out.Tests = append(out.Tests, t)
	}
	other := Test{Requires: t.Requires, Files: t.Files, Source: t.Source}
	if file := r.below(n.Get("script"), "test.script", "the recipe's folder"); file != "" {
		other.Script = Script{File: file, Interpreter: interpreters[path.Ext(file)]}
		out.Tests = append(out.Tests, other)
	}
	for _, name := range r.strs(n.Get("downstreams"), "test.downstreams") {
		out.Tests = append(out.Tests, Test{Downstream: name})
	}
	if separate {
		return
	}
	if r.exists("run_test.py") {
		other.Script = Script{File: "run_test.py", Interpreter: "python"}
		out.Tests = append(out.Tests, other)
	}
	for _, name := range []string{"run_test.pl", "run_test.r", "run_test.lua"} {
		if r.exists(name) {
			r.report.Warn(tree.Pos{File: name}, "", "tests of this kind are not run in this version")
		}
	}
}

// interpreters are those of test scripts, by the file's extension.
var interpreters = map[string]string{".py": "python", ".pl": "perl", ".r": "rscript", ".R": "rscript"}

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

// imports are module names; mappings with a lang: other than python are not
// tested here.
func (r *v0Recipe) imports(n *tree.Node) []string {
	var all []string
	for _, item := range n.All() {
		if item.Kind != tree.Map {
			all = append(all, r.str(item, "test.imports"))
			continue
		}
		if r.str(item.Get("lang"), "test.imports.lang") == "python" {
			all = append(all, r.strs(item.Get("imports"), "test.imports.imports")...)
			continue
		}
		r.report.Warn(item.Pos, "", "test.imports of other languages than python are not run in this version")
	}
	return all
}
