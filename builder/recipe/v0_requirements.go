package recipe

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/conda"
)

var (
	v0Requirements = keys{"build": honoured, "host": honoured, "run": honoured, "run_constrained": honoured, "conflicts": later}
	v0RunExports   = keys{
		"weak": honoured, "strong": honoured, "noarch": honoured, "weak_constrains": honoured, "strong_constrains": honoured,
	}

	bareName       = regexp.MustCompile(`^([A-Za-z0-9_.-]+)\s*$`)
	numpyXX        = regexp.MustCompile(`^([0-9a-zA-Z.\-_]+)\s+x\.x`)
	versionAlone   = regexp.MustCompile(`^([\w.\-]+)\s+([\w.\-]+)$`)
	blankOperator  = regexp.MustCompile(`^\S+\s+(>=|<=|==|!=|=|>|<)\s+(\S+)`)
	subpackageCall = regexp.MustCompile(`\{\{\s*pin_subpackage\(.*\)\s*\}\}`)
)

// pinned gives requirements without a version the variant's: those of build and
// host, and of run those that build or host name the same way.
func (r *v0Recipe) pinned(n *tree.Node) *tree.Node {
	if n == nil || n.Kind != tree.Map {
		return n
	}
	out := &tree.Node{Kind: tree.Map, Pos: n.Pos, Fields: slices.Clone(n.Fields)}
	for _, section := range []string{"build", "host", "run"} {
		list := out.Get(section)
		if list == nil {
			continue
		}
		bare := append(r.words(out.Get("build")), r.words(out.Get("host"))...)
		all := &tree.Node{Kind: tree.List, Pos: list.Pos}
		for _, item := range list.All() {
			all.Items = append(all.Items, r.pinnedItem(item, section == "run", bare))
		}
		replaceField(out, section, all)
	}
	return out
}

// pinnedItem is one requirement with the variant's version.
func (r *v0Recipe) pinnedItem(item *tree.Node, run bool, bare []string) *tree.Node {
	spec, pin := item.Scalar(), r.pins[item] // which a build follows; what is made here is shown before
	name, version := "", ""
	if m := bareName.FindStringSubmatch(spec); m != nil {
		v, ok := r.variant[strings.ReplaceAll(m[1], "-", "_")]
		if ok && (!run || slices.Contains(bare, m[1])) {
			name, version = m[1], tree.ScalarText(v)
		}
	} else if m := numpyXX.FindStringSubmatch(spec); m != nil {
		name, version = m[1], tree.ScalarText(r.variant[m[1]])
		if run {
			pin = builtVersion(name)
		}
	}
	if version == "" && pin == nil {
		return item
	}
	made := *item
	if version != "" {
		made.Value = starred(name + " " + version)
	}
	if pin != nil {
		r.pins[&made] = pin
	}
	return &made
}

// builtVersion is what "numpy x.x" means where the package runs.
func builtVersion(name string) *Pin {
	return &Pin{Kind: PinCompatible, Name: name, Lower: "x.x", Upper: "x.x"}
}

// starred is conda-build's rule that "foo 1.2" means foo 1.2.*.
func starred(spec string) string {
	spec = strings.Join(strings.Fields(spec), " ")
	if m := versionAlone.FindStringSubmatch(spec); m != nil {
		return m[1] + " " + m[2] + ".*"
	}
	return spec
}

// requirements reads what the package needs.
func (r *v0Recipe) requirements(out *Output) {
	n := requirementLists(r.root.Get("requirements"))
	r.known(n, "requirements", v0Requirements)
	part := func(key string) []Dependency { return r.dependenciesV0(n.Get(key), "requirements."+key) }
	out.Requirements = Requirements{
		Build: forSolver(part("build")), Host: forSolver(part("host")), Run: forSolver(part("run")), RunConstraints: part("run_constrained"),
		RunExports: r.runExports(r.build.Get("run_exports")),
		IgnoreRunExports: IgnoreRunExports{
			ByName:      r.strs(r.build.Get("ignore_run_exports"), "build.ignore_run_exports"),
			FromPackage: r.strs(r.build.Get("ignore_run_exports_from"), "build.ignore_run_exports_from"),
		},
	}
	if len(out.Requirements.Run) == 0 && r.exists("requirements.txt") {
		r.report.Warn(tree.Pos{File: "requirements.txt"}, "write them below run: of requirements, or remove the file",
			"its packages are not required, and conda-build requires them of a recipe that has no run requirements")
	}
	separate := hasField(orMap(n), "host")
	if separate && out.Requirements.Host == nil {
		out.Requirements.Host = []Dependency{}
	}
	// Without a host section conda-build builds in one prefix, unless the recipe
	// asks for two or for a compiler.
	merge := r.boolean(r.build.Get("merge_build_host"), "build.merge_build_host", true)
	if !separate && len(out.Requirements.Build) > 0 && merge && !slices.Contains(r.mentioned, "compiler") {
		out.Build.MergeBuildHost = true
	}
}

// orMap is n, or a mapping without keys.
func orMap(n *tree.Node) *tree.Node {
	if n == nil {
		return &tree.Node{Kind: tree.Map}
	}
	return n
}

// forSolver adds conda-build's reading of what must be installed. What a package
// constrains and exports is packed as the recipe says it.
func forSolver(list []Dependency) []Dependency {
	for i, d := range list {
		if s := starred(d.Spec); d.Pin == nil && s != d.Spec {
			list[i].Resolved = s
		}
	}
	return list
}

// dependenciesV0 reads a list of match specs and pins, as the recipe says them.
func (r *v0Recipe) dependenciesV0(n *tree.Node, where string) []Dependency {
	var all []Dependency
	for _, item := range n.All() {
		spec := strings.TrimSpace(r.str(item, where))
		if spec == "" || spec == "None" {
			continue
		}
		d := Dependency{Spec: spec, Pin: r.pins[item], Pos: item.Pos}
		if d.Pin == nil && !r.validSpec(item, where, spec) {
			continue
		}
		all = append(all, d)
	}
	return all
}

// validSpec refuses what conda-build refuses in a requirement. A name that is
// not known when the recipe is looked at may leave a spec unfinished: only a
// build insists.
func (r *v0Recipe) validSpec(item *tree.Node, where, spec string) bool {
	if m := blankOperator.FindStringSubmatch(spec); m != nil {
		r.report.Fail(item.Pos, "write "+specName(spec)+" "+m[1]+m[2], "%s: there is a blank behind %s in %q", where, m[1], spec)
		return false
	}
	_, err := conda.ParsePlainSpec(starred(spec))
	name := specName(spec)
	switch {
	case len(r.blockers) > 0:
		return true
	case numpyXX.MatchString(spec):
		r.report.Fail(item.Pos, "write the version out, or {{ pin_compatible('"+name+"', min_pin='x.x', max_pin='x.x') }}",
			"%s: nothing says which version x.x in %q is", where, spec)
	case err != nil:
		r.report.Fail(item.Pos, "", "%s: %v", where, err)
	case !nameRule.MatchString(strings.ToLower(name)):
		r.report.Fail(item.Pos, "begin with the package's name, e.g. python >=3.11", "%s %q is not a match spec", where, spec)
	default:
		return true
	}
	return false
}

// runExports is a list, which is weak, or a mapping of lists.
func (r *v0Recipe) runExports(n *tree.Node) RunExports {
	const where = "build.run_exports"
	if n.IsNull() || n.Idle() {
		return RunExports{}
	}
	if n.Kind != tree.Map {
		return RunExports{Weak: r.dependenciesV0(n, where)}
	}
	if !r.known(n, where, v0RunExports) {
		return RunExports{}
	}
	part := func(key string) []Dependency { return r.dependenciesV0(n.Get(key), where+"."+key) }
	return RunExports{
		Weak: part("weak"), Strong: part("strong"), Noarch: part("noarch"),
		WeakConstraints: part("weak_constrains"), StrongConstraints: part("strong_constrains"),
	}
}

// runPins is pin_run_as_build for what a package or its test runs with, whether the
// recipe says it or another package exports it: a package that was built with one python
// runs with the same minor version only. A bound that it leaves out is conda-build's own.
func (r *v0Recipe) runPins(out *Output, numpy bool) map[string]Pin {
	pins := map[string]Pin{}
	if numpy {
		pins["numpy"] = *builtVersion("numpy")
	}
	for name, bounds := range r.space.Pins {
		if name == "python" && (out.Noarch != "" || out.Build.VersionIndependent) {
			continue
		}
		p := Pin{Name: name, Lower: defaultLower, Upper: defaultUpper}
		if lower, given := bounds["min_pin"]; given {
			p.Lower = lower
		}
		if upper, given := bounds["max_pin"]; given {
			p.Upper = upper
		}
		pins[name] = p
	}
	return pins
}

// resolvePins gives pins to other outputs their version and build string: of
// several variants of an output those of the one with the same values.
func (v *v0Run) resolvePins(all []*v0Output) {
	named := map[string][]*v0Output{}
	for _, o := range all {
		named[o.Name] = append(named[o.Name], o)
	}
	for _, o := range all {
		q := &o.Requirements
		for _, list := range []*[]Dependency{
			&q.Build, &q.Host, &q.Run, &q.RunConstraints,
			&q.RunExports.Weak, &q.RunExports.Strong, &q.RunExports.Noarch, &q.RunExports.WeakConstraints, &q.RunExports.StrongConstraints,
		} {
			for i, d := range *list {
				if d.Pin == nil || d.Pin.Kind != PinSubpackage {
					continue
				}
				if s := o.sibling(named[d.Pin.Name]); s != nil {
					(*list)[i].Resolved = d.Pin.applyV0(s.Version, s.BuildString)
					continue
				}
				o.Blockers = append(o.Blockers, tree.Problem{
					Pos: d.Pos, Text: "pin_subpackage: there is no output " + strconv.Quote(d.Pin.Name), Hint: "pin_compatible pins to a package of the host environment",
				})
			}
		}
		for _, t := range o.Tests { // what is no output there counts by its name
			for i, d := range t.Pins {
				if s := o.sibling(named[d.Pin.Name]); d.Pin.Kind == PinSubpackage && s != nil {
					t.Pins[i].Resolved = d.Pin.applyV0(s.Version, s.BuildString)
				}
			}
		}
	}
}

// sibling is the output of all of a name whose values agree most with those of o.
func (o *v0Output) sibling(all []*v0Output) *v0Output {
	var best *v0Output
	most := -1
	for _, s := range all {
		agree := 0
		for key, value := range o.values {
			if s.values[key] == value {
				agree++
			}
		}
		if agree > most {
			best, most = s, agree
		}
	}
	return best
}
