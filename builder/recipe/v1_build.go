package recipe

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
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
func (r *v1Recipe) build(out *Output) *node {
	raw := r.root.get("build")
	n := &node{kind: mapNode}
	out.Build.BinaryRelocation = true
	if raw != nil {
		if !r.known(raw, "build", v1Build) {
			return n
		}
		n.pos = raw.pos
	}
	for _, f := range raw.fieldsBut("string", "skip") {
		kind := scopeFields
		if f.key == "script" {
			kind = scopeScript
		}
		n.fields = append(n.fields, field{f.key, f.pos, r.evaluate(f.value, kind)})
	}
	out.BuildNumber = r.natural(n.get("number"), "build.number")
	if r.BuildNumber != nil {
		out.BuildNumber = *r.BuildNumber
	}
	out.Noarch = r.noarch(n.get("noarch"))
	out.Subdir = r.TargetPlatform
	if out.Noarch != "" {
		out.Subdir = "noarch"
	}
	out.Script = r.script(n.get("script"), scriptRules{where: "build.script", fallback: r.defaultScript("build.sh", "build.bat"), files: true})
	out.Build.AlwaysIncludeFiles = r.strs(n.get("always_include_files"), "build.always_include_files")
	out.Build.MergeBuildHost = r.boolean(n.get("merge_build_and_host_envs"), "build.merge_build_and_host_envs", false)
	r.buildParts(out, n)
	r.keep("build", n)
	return n
}

// fieldsBut are a mapping's fields without some: those are evaluated at another
// time.
func (n *node) fieldsBut(names ...string) []field {
	if n == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(n.fields), func(f field) bool { return slices.Contains(names, f.key) })
}

// buildParts reads the sections of build.
func (r *v1Recipe) buildParts(out *Output, n *node) {
	if p := n.get("python"); r.known(p, "build.python", v1Python) {
		out.Build.EntryPoints = r.entryPoints(p.get("entry_points"), "build.python.entry_points")
	}
	if l := n.get("dynamic_linking"); r.known(l, "build.dynamic_linking", v1Linking) {
		out.Build.BinaryRelocation, _ = r.boolOrGlobs(l.get("binary_relocation"), "build.dynamic_linking.binary_relocation", true)
	}
	if p := n.get("prefix_detection"); r.known(p, "build.prefix_detection", v1Prefix) {
		ignore, globs := r.boolOrGlobs(p.get("ignore"), "build.prefix_detection.ignore", false)
		out.Build.IgnorePrefixFiles, out.Build.IgnorePrefixGlobs = ignore && len(globs) == 0, globs
		out.Build.IgnoreBinaryFiles = r.boolean(p.get("ignore_binary_files"), "build.prefix_detection.ignore_binary_files", false)
	}
	r.files(out, n.get("files"))
	if v := n.get("variant"); r.known(v, "build.variant", v1Variant) {
		for _, key := range r.strs(v.get("use_keys"), "build.variant.use_keys") {
			r.use(key)
		}
		r.ignored = r.strs(v.get("ignore_keys"), "build.variant.ignore_keys")
	}
}

// files is a list of globs, or include and exclude.
func (r *v1Recipe) files(out *Output, n *node) {
	if n == nil || n.kind != mapNode {
		out.Build.FilesInclude = r.strs(n, "build.files")
		return
	}
	if r.known(n, "build.files", v1Files) {
		out.Build.FilesInclude = r.strs(n.get("include"), "build.files.include")
		out.Build.FilesExclude = r.strs(n.get("exclude"), "build.files.exclude")
	}
}

// nameBuild makes hash and build string: the last step, when it is known
// which variant keys were read.
func (r *v1Recipe) nameBuild(out *Output, build *node) {
	raw := r.root.get("build").get("string")
	text, _ := raw.text()
	t, err := jinja.Parse(text, jinja.Recipe)
	if err != nil {
		r.templateError(raw, err)
		return
	}
	r.useAll(t.Names())
	out.Variant = r.usedVariant(out.Subdir, out.Requirements.Run)
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
	replaceField(build, "number", &node{value: int64(out.BuildNumber)})
	replaceField(build, "string", &node{value: out.BuildString})
	if !slices.ContainsFunc(r.done, func(f field) bool { return f.key == "build" }) {
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

func (r *v1Recipe) customString(out *Output, raw *node, t *jinja.Template) string {
	if raw.kind != scalarNode {
		r.report.fail(raw.pos, "", "build.string must be text, this is %s", raw.describe())
		return ""
	}
	evaluate := func(number int) string {
		if !jinja.IsTemplate(scalarText(raw.value), jinja.Recipe) {
			return scalarText(raw.value)
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
	if len(r.report.errors) == 0 {
		r.buildString(raw, "build.string", s)
		r.warnOfFixedString(raw, s, r.numbered || evaluate(out.BuildNumber+1) != s)
	}
	return s
}

// warnOfFixedString: a build number that was chosen for being free is of no
// use in a file name that does not show it.
func (j *job) warnOfFixedString(n *node, s string, follows bool) {
	if j.BuildNumber != nil && !follows {
		j.report.warn(n.pos, "use ${{ build_number }} in it, or remove it",
			"build.string %q does not follow the build number %d that was chosen for this build", s, *j.BuildNumber)
	}
}

// replaceField sets a key of an evaluated mapping.
func replaceField(n *node, key string, v *node) {
	for i, f := range n.fields {
		if f.key == key {
			n.fields[i].value = v
			return
		}
	}
	n.fields = append(n.fields, field{key: key, value: v})
}
