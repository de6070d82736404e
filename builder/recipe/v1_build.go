package recipe

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

var (
	v1Build = keys{
		"number": honoured, "string": honoured, "script": honoured, "noarch": honoured, "skip": honoured,
		"python": honoured, "always_include_files": honoured, "files": honoured, "merge_build_and_host_envs": honoured,
		"dynamic_linking": honoured, "prefix_detection": honoured, "variant": honoured,
		"always_copy_files": refused, "post_process": refused, "steps": refused, "flags": refused,
	}
	v1Python = keys{
		"entry_points": honoured, "skip_pyc_compilation": later, "use_python_app_entrypoint": later,
		"version_independent": refused, "site_packages_path": refused,
	}
	v1Linking = keys{
		"binary_relocation": honoured, "rpaths": later, "missing_dso_allowlist": harmless, "rpath_allowlist": harmless,
		"overdepending_behavior": harmless, "overlinking_behavior": harmless,
	}
	v1Prefix  = keys{"ignore": honoured, "ignore_binary_files": honoured, "force_file_type": refused}
	v1Variant = keys{"use_keys": honoured, "ignore_keys": honoured, "down_prioritize_variant": refused}
	v1Files   = keys{"include": honoured, "exclude": honoured}
)

// build reads the build section, all but build.string, which needs the hash.
// It returns the section for nameBuild.
func (r *v1Recipe) build(out *Output) *tree.Node {
	raw := r.root.Get("build")
	n := &tree.Node{Kind: tree.Map}
	if raw != nil {
		if !r.known(raw, "build", v1Build) {
			return n
		}
		n.Pos = raw.Pos
	}
	for _, f := range raw.FieldsBut("string", "skip") {
		kind := scopeFields
		if f.Key == "script" {
			kind = scopeScript
		}
		n.Fields = append(n.Fields, tree.Field{Key: f.Key, Pos: f.Pos, Value: r.evaluate(f.Value, kind)})
	}
	out.BuildNumber = r.natural(n.Get("number"), "build.number")
	if r.BuildNumber != nil {
		out.BuildNumber = *r.BuildNumber
	}
	out.Noarch = r.noarch(n.Get("noarch"))
	out.Subdir = r.TargetPlatform
	if out.Noarch != "" {
		out.Subdir = "noarch"
	}
	out.Script = r.script(n.Get("script"), scriptRules{where: "build.script", fallback: r.defaultScript("build.sh", "build.bat"), files: true})
	out.Build.AlwaysIncludeFiles = r.strs(n.Get("always_include_files"), "build.always_include_files")
	out.Build.MergeBuildHost = r.boolean(n.Get("merge_build_and_host_envs"), "build.merge_build_and_host_envs", false)
	r.buildParts(out, n)
	r.keep("build", n)
	return n
}

// buildParts reads the sections of build.
func (r *v1Recipe) buildParts(out *Output, n *tree.Node) {
	if p := n.Get("python"); r.known(p, "build.python", v1Python) {
		out.Build.EntryPoints = r.entryPoints(p.Get("entry_points"), "build.python.entry_points")
	}
	if l := n.Get("dynamic_linking"); r.known(l, "build.dynamic_linking", v1Linking) {
		relocate, globs := r.boolOrGlobs(l.Get("binary_relocation"), "build.dynamic_linking.binary_relocation", true)
		out.Build.NoBinaryRelocation, out.Build.RelocationGlobs = !relocate, globs
	}
	if p := n.Get("prefix_detection"); r.known(p, "build.prefix_detection", v1Prefix) {
		ignore, globs := r.boolOrGlobs(p.Get("ignore"), "build.prefix_detection.ignore", false)
		out.Build.IgnorePrefixFiles, out.Build.IgnorePrefixGlobs = ignore && len(globs) == 0, globs
		out.Build.IgnoreBinaryFiles = r.boolean(p.Get("ignore_binary_files"), "build.prefix_detection.ignore_binary_files", false)
	}
	r.files(out, n.Get("files"))
	if v := n.Get("variant"); r.known(v, "build.variant", v1Variant) {
		for _, key := range r.strs(v.Get("use_keys"), "build.variant.use_keys") {
			r.use(key)
		}
		r.ignored = r.strs(v.Get("ignore_keys"), "build.variant.ignore_keys")
	}
}

// files is a list of globs, or include and exclude.
func (r *v1Recipe) files(out *Output, n *tree.Node) {
	if n == nil || n.Kind != tree.Map {
		out.Build.FilesInclude = r.strs(n, "build.files")
		return
	}
	if r.known(n, "build.files", v1Files) {
		out.Build.FilesInclude = r.strs(n.Get("include"), "build.files.include")
		out.Build.FilesExclude = r.strs(n.Get("exclude"), "build.files.exclude")
	}
}

// nameBuild makes hash and build string: the last step, when it is known
// which variant keys were read.
func (r *v1Recipe) nameBuild(out *Output, build *tree.Node) {
	raw := r.root.Get("build").Get("string")
	text, _ := raw.Text()
	t, err := jinja.Parse(text, jinja.Recipe)
	if err != nil {
		r.templateError(raw, err)
		return
	}
	r.useAll(t.Names())
	out.Variant = r.usedVariant(out.Subdir, Specs(out.Requirements.Run))
	for _, key := range r.ignored {
		delete(out.Variant, key)
	}
	prefix := "py"
	if out.Noarch == "python" {
		delete(out.Variant, "python")
	} else {
		prefix = labels(out.Variant)
	}
	out.HashInput = pythonJSON(out.Variant, false)
	out.Hash = shortHash(out.HashInput)
	out.BuildString = prefix + "h" + out.Hash + "_" + strconv.Itoa(out.BuildNumber)
	if raw != nil {
		out.BuildString = r.customString(out, raw, t)
	}
	replaceField(build, "number", &tree.Node{Value: int64(out.BuildNumber)})
	replaceField(build, "string", &tree.Node{Value: out.BuildString})
	if !slices.ContainsFunc(r.done, func(f tree.Field) bool { return f.Key == "build" }) {
		r.keep("build", build)
	}
}

// labels is the readable front of a build string, e.g. py312.
func labels(variant map[string]any) string {
	var b strings.Builder
	for _, l := range hashLabels {
		for _, key := range l.keys {
			if v, ok := variant[key]; ok {
				b.WriteString(l.label + compactVersion(variantText(v), l.parts))
				break
			}
		}
	}
	return b.String()
}

func (r *v1Recipe) customString(out *Output, raw *tree.Node, t *jinja.Template) string {
	if raw.Kind != tree.Scalar {
		r.report.Fail(raw.Pos, "", "build.string must be text, this is %s", raw.Describe())
		return ""
	}
	evaluate := func(number int) string {
		if !jinja.IsTemplate(tree.ScalarText(raw.Value), jinja.Recipe) {
			return tree.ScalarText(raw.Value)
		}
		s := r.scope(scopeFields)
		s.Lookup = func(name string) (any, bool) {
			if v, ok := map[string]any{"hash": out.Hash, "build_number": int64(number)}[name]; ok && r.context[name] == nil {
				return v, true
			}
			return r.lookup(name, scopeFields)
		}
		s.Known = func() []string {
			return slices.Concat(r.order, []string{"hash", "build_number"}, slices.Sorted(maps.Keys(r.variant)))
		}
		v, _, err := t.Render(s)
		if err != nil {
			r.templateError(raw, err)
		}
		return v
	}
	s := evaluate(out.BuildNumber)
	if !r.report.Failed() {
		r.buildString(raw, "build.string", s)
		r.warnOfFixedString(raw, s, r.numbered || evaluate(out.BuildNumber+1) != s)
	}
	return s
}

// warnOfFixedString: a build number that was chosen for being free is of no
// use in a file name that does not show it.
func (j *job) warnOfFixedString(n *tree.Node, s string, follows bool) {
	if j.BuildNumber != nil && !follows {
		j.report.Warn(n.Pos, "use ${{ build_number }} in it, or remove it",
			"build.string %q does not follow the build number %d that was chosen for this build", s, *j.BuildNumber)
	}
}

// replaceField sets a key of an evaluated mapping.
func replaceField(n *tree.Node, key string, v *tree.Node) {
	for i, f := range n.Fields {
		if f.Key == key {
			n.Fields[i].Value = v
			return
		}
	}
	n.Fields = append(n.Fields, tree.Field{Key: key, Value: v})
}
