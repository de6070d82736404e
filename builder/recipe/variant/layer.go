package variant

import (
	"maps"
	"slices"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// Layer is one source of conda-build's variants: a conda_build_config.yaml, or
// what a command line says. Combine puts several over one another.
type Layer struct {
	keys   []Key
	zips   []Zip
	pins   map[string]map[string]string
	extend []string
	lists  map[string][]string // the values of keys that are extended, of this layer
}

// extended are the keys whose values of all layers count together, and which
// name packages instead of choosing values.
var extended = []string{"extend_keys", "ignore_version", "ignore_build_only_deps"}

// notValues are keys that choose nothing: conda-build hands them to builds.
var notValues = []string{"replacements"}

// LayerOf reads the tree of a conda_build_config.yaml whose lines have been
// selected. All values are text, as conda-build reads them. What is wrong goes
// to the report.
func LayerOf(root *tree.Node, report *tree.Report) Layer {
	r := reader{report: report, conda: true}
	l := Layer{lists: map[string][]string{}}
	for _, f := range root.Fields {
		switch {
		case f.Key == "zip_keys":
			l.zips = r.zipKeys(withoutEmpty(f.Value))
		case f.Key == "pin_run_as_build":
			l.pins = r.pins(f.Value)
		case slices.Contains(extended, f.Key):
			l.lists[f.Key] = r.words(f.Value)
		case slices.Contains(notValues, f.Key), f.Value.Kind == tree.Map:
		default:
			l.set(&r, f)
		}
	}
	l.extend = l.lists["extend_keys"]
	return l
}

// withoutEmpty drops groups that selectors emptied.
func withoutEmpty(n *tree.Node) *tree.Node {
	if n.Kind != tree.List {
		return n
	}
	out := *n
	out.Items = slices.DeleteFunc(slices.Clone(n.Items), func(item *tree.Node) bool {
		return item.IsNull() || item.Kind == tree.List && len(item.Items) == 0
	})
	return &out
}

// set reads a key's values. One without any is as good as missing.
func (l *Layer) set(r *reader, f tree.Field) {
	k := Key{Name: Normalize(f.Key), Pos: f.Pos}
	for _, item := range f.Value.All() {
		if item.Kind != tree.Scalar {
			r.report.Fail(item.Pos, "write plain values", "a variant's value is %s", item.Describe())
			continue
		}
		if item.Value != nil && (f.Value.Kind == tree.List || item.Value != "") {
			k.Values = append(k.Values, tree.ScalarText(item.Value))
		}
	}
	if len(k.Values) > 0 {
		l.keys = append(l.keys, k)
	}
}

// LayerFrom is a layer with the values of a configuration, as text.
func LayerFrom(c Config) Layer {
	l := Layer{zips: c.zips}
	for _, k := range c.keys {
		values := make([]any, len(k.Values))
		for i, v := range k.Values {
			values[i] = tree.ScalarText(v)
		}
		l.keys = append(l.keys, Key{Name: k.Name, Values: values, Pos: k.Pos})
	}
	return l
}

// Pinning is the layer with conda-build's settings beside values:
// pin_run_as_build, by package its min_pin and max_pin, and
// ignore_build_only_deps.
func (l Layer) Pinning(pins map[string]map[string]string, buildOnly []string) Layer {
	l.pins, l.lists = pins, map[string][]string{"ignore_build_only_deps": buildOnly}
	return l
}

// pins reads pin_run_as_build.
func (r *reader) pins(n *tree.Node) map[string]map[string]string {
	if n.IsNull() {
		return nil
	}
	if n.Kind != tree.Map {
		r.report.Fail(n.Pos, "", "pin_run_as_build must be a mapping, this is %s", n.Describe())
		return nil
	}
	all := map[string]map[string]string{}
	for _, f := range n.Fields {
		bounds := map[string]string{}
		switch f.Value.Kind {
		case tree.Map:
			for _, b := range f.Value.Fields {
				bounds[b.Key] = b.Value.Scalar()
			}
		case tree.Scalar:
			bounds["min_pin"], bounds["max_pin"] = f.Value.Scalar(), f.Value.Scalar() // a pattern alone is both
		}
		all[f.Key] = bounds
	}
	return all
}

// Combine puts layers over one another by conda-build's rules: a later one
// replaces a key, joins those of extend_keys, and chooses among the rows of a
// group of zip_keys when it has only some of the group's keys. What contradicts
// itself is reported.
func Combine(layers []Layer, report *tree.Report) Space {
	c := combination{values: map[string]Key{}, report: report, lists: map[string][]string{}, pins: map[string]map[string]string{}}
	extend := slices.Clone(extended)
	for _, l := range layers {
		extend = union(extend, l.extend)
		for _, z := range l.zips {
			if !slices.ContainsFunc(c.zips, func(o Zip) bool { return slices.Equal(o.Keys, z.Keys) }) {
				c.zips = append(c.zips, z)
			}
		}
	}
	for _, l := range layers {
		c.add(l, extend)
	}
	s := c.space(extend)
	for _, l := range slices.Backward(layers[min(1, len(layers)):]) { // the first has defaults, which select nothing
		for _, k := range l.keys {
			if !slices.Contains(extend, k.Name) {
				s = s.where(k)
			}
		}
	}
	return s
}

// combination is several layers on their way to be a space.
type combination struct {
	values map[string]Key
	order  []string
	zips   []Zip
	lists  map[string][]string
	pins   map[string]map[string]string
	report *tree.Report
}

// add puts a layer over what is there.
func (c *combination) add(l Layer, extend []string) {
	for name, values := range l.lists {
		c.lists[name] = union(c.lists[name], values)
	}
	maps.Copy(c.pins, l.pins)
	given := map[string]Key{}
	for _, k := range slices.Backward(l.keys) { // the first one of a name counts
		given[k.Name] = k
	}
	for _, k := range l.keys {
		switch {
		case slices.Contains(extend, k.Name):
			old := c.values[k.Name]
			for _, v := range k.Values {
				if !slices.Contains(old.Values, v) {
					old.Values = append(slices.Clone(old.Values), v)
				}
			}
			k.Values = old.Values
			c.put(k)
		default:
			c.replace(given, k)
		}
	}
}

func (c *combination) put(k Key) {
	if _, known := c.values[k.Name]; !known {
		c.order = append(c.order, k.Name)
	}
	c.values[k.Name] = k
}

// group are the keys that are zipped with one, itself among them.
func (c *combination) group(name string) []string {
	for _, z := range c.zips {
		if slices.Contains(z.Keys, name) {
			return z.Keys
		}
	}
	return []string{name}
}

// replace gives a key a layer's values. A layer that has only some keys of a
// group may give as many values as before, or some of those that are there.
func (c *combination) replace(layer map[string]Key, k Key) {
	whole, even := true, true
	for _, name := range c.group(k.Name) {
		given, ok := layer[name]
		whole = whole && ok
		even = even && (!ok || len(given.Values) == len(k.Values))
		old, ok := c.values[name]
		even = even && (!ok || len(old.Values) == len(k.Values))
	}
	old, known := c.values[k.Name]
	switch {
	case whole && !c.uneven(layer, k):
		c.put(k)
	case whole:
	case !known:
		c.put(k)
	case even:
		c.put(k)
	default:
		for _, v := range k.Values {
			if !slices.Contains(old.Values, v) {
				c.report.Fail(k.Pos, "give all zipped keys, or as many values as before, or only values that are there already",
					"the value %s of %s is not among those that it is zipped with", tree.ScalarText(v), k.Name)
				return
			}
		}
	}
}

// uneven reports a group of one layer whose keys have differently many values.
func (c *combination) uneven(layer map[string]Key, k Key) bool {
	for _, name := range c.group(k.Name) {
		if other, ok := layer[name]; ok && len(other.Values) != len(k.Values) {
			c.report.Fail(k.Pos, "give zipped keys equally many values",
				"zip_keys joins %s, which has %s, and %s, which has %s", k.Name, count(k), name, count(other))
			return true
		}
	}
	return false
}

// space makes the axes: a group of zipped keys is one. Keys that are extended
// are lists of their own kind and choose nothing.
func (c *combination) space(extend []string) Space {
	s := Space{of: map[string]int{}, Pins: maps.Clone(c.pins), IgnoreVersion: c.lists["ignore_version"], IgnoreBuildOnlyDeps: c.lists["ignore_build_only_deps"]}
	done := map[string]bool{}
	for _, name := range c.order {
		if done[name] || slices.Contains(extend, name) {
			continue
		}
		var a axis
		rows := len(c.values[name].Values)
		for _, key := range c.group(name) {
			if k, ok := c.values[key]; ok && !done[key] {
				done[key] = true
				s.of[key] = len(s.axes)
				a.keys = append(a.keys, key)
				rows = min(rows, len(k.Values))
			}
		}
		for i := range rows {
			row := make([]any, len(a.keys))
			for n, key := range a.keys {
				row[n] = c.values[key].Values[i]
			}
			if !slices.ContainsFunc(a.rows, func(o []any) bool { return slices.Equal(o, row) }) {
				a.rows = append(a.rows, row)
			}
		}
		s.axes = append(s.axes, a)
	}
	return s
}

// union is a and what b has beside it.
func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
