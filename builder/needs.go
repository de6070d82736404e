package builder

import (
	"fmt"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/conda"
)

// needs are what a package's metadata says of other packages.
type needs struct {
	depends, constrains []string      // match specs of info/index.json
	exports             conda.Exports // info/run_exports.json
	written             []string      // depends of a meta.yaml before they are brought into one form
	told                []string      // where those come from that the recipe does not name
}

// runNeeds finds what the package needs when it runs: what its recipe says, with
// pins to the packages that it was built with, and what these export. The order
// is that of the recipe and then build, host; conda-build's is sorted.
func (b *build) runNeeds() (needs, error) {
	n := needs{}
	q := b.out.Requirements
	var err error
	for _, list := range []struct {
		from []recipe.Dependency
		to   *[]string
	}{
		{q.Run, &n.depends},
		{q.RunConstraints, &n.constrains},
		{q.RunExports.Weak, &n.exports.Weak},
		{q.RunExports.Strong, &n.exports.Strong},
		{q.RunExports.Noarch, &n.exports.Noarch},
		{q.RunExports.WeakConstraints, &n.exports.WeakConstrains},
		{q.RunExports.StrongConstraints, &n.exports.StrongConstrains},
	} {
		if *list.to, err = b.resolved(list.from); err != nil {
			return n, err
		}
	}
	n.addExports(b.out, b.tools, b.host)
	if b.out.Format == recipe.V0 {
		n.depends = pinnedRun(b.out, n.depends, b.builtWith())
		n.written = slices.Clone(n.depends)
		for i, spec := range n.depends {
			n.depends[i] = b.out.RunSpec(spec)
		}
		if n.depends, err = narrowest(n.depends); err != nil {
			return n, err
		}
		if slices.ContainsFunc(n.depends, func(spec string) bool { return firstWord(spec) == b.out.Name }) {
			return n, fmt.Errorf("%s would depend on itself: do not require it, or ignore the run_exports that add it", b.out.Name)
		}
		slices.Sort(n.depends)
		slices.Sort(n.constrains)
	}
	n.depends, n.constrains = distinct(n.depends), distinct(n.constrains)
	return n, nil
}

// runExports is info/run_exports.json, nil where the package exports nothing.
func (n needs) runExports() ([]byte, error) {
	if n.exports.Empty() {
		return nil, nil
	}
	return encodeJSON(n.exports)
}

// resolved are the match specs of requirements; their pins look at what the
// package is built with.
func (b *build) resolved(list []recipe.Dependency) ([]string, error) {
	var all []string
	for _, d := range list {
		spec := b.spec(d)
		if spec == "" {
			var err error
			if spec, err = applyPin(b.out, d, "host", b.builtWith()...); err != nil {
				return nil, err
			}
		}
		all = append(all, strings.Join(strings.Fields(spec), " "))
	}
	return all, nil
}

// builtWith are the environments that pins look into, the first that has a
// package counts. A meta.yaml with a section host looks there alone.
func (b *build) builtWith() []environment {
	if b.out.Format == recipe.V0 && b.out.Requirements.Host != nil {
		return []environment{b.host}
	}
	return []environment{b.host, b.tools}
}

// applyPin is the match spec of a pin to a package of these environments. section is of
// the requirements where a package must be for it.
func applyPin(out *recipe.Output, d recipe.Dependency, section string, in ...environment) (string, error) {
	problem := tree.Problem{Pos: d.Pos}
	for _, e := range in {
		r, found := e.record(d.Pin.Name)
		if !found {
			continue
		}
		spec, err := out.ApplyPin(*d.Pin, r.Version, r.Build)
		if err == nil {
			return spec, nil
		}
		problem.Text, problem.Hint = err.Error(), "give the bound as a version"
		return "", tree.Problems{problem}
	}
	installed := func(e environment) bool { return len(e.records) > 0 }
	if spec, bounded := out.Bounded(*d.Pin); bounded && slices.ContainsFunc(in, installed) {
		return spec, nil
	}
	problem.Text = fmt.Sprintf("%s: the package is built without %s", d, d.Pin.Name)
	if section == "build" {
		problem.Text = fmt.Sprintf("%s: a pin among host requirements is to a package of the build environment, and %s is not there", d, d.Pin.Name)
	}
	problem.Hint = "add " + d.Pin.Name + " to the " + section + " requirements"
	return "", tree.Problems{problem}
}

// addExports adds what the packages export that the output is built with: those
// of build strongly, those of host strongly and weakly, and to a noarch package
// nothing but what host packages export to these.
func (n *needs) addExports(out *recipe.Output, tools, host environment) {
	depend := func(kind string, e exporter, specs []string) { n.add(&n.depends, "depends", kind, out, e, specs) }
	constrain := func(kind string, e exporter, specs []string) { n.add(&n.constrains, "constrains", kind, out, e, specs) }
	if isNoarch(out) {
		for _, e := range host.exports {
			depend("noarch", e, e.Noarch)
		}
		return
	}
	for _, e := range tools.exports {
		depend("strong", e, e.Strong)
		constrain("strong_constrains", e, e.StrongConstrains)
	}
	for _, e := range host.exports {
		depend("strong", e, e.Strong)
		constrain("strong_constrains", e, e.StrongConstrains)
	}
	for _, e := range host.exports {
		depend("weak", e, e.Weak)
		constrain("weak_constrains", e, e.WeakConstrains)
	}
}

// isNoarch tells whether only noarch exports count. A package that runs with
// every Python but has a platform is not noarch.
func isNoarch(out *recipe.Output) bool {
	if out.Format == recipe.V0 {
		return out.Noarch != "" && !out.Build.VersionIndependent
	}
	return out.Subdir == "noarch"
}

// add takes over what is not ignored, once.
func (n *needs) add(list *[]string, section, kind string, out *recipe.Output, e exporter, specs []string) {
	for _, spec := range unignored(out, specs) {
		if out.Format == recipe.V1 { // a meta.yaml's are written when all are there
			spec = out.RunSpec(spec)
		}
		if !slices.Contains(*list, spec) {
			*list = append(*list, spec)
			n.told = append(n.told, fmt.Sprintf("%s: %s, of %s's run_exports (%s)", section, spec, e.from, kind))
		}
	}
}

// ignoresFrom tells whether the recipe ignores all that a package exports.
func ignoresFrom(out *recipe.Output, name string) bool {
	if out.Build.VersionIndependent && name == "python" { // CEP 20: whatever Python it was built with
		return true
	}
	return slices.ContainsFunc(out.Requirements.IgnoreRunExports.FromPackage, func(s string) bool { return firstWord(s) == name })
}

// unignored are what is exported that the recipe does not ignore. In a meta.yaml
// ignore_run_exports has match specs as they are exported, names before a blank, or
// "*"; in a recipe.yaml it has names.
func unignored(out *recipe.Output, specs []string) []string {
	names := out.Requirements.IgnoreRunExports.ByName
	if out.Build.VersionIndependent { // as in ignoresFrom
		names = append(slices.Clone(names), "python")
	}
	return slices.DeleteFunc(slices.Clone(specs), func(spec string) bool {
		return slices.ContainsFunc(names, func(ignored string) bool {
			if out.Format == recipe.V0 {
				return ignored == "*" || spec == ignored || strings.HasPrefix(spec, ignored+" ")
			}
			return nameOf(spec) == ignored
		})
	})
}

// pinnedRun are match specs narrowed to the versions that the package was built
// with (pin_run_as_build). A build string behind the version stays.
func pinnedRun(out *recipe.Output, specs []string, in []environment) []string {
	specs = slices.Clone(specs)
	for i, spec := range specs {
		pin, pinned := out.Requirements.RunPins[firstWord(spec)]
		if !pinned {
			continue
		}
		words := strings.Fields(spec)
		for _, e := range in {
			r, found := e.record(pin.Name)
			if !found {
				continue
			}
			if narrow, err := out.ApplyPin(pin, r.Version, r.Build); err == nil {
				specs[i] = strings.Join(append([]string{narrow}, words[min(2, len(words)):]...), " ")
			}
			break
		}
	}
	return specs
}

// narrowest leaves out what says nothing beside another match spec of the same name:
// the name alone, and beside that of one build all others. It is conda-build's rule.
func narrowest(specs []string) ([]string, error) {
	exact, more := map[string]string{}, map[string]bool{}
	for _, spec := range specs {
		name, words := firstWord(spec), strings.Fields(spec)
		more[name] = more[name] || len(words) > 1
		if len(words) < 3 || strings.ContainsAny(words[1], "><*") || strings.Contains(words[2], "*") {
			continue
		}
		if was := exact[name]; was != "" && was != spec {
			return nil, fmt.Errorf("the package would need both %s and %s, which exclude each other: require one of them, or ignore the run_exports that add the other", was, spec)
		}
		exact[name] = spec
	}
	return slices.DeleteFunc(specs, func(spec string) bool {
		name := firstWord(spec)
		return spec == name && more[name] || exact[name] != "" && spec != exact[name]
	}), nil
}

// tests are the recipe's, each with all that it needs installed: with pins to what the
// package was built with, where it was, and else with their names.
func (b *build) tests() []recipe.Test {
	all := singleTests(b.out.Tests)
	for i, t := range all {
		requires := pinnedRun(b.out, t.Requires, b.builtWith())
		for _, d := range t.Pins {
			spec := b.spec(d)
			if spec == "" {
				var err error
				if spec, err = applyPin(b.out, d, "host", b.builtWith()...); err != nil {
					spec = d.Pin.Name
				}
			}
			requires = append(requires, spec)
		}
		all[i].Requires = requires
	}
	return all
}

// firstWord is the name that a meta.yaml's match spec begins with.
func firstWord(s string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	return first
}
