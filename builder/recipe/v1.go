package recipe

import (
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// The vocabulary of recipe.yaml's sections that this file reads.
var (
	v1Top = keys{
		"$schema": harmless, "schema_version": honoured, "context": honoured, "package": honoured, "source": honoured,
		"build": honoured, "requirements": honoured, "tests": honoured, "about": honoured, "extra": honoured,
	}
	v1Package      = keys{"name": honoured, "version": honoured}
	v1Requirements = keys{
		"build": honoured, "host": honoured, "run": honoured, "run_constraints": honoured,
		"run_exports": refused, "ignore_run_exports": later, "extras": refused,
	}
	v1About = keys{
		"homepage": honoured, "repository": honoured, "documentation": honoured, "license": honoured,
		"license_file": honoured, "license_family": honoured, "summary": honoured, "description": honoured,
	}
)

// v1Recipe is a recipe.yaml that is being read.
type v1Recipe struct {
	*job
	root    *tree.Node
	context map[string]any
	order   []string     // of the context's keys
	done    []tree.Field // the evaluated sections, for Output.Rendered
	ignored []string     // build.variant.ignore_keys
	values  int          // that templates made

	numbered bool // the build number is a context entry, which Options.BuildNumber replaces
}

// v1Typed is recipe.yaml's reading of a plain scalar: 1.10 and 25.01 are text.
func v1Typed(_, text string) any {
	switch text {
	case "true", "True", "TRUE":
		return true
	case "false", "False", "FALSE":
		return false
	case "", "~", "null", "Null", "NULL":
		return nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
		return n
	}
	return text
}

// renderV1 returns no outputs when the recipe skips the platform, or has
// problems.
func (j *job) renderV1() Result {
	if out := j.outputV1(); out != nil {
		return Result{Outputs: []*Output{out}}
	}
	return Result{}
}

func (j *job) outputV1() *Output {
	r := &v1Recipe{job: j, context: map[string]any{}}
	r.root = j.reader(v1Typed, true).Parse(j.text)
	if r.root == nil || r.severalOutputs() || !j.known(r.root, "the recipe", v1Top) {
		return nil
	}
	r.readContext(r.root.Get("context"))
	r.warnOfOldHabits()
	if r.skip(r.root.Get("build").Get("skip")) {
		return nil
	}
	out := &Output{Format: V1, File: j.file}
	if v := r.root.Get("schema_version"); v != nil && tree.ScalarText(v.Value) != "1" {
		j.report.Fail(v.Pos, "write 1", "schema_version %s is not known", v.Quoted())
	}
	r.identity(out)
	r.sources(out)
	build := r.build(out)
	r.requirements(out)
	r.tests(out)
	r.about(out)
	if extra := r.section("extra"); extra != nil {
		out.Extra = j.freeMap(extra, "extra")
	}
	if j.report.Failed() {
		return nil
	}
	r.nameBuild(out, build)
	out.Rendered = r.dump(r.sections())
	return out
}

// severalOutputs refuses what would otherwise build one package of several.
func (r *v1Recipe) severalOutputs() bool {
	for _, f := range r.root.Fields {
		switch f.Key {
		case "outputs", "recipe", "staging":
			r.report.Fail(f.Pos, "give each output a recipe of its own", "recipes with several outputs (%s:) are not supported yet", f.Key)
			return true
		case "cache":
			r.report.Fail(f.Pos, "give each output a recipe of its own", "the key cache: was replaced by staging outputs, which are not supported yet")
			return true
		}
	}
	return false
}

// section evaluates a top-level section.
func (r *v1Recipe) section(key string) *tree.Node {
	raw := r.root.Get(key)
	if raw == nil {
		return nil
	}
	n := r.evaluate(raw, scopeFields)
	r.keep(key, n)
	return n
}

// keep adds a section to the rendered recipe.
func (r *v1Recipe) keep(key string, n *tree.Node) {
	if !n.IsNull() {
		r.done = append(r.done, tree.Field{Key: key, Value: n})
	}
}

// sections are the evaluated ones in the order of the format's documentation,
// so that the same recipe always gives the same bytes.
func (r *v1Recipe) sections() *tree.Node {
	root := &tree.Node{Kind: tree.Map}
	for _, key := range []string{"package", "source", "build", "requirements", "tests", "about", "extra"} {
		for _, f := range r.done {
			if f.Key == key {
				root.Fields = append(root.Fields, f)
			}
		}
	}
	return root
}

// identity reads what the package is called.
func (r *v1Recipe) identity(out *Output) {
	raw := r.root.Get("package")
	if raw == nil {
		r.report.Fail(r.root.Pos, "add package: with name: and version:", "the recipe has no package")
		return
	}
	n := r.section("package")
	if !r.known(n, "package", v1Package) {
		return
	}
	for _, key := range []string{"name", "version"} {
		if n.Get(key) == nil && raw.Get(key) == nil {
			r.report.Fail(n.Pos, "", "package.%s is missing", key)
		}
	}
	out.Name = r.packageName(n.Get("name"), "package.name")
	out.Version = r.version(n.Get("version"), "package.version")
	r.overrideName(out, n)
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

// requirements reads the specs; those without a version get the variant's.
func (r *v1Recipe) requirements(out *Output) {
	n := r.section("requirements")
	if !r.known(n, "requirements", v1Requirements) {
		return
	}
	out.Requirements = Requirements{
		Build:          dependencies(r.pinned(r.specs(n.Get("build"), "requirements.build"), " =", "")),
		Host:           dependencies(r.pinned(r.specs(n.Get("host"), "requirements.host"), " =", "")),
		Run:            dependencies(r.specs(n.Get("run"), "requirements.run")),
		RunConstraints: dependencies(r.specs(n.Get("run_constraints"), "requirements.run_constraints")),
	}
}

// pinned gives requirements without a version the variant's, with prefix and
// suffix around a plain one.
func (j *job) pinned(specs []string, prefix, suffix string) []string {
	for i, s := range specs {
		key := strings.NewReplacer("-", "_", ".", "_").Replace(s)
		if !nameRule.MatchString(s) {
			continue
		}
		v, ok := j.use(key)
		version := variantText(v)
		switch {
		case !ok || v == nil || version == "":
		case plainVersion.MatchString(version):
			specs[i] = s + prefix + version + suffix
		default:
			specs[i] = s + " " + version
		}
	}
	return specs
}

// about describes the package to people.
func (r *v1Recipe) about(out *Output) {
	n := r.section("about")
	if !r.known(n, "about", v1About) {
		return
	}
	text := func(key string) string { return r.str(n.Get(key), "about."+key) }
	out.About = About{
		Home: text("homepage"), Repository: text("repository"), Documentation: text("documentation"),
		License: r.license(n.Get("license")), LicenseFamily: text("license_family"),
		LicenseFiles: r.strs(n.Get("license_file"), "about.license_file"),
		Summary:      strings.TrimSpace(text("summary")), Description: text("description"),
	}
}

// skip tells whether build.skip holds: true, a condition, or a list of them.
func (r *v1Recipe) skip(n *tree.Node) bool {
	return slices.ContainsFunc(n.All(), func(item *tree.Node) bool {
		switch v := item.Value.(type) {
		case bool:
			return v
		case string:
			yes, _ := r.condition(item, v)
			return yes
		}
		if item.Kind == tree.Map {
			return r.skip(r.evaluate(&tree.Node{Kind: tree.List, Items: []*tree.Node{item}, Pos: item.Pos}, scopeConditions))
		}
		r.report.Fail(item.Pos, "", "build.skip must be a condition, this is %s", item.Quoted())
		return false
	})
}
