package recipe

import "github.com/condaworker/condaworker/builder/recipe/tree"

// The kinds of tests, by the key that they begin with.
var (
	v1ScriptTest       = keys{"script": honoured, "requirements": honoured, "files": honoured}
	v1TestRequirements = keys{"build": honoured, "run": honoured}
	v1TestFiles        = keys{"source": honoured, "recipe": honoured}
	v1PythonTest       = keys{"python": honoured}
	v1PythonKeys       = keys{"imports": honoured, "pip_check": honoured, "python_version": honoured}
	v1OtherTests       = []string{"package_contents", "downstream", "perl", "r", "ruby"}
)

// tests reads each test of the list.
func (r *v1Recipe) tests(out *Output) {
	for _, n := range r.section("tests").All() {
		if n.Kind != tree.Map {
			if !n.IsNull() {
				r.report.Fail(n.Pos, "begin with script: or python:", "a test is a mapping, this is %s", n.Quoted())
			}
			continue
		}
		out.Tests = append(out.Tests, r.test(n)...)
	}
}

// test reads one. What is not run here is said, never taken for passed.
func (r *v1Recipe) test(n *tree.Node) []Test {
	for _, key := range v1OtherTests {
		if v := n.Get(key); v != nil {
			r.report.Warn(n.Pos, "", "tests of the kind %s are not run in this version", key)
			return nil
		}
	}
	if p := n.Get("python"); p != nil {
		if !r.known(n, "tests", v1PythonTest) || !r.known(p, "tests.python", v1PythonKeys) {
			return nil
		}
		return []Test{r.pythonTest(p)}
	}
	if !r.known(n, "tests", v1ScriptTest) {
		return nil
	}
	if n.Get("script") == nil {
		if len(n.Fields) > 0 && !r.report.Failed() {
			r.report.Warn(n.Pos, "add script: or python:", "the test does nothing")
		}
		return nil
	}
	t := Test{Script: r.script(n.Get("script"), scriptRules{where: "tests.script", files: true})}
	if q := n.Get("requirements"); r.known(q, "tests.requirements", v1TestRequirements) {
		t.Requires = r.specs(q.Get("run"), "tests.requirements.run")
		t.Build = r.specs(q.Get("build"), "tests.requirements.build")
	}
	if f := n.Get("files"); r.known(f, "tests.files", v1TestFiles) {
		t.Files = r.belowAll(f.Get("recipe"), "tests.files.recipe", "the recipe's folder")
		t.Source = r.belowAll(f.Get("source"), "tests.files.source", "the work folder")
	}
	return []Test{t}
}

// pythonTest imports modules.
func (r *v1Recipe) pythonTest(n *tree.Node) Test {
	t := &PythonTest{
		Imports:  r.strs(n.Get("imports"), "tests.python.imports"),
		NoPip:    !r.boolean(n.Get("pip_check"), "tests.python.pip_check", true),
		Versions: r.strs(n.Get("python_version"), "tests.python.python_version"),
	}
	if len(t.Imports) == 0 {
		r.report.Fail(n.Pos, "add imports: with the modules to import", "tests.python imports nothing")
	}
	return Test{Python: t}
}
