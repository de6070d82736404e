package recipe

import "github.com/condaworker/condaworker/builder/recipe/tree"

// The kinds of tests, by the key that they begin with.
var (
	v1TestRequirements = keys{"build": honoured, "run": honoured}
	v1TestFiles        = keys{"source": honoured, "recipe": honoured}
	v1PythonKeys       = keys{"imports": honoured, "pip_check": honoured, "python_version": honoured}
	v1ContentsKeys     = keys{
		"files": honoured, "site_packages": honoured, "bin": honoured, "lib": honoured, "include": honoured, "strict": honoured,
	}
	v1ContentsParts = keys{"exists": honoured, "not_exists": honoured}
)

// tests reads each test of the list; those of the recipe come before an
// output's own.
func (r *v1Recipe) tests(out *Output, p v1Part, fromTop bool) {
	lists := []*tree.Node{p.node.Get("tests")}
	if fromTop && !p.single {
		lists = []*tree.Node{r.root.Get("tests"), p.node.Get("tests")}
	}
	for _, list := range lists {
		if list == nil {
			continue
		}
		for _, n := range r.flatten(list) {
			if n.Kind != tree.Map {
				if !n.IsNull() {
					r.report.Fail(n.Pos, "begin with script: or python:", "a test is a mapping, this is %s", n.Quoted())
				}
				continue
			}
			out.Tests = append(out.Tests, r.test(n)...)
		}
	}
}

// testKinds read the tests that are told by one key, which stands alone.
func (r *v1Recipe) testKinds() map[string]func(*tree.Node) Test {
	texts := func(key, where string, into func(*Test, []string)) func(*tree.Node) Test {
		return func(n *tree.Node) (t Test) {
			if r.known(n, where, keys{key: honoured}) {
				into(&t, r.strs(n.Get(key), where+"."+key))
			}
			return t
		}
	}
	return map[string]func(*tree.Node) Test{
		"python":           r.pythonTest,
		"package_contents": r.contentsTest,
		"perl":             texts("uses", "tests.perl", func(t *Test, all []string) { t.Perl = all }),
		"r":                texts("libraries", "tests.r", func(t *Test, all []string) { t.R = all }),
		"ruby":             texts("requires", "tests.ruby", func(t *Test, all []string) { t.Ruby = all }),
		"downstream":       func(n *tree.Node) Test { return Test{Downstream: r.str(n, "tests.downstream")} },
	}
}

// test reads one.
func (r *v1Recipe) test(n *tree.Node) []Test {
	for key, read := range r.testKinds() {
		if v := n.Get(key); v != nil {
			if !r.known(n, "tests", keys{key: honoured}) {
				return nil
			}
			return []Test{read(r.evaluate(v, scopeFields))}
		}
	}
	known := keys{"script": honoured, "requirements": honoured, "files": honoured}
	for key := range r.testKinds() {
		known[key] = honoured // as what a misspelt key may have meant
	}
	if !r.known(n, "tests", known) {
		return nil
	}
	if n.Get("script") == nil {
		if len(n.Fields) > 0 && !r.report.Failed() {
			r.report.Warn(n.Pos, "add script: or python:", "the test does nothing")
		}
		return nil
	}
	t := Test{Script: r.script(n.Get("script"), scriptRules{where: "tests.script", files: true})}
	if q := r.evaluate(n.Get("requirements"), scopeFields); r.known(q, "tests.requirements", v1TestRequirements) {
		var more []Dependency
		t.Requires, t.Pins = specTexts(r.dependencies(q.Get("run"), "tests.requirements.run"))
		t.Build, more = specTexts(r.dependencies(q.Get("build"), "tests.requirements.build"))
		t.Pins = append(t.Pins, more...)
	}
	if f := r.evaluate(n.Get("files"), scopeFields); r.known(f, "tests.files", v1TestFiles) {
		t.Files = r.insideAll(f.Get("recipe"), "tests.files.recipe", "the recipe's folder")
		t.Source = r.insideAll(f.Get("source"), "tests.files.source", "the work folder")
	}
	return []Test{t}
}

// specTexts are requirements as texts, and pins, which have none before a build.
func specTexts(all []Dependency) (texts []string, pins []Dependency) {
	for _, d := range all {
		if d.Pin == nil {
			texts = append(texts, d.Spec)
		} else {
			pins = append(pins, d)
		}
	}
	return texts, pins
}

// pythonTest imports modules.
func (r *v1Recipe) pythonTest(n *tree.Node) Test {
	if !r.known(n, "tests.python", v1PythonKeys) {
		return Test{}
	}
	t := &PythonTest{
		Imports:  r.strs(n.Get("imports"), "tests.python.imports"),
		NoPip:    !r.boolean(n.Get("pip_check"), "tests.python.pip_check", true),
		Versions: r.strs(n.Get("python_version"), "tests.python.python_version"),
	}
	if len(t.Imports) == 0 {
		r.report.Warn(n.Pos, "add imports: with the modules to import", "tests.python imports nothing")
	}
	return Test{Python: t}
}

// contentsTest looks for files.
func (r *v1Recipe) contentsTest(n *tree.Node) Test {
	const where = "tests.package_contents"
	if !r.known(n, where, v1ContentsKeys) {
		return Test{}
	}
	part := func(key string) Contents {
		v := n.Get(key)
		if v == nil || v.Kind != tree.Map {
			return Contents{Exists: r.strs(v, where+"."+key)}
		}
		if !r.known(v, where+"."+key, v1ContentsParts) {
			return Contents{}
		}
		return Contents{
			Exists: r.strs(v.Get("exists"), where+"."+key+".exists"), NotExists: r.strs(v.Get("not_exists"), where+"."+key+".not_exists"),
		}
	}
	return Test{Contents: &ContentsTest{
		Files: part("files"), SitePackages: part("site_packages"), Bin: part("bin"), Lib: part("lib"), Include: part("include"),
		Strict: r.boolean(n.Get("strict"), where+".strict", false),
	}}
}
