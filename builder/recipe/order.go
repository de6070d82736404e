package recipe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// Step five of a recipe.yaml: outputs are put in the order in which they can be
// built, and named in it: whoever pins an exact build has its name in the hash.

// unnamed is an output that has no build string yet.
type unnamed struct {
	*Output
	combination map[string]any // all values that it was evaluated with
	buildString *tree.Node     // the recipe's; nil is the default
	recipe      *v1Recipe

	hard, soft []string // see needs
}

// maxOutputs of all variants together: they are compared with one another.
const maxOutputs = 3000

// finishV1 orders and names what was evaluated. The same output of several
// combinations counts once.
func (j *job) finishV1(found []*evaluation) Result {
	var all []*unnamed
	var result Result
	for _, e := range found {
		all = append(all, e.outputs...)
		for _, s := range e.skipped {
			if !slices.ContainsFunc(result.Skipped, s.same) {
				result.Skipped = append(result.Skipped, s)
			}
		}
	}
	if len(all) > maxOutputs {
		j.tooManyOutputs(all[0].Pos)
		return Result{}
	}
	for _, o := range all {
		o.hard, o.soft = needs(o)
	}
	ordered, ok := j.ordered(all)
	if !ok {
		return Result{}
	}
	seen := map[string]bool{}
	siblings := byName(ordered)
	for _, o := range ordered {
		o.recipe.report = j.report
		j.resolvePins(o, siblings)
		o.recipe.nameBuild(o)
		key := strings.Join([]string{o.Name, o.Version, o.BuildString, o.Subdir, string(o.HashInput)}, "\x00")
		if !seen[key] {
			seen[key] = true
			result.Outputs = append(result.Outputs, o.Output)
		}
	}
	return result
}

func (j *job) tooManyOutputs(at tree.Pos) {
	j.report.Fail(at, "give fewer values for the keys that it uses", "the recipe has more than %d outputs in all its variants", maxOutputs)
}

// same tells whether two skips say the same.
func (s Skipped) same(o Skipped) bool {
	return s.Name == o.Name && s.Pos == o.Pos && s.Reason == o.Reason && fmt.Sprint(s.Variant) == fmt.Sprint(o.Variant)
}

// needs are the names of the outputs that must be built, and named, before.
// Those that only the installed package needs are soft: two outputs may need
// each other.
func needs(o *unnamed) (hard, soft []string) {
	q := o.Requirements
	for _, d := range slices.Concat(q.Build, q.Host) {
		hard = append(hard, d.Name())
	}
	if o.Staging != nil {
		for _, d := range slices.Concat(o.Staging.Requirements.Build, o.Staging.Requirements.Host) {
			hard = append(hard, d.Name())
		}
	}
	x := q.RunExports
	for _, d := range slices.Concat(q.Run, q.RunConstraints, x.Weak, x.Strong, x.Noarch, x.WeakConstraints, x.StrongConstraints) {
		switch {
		case d.Pin == nil || d.Pin.Kind != PinSubpackage:
		case d.Pin.Exact:
			hard = append(hard, d.Name())
		default:
			soft = append(soft, d.Name())
		}
	}
	return hard, soft
}

// ordered sorts outputs so that each comes behind those that it needs, and else
// in the recipe's order. A cycle is reported with all that are in it.
func (j *job) ordered(all []*unnamed) ([]*unnamed, bool) {
	if sorted, _ := sortOutputs(all, true); len(sorted) == len(all) {
		return sorted, true
	}
	sorted, left := sortOutputs(all, false)
	if len(sorted) == len(all) {
		return sorted, true
	}
	cycle := cycleOf(left)
	j.report.Fail(left[0].Pos, "break it: build what they share in an output of its own", "the outputs need each other: %s", strings.Join(cycle, " → "))
	return nil, false
}

// sortOutputs takes, again and again, the outputs whose needs are met. Of an
// output with several variants the one that fits best must be there.
func sortOutputs(all []*unnamed, softly bool) (sorted, left []*unnamed) {
	siblings := byName(all)
	added := map[*unnamed]bool{}
	left = all
	for len(left) > 0 {
		var wait []*unnamed
		for _, o := range left {
			waits := func(name string) bool {
				sibling := o.sibling(siblings[name])
				return name != o.Name && sibling != nil && !added[sibling]
			}
			if !slices.ContainsFunc(o.hard, waits) && (!softly || !slices.ContainsFunc(o.soft, waits)) {
				sorted, added[o] = append(sorted, o), true
			} else {
				wait = append(wait, o)
			}
		}
		if len(wait) == len(left) {
			break
		}
		left = wait
	}
	return sorted, left
}

// byName groups outputs, in their order.
func byName(all []*unnamed) map[string][]*unnamed {
	groups := map[string][]*unnamed{}
	for _, o := range all {
		groups[o.Name] = append(groups[o.Name], o)
	}
	return groups
}

// sibling chooses among an output's variants the one whose values agree most
// with those of o; of equal ones the last.
func (o *unnamed) sibling(variants []*unnamed) *unnamed {
	if len(variants) == 1 {
		return variants[0]
	}
	var best *unnamed
	most := -1
	for _, v := range variants {
		agree := 0
		for key, value := range o.combination {
			if w, ok := v.combination[key]; ok && w == value {
				agree++
			}
		}
		if agree >= most {
			best, most = v, agree
		}
	}
	return best
}

// cycleOf follows needs among outputs that could not be sorted until one comes
// again.
func cycleOf(left []*unnamed) []string {
	waiting := map[string]*unnamed{}
	for _, o := range left {
		if waiting[o.Name] == nil {
			waiting[o.Name] = o
		}
	}
	var path []string
	for o := left[0]; o != nil; {
		if i := slices.Index(path, o.Name); i >= 0 {
			return append(path[i:], o.Name)
		}
		path = append(path, o.Name)
		hard, next := o.hard, o
		o = nil
		for _, name := range hard {
			if waiting[name] != nil && name != next.Name {
				o = waiting[name]
				break
			}
		}
	}
	return path
}

// resolvePins gives pins to other outputs their version. An exact one has the
// other's build in this one's hash.
func (j *job) resolvePins(o *unnamed, siblings map[string][]*unnamed) {
	q := &o.Requirements
	lists := []*[]Dependency{
		&q.Build, &q.Host, &q.Run, &q.RunConstraints,
		&q.RunExports.Weak, &q.RunExports.Strong, &q.RunExports.Noarch, &q.RunExports.WeakConstraints, &q.RunExports.StrongConstraints,
	}
	for _, list := range lists {
		for k, d := range *list {
			if d.Pin == nil || d.Pin.Kind != PinSubpackage {
				continue
			}
			sibling := o
			if d.Pin.Name != o.Name {
				sibling = o.sibling(siblings[d.Pin.Name])
			}
			if sibling == nil {
				o.missing(j, d)
				continue
			}
			if d.Pin.Exact && sibling != o {
				key := variantKey(d.Pin.Name)
				o.Variant[key] = sibling.Version + " " + sibling.BuildString
				o.Reads = append(o.Reads, Read{Key: key, Pos: d.Pos, Why: "an exact pin to another output"})
			}
			if sibling == o && d.Pin.Exact {
				continue // its own build string is not known yet: see nameBuild
			}
			(*list)[k].Resolved = j.applied(d, sibling.Output)
		}
	}
	for _, t := range o.Tests { // what is no output there counts by its name
		for k, d := range t.Pins {
			sibling := o.sibling(siblings[d.Pin.Name])
			if d.Pin.Kind == PinSubpackage && sibling != nil && d.Pin.Name != o.Name {
				t.Pins[k].Resolved = j.applied(d, sibling.Output)
			}
		}
	}
}

// missing reports a pin to what is no output, or is skipped.
func (o *unnamed) missing(j *job, d Dependency) {
	p := tree.Problem{Pos: d.Pos, Text: fmt.Sprintf("pin_subpackage: there is no output %q", d.Pin.Name), Hint: "pin_compatible pins to a package of the host environment"}
	if d.Pin.Exact {
		j.report.Add(p)
		return
	}
	o.Blockers = append(o.Blockers, p)
}

// applied is the match spec of a pin to out.
func (j *job) applied(d Dependency, out *Output) string {
	spec, err := d.Pin.Apply(out.Version, out.BuildString)
	if err != nil {
		j.report.Fail(d.Pos, "give the bound as a version", "%v", err)
	}
	return spec
}
