package recipe

import (
	"maps"
	"slices"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// printBuild writes the section build.
func (o *Output) printBuild(d *doc) {
	b := o.Build
	d.add("number", tree.Of(int64(o.BuildNumber)))
	d.text("string", o.BuildString)
	if steps := o.Script.Steps; len(steps) > 0 {
		list(d, "steps", steps, Step.print)
	} else {
		d.add("script", o.Script.node())
	}
	d.text("noarch", o.Noarch)
	d.put("python", b.printPython)
	d.texts("always_copy_files", b.AlwaysCopyFiles)
	d.texts("always_include_files", b.AlwaysIncludeFiles)
	if len(b.FilesExclude) == 0 {
		d.texts("files", b.FilesInclude)
	} else {
		d.put("files", func(d *doc) {
			d.texts("include", b.FilesInclude)
			d.texts("exclude", b.FilesExclude)
		})
	}
	d.flag("merge_build_and_host_envs", b.MergeBuildHost)
	d.put("dynamic_linking", b.printLinking)
	d.put("variant", b.printVariant)
	d.put("prefix_detection", b.printPrefix)
	list(d, "post_process", b.PostProcess, PostProcess.print)
	d.texts("flags", b.Flags)
	d.texts("track_features", b.TrackFeatures)
	d.add("link_scripts", tree.Of(b.LinkScripts))
	for _, key := range slices.Sorted(maps.Keys(b.Other)) {
		d.add(key, tree.Of(b.Other[key]))
	}
}

func (b Build) printPython(d *doc) {
	d.texts("entry_points", b.EntryPoints)
	d.texts("skip_pyc_compilation", b.SkipPycGlobs)
	d.flag("use_python_app_entrypoint", b.UsePythonApp)
	d.flag("version_independent", b.VersionIndependent)
	d.text("site_packages_path", b.SitePackagesPath)
}

func (b Build) printLinking(d *doc) {
	d.texts("rpaths", b.Rpaths)
	switch {
	case b.NoBinaryRelocation:
		d.add("binary_relocation", tree.Of(false))
	default:
		d.texts("binary_relocation", b.RelocationGlobs)
	}
	d.texts("missing_dso_allowlist", b.MissingDSOAllow)
	d.texts("rpath_allowlist", b.RpathAllowlist)
	if b.OverdependError != nil && *b.OverdependError {
		d.text("overdepending_behavior", "error")
	}
	if b.OverlinkingError != nil && *b.OverlinkingError {
		d.text("overlinking_behavior", "error")
	}
}

func (b Build) printVariant(d *doc) {
	d.texts("use_keys", b.UseKeys)
	d.texts("ignore_keys", b.IgnoreKeys)
	if b.DownPrioritize != nil {
		d.add("down_prioritize_variant", tree.Of(int64(*b.DownPrioritize)))
	}
}

func (b Build) printPrefix(d *doc) {
	d.put("force_file_type", func(d *doc) {
		d.texts("text", b.ForceText)
		d.texts("binary", b.ForceBinary)
	})
	switch {
	case b.IgnorePrefixFiles:
		d.flag("ignore", true)
	default:
		d.texts("ignore", b.IgnorePrefixGlobs)
	}
	d.flag("ignore_binary_files", b.IgnoreBinaryFiles)
}

func (p PostProcess) print(d *doc) {
	d.texts("files", p.Files)
	d.text("regex", p.Regex)
	d.text("replacement", p.Replacement)
}

// print writes a test of any kind.
func (t Test) print(d *doc) {
	switch {
	case t.Python != nil:
		d.put("python", t.Python.print)
	case t.Contents != nil:
		d.put("package_contents", t.Contents.print)
	case t.Downstream != "":
		d.text("downstream", t.Downstream)
	case t.Perl != nil:
		d.put("perl", func(d *doc) { d.texts("uses", t.Perl) })
	case t.R != nil:
		d.put("r", func(d *doc) { d.texts("libraries", t.R) })
	case t.Ruby != nil:
		d.put("ruby", func(d *doc) { d.texts("requires", t.Ruby) })
	case t.Lua != nil:
		d.put("lua", func(d *doc) { d.texts("requires", t.Lua) })
	}
	if !t.Script.Empty() {
		d.add("script", t.Script.node())
	}
	d.put("requirements", func(d *doc) {
		run := dependencyNodes(t.Pins)
		run.Items = append(tree.Of(t.Requires).Items, run.Items...)
		d.add("run", run)
		d.texts("build", t.Build)
	})
	d.put("files", func(d *doc) {
		d.texts("source", t.Source)
		d.texts("recipe", t.Files)
	})
}

func (p *PythonTest) print(d *doc) {
	d.texts("imports", p.Imports)
	if p.NoPip {
		d.add("pip_check", tree.Of(false))
	}
	if len(p.Versions) == 1 {
		d.text("python_version", p.Versions[0])
		return
	}
	d.texts("python_version", p.Versions)
}

func (c *ContentsTest) print(d *doc) {
	for _, part := range []struct {
		key  string
		what Contents
	}{{"files", c.Files}, {"site_packages", c.SitePackages}, {"bin", c.Bin}, {"lib", c.Lib}, {"include", c.Include}} {
		if len(part.what.NotExists) == 0 {
			d.texts(part.key, part.what.Exists)
			continue
		}
		d.put(part.key, func(d *doc) {
			d.texts("exists", part.what.Exists)
			d.texts("not_exists", part.what.NotExists)
		})
	}
	d.flag("strict", c.Strict)
}
