package recipe

import (
	"slices"
	"strconv"
	"strings"
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
	root    *node
	context map[string]any
	order   []string // of the context's keys
	done    []field  // the evaluated sections, for Output.Rendered
	ignored []string // build.variant.ignore_keys
	values  int      // that templates made

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

// renderV1 returns nil when the recipe skips the platform, or has problems.
func (j *job) renderV1() *Output {
	j.positions = direct{j.file}
	r := &v1Recipe{job: j, context: map[string]any{}}
	r.root = (&reader{job: j, typed: v1Typed, strict: true}).parse(j.text)
	if r.root == nil || r.severalOutputs() || !j.known(r.root, "the recipe", v1Top) {
		return nil
	}
	r.readContext(r.root.get("context"))
	r.warnOfOldHabits()
	if r.skip(r.root.get("build").get("skip")) {
		return nil
	}
	out := &Output{Format: V1, File: j.file}
	if v := r.root.get("schema_version"); v != nil && scalarText(v.value) != "1" {
		j.report.fail(v.pos, "write 1", "schema_version %s is not known", v.quoted())
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
	if len(j.report.errors) > 0 {
		return nil
	}
	r.nameBuild(out, build)
	out.Rendered = r.dump()
	return out
}

// severalOutputs refuses what would otherwise build one package of several.
func (r *v1Recipe) severalOutputs() bool {
	for _, f := range r.root.fields {
		switch f.key {
		case "outputs", "recipe", "staging":
			r.report.fail(f.pos, "give each output a recipe of its own", "recipes with several outputs (%s:) are not supported yet", f.key)
			return true
		case "cache":
			r.report.fail(f.pos, "give each output a recipe of its own", "the key cache: was replaced by staging outputs, which are not supported yet")
			return true
		}
	}
	return false
}

// section evaluates a top-level section.
func (r *v1Recipe) section(key string) *node {
	raw := r.root.get(key)
	if raw == nil {
		return nil
	}
	n := r.evaluate(raw, scopeFields)
	r.keep(key, n)
	return n
}

// keep adds a section to the rendered recipe.
func (r *v1Recipe) keep(key string, n *node) {
	if !n.isNull() {
		r.done = append(r.done, field{key: key, value: n})
	}
}

// identity reads what the package is called.
func (r *v1Recipe) identity(out *Output) {
	raw := r.root.get("package")
	if raw == nil {
		r.report.fail(r.root.pos, "add package: with name: and version:", "the recipe has no package")
		return
	}
	n := r.section("package")
	if !r.known(n, "package", v1Package) {
		return
	}
	for _, key := range []string{"name", "version"} {
		if n.get(key) == nil && raw.get(key) == nil {
			r.report.fail(n.pos, "", "package.%s is missing", key)
		}
	}
	out.Name = r.packageName(n.get("name"), "package.name")
	out.Version = r.version(n.get("version"), "package.version")
	r.overrideName(out, n)
}

// overrideName puts Options.PackageName in the recipe's place.
func (j *job) overrideName(out *Output, n *node) {
	if j.PackageName == "" {
		return
	}
	out.Name = j.packageName(&node{value: j.PackageName, pos: n.pos}, "the name that was given for the package,")
	for i, f := range n.fields {
		if f.key == "name" {
			n.fields[i].value = &node{value: out.Name, pos: f.value.pos}
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
		Build:          r.pinned(r.specs(n.get("build"), "requirements.build"), " =", ""),
		Host:           r.pinned(r.specs(n.get("host"), "requirements.host"), " =", ""),
		Run:            r.specs(n.get("run"), "requirements.run"),
		RunConstraints: r.specs(n.get("run_constraints"), "requirements.run_constraints"),
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
	text := func(key string) string { return r.str(n.get(key), "about."+key) }
	out.About = About{
		Home: text("homepage"), Repository: text("repository"), Documentation: text("documentation"),
		License: r.license(n.get("license")), LicenseFamily: text("license_family"),
		LicenseFiles: r.strs(n.get("license_file"), "about.license_file"),
		Summary:      strings.TrimSpace(text("summary")), Description: text("description"),
	}
}

// skip tells whether build.skip holds: true, a condition, or a list of them.
func (r *v1Recipe) skip(n *node) bool {
	return slices.ContainsFunc(n.list(), func(item *node) bool {
		switch v := item.value.(type) {
		case bool:
			return v
		case string:
			yes, _ := r.condition(item, v)
			return yes
		}
		if item.kind == mapNode {
			return r.skip(r.evaluate(&node{kind: listNode, items: []*node{item}, pos: item.pos}, scopeConditions))
		}
		r.report.fail(item.pos, "", "build.skip must be a condition, this is %s", item.quoted())
		return false
	})
}
