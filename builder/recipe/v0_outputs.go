package recipe

import (
	"maps"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// Step three of a meta.yaml: each output becomes a recipe of its own.

var v0OutputKeys = keys{
	"name": honoured, "version": honoured, "number": honoured, "string": honoured, "target": honoured, "type": honoured,
	"script": honoured, "script_interpreter": honoured, "files": honoured, "build": honoured, "requirements": honoured,
	"test": honoured, "about": honoured, "extra": harmless, "run_exports": honoured, "entry_points": honoured, "noarch": honoured,
	"noarch_python": honoured, "track_features": honoured, "features": honoured,
}

// outputs are what the recipe builds for its values. loops are the keys that the
// values were chosen for.
func (r *v0Recipe) outputs(loops map[string]bool, result *Result) []*v0Output {
	var all []*v0Output
	list := r.declared()
	if len(list) > maxOutputs {
		r.tooManyOutputs(list[0].Pos)
		return nil
	}
	for _, declared := range list {
		if kind := declared.Get("type").Scalar(); kind != "" && kind != "conda" && kind != "conda_v2" {
			r.report.Warn(declared.Get("type").Pos, "", "outputs of the type %s are not built", kind)
			continue
		}
		name := declared.Get("name").Scalar()
		meta := r.merged(declared)
		if skip := meta.Get("build").Get("skip"); r.truth(skip) {
			result.Skipped = append(result.Skipped, r.skipped(name, loops, skip))
			continue
		}
		if o := r.output(declared, meta); o != nil {
			all = append(all, o)
		}
	}
	return all
}

// declared are the outputs' mappings, their requirements with the variant's
// versions. A recipe without outputs is one; a recipe whose top-level
// requirements name an output is one beside them.
func (r *v0Recipe) declared() []*tree.Node {
	var all []*tree.Node
	for _, n := range r.root.Get("outputs").All() {
		r.known(n, "outputs", v0OutputKeys)
		one := *n
		one.Fields = slices.Clone(n.Fields)
		all = append(all, &one)
	}
	named := func(n *tree.Node) bool { return n.Get("name").Scalar() == r.name() }
	top := &tree.Node{Kind: tree.Map, Pos: r.root.Pos, Fields: []tree.Field{{Key: "name", Value: &tree.Node{Value: r.name()}}}}
	if len(all) == 0 || !slices.ContainsFunc(all, named) && r.usesOutput(all) {
		all = append(all, top)
	}
	for _, n := range all {
		if named(n) {
			r.combine(n)
		}
		if q := n.Get("requirements"); q != nil {
			replaceField(n, "requirements", r.pinned(requirementLists(q)))
		}
	}
	return all
}

// usesOutput tells whether the recipe's own requirements need one of its
// outputs.
func (r *v0Recipe) usesOutput(outputs []*tree.Node) bool {
	run := r.words(r.root.Get("requirements").Get("run"))
	for _, n := range outputs {
		if name := n.Get("name").Scalar(); name != "" && slices.ContainsFunc(run, func(spec string) bool { return firstWord(spec) == name }) {
			return true
		}
	}
	return subpackageCall.MatchString(r.selectedText(cut(r.text, topRequirements, topEnd)))
}

// combine gives an output that has the recipe's name what the recipe says and it
// does not.
func (r *v0Recipe) combine(n *tree.Node) {
	for _, section := range []string{"requirements", "build", "about"} {
		own := &tree.Node{Kind: tree.Map}
		given := n.Get(section)
		if section == "requirements" && given != nil {
			given = requirementLists(given)
		}
		if given != nil && given.Kind == tree.Map {
			own.Pos, own.Fields = given.Pos, slices.Clone(given.Fields)
		}
		top := r.root.Get(section)
		if top != nil && top.Kind == tree.Map {
			if own.Pos.Line == 0 {
				own.Pos = top.Pos
			}
			for _, f := range top.Fields {
				if !hasField(own, f.Key) {
					own.Fields = append(own.Fields, f)
				}
			}
		}
		if len(own.Fields) > 0 {
			replaceField(n, section, own)
		}
	}
}

// hasField tells whether a mapping has a key, with or without a value.
func hasField(n *tree.Node, key string) bool {
	return slices.ContainsFunc(n.Fields, func(f tree.Field) bool { return f.Key == key })
}

// requirementLists is a mapping of lists: a plain list is for host and run.
func requirementLists(n *tree.Node) *tree.Node {
	if n == nil || n.Kind == tree.Map {
		return n
	}
	items := &tree.Node{Kind: tree.List, Pos: n.Pos, Items: n.All()}
	return &tree.Node{Kind: tree.Map, Pos: n.Pos, Fields: []tree.Field{{Key: "host", Pos: n.Pos, Value: items}, {Key: "run", Pos: n.Pos, Value: items}}}
}

// merged is the recipe of an output: that of the recipe, with what the output
// says in its place. What only makes sense for one package is not handed on.
func (r *v0Recipe) merged(n *tree.Node) *tree.Node {
	meta := &tree.Node{Kind: tree.Map, Pos: n.Pos, Fields: slices.Clone(r.root.Fields)}
	if n.Get("name").Scalar() == r.name() {
		for _, section := range []string{"requirements", "build", "about"} {
			if v := n.Get(section); v != nil {
				replaceField(meta, section, v)
			}
		}
		return meta
	}
	pkg := &tree.Node{Kind: tree.Map, Pos: n.Pos}
	replaceField(pkg, "name", n.Get("name"))
	if n.Get("name") == nil {
		replaceField(pkg, "name", r.root.Get("package").Get("name"))
	}
	if v := n.Get("version"); v != nil {
		replaceField(pkg, "version", v)
	} else {
		replaceField(pkg, "version", r.root.Get("package").Get("version"))
	}
	replaceField(meta, "package", pkg)
	replaceField(meta, "requirements", r.without(n.Get("requirements"), n.Get("name").Scalar()))
	replaceField(meta, "build", r.mergedBuild(n))
	replaceField(meta, "test", n.Get("test"))
	if test := r.root.Get("test"); n.Get("test") == nil && test != nil {
		rest := *test
		rest.Fields = test.FieldsBut("commands", "imports")
		replaceField(meta, "test", &rest)
	}
	if about := n.Get("about"); about != nil {
		replaceField(meta, "about", about)
	}
	return meta
}

// without drops requirements on the output itself, and as conda-build does the section
// host where nothing is in it: the output is built in one prefix then.
func (r *v0Recipe) without(n *tree.Node, name string) *tree.Node {
	if n == nil || n.Kind != tree.Map {
		return n
	}
	out := &tree.Node{Kind: tree.Map, Pos: n.Pos}
	for _, f := range n.Fields {
		if f.Key == "host" && len(f.Value.All()) == 0 {
			continue
		}
		if slices.Contains([]string{"build", "host", "run"}, f.Key) && f.Value.Kind == tree.List {
			kept := *f.Value
			kept.Items = slices.DeleteFunc(slices.Clone(f.Value.Items), func(item *tree.Node) bool { return firstWord(item.Scalar()) == name })
			f.Value = &kept
		}
		out.Fields = append(out.Fields, f)
	}
	return out
}

// mergedBuild is an output's build section. One of its own replaces the
// recipe's, but for the number.
func (r *v0Recipe) mergedBuild(n *tree.Node) *tree.Node {
	top := r.root.Get("build")
	if hasField(n, "build") {
		build := &tree.Node{Kind: tree.Map, Pos: n.Pos}
		if own := n.Get("build"); own != nil && own.Kind == tree.Map {
			build.Pos, build.Fields = own.Pos, slices.Clone(own.Fields)
		}
		if !hasField(build, "number") {
			number := n.Get("number")
			if number == nil {
				number = top.Get("number")
			}
			replaceField(build, "number", number)
		}
		return build
	}
	build := &tree.Node{Kind: tree.Map, Pos: n.Pos, Fields: top.FieldsBut("entry_points", "run_exports", "script", "noarch", "noarch_python")}
	for _, key := range []string{"entry_points", "run_exports", "noarch", "noarch_python", "number", "string", "track_features", "features"} {
		if v := n.Get(key); v != nil {
			replaceField(build, key, v)
		}
	}
	return build
}

// output reads one output into the model and names it.
func (r *v0Recipe) output(declared, meta *tree.Node) *v0Output {
	one := *r
	one.root, one.build = meta, meta.Get("build")
	out := &Output{Format: V0, File: r.file, Pos: declared.Pos}
	if out.Pos.Line == 0 {
		out.Pos = r.root.Pos
	}
	separate := declared.Get("name").Scalar() != r.name()
	one.identity(out)
	if r.report.Failed() {
		return nil
	}
	one.sources(out)
	one.readBuild(out, declared, separate)
	one.requirements(out)
	one.tests(out, separate)
	out.Requirements.RunPins = one.runPins(out, numpyPinned.MatchString(r.slices("").requirementsText()))
	one.about(out)
	out.Extra = r.freeMap(r.root.Get("extra"), "extra")
	if r.report.Failed() {
		return nil
	}
	r.stage(out, declared, separate)
	s := r.slices(declared.Get("name").Scalar())
	used := one.usedKeys(s, meta, declared.Get("script").Scalar(), false)
	one.nameBuild(out, s, used)
	if separate { // as in conda-build, an output's recipe does not tell of its siblings
		one.root = &tree.Node{Kind: tree.Map, Pos: meta.Pos, Fields: meta.FieldsBut("outputs")}
	}
	out.Rendered = r.dump(one.root)
	out.Blockers = slices.Clone(r.blockers)
	o := &v0Output{Output: out, values: r.variant, needs: one.needs(out)}
	o.id = identity(out.Name, out.Version, out.BuildString, r.TargetPlatform, strings.Join(valuesOf(used, r.variant), " "))
	return o
}

// valuesOf are the used values as text.
func valuesOf(used map[string]bool, values map[string]any) []string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(used)) {
		all = append(all, key+"="+tree.ScalarText(values[key]))
	}
	return all
}

// stage makes the recipe's own script what runs before each output's: its files
// are what outputs choose from.
func (r *v0Recipe) stage(out *Output, declared *tree.Node, separate bool) {
	if len(r.root.Get("outputs").All()) == 0 {
		return
	}
	top := *r
	top.build = r.root.Get("build")
	script := top.script(top.build.Get("script"))
	if script.Empty() {
		return
	}
	staged := &Output{}
	top.requirements(staged)
	out.Staging = &Staging{
		Name: r.name(), Sources: out.Sources, Script: script, RunExports: true, Pos: r.root.Pos,
		Requirements: Requirements{Build: staged.Requirements.Build, Host: staged.Requirements.Host},
	}
	out.Sources = nil
	if !separate && declared.Get("script") == nil {
		out.Script = Script{}
	}
}

// needs are names of packages that must be built before: on the platform that
// builds, tools come from elsewhere.
func (r *v0Recipe) needs(out *Output) []string {
	q := out.Requirements
	lists := [][]Dependency{q.Host, q.Run}
	if r.root.Get("requirements").Get("host") == nil {
		lists = append(lists, q.Build)
	}
	var all []string
	for _, d := range slices.Concat(lists...) {
		all = append(all, d.Name())
	}
	return all
}

// ordered puts outputs behind those that they need, and else in the recipe's
// order. Two that need each other are an error.
func (v *v0Run) ordered(all []*v0Output) []*v0Output {
	var sorted []*v0Output
	done := map[string]bool{} // names of which none waits before a place
	for left := all; len(left) > 0; {
		here, held := map[string]bool{}, map[string]bool{}
		for _, o := range left {
			here[o.Name] = true
		}
		var wait []*v0Output
		for _, o := range left {
			if slices.ContainsFunc(o.needs, func(name string) bool { return name != o.Name && here[name] && !done[name] }) {
				wait = append(wait, o)
				held[o.Name] = true
				continue
			}
			sorted = append(sorted, o)
			done[o.Name] = !held[o.Name]
		}
		if len(wait) == len(left) {
			v.report.Fail(wait[0].Pos, "break it: build what they share in an output of its own",
				"the outputs need each other: %s", strings.Join(circle(wait), " → "))
			return nil
		}
		left = wait
	}
	return sorted
}

// circle follows needs among outputs that wait for one another until one comes
// again.
func circle(wait []*v0Output) []string {
	byName := map[string]*v0Output{}
	for _, o := range wait {
		byName[o.Name] = o
	}
	var path []string
	for o := wait[0]; ; {
		if i := slices.Index(path, o.Name); i >= 0 {
			return append(path[i:], o.Name)
		}
		path = append(path, o.Name)
		i := slices.IndexFunc(o.needs, func(name string) bool { return byName[name] != nil && name != o.Name })
		if i < 0 {
			return path
		}
		o = byName[o.needs[i]]
	}
}
