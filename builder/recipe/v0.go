package recipe

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/builder/recipe/variant"
)

// v0Run is a meta.yaml on its way to outputs.
type v0Run struct {
	*job
	space variant.Space
	usage *usage
}

// v0Recipe is a meta.yaml that is being read for one combination of values.
type v0Recipe struct {
	*job
	space     variant.Space
	usage     *usage
	texts     *v0Texts // of the file, for finding out what is used
	root      *tree.Node
	pkg       map[string]any // PKG_NAME and GIT_FULL_HASH and the like, when they are known
	unasked   error          // why no GIT_* is known
	selectors map[string]any // names of selectors; made once
	mentioned []string       // names in the templates
	build     *tree.Node
	marks     []*Pin // what pin functions were called with
	pins      map[*tree.Node]*Pin
}

// renderV0 renders a meta.yaml as conda-build does: the keys that the recipe's
// own part uses make the top-level builds (v0_used.go); in each of them, the keys
// that any part uses make its outputs (v0_outputs.go).
func (j *job) renderV0() Result {
	v := &v0Run{job: j, space: j.space(), usage: newUsage()}
	if j.report.Failed() {
		return Result{}
	}
	probe := v.recipe(v.space.First())
	result := v.render(probe)
	if j.report.Failed() {
		for _, p := range probe.blockers { // what is empty is often why something else is wrong
			j.report.Add(p)
		}
	}
	return result
}

// render evaluates the recipe for each combination of its top level.
func (v *v0Run) render(probe *v0Recipe) Result {
	j := v.job
	if !probe.read() {
		return Result{}
	}
	probe.checkCheckout()
	if v0Noarch(probe.root.Get("build")) {
		v.space = newestPython(v.space)
	}
	top := probe.slices("")
	used := v.looping(probe.usedKeys(top, probe.root, "", false), v.space)
	combinations, err := v.space.Combinations(used)
	if err != nil {
		j.report.Fail(tree.Pos{File: j.file}, "zip keys that belong together, or give fewer values", "the variants make too many combinations")
		return Result{}
	}
	var all v0Outputs
	var result Result
	for _, values := range combinations {
		v.build(values, used, &all, &result)
		if j.report.Failed() {
			return Result{}
		}
	}
	v.resolvePins(all.list)
	for _, o := range all.list {
		result.Outputs = append(result.Outputs, o.Output)
	}
	return result
}

// recipe is the recipe for one combination.
func (v *v0Run) recipe(values map[string]any) *v0Recipe {
	r := v.v0(values)
	r.space, r.usage = v.space, v.usage
	return r
}

// looping are the used keys that have several values.
func (v *v0Run) looping(used map[string]bool, s variant.Space) map[string]bool {
	loops := maps.Clone(used)
	maps.DeleteFunc(loops, func(key string, _ bool) bool { return !s.Loops(key) })
	return loops
}

// build renders one top-level build: for each combination of what its outputs
// use beside, the outputs. An output that comes out the same counts once.
func (v *v0Run) build(values map[string]any, used map[string]bool, all *v0Outputs, result *Result) {
	part := v.space
	for key := range used {
		part = part.Where(key, values[key])
	}
	top := v.recipe(values)
	if !top.read() {
		return
	}
	if skip := top.root.Get("build").Get("skip"); top.truth(skip) {
		result.Skipped = append(result.Skipped, top.skipped(top.name(), used, skip))
		return
	}
	inner := v.looping(top.usedKeys(top.slices(""), top.root, "", true), part)
	combinations, err := part.Combinations(inner)
	if err != nil {
		v.report.Fail(tree.Pos{File: v.file}, "zip keys that belong together, or give fewer values", "the variants make too many combinations")
		return
	}
	var outputs v0Outputs
	for _, values := range combinations {
		r := top
		if len(combinations) > 1 {
			if r = v.recipe(values); !r.read() {
				return
			}
		}
		for _, o := range r.outputs(inner, result) {
			outputs.add(o)
		}
		if v.report.Failed() {
			return
		}
	}
	for _, o := range v.ordered(outputs.list) {
		all.add(o)
	}
	if len(all.list) > maxOutputs {
		v.tooManyOutputs(all.list[0].Pos)
	}
}

// v0Output is an output with what decides whether it is another than the one
// before.
type v0Output struct {
	*Output
	values map[string]any // all, also those that it does not use
	needs  []string       // names of packages that must be built before
	id     string         // of outputs with the same one, one is built
}

// v0Outputs is outputs in their order, each once.
type v0Outputs struct {
	list  []*v0Output
	place map[string]int // of an id in the list
}

// add appends an output. As in conda-build, one that uses the same values as one
// before takes its place.
func (l *v0Outputs) add(o *v0Output) {
	if i, ok := l.place[o.id]; ok {
		l.list[i] = o
		return
	}
	if l.place == nil {
		l.place = map[string]int{}
	}
	l.place[o.id] = len(l.list)
	l.list = append(l.list, o)
}

// skipped says why nothing is built.
func (r *v0Recipe) skipped(name string, used map[string]bool, skip *tree.Node) Skipped {
	values := map[string]any{}
	for key := range used {
		values[key] = r.variant[key]
	}
	return Skipped{Name: name, Variant: values, Pos: skip.Pos, Reason: "build.skip holds for " + r.TargetPlatform}
}

// name is the recipe's.
func (r *v0Recipe) name() string { return r.root.Get("package").Get("name").Scalar() }

// slices cut the recipe's text for an output; "" is the recipe itself.
func (r *v0Recipe) slices(output string) v0Slices {
	s := v0Slices{r: r, name: output, top: r.name()}
	if output == "" {
		s.name = s.top
	}
	if r.texts.names == nil {
		for _, o := range r.root.Get("outputs").All() {
			r.texts.names = append(r.texts.names, cmp.Or(o.Get("name").Scalar(), s.top))
		}
	}
	s.outputs = r.texts.names
	return s
}

// truth is a boolean of YAML 1.1, and false for anything else.
func (r *v0Recipe) truth(n *tree.Node) bool {
	if n.IsNull() || n.Kind != tree.Scalar {
		return false
	}
	switch strings.ToLower(tree.ScalarText(n.Value)) {
	case "true", "yes", "on", "y":
		return true
	case "", "false", "no", "off", "n":
		return false
	}
	return true // as Python has it: text that says something
}

// variantKeys are a combination's keys.
func variantKeys(values map[string]any) []string { return slices.Sorted(maps.Keys(values)) }

// identity tells outputs apart: by what they are called and the values that they
// use.
func identity(parts ...any) string { return fmt.Sprintf("%q", parts) }
