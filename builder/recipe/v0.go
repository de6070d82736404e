package recipe

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

var (
	v0Top = keys{
		"package": honoured, "source": honoured, "build": honoured, "requirements": honoured, "test": honoured,
		"about": honoured, "extra": honoured, "app": later,
	}
	v0Package      = keys{"name": honoured, "version": honoured}
	v0Requirements = keys{"build": honoured, "host": honoured, "run": honoured, "run_constrained": honoured, "conflicts": harmless}
	v0About        = keys{
		"home": honoured, "dev_url": honoured, "doc_url": honoured, "doc_source_url": honoured, "license_url": honoured,
		"license": honoured, "summary": honoured, "description": honoured, "license_family": honoured,
		"identifiers": honoured, "tags": honoured, "keywords": honoured, "license_file": honoured,
		"prelink_message": later, "readme": later, "recipe_log_file": harmless,
	}
)

// v0Recipe is a meta.yaml that is being read.
type v0Recipe struct {
	*job
	root      *tree.Node
	pkg       map[string]any // PKG_NAME and the like, when they are known
	selectors map[string]any // names of selectors; made once
	mentioned []string       // names in the templates
	build     *tree.Node
}

// newV0 completes the variant.
func newV0(j *job) *v0Recipe {
	variant := maps.Clone(defaultVersions)
	maps.Copy(variant, j.variant)
	j.variant = variant
	return &v0Recipe{job: j}
}

// renderV0 returns no outputs when the recipe skips the platform, or has
// problems.
func (j *job) renderV0() Result {
	if out := j.outputV0(); out != nil {
		return Result{Outputs: []*Output{out}}
	}
	return Result{}
}

func (j *job) outputV0() *Output {
	r := newV0(j)
	r.root = r.read(false)
	if r.root == nil {
		return nil
	}
	if v := r.root.Get("outputs"); v != nil {
		r.report.Fail(v.Pos, "give each output a recipe of its own", "recipes with several outputs (outputs:) are not supported yet")
		return nil
	}
	if !r.known(r.root, "the recipe", v0Top) {
		return nil
	}
	r.build = r.root.Get("build")
	if r.boolean(r.build.Get("skip"), "build.skip", false) {
		return nil
	}
	out := &Output{Format: V0, File: j.file}
	r.identity(out)
	r.sources(out)
	r.readBuild(out)
	r.requirements(out)
	r.tests(out)
	r.about(out)
	out.Extra = j.freeMap(r.root.Get("extra"), "extra")
	if j.report.Failed() {
		return nil
	}
	r.nameBuild(out)
	out.Rendered = j.dump(r.root)
	return out
}

// read evaluates and parses the text. Recipes that mention what only the
// recipe itself tells, such as PKG_VERSION, are read twice.
func (r *v0Recipe) read(second bool) *tree.Node {
	if !second {
		r.firstPass()
	}
	text, ok := r.evaluate(false)
	if !ok {
		return nil
	}
	root := r.reader(v0Typed, false).Parse(text)
	if root != nil {
		r.complete(root, "")
	}
	return root
}

// firstPass fills r.pkg if a template needs it. What is wrong is said by the
// second pass.
func (r *v0Recipe) firstPass() {
	kept := r.report
	r.report = &tree.Report{}
	defer func() { r.report = kept }()
	text, ok := r.evaluate(true)
	if !ok || !slices.ContainsFunc(r.mentioned, func(n string) bool { return slices.Contains(packageVariables, n) || n == "environ" }) {
		return
	}
	root := r.reader(v0Typed, false).Parse(text)
	if root == nil {
		return
	}
	number := root.Get("build").Get("number").Scalar()
	if r.BuildNumber != nil {
		number = strconv.Itoa(*r.BuildNumber)
	}
	if number == "" {
		number = "0"
	}
	name := cmp.Or(r.PackageName, root.Get("package").Get("name").Scalar())
	r.pkg = map[string]any{
		"PKG_NAME": name, "PKG_VERSION": root.Get("package").Get("version").Scalar(), "PKG_BUILDNUM": number,
		"PKG_HASH": hashPlaceholder, "PKG_BUILD_STRING": lateMark("PKG_BUILD_STRING"),
	}
}

// complete puts the shell's variables where a template printed what only a
// running script knows. The hash in build.string is left to nameBuild.
func (r *v0Recipe) complete(n *tree.Node, key string) {
	if s, ok := n.Text(); ok {
		if key != "string" {
			s = strings.ReplaceAll(s, hashPlaceholder, r.platform.ShellVariable("PKG_HASH"))
		}
		n.Value = r.shellText(s)
	}
	for _, item := range n.Items {
		r.complete(item, "")
	}
	for _, f := range n.Fields {
		r.complete(f.Value, f.Key)
	}
}

// identity reads what the package is called.
func (r *v0Recipe) identity(out *Output) {
	n := r.root.Get("package")
	if n == nil {
		r.report.Fail(r.root.Pos, "add package: with name: and version:", "the recipe has no package")
		return
	}
	if !r.known(n, "package", v0Package) {
		return
	}
	for _, key := range []string{"name", "version"} {
		if n.Get(key) == nil {
			r.report.Fail(n.Pos, "", "package.%s is missing", key)
		}
	}
	out.Name = r.packageName(n.Get("name"), "package.name")
	out.Version = r.version(n.Get("version"), "package.version")
	r.overrideName(out, n)
}

// requirements reads the specs and gives them the variant's versions, as conda-
// build does when it finalizes a recipe.
func (r *v0Recipe) requirements(out *Output) {
	n := r.root.Get("requirements")
	if n != nil && n.Kind == tree.List {
		r.report.Fail(n.Pos, "put them below run: or host:", "requirements must be a mapping, this is a list")
		return
	}
	if !r.known(n, "requirements", v0Requirements) {
		return
	}
	specs := func(key string) []string { return wordSpecs(r.specs(n.Get(key), "requirements."+key)) }
	build, host, run := specs("build"), specs("host"), specs("run")
	pinFrom := host
	if len(host) == 0 {
		pinFrom = build
	}
	if out.Noarch == "" {
		run = r.pinnedRun(run, pinFrom)
	}
	out.Requirements = Requirements{
		Build: dependencies(r.pinned(build, " ", ".*")), Host: dependencies(r.pinned(host, " ", ".*")),
		Run: dependencies(run), RunConstraints: dependencies(specs("run_constrained")),
	}
	// Without a host section conda-build builds in one prefix, unless the recipe
	// asks for two or for a compiler.
	merge := r.boolean(r.build.Get("merge_build_host"), "build.merge_build_host", true)
	if n.Get("host") == nil && len(build) > 0 && merge && !slices.Contains(r.mentioned, "compiler") {
		out.Build.MergeBuildHost = true
	}
}

// wordSpecs is conda-build's rule that "foo 1.2" means foo 1.2.*.
func wordSpecs(specs []string) []string {
	for i, s := range specs {
		if words := strings.Fields(s); len(words) == 2 && plainVersion.MatchString(words[1]) {
			specs[i] = s + ".*"
		}
	}
	return specs
}

// pinnedRun is conda-build's pin_run_as_build: a package that was built with
// one python runs with the same minor version only.
func (r *v0Recipe) pinnedRun(run, built []string) []string {
	for i, s := range run {
		if s != "python" && s != "r-base" || !slices.Contains(built, s) {
			continue
		}
		v := variantText(r.variant[strings.ReplaceAll(s, "-", "_")])
		v, _, _ = strings.Cut(v, " ")
		major, minor, ok := strings.Cut(strings.TrimSuffix(v, ".*"), ".")
		minor, _, _ = strings.Cut(minor, ".")
		if n, err := strconv.Atoi(minor); ok && err == nil {
			run[i] = s + " >=" + major + "." + minor + ",<" + major + "." + strconv.Itoa(n+1) + ".0a0"
		}
	}
	return run
}

// about takes the first of several home pages: a package's metadata has room
// for one.
func (r *v0Recipe) about(out *Output) {
	n := r.root.Get("about")
	if !r.known(n, "about", v0About) {
		return
	}
	text := func(key string) string { return r.str(n.Get(key), "about."+key) }
	first := func(key string) string {
		if all := r.strs(n.Get(key), "about."+key); len(all) > 0 {
			return all[0]
		}
		return ""
	}
	out.About = About{
		Home: first("home"), Repository: first("dev_url"), Documentation: first("doc_url"),
		License: r.license(n.Get("license")), LicenseFamily: text("license_family"),
		Summary: strings.TrimSpace(text("summary")), Description: text("description"), Other: map[string]any{},
	}
	for _, file := range r.strs(n.Get("license_file"), "about.license_file") {
		for _, name := range []string{"SRC_DIR", "RECIPE_DIR"} {
			file = strings.TrimPrefix(file, r.platform.ShellVariable(name)+"/")
		}
		out.About.LicenseFiles = append(out.About.LicenseFiles, file)
	}
	for _, key := range []string{"doc_source_url", "license_url", "identifiers", "tags", "keywords"} {
		if v := n.Get(key); v != nil {
			out.About.Other[key] = v.Free()
		}
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
