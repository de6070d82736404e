package recipe

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// Step four of a recipe.yaml: which variant keys an output uses, and with step
// five its hash and build string.

// variantOf records what the output depends on: what was read for it or for the
// context, requirements without a version, what every recipe depends on, and
// what build.variant and a staging output say.
func (r *v1Recipe) variantOf(o *unnamed, staging *stagingOutput) {
	reads := maps.Clone(r.inner)
	maps.Copy(reads, r.reads)
	add := func(key, why string, pos tree.Pos) {
		if _, ok := reads[key]; !ok {
			reads[key] = Read{Key: key, Pos: pos, Why: why}
		}
	}
	for _, d := range bare(o.Requirements) {
		add(variantKey(d.Spec), "a requirement without a version", d.Pos)
	}
	for _, key := range append(r.platformKeys(), alwaysUsed...) {
		add(key, "counts for every recipe", tree.Pos{})
	}
	o.Variant = map[string]any{}
	for key, read := range reads {
		if v, ok := r.recorded(key); ok {
			o.set(key, v, read)
		}
	}
	if o.Noarch == "python" {
		o.unset("python")
	}
	if staging != nil {
		r.inheritReads(o, staging)
	}
	if o.Noarch != "" {
		o.Variant["target_platform"] = "noarch"
	}
	for _, d := range o.Requirements.Run {
		if strings.HasPrefix(d.Name(), "__") && d.Pin == nil {
			o.set(variantKey(d.Name()), d.Spec, Read{Pos: d.Pos, Why: "a virtual package that the output runs with"})
		}
	}
	for _, key := range o.Build.UseKeys {
		key = variantKey(key)
		if v, ok := r.variant[key]; ok {
			o.set(key, v, Read{Pos: o.Pos, Why: "build.variant.use_keys"})
		}
	}
	for _, key := range o.Build.IgnoreKeys {
		o.unset(variantKey(key))
	}
}

// recorded is the value that a key counts with. The context hides a key, unless
// the context itself read it.
func (r *v1Recipe) recorded(key string) (any, bool) {
	v, ok := r.variant[key]
	if _, hidden := r.context[key]; hidden && ok {
		_, ok = r.inner[key]
	}
	return v, ok
}

// inheritReads adds what a staging output depends on.
func (r *v1Recipe) inheritReads(o *unnamed, s *stagingOutput) {
	for key, read := range s.reads {
		if _, has := o.Variant[key]; has {
			continue
		}
		if v, ok := r.recorded(key); ok {
			read.Why = "staging output " + s.Name + ": " + read.Why
			o.set(key, v, read)
		}
	}
}

// set puts a key into the variant, and its reason.
func (o *unnamed) set(key string, v any, read Read) {
	read.Key = key
	o.Variant[key] = v
	o.Reads = append(o.Reads, read)
}

// unset takes a key out again.
func (o *unnamed) unset(key string) {
	delete(o.Variant, key)
	o.Reads = slices.DeleteFunc(o.Reads, func(r Read) bool { return r.Key == key })
}

// readValues are the values that were read so far.
func (r *v1Recipe) readValues() map[string]any {
	values := map[string]any{"target_platform": r.TargetPlatform}
	for key := range r.reads {
		values[key] = r.variant[key]
	}
	return values
}

// buildStringTemplate is build.string of the output or else of the recipe. All
// names in it count as read.
func (r *v1Recipe) buildStringTemplate(p v1Part) *tree.Node {
	var chosen *tree.Node
	parts := []*tree.Node{r.root}
	if !p.single {
		parts = append(parts, p.node)
	}
	for _, n := range parts {
		raw := n.Get("build").Get("string")
		if raw == nil {
			continue
		}
		if raw.Kind != tree.Scalar {
			r.report.Fail(raw.Pos, "", "build.string must be text, this is %s", raw.Describe())
			continue
		}
		chosen = raw
		if text, ok := raw.Text(); ok && isTemplate(text) {
			t, err := r.templates.template(text)
			if err != nil {
				r.templateError(raw, err)
				continue
			}
			r.useAll(t.Names(), raw, text)
		}
	}
	return chosen
}

// nameBuild makes hash and build string: the last step, when it is known which
// variant keys were read and which builds are pinned.
func (r *v1Recipe) nameBuild(o *unnamed) {
	prefix := "py"
	if o.Noarch != "python" {
		prefix = labels(o.Variant)
	}
	o.HashInput = pythonJSON(o.Variant, false)
	o.Hash = shortHash(o.HashInput)
	if r.HashCompat != "" && r.HashCompat != Newest {
		o.HashInput = namedRules(o.HashInput, r.HashCompat)
	}
	o.BuildString = prefix + "h" + o.Hash + "_" + strconv.Itoa(o.BuildNumber)
	if o.buildString != nil {
		o.BuildString = r.customString(o)
	}
	slices.SortStableFunc(o.Reads, func(a, b Read) int { return strings.Compare(a.Key, b.Key) })
	q := o.Requirements
	lists := [][]Dependency{
		q.Run, q.RunConstraints,
		q.RunExports.Weak, q.RunExports.Strong, q.RunExports.Noarch, q.RunExports.WeakConstraints, q.RunExports.StrongConstraints,
	}
	for _, t := range o.Tests {
		lists = append(lists, t.Pins)
	}
	for _, list := range lists {
		for i, d := range list {
			if d.Pin != nil && d.Pin.Kind == PinSubpackage && d.MatchSpec() == "" && d.Pin.Name == o.Name {
				list[i].Resolved = r.applied(d, o.Output)
			}
		}
	}
}

// namedRules adds the name of the rules to the text that was hashed, for whoever
// looks at the package: by the newest rules its hash would be another one.
func namedRules(text []byte, c HashCompat) []byte {
	end := `, "hash_compat": "` + string(c) + `"}`
	return append(text[:len(text)-1:len(text)-1], end...)
}

// labels is the readable front of a build string, e.g. py312.
func labels(variant map[string]any) string {
	var b strings.Builder
	for _, l := range hashLabels {
		for _, key := range l.keys {
			if v, ok := variant[key]; ok {
				b.WriteString(l.label + compactVersion(tree.ScalarText(v), l.parts))
				break
			}
		}
	}
	return b.String()
}

// customString evaluates build.string. Beside the rest it knows the hash and
// the build number.
func (r *v1Recipe) customString(o *unnamed) string {
	raw := o.buildString
	text := tree.ScalarText(raw.Value)
	if !isTemplate(text) {
		r.checkString(raw, text, false)
		return text
	}
	t, err := r.templates.template(text)
	if err != nil {
		return ""
	}
	evaluate := func(number int) string {
		s := r.scope(scopeFields)
		known := s.Known
		s.Lookup = func(name string) (any, bool) {
			switch {
			case r.context[name] != nil:
			case name == "hash":
				return o.Hash, true
			case name == "build_number":
				return int64(number), true
			}
			return r.lookup(name, scopeFields)
		}
		s.Known = func() []string { return append(known(), "hash", "build_number") }
		v, _, err := t.Render(s)
		if err != nil {
			r.templateError(raw, err)
		}
		return v
	}
	s := evaluate(o.BuildNumber)
	if !r.report.Failed() {
		r.checkString(raw, s, r.numbered || evaluate(o.BuildNumber+1) != s)
	}
	return s
}

// checkString checks a build string; follows tells that it changes with the
// build number.
func (r *v1Recipe) checkString(raw *tree.Node, s string, follows bool) {
	r.buildString(raw, "build.string", s)
	r.warnOfFixedString(raw, s, follows)
}

// warnOfFixedString: a build number that was chosen for being free is of no
// use in a file name that does not show it.
func (j *job) warnOfFixedString(n *tree.Node, s string, follows bool) {
	if j.BuildNumber != nil && !follows {
		j.report.Warn(n.Pos, "use ${{ build_number }} in it, or remove it",
			"build.string %q does not follow the build number %d that was chosen for this build", s, *j.BuildNumber)
	}
}
