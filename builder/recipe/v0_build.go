package recipe

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

var v0Build = keys{
	"number": honoured, "string": honoured, "script": honoured, "script_env": honoured, "noarch": honoured, "skip": honoured,
	"binary_relocation": honoured, "detect_binary_files_with_prefix": honoured, "ignore_prefix_files": honoured,
	"entry_points": honoured, "always_include_files": honoured, "merge_build_host": honoured, "noarch_python": honoured,
	"force_use_keys": honoured, "force_ignore_keys": honoured,

	"missing_dso_whitelist": harmless, "missing_dso_allowlist": harmless, "runpath_whitelist": harmless, "runpath_allowlist": harmless,
	"error_overlinking": harmless, "error_overdepending": harmless, "overlinking_ignore_patterns": harmless,
	"include_recipe": honoured, "ignore_verify_codes": harmless, "rpaths_patcher": harmless, "msvc_compiler": harmless,
	"disable_pip": harmless, "preferred_env": harmless, "preferred_env_executable_paths": harmless,

	"ignore_run_exports": later, "ignore_run_exports_from": later, "has_prefix_files": later, "binary_has_prefix_files": later,
	"rpaths": later, "preserve_egg_dir": later, "skip_compile_pyc": later, "activate_in_script": later, "no_move_top_level_workdir_loops": later,

	"python_version_independent": refused, "python_site_packages_path": refused, "run_exports": refused, "track_features": refused,
	"features": refused, "requires_features": refused, "provides_features": refused, "no_link": refused, "osx_is_app": refused,
	"pin_depends": refused, "pre-link": refused, "post-link": refused, "pre-unlink": refused,
}

// readBuild reads all of build but the string, which needs the hash.
func (r *v0Recipe) readBuild(out *Output) {
	n := r.build
	r.known(n, "build", v0Build)
	out.BuildNumber = r.natural(n.Get("number"), "build.number")
	if r.BuildNumber != nil {
		out.BuildNumber = *r.BuildNumber
	}
	out.Noarch = r.noarch(n.Get("noarch"))
	if r.boolean(n.Get("noarch_python"), "build.noarch_python", false) {
		out.Noarch = "python"
	}
	out.Subdir = r.TargetPlatform
	if out.Noarch != "" {
		out.Subdir = "noarch"
	}
	out.Script = r.script(n.Get("script"))
	r.scriptEnv(&out.Script, n.Get("script_env"))
	ignore, globs := r.boolOrGlobs(n.Get("ignore_prefix_files"), "build.ignore_prefix_files", false)
	relocate, relocated := r.boolOrGlobs(n.Get("binary_relocation"), "build.binary_relocation", true)
	out.Build = Build{
		IgnorePrefixFiles: ignore && len(globs) == 0, IgnorePrefixGlobs: globs,
		IgnoreBinaryFiles:  !r.boolean(n.Get("detect_binary_files_with_prefix"), "build.detect_binary_files_with_prefix", !r.platform.Windows()),
		NoBinaryRelocation: !relocate, RelocationGlobs: relocated,
		AlwaysIncludeFiles: r.strs(n.Get("always_include_files"), "build.always_include_files"),
		EntryPoints:        r.entryPoints(n.Get("entry_points"), "build.entry_points"),
		MergeBuildHost:     r.boolean(n.Get("merge_build_host"), "build.merge_build_host", false),
	}
	if !r.boolean(n.Get("include_recipe"), "build.include_recipe", true) {
		r.report.Fail(n.Get("include_recipe").Pos, "remove it if the recipe may be read by everybody who gets the package",
			"build.include_recipe: false is not supported in this version, which packs the recipe's folder")
	}
	for _, key := range r.strs(n.Get("force_use_keys"), "build.force_use_keys") {
		r.use(key)
	}
}

// script refuses what conda-build does not: with both, it runs only one of
// them, and which is a surprise. On Windows recipes often carry a bld.bat for
// older versions.
func (r *v0Recipe) script(n *tree.Node) Script {
	file := r.defaultScript("build.sh", "bld.bat")
	lines := r.strs(n, "build.script")
	switch {
	case len(lines) == 0:
		return Script{File: file}
	case file != "" && !r.platform.Windows():
		r.report.Fail(n.Pos, "keep one of them", "the recipe has both build.script and a %s", file)
	}
	return Script{Lines: lines}
}

// scriptEnv reads NAME, which is passed on, and NAME=value.
func (r *v0Recipe) scriptEnv(s *Script, n *tree.Node) {
	for _, item := range n.All() {
		name, value, given := strings.Cut(r.str(item, "build.script_env"), "=")
		name = strings.TrimSpace(name)
		switch {
		case !variableRule.MatchString(name):
			r.report.Fail(item.Pos, "write NAME or NAME=value", "build.script_env: %q is not a variable's name", name)
		case !given:
			s.PassEnv = append(s.PassEnv, name)
		default:
			if s.Env == nil {
				s.Env = map[string]string{}
			}
			s.Env[name] = strings.TrimSpace(value)
			r.fixed(item, "build.script_env", value)
		}
	}
}

// hashExempt are names that a build string shows instead of hashing them:
// conda-build compares only how a key begins.
var hashExempt = []string{"python", "r_base", "perl", "lua"}

// nameBuild makes hash and build string as conda-build does: none for a
// recipe that depends on nothing but the platform.
func (r *v0Recipe) nameBuild(out *Output) {
	platform := r.TargetPlatform
	if out.Noarch != "" {
		platform = ""
	}
	out.Variant = r.usedVariant(platform, nil)
	for _, key := range r.strs(r.build.Get("force_ignore_keys"), "build.force_ignore_keys") {
		delete(out.Variant, key)
	}
	contents := maps.Clone(out.Variant)
	maps.DeleteFunc(contents, func(key string, v any) bool {
		exempt := slices.ContainsFunc(hashExempt, func(p string) bool { return strings.HasPrefix(key, p) })
		return exempt && !strings.Contains(variantText(v), " ")
	})
	if _, only := contents["target_platform"]; only && len(contents) == 1 {
		clear(contents)
	}
	for key, v := range r.usedVariant("", Specs(out.Requirements.Run)) {
		if strings.HasPrefix(key, "__") {
			contents[key] = v
		}
	}
	for key, v := range contents {
		contents[key] = variantText(v) // conda-build knows text only
	}
	out.HashInput = pythonJSON(contents, true)
	hash := ""
	if len(contents) > 0 {
		out.Hash = shortHash(out.HashInput)
		hash = "h" + out.Hash
	}
	prefix := r.labels(out) + hash
	if prefix != "" {
		prefix += "_"
	}
	out.BuildString = prefix + strconv.Itoa(out.BuildNumber)
	r.customString(out, hash)
	r.putBuild("number", &tree.Node{Value: strconv.Itoa(out.BuildNumber)})
	r.putBuild("string", &tree.Node{Value: out.BuildString})
}

// putBuild sets a key of the evaluated recipe, so that info/recipe shows the
// number and string that were used.
func (r *v0Recipe) putBuild(key string, v *tree.Node) {
	if r.build == nil {
		r.build = &tree.Node{Kind: tree.Map}
		replaceField(r.root, "build", r.build)
	}
	replaceField(r.build, key, v)
}

// labels shows the languages that the package was built with and runs with.
func (r *v0Recipe) labels(out *Output) string {
	built := Specs(out.Requirements.Host)
	if len(built) == 0 {
		built = Specs(out.Requirements.Build)
	}
	var b strings.Builder
	for _, l := range hashLabels {
		for _, key := range l.keys {
			name := strings.ReplaceAll(key, "_", "-")
			at := slices.IndexFunc(built, func(s string) bool { return specName(s) == name })
			runs := slices.ContainsFunc(out.Requirements.Run, func(d Dependency) bool { return d.Name() == name })
			if at < 0 || !runs || key == "numpy" {
				continue
			}
			if out.Noarch == "python" {
				return "py"
			}
			version := strings.TrimSpace(strings.TrimPrefix(built[at], name))
			if version == "" {
				version = r.languageVersion(key)
			}
			b.WriteString(l.label + compactVersion(strings.TrimSuffix(version, ".*"), l.parts))
			break
		}
	}
	return b.String()
}

// customString puts the hash where a template asked for it before it was known.
func (r *v0Recipe) customString(out *Output, hash string) {
	n := r.build.Get("string")
	if n == nil {
		return
	}
	s := r.str(n, "build.string")
	s = strings.ReplaceAll(s, "h"+hashPlaceholder, hash)
	s = strings.ReplaceAll(s, hashPlaceholder, out.Hash)
	r.buildString(n, "build.string", s)
	follows := slices.Contains(r.mentioned, "PKG_BUILDNUM")
	if r.BuildNumber != nil && !follows {
		r.report.Warn(n.Pos, "use {{ PKG_BUILDNUM }} in it, or remove it",
			"build.string %q does not follow the build number %d that was chosen for this build", s, *r.BuildNumber)
	}
	out.BuildString = s
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
