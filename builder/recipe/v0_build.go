package recipe

import (
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/platform"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

var v0Build = keys{
	"number": honoured, "string": honoured, "script": honoured, "script_env": honoured, "noarch": honoured, "skip": honoured,
	"binary_relocation": honoured, "detect_binary_files_with_prefix": honoured, "ignore_prefix_files": honoured,
	"entry_points": honoured, "always_include_files": honoured, "merge_build_host": honoured, "noarch_python": honoured,
	"force_use_keys": honoured, "force_ignore_keys": honoured, "include_recipe": honoured, "run_exports": honoured,
	"ignore_run_exports": honoured, "ignore_run_exports_from": honoured, "rpaths": honoured, "skip_compile_pyc": honoured,
	"missing_dso_whitelist": honoured, "missing_dso_allowlist": honoured, "runpath_whitelist": honoured, "runpath_allowlist": honoured,
	"error_overlinking": honoured, "error_overdepending": honoured, "python_version_independent": honoured,
	"python_site_packages_path": honoured, "track_features": honoured, "features": honoured, "no_link": honoured,
	"osx_is_app": honoured, "pre-link": honoured, "post-link": honoured, "pre-unlink": honoured,
	"has_prefix_files": honoured, "binary_has_prefix_files": honoured,
	"requires_features": honoured, "provides_features": honoured, "preferred_env": honoured, "preferred_env_executable_paths": honoured,

	"overlinking_ignore_patterns": later, "ignore_verify_codes": later, "rpaths_patcher": later, "msvc_compiler": later,
	"disable_pip": later,

	"preserve_egg_dir": later, "activate_in_script": later, "no_move_top_level_workdir_loops": later, "pin_depends": later,
}

// readBuild reads all of build but the string, which needs the hash.
func (r *v0Recipe) readBuild(out *Output, declared *tree.Node, separate bool) {
	n := r.build
	r.known(n, "build", v0Build)
	out.BuildNumber = r.numberV0(n.Get("number"))
	if r.BuildNumber != nil {
		out.BuildNumber = *r.BuildNumber
	}
	out.Noarch = r.noarch(n.Get("noarch"))
	if r.truth(n.Get("noarch_python")) {
		out.Noarch = "python"
	}
	out.Subdir = r.TargetPlatform
	switch target := r.str(declared.Get("target"), "outputs.target"); {
	case out.Noarch != "":
		out.Subdir = "noarch"
	case target != "":
		out.Subdir, out.BuiltFor = target, r.TargetPlatform
		if _, err := platform.Parse(target); err != nil {
			r.report.Fail(declared.Get("target").Pos, "", "outputs.target: %v", err)
		}
	}
	out.Script = r.outputScript(declared, separate)
	r.scriptEnv(&out.Script, n.Get("script_env"))
	out.Build = r.packing(n)
	r.outputFiles(out, declared.Get("files"))
	if !r.boolean(n.Get("include_recipe"), "build.include_recipe", true) {
		out.Build.OmitRecipe = true
	}
}

// numberV0 is a build number: one that is not known yet counts as 0.
func (r *v0Recipe) numberV0(n *tree.Node) int {
	if len(r.blockers) > 0 && n.Scalar() == "" {
		return 0
	}
	return r.natural(n, "build.number")
}

// packing is how files are packed.
func (r *v0Recipe) packing(n *tree.Node) Build {
	ignore, globs := r.boolOrGlobs(n.Get("ignore_prefix_files"), "build.ignore_prefix_files", false)
	relocate, relocated := r.boolOrGlobs(n.Get("binary_relocation"), "build.binary_relocation", true)
	texts := func(key string) []string { return r.strs(n.Get(key), "build."+key) }
	b := Build{
		IgnorePrefixFiles: ignore && len(globs) == 0, IgnorePrefixGlobs: globs,
		IgnoreBinaryFiles: !r.boolean(n.Get("detect_binary_files_with_prefix"), "build.detect_binary_files_with_prefix",
			!r.platform.Windows() && n.Get("binary_has_prefix_files") == nil),
		ForceText: texts("has_prefix_files"), ForceBinary: texts("binary_has_prefix_files"),
		NoBinaryRelocation: !relocate, RelocationGlobs: relocated, Rpaths: texts("rpaths"),
		MissingDSOAllow:    append(texts("missing_dso_allowlist"), texts("missing_dso_whitelist")...),
		RpathAllowlist:     append(texts("runpath_allowlist"), texts("runpath_whitelist")...),
		OverlinkingError:   r.flag(n.Get("error_overlinking"), "build.error_overlinking"),
		OverdependError:    r.flag(n.Get("error_overdepending"), "build.error_overdepending"),
		AlwaysIncludeFiles: texts("always_include_files"), AlwaysCopyFiles: texts("no_link"),
		EntryPoints: r.entryPoints(n.Get("entry_points"), "build.entry_points"), SkipPycGlobs: texts("skip_compile_pyc"),
		UsePythonApp:       r.boolean(n.Get("osx_is_app"), "build.osx_is_app", false),
		VersionIndependent: r.boolean(n.Get("python_version_independent"), "build.python_version_independent", false),
		SitePackagesPath:   r.str(n.Get("python_site_packages_path"), "build.python_site_packages_path"),
		MergeBuildHost:     r.boolean(n.Get("merge_build_host"), "build.merge_build_host", false),
		UseKeys:            texts("force_use_keys"), IgnoreKeys: texts("force_ignore_keys"), TrackFeatures: texts("track_features"),
	}
	for _, key := range []string{"pre-link", "post-link", "pre-unlink"} {
		if file := r.str(n.Get(key), "build."+key); file != "" {
			if b.LinkScripts == nil {
				b.LinkScripts = map[string]string{}
			}
			b.LinkScripts[key] = file
		}
	}
	for _, key := range []string{"features", "requires_features", "provides_features", "preferred_env", "preferred_env_executable_paths"} {
		if v := n.Get(key); v != nil && !v.Idle() {
			if b.Other == nil {
				b.Other = map[string]any{}
			}
			b.Other[key] = v.Free()
		}
	}
	for _, feature := range r.words(n.Get("features")) {
		if strings.Contains(feature, "-") {
			r.report.Fail(n.Get("features").Pos, "write "+strings.ReplaceAll(feature, "-", "_"), "build.features: %q has a -, which features must not", feature)
		}
	}
	return b
}

// flag is a boolean that may be left open.
func (r *v0Recipe) flag(n *tree.Node, where string) *bool {
	if n.IsNull() {
		return nil
	}
	yes := r.boolean(n, where, false)
	return &yes
}

// outputScript is what builds an output: a script that it names, its commands,
// or for the recipe itself the script beside it.
func (r *v0Recipe) outputScript(declared *tree.Node, separate bool) Script {
	if file := declared.Get("script"); file != nil && file.Kind == tree.Scalar {
		s := Script{File: r.below(file, "outputs.script", "the recipe's folder"), Interpreter: r.str(declared.Get("script_interpreter"), "outputs.script_interpreter")}
		if s.File != "" && !r.exists(s.File) {
			r.blockers = append(r.blockers, tree.Problem{Pos: file.Pos, Text: "outputs.script: there is no file " + s.File + " in the recipe's folder"})
		}
		return s
	}
	if separate {
		return Script{Lines: r.strs(r.build.Get("script"), "build.script")}
	}
	return r.script(r.build.Get("script"))
}

// outputFiles are globs, or include and exclude.
func (r *v0Recipe) outputFiles(out *Output, n *tree.Node) {
	if n == nil || n.Kind != tree.Map {
		out.Build.FilesInclude = r.strs(n, "outputs.files")
		return
	}
	if r.known(n, "outputs.files", v1Files) {
		out.Build.FilesInclude = r.strs(n.Get("include"), "outputs.files.include")
		out.Build.FilesExclude = r.strs(n.Get("exclude"), "outputs.files.exclude")
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
