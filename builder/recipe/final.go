package recipe

import (
	"fmt"

	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/conda"
)

// Final is what a build made of an output's requirements.
type Final struct {
	Build, Host         []string // the packages that were installed, as name version build
	Run, RunConstraints []string // match specs of the package's index.json
	RunExports          conda.Exports
}

// FinalYAML is YAML with what came of the requirements, for info/recipe. In a
// meta.yaml it replaces them, as conda-build does; beside those of a recipe.yaml it
// stands below finalized_dependencies, where rattler-build has it.
func (o *Output) FinalYAML(f Final) ([]byte, error) {
	if o.Rendered == nil {
		root := o.Document()
		d := &doc{fields: root.Fields}
		d.put("finalized_dependencies", f.print)
		return d.node().Dump()
	}
	report := &tree.Report{}
	reader := &tree.Reader{File: o.File, What: "the evaluated recipe", Begin: "package:", Report: report, Typed: v0Typed}
	root := reader.Parse(string(o.Rendered))
	if err := report.Err(); err != nil {
		return nil, fmt.Errorf("read the evaluated recipe: %w", err)
	}
	f.replaceIn(root, o.Build.MergeBuildHost)
	if build := root.Get("build"); build != nil {
		replaceField(build, "string", tree.Of(o.BuildString))
	}
	return root.Dump()
}

// print writes the mapping of a rendered recipe.yaml.
func (f Final) print(d *doc) {
	d.put("build", func(d *doc) { d.texts("resolved", f.Build) })
	d.put("host", func(d *doc) { d.texts("resolved", f.Host) })
	d.put("run", func(d *doc) {
		d.texts("depends", f.Run)
		d.texts("constraints", f.RunConstraints)
		d.put("run_exports", f.printExports)
	})
}

func (f Final) printExports(d *doc) {
	d.texts("weak", f.RunExports.Weak)
	d.texts("strong", f.RunExports.Strong)
	d.texts("noarch", f.RunExports.Noarch)
	d.texts("weak_constrains", f.RunExports.WeakConstrains)
	d.texts("strong_constrains", f.RunExports.StrongConstrains)
}

// replaceIn writes the sections of a rendered meta.yaml. Where build and host are
// one prefix, its packages are build requirements.
func (f Final) replaceIn(root *tree.Node, merged bool) {
	d := &doc{}
	if merged {
		f.Build, f.Host = f.Host, nil
	}
	d.texts("build", f.Build)
	d.texts("host", f.Host)
	d.texts("run", f.Run)
	d.texts("run_constrained", f.RunConstraints)
	if len(d.fields) > 0 || root.Get("requirements") != nil {
		replaceField(root, "requirements", d.node())
	}
	exports := &doc{}
	f.printExports(exports)
	if build := root.Get("build"); build.Get("run_exports") != nil {
		replaceField(build, "run_exports", exports.node())
	}
}
