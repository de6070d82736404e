package recipe

import (
	"slices"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

var (
	v1Build = keys{
		"number": honoured, "string": honoured, "script": honoured, "steps": honoured, "noarch": honoured, "skip": honoured,
		"python": honoured, "always_include_files": honoured, "always_copy_files": honoured, "files": honoured,
		"merge_build_and_host_envs": honoured, "dynamic_linking": honoured, "prefix_detection": honoured,
		"variant": honoured, "post_process": honoured, "flags": honoured,
	}
	v1StagingBuild = keys{"script": honoured, "steps": honoured}
	v1Python       = keys{
		"entry_points": honoured, "skip_pyc_compilation": honoured, "use_python_app_entrypoint": honoured,
		"version_independent": honoured, "site_packages_path": honoured,
	}
	v1Linking = keys{
		"binary_relocation": honoured, "rpaths": honoured, "missing_dso_allowlist": honoured, "rpath_allowlist": honoured,
		"overdepending_behavior": honoured, "overlinking_behavior": honoured,
	}
	v1Prefix      = keys{"ignore": honoured, "ignore_binary_files": honoured, "force_file_type": honoured}
	v1FileType    = keys{"text": honoured, "binary": honoured}
	v1Variant     = keys{"use_keys": honoured, "ignore_keys": honoured, "down_prioritize_variant": honoured}
	v1Files       = keys{"include": honoured, "exclude": honoured}
	v1PostProcess = keys{"files": honoured, "regex": honoured, "replacement": honoured}
)

// apart are the keys of build that are read at another time.
var apart = []string{"string", "skip", "script", "steps"}

// v1BuildSection is the section build of an output, with what it takes over from
// the recipe's.
type v1BuildSection struct {
	node *tree.Node // evaluated and merged, without what is apart
	plan Script
}

// readBuild evaluates the output's build section, and the recipe's for what the
// output does not say. Both count as read, whichever wins. A script is taken
// over only by outputs that inherit from the top.
func (r *v1Recipe) readBuild(p v1Part, fromTop bool) v1BuildSection {
	top, own := r.buildSection(r.root.Get("build")), r.buildSection(p.node.Get("build"))
	if p.single {
		return v1BuildSection{top, r.plan(p.node.Get("build"), true)}
	}
	plan := r.plan(r.root.Get("build"), false)
	if raw := p.node.Get("build"); !fromTop || raw.Get("script") != nil || raw.Get("steps") != nil {
		plan = r.plan(raw, false)
	}
	return v1BuildSection{mergedBuild(top, own), plan}
}

// buildSection evaluates all that is not apart.
func (r *v1Recipe) buildSection(raw *tree.Node) *tree.Node {
	n := &tree.Node{Kind: tree.Map}
	if raw == nil || !r.known(raw, "build", v1Build) {
		return n
	}
	n.Pos = raw.Pos
	for _, f := range raw.FieldsBut(apart...) {
		n.Fields = append(n.Fields, tree.Field{Key: f.Key, Pos: f.Pos, Value: r.evaluate(f.Value, scopeFields)})
	}
	return n
}

// mergedBuild is own with what only top says. An empty list of files is a
// choice; any other empty value is none.
func mergedBuild(top, own *tree.Node) *tree.Node {
	n := &tree.Node{Kind: tree.Map, Pos: own.Pos}
	for _, f := range own.Fields {
		if f.Key == "files" || f.Key == "number" && !f.Value.IsNull() || !f.Value.Idle() {
			n.Fields = append(n.Fields, f)
		}
	}
	for _, f := range top.Fields {
		if n.Get(f.Key) == nil {
			n.Fields = append(n.Fields, f)
		}
	}
	return n
}

// plan is what builds: a script, or steps. What the recipe's folder has counts
// only for recipes with a single output.
func (r *v1Recipe) plan(build *tree.Node, alone bool) Script {
	script, steps := build.Get("script"), build.Get("steps")
	if script != nil && steps != nil {
		r.report.Fail(steps.Pos, "keep one of them", "build has both script and steps")
	}
	if steps != nil {
		return r.steps(steps)
	}
	rules := scriptRules{where: "build.script", files: true}
	if alone {
		rules.fallback = r.defaultScript("build.sh", "build.bat")
	}
	return r.script(script, rules)
}

// fillBuild reads the merged section.
func (r *v1Recipe) fillBuild(out *Output, s v1BuildSection) {
	n := s.node
	out.BuildNumber = r.natural(n.Get("number"), "build.number")
	if r.BuildNumber != nil {
		out.BuildNumber = *r.BuildNumber
	}
	out.Noarch = r.noarch(n.Get("noarch"))
	out.Subdir = r.TargetPlatform
	if out.Noarch != "" {
		out.Subdir = "noarch"
	}
	out.Script = s.plan
	out.Build.AlwaysIncludeFiles = r.strs(n.Get("always_include_files"), "build.always_include_files")
	out.Build.AlwaysCopyFiles = r.strs(n.Get("always_copy_files"), "build.always_copy_files")
	out.Build.Flags = r.strs(n.Get("flags"), "build.flags")
	out.Build.MergeBuildHost = r.boolean(n.Get("merge_build_and_host_envs"), "build.merge_build_and_host_envs", false)
	r.files(out, n.Get("files"))
	r.python(out, n.Get("python"))
	r.linking(out, n.Get("dynamic_linking"))
	r.prefixDetection(out, n.Get("prefix_detection"))
	r.variantKeys(out, n.Get("variant"))
	for _, p := range n.Get("post_process").All() {
		if r.known(p, "build.post_process", v1PostProcess) {
			out.Build.PostProcess = append(out.Build.PostProcess, PostProcess{
				Files: r.strs(p.Get("files"), "build.post_process.files"), Regex: r.str(p.Get("regex"), "build.post_process.regex"),
				Replacement: r.str(p.Get("replacement"), "build.post_process.replacement"),
			})
		}
	}
}

func (r *v1Recipe) python(out *Output, n *tree.Node) {
	if !r.known(n, "build.python", v1Python) {
		return
	}
	b := &out.Build
	b.EntryPoints = r.entryPoints(n.Get("entry_points"), "build.python.entry_points")
	b.SkipPycGlobs = r.strs(n.Get("skip_pyc_compilation"), "build.python.skip_pyc_compilation")
	b.UsePythonApp = r.boolean(n.Get("use_python_app_entrypoint"), "build.python.use_python_app_entrypoint", false)
	b.VersionIndependent = r.boolean(n.Get("version_independent"), "build.python.version_independent", false)
	b.SitePackagesPath = r.str(n.Get("site_packages_path"), "build.python.site_packages_path")
}

func (r *v1Recipe) linking(out *Output, n *tree.Node) {
	const where = "build.dynamic_linking."
	if !r.known(n, "build.dynamic_linking", v1Linking) {
		return
	}
	b := &out.Build
	relocate, globs := r.boolOrGlobs(n.Get("binary_relocation"), where+"binary_relocation", true)
	b.NoBinaryRelocation, b.RelocationGlobs = !relocate, globs
	b.Rpaths = r.strs(n.Get("rpaths"), where+"rpaths")
	b.RpathAllowlist = r.strs(n.Get("rpath_allowlist"), where+"rpath_allowlist")
	b.MissingDSOAllow = r.strs(n.Get("missing_dso_allowlist"), where+"missing_dso_allowlist")
	b.OverlinkingError = r.behaviour(n.Get("overlinking_behavior"), where+"overlinking_behavior")
	b.OverdependError = r.behaviour(n.Get("overdepending_behavior"), where+"overdepending_behavior")
}

// behaviour is ignore or error.
func (r *v1Recipe) behaviour(n *tree.Node, where string) *bool {
	s := r.str(n, where)
	if s == "" {
		return nil
	}
	fails := s == "error"
	if !slices.Contains([]string{"error", "ignore"}, s) {
		r.report.Fail(n.Pos, "write ignore or error", "%s is %q", where, s)
	}
	return &fails
}

func (r *v1Recipe) prefixDetection(out *Output, n *tree.Node) {
	const where = "build.prefix_detection."
	if !r.known(n, "build.prefix_detection", v1Prefix) {
		return
	}
	ignore, globs := r.boolOrGlobs(n.Get("ignore"), where+"ignore", false)
	out.Build.IgnorePrefixFiles, out.Build.IgnorePrefixGlobs = ignore && len(globs) == 0, globs
	out.Build.IgnoreBinaryFiles = r.boolean(n.Get("ignore_binary_files"), where+"ignore_binary_files", false)
	if t := n.Get("force_file_type"); r.known(t, "build.prefix_detection.force_file_type", v1FileType) {
		out.Build.ForceText = r.strs(t.Get("text"), where+"force_file_type.text")
		out.Build.ForceBinary = r.strs(t.Get("binary"), where+"force_file_type.binary")
	}
}

func (r *v1Recipe) variantKeys(out *Output, n *tree.Node) {
	if !r.known(n, "build.variant", v1Variant) {
		return
	}
	out.Build.UseKeys = r.strs(n.Get("use_keys"), "build.variant.use_keys")
	out.Build.IgnoreKeys = r.strs(n.Get("ignore_keys"), "build.variant.ignore_keys")
	if d := n.Get("down_prioritize_variant"); !d.IsNull() && d.Scalar() != "" {
		number := r.integer(d, "build.variant.down_prioritize_variant")
		out.Build.DownPrioritize = &number
	}
}

// files is a list of globs, or include and exclude.
func (r *v1Recipe) files(out *Output, n *tree.Node) {
	if n == nil || n.Kind != tree.Map {
		out.Build.FilesInclude = r.strs(n, "build.files")
		out.Build.NoFiles = n != nil && len(out.Build.FilesInclude) == 0
		return
	}
	if r.known(n, "build.files", v1Files) {
		out.Build.FilesInclude = r.strs(n.Get("include"), "build.files.include")
		out.Build.FilesExclude = r.strs(n.Get("exclude"), "build.files.exclude")
	}
}
