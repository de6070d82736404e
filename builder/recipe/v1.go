package recipe

import (
	"maps"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// The vocabulary of recipe.yaml's top level, of an output, and of a staging
// output.
var (
	v1Single = keys{
		"$schema": harmless, "schema_version": honoured, "context": honoured, "package": honoured, "source": honoured,
		"build": honoured, "requirements": honoured, "tests": honoured, "about": honoured, "extra": honoured,
	}
	v1Several = keys{
		"$schema": harmless, "schema_version": honoured, "context": honoured, "recipe": honoured, "source": honoured,
		"build": honoured, "tests": honoured, "about": honoured, "extra": honoured, "outputs": honoured,
	}
	v1Output = keys{
		"package": honoured, "inherit": honoured, "source": honoured, "requirements": honoured,
		"build": honoured, "tests": honoured, "about": honoured,
	}
	v1Staging      = keys{"staging": honoured, "source": honoured, "requirements": honoured, "build": honoured}
	v1Package      = keys{"name": honoured, "version": honoured}
	v1StagingNames = keys{"name": honoured}
	v1Inherit      = keys{"from": honoured, "run_exports": honoured}
)

// v1Recipe is a recipe.yaml that is being read for one combination of the
// variant's values.
type v1Recipe struct {
	*job
	root      *tree.Node
	templates *templates

	context  map[string]any
	failures map[string]*tree.Problem // entries of the context without a value, and why; nil: it was said
	order    []string                 // of the context's keys
	inner    map[string]Read          // variant keys that the context read

	numbered bool // the build number is a context entry, which Options.BuildNumber replaces
	values   int  // that templates made
	staging  []*stagingOutput
}

// renderV1 is the five steps of a recipe.yaml; see the package's
// documentation.
func (j *job) renderV1() Result {
	root := j.reader(tree.Typed, true).Parse(j.text)
	if root == nil || !j.shapeV1(root) {
		return Result{}
	}
	cache := newTemplates()
	found := j.expand(root, cache, func(combination map[string]any) *evaluation {
		return j.evaluateV1(root, cache, combination)
	})
	if j.report.Failed() {
		return Result{}
	}
	return j.finishV1(found)
}

// shapeV1 checks the top level and its version.
func (j *job) shapeV1(root *tree.Node) bool {
	for _, f := range root.Fields {
		if f.Key == "cache" {
			j.report.Fail(f.Pos, "make it an output with staging: and name:, which the other outputs inherit:", "the key cache: was replaced by staging outputs")
			return false
		}
	}
	if v := root.Get("schema_version"); v != nil && tree.ScalarText(v.Value) != "1" {
		j.report.Fail(v.Pos, "write 1", "schema_version %s is not known", v.Quoted())
	}
	outputs := slices.ContainsFunc(root.Fields, func(f tree.Field) bool { return f.Key == "outputs" })
	if !outputs {
		return j.known(root, "the recipe", v1Single)
	}
	for _, f := range root.Fields {
		switch f.Key {
		case "package":
			j.report.Fail(f.Pos, "call it recipe:, and give each output a package:", "a recipe with outputs has no package of its own")
			return false
		case "requirements":
			j.report.Fail(f.Pos, "move them into the outputs that need them", "a recipe with outputs has no requirements of its own")
			return false
		}
	}
	return j.known(root, "the recipe", v1Several)
}

// evaluateV1 evaluates all outputs for one combination.
func (j *job) evaluateV1(root *tree.Node, cache *templates, combination map[string]any) *evaluation {
	one := j.with(combination)
	one.report, one.fuel = &tree.Report{}, jinja.NewBudget()
	r := &v1Recipe{job: one, root: root, templates: cache, context: map[string]any{}}
	e := &evaluation{combination: combination, report: one.report}
	defer func() { e.work = one.fuel.Used() }()
	r.readContext(root.Get("context"))
	r.inner = maps.Clone(one.reads)
	cache.once.Do(r.warnOfOldHabits)
	outputs := root.Get("outputs")
	if outputs == nil {
		r.output(e, v1Part{node: root, single: true})
		return e
	}
	for _, n := range r.flatten(outputs) {
		if n.Get("staging") != nil {
			r.readStaging(n)
		}
	}
	outer := r.reads
	for _, n := range r.flatten(outputs) {
		if n.Get("staging") != nil {
			continue
		}
		r.reads = map[string]Read{}
		if n.Kind != tree.Map {
			r.report.Fail(n.Pos, "begin with package:", "an output is a mapping, this is %s", n.Describe())
		} else if r.known(n, "outputs", v1Output) {
			r.output(e, v1Part{node: n})
		}
	}
	r.reads = outer
	return e
}

// v1Part is the mapping that an output is read from: an item of outputs, or the
// recipe itself when that is its only one.
type v1Part struct {
	node   *tree.Node
	single bool
}

// output reads one output, unless it is skipped.
func (r *v1Recipe) output(e *evaluation, p v1Part) {
	out := &Output{Format: V1, File: r.file, Pos: p.node.Pos}
	made := &unnamed{Output: out, combination: e.combination, recipe: r}
	r.blockers = nil
	staging, fromTop := r.inherited(p.node.Get("inherit"))
	r.identity(out, p)
	build := r.readBuild(p, fromTop)
	if cond := r.skipped(p); cond != nil {
		e.skipped = append(e.skipped, Skipped{Name: out.Name, Variant: r.readValues(), Pos: cond.Pos, Reason: "build.skip holds: " + cond.Quoted()})
		return
	}
	r.fillBuild(out, build)
	r.sources(out, p, fromTop)
	r.requirements(out, p.node.Get("requirements"))
	r.tests(out, p, fromTop)
	r.about(out, p)
	if n := r.root.Get("extra"); n != nil {
		out.Extra = r.freeMap(r.evaluate(n, scopeFields), "extra")
	}
	made.buildString = r.buildStringTemplate(p)
	if staging != nil {
		out.Staging = staging.staging(r.exports(p.node.Get("inherit")))
	}
	r.variantOf(made, staging)
	out.Blockers = r.blockers
	e.outputs = append(e.outputs, made)
}

// identity reads what the package is called. A version that an output does not
// give is the recipe's.
func (r *v1Recipe) identity(out *Output, p v1Part) {
	raw := p.node.Get("package")
	if raw == nil {
		r.report.Fail(p.node.Pos, "add package: with name: and version:", "the recipe has no package")
		return
	}
	n := r.evaluate(raw, scopeFields)
	if !r.known(n, "package", v1Package) {
		return
	}
	version, written := n.Get("version"), raw.Get("version")
	if top := r.root.Get("recipe"); !p.single && r.known(top, "recipe", v1Package) && written == nil {
		if written = top.Get("version"); written != nil {
			version = r.evaluate(written, scopeFields)
		}
	}
	if n.Get("name") == nil && raw.Get("name") == nil {
		r.report.Fail(n.Pos, "", "package.name is missing")
	}
	if written == nil {
		r.report.Fail(n.Pos, "", "package.version is missing")
	}
	out.Name = r.lowerName(n.Get("name"), "package.name")
	out.Version = r.version(version, "package.version")
	r.overrideName(out, n)
}

// lowerName is packageName for a format whose other readers take capital
// letters for small ones.
func (r *v1Recipe) lowerName(n *tree.Node, where string) string {
	text, ok := n.Text()
	if lower := strings.ToLower(text); ok && lower != text {
		r.report.Warn(n.Pos, "write "+lower, "%s %q has capital letters: the package is called %s", where, text, lower)
		n = &tree.Node{Value: lower, Pos: n.Pos}
	}
	return r.packageName(n, where)
}

// overrideName puts Options.PackageName in the recipe's place.
func (j *job) overrideName(out *Output, n *tree.Node) {
	if j.PackageName == "" {
		return
	}
	out.Name = j.packageName(&tree.Node{Value: j.PackageName, Pos: n.Pos}, "the name that was given for the package,")
	for i, f := range n.Fields {
		if f.Key == "name" {
			n.Fields[i].Value = &tree.Node{Value: out.Name, Pos: f.Value.Pos}
		}
	}
}

// skipped is the first condition of build.skip that holds, of the recipe or of
// the output; nil is none. All are evaluated: what they read counts.
func (r *v1Recipe) skipped(p v1Part) *tree.Node {
	lists := []*tree.Node{r.root.Get("build").Get("skip")}
	if !p.single {
		lists = append(lists, p.node.Get("build").Get("skip"))
	}
	var found *tree.Node
	for _, list := range lists {
		if list == nil {
			continue
		}
		for _, item := range r.flatten(list) {
			if r.holds(item) && found == nil {
				found = item
			}
		}
	}
	return found
}

// holds evaluates one condition of build.skip.
func (r *v1Recipe) holds(item *tree.Node) bool {
	switch v := item.Value.(type) {
	case bool:
		return v
	case string:
		return r.skips(item, v)
	}
	if !item.IsNull() {
		r.report.Fail(item.Pos, "", "build.skip must be a condition, this is %s", item.Quoted())
	}
	return false
}

// skips evaluates a condition of build.skip. A name that nothing defines skips
// nothing, as in other tools; but the output is not built either, since its
// author meant something.
func (r *v1Recipe) skips(item *tree.Node, text string) bool {
	if isTemplate(text) {
		yes, _ := r.condition(item, text)
		return yes
	}
	x, err := r.templates.expression(text)
	if err == nil {
		var yes bool
		done := r.reading(item, text)
		yes, err = x.Truth(r.scope(scopeFields))
		done()
		if err == nil {
			return yes
		}
	}
	err = conditionError(err, text)
	p, unsaid := r.cause(item, err)
	switch {
	case !unsaid:
	case x != nil && r.HashCompat.lenientSkip():
		r.report.Warn(p.Pos, p.Hint, "%s: by the rules of %s this skips nothing", p.Text, r.HashCompat)
	case undefinedName(err) == "":
		r.report.Add(p)
	default:
		r.blockers = append(r.blockers, p)
	}
	return false
}
