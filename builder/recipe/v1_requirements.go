package recipe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/conda"
)

var (
	v1Requirements = keys{
		"build": honoured, "host": honoured, "run": honoured, "run_constraints": honoured,
		"run_exports": honoured, "ignore_run_exports": honoured, "extras": honoured,
	}
	v1StagingRequirements = keys{"build": honoured, "host": honoured, "ignore_run_exports": honoured}
	v1RunExports          = keys{
		"weak": honoured, "strong": honoured, "noarch": honoured, "weak_constraints": honoured, "strong_constraints": honoured,
	}
	v1IgnoreRunExports = keys{"by_name": honoured, "from_package": honoured}
)

// requirements reads what the package needs and exports. Those without a
// version get the variant's for the solver.
func (r *v1Recipe) requirements(out *Output, raw *tree.Node) {
	n := r.evaluate(raw, scopeFields)
	if !r.known(n, "requirements", v1Requirements) {
		return
	}
	part := func(key string) []Dependency { return r.dependencies(n.Get(key), "requirements."+key) }
	out.Requirements = Requirements{
		Build: r.resolved(part("build")), Host: r.resolved(part("host")),
		Run: part("run"), RunConstraints: part("run_constraints"),
		RunExports: r.runExports(n.Get("run_exports")),
	}
	if i := n.Get("ignore_run_exports"); r.known(i, "requirements.ignore_run_exports", v1IgnoreRunExports) {
		out.Requirements.IgnoreRunExports = IgnoreRunExports{
			ByName:      r.packageNames(i.Get("by_name"), "requirements.ignore_run_exports.by_name"),
			FromPackage: r.packageNames(i.Get("from_package"), "requirements.ignore_run_exports.from_package"),
		}
	}
	if x := n.Get("extras"); x != nil && x.Kind == tree.Map {
		out.Requirements.Extras = map[string][]Dependency{}
		for _, f := range x.Fields {
			out.Requirements.Extras[f.Key] = r.dependencies(f.Value, "requirements.extras."+f.Key)
		}
	}
}

// runExports is a list, which is weak, or a mapping of lists.
func (r *v1Recipe) runExports(n *tree.Node) RunExports {
	const where = "requirements.run_exports"
	if n.IsNull() {
		return RunExports{}
	}
	if n.Kind != tree.Map || isPin(n) {
		return RunExports{Weak: r.dependencies(n, where)}
	}
	if !r.known(n, where, v1RunExports) {
		return RunExports{}
	}
	part := func(key string) []Dependency { return r.dependencies(n.Get(key), where+"."+key) }
	return RunExports{
		Weak: part("weak"), Strong: part("strong"), Noarch: part("noarch"),
		WeakConstraints: part("weak_constraints"), StrongConstraints: part("strong_constraints"),
	}
}

// dependencies reads match specs and pins.
func (r *v1Recipe) dependencies(n *tree.Node, where string) []Dependency {
	var all []Dependency
	r.budget().Spend(4 * len(n.All())) // what is kept of them is larger than what is read
	for _, item := range n.All() {
		if isPin(item) {
			if p, ok := r.pin(item, where); ok {
				all = append(all, Dependency{Pin: p, Pos: item.Pos})
			}
			continue
		}
		text := strings.TrimSpace(r.str(item, where))
		if text == "" {
			continue
		}
		if spec, ok := r.matchSpec(item, where, text); ok {
			all = append(all, Dependency{Spec: spec, Pos: item.Pos})
		}
	}
	return all
}

// packageNames are names; of a match spec, which compiler() makes, the name
// counts.
func (r *v1Recipe) packageNames(n *tree.Node, where string) []string {
	var all []string
	for _, item := range n.All() {
		if text := strings.TrimSpace(r.str(item, where)); text != "" {
			all = append(all, strings.ToLower(specName(text)))
		}
	}
	return all
}

// bare are the build and host requirements without a version: their names are
// variant keys if the variant has them.
func bare(q Requirements) []Dependency {
	return slices.DeleteFunc(slices.Concat(q.Build, q.Host), func(d Dependency) bool {
		return d.Pin != nil || !nameRule.MatchString(d.Spec)
	})
}

// resolved gives requirements without a version the variant's. It does not count
// as a read: whether the name counts is decided by all requirements together.
func (r *v1Recipe) resolved(list []Dependency) []Dependency {
	for i, d := range list {
		if d.Pin != nil || !nameRule.MatchString(d.Spec) {
			continue
		}
		version := tree.ScalarText(r.variant[variantKey(d.Spec)])
		switch {
		case version == "" || r.variant[variantKey(d.Spec)] == nil:
		case pinnableVersion.MatchString(version):
			list[i].Resolved = d.Spec + " =" + version
		default:
			list[i].Resolved = d.Spec + " " + version
		}
		if _, err := conda.ParsePlainSpec(list[i].MatchSpec()); err != nil {
			r.blockers = append(r.blockers, tree.Problem{
				Pos: d.Pos, Text: fmt.Sprintf("the variants' %s: %v", variantKey(d.Spec), err), Hint: "write a version there, such as 1.2, 1.2.* h1_* or >=1.2",
			})
		}
	}
	return list
}
