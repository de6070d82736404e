package recipe

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// pinRule finds where a template printed a pin: the name is in the text, and the
// number behind it says which call made it.
var pinRule = regexp.MustCompile("\ue003(\\d+)\ue004")

// functions are what a meta.yaml can call (conda-build's jinja_context).
func (r *v0Recipe) functions() map[string]any {
	return map[string]any{
		"compiler": r.tool("compiler"), "stdlib": r.tool("stdlib"), "cdt": r.cdt(),
		"ccache":         jinja.Func(func(jinja.Call) (any, error) { return "ccache", nil }),
		"pin_subpackage": r.pinFuncV0(PinSubpackage), "pin_compatible": r.pinFuncV0(PinCompatible),
		"resolved_packages": jinja.Func(func(jinja.Call) (any, error) { return jinja.Undefined{Name: "resolved_packages"}, nil }),
		"load_file_data":    jinja.Func(r.loadFileData), "load_str_data": jinja.Func(r.loadStrData),
		"load_file_regex": jinja.Func(r.loadFileRegex), "load_npm": jinja.Func(r.loadNpm),
		"load_setup_py_data": jinja.Func(r.loadSetup), "load_setuptools": jinja.Func(r.loadSetup),
	}
}

// pinFuncV0 is pin_subpackage and pin_compatible. The text has the name alone,
// as in conda-build before anything is solved.
func (r *v0Recipe) pinFuncV0(kind PinKind) jinja.Func {
	return func(c jinja.Call) (any, error) {
		name, err := c.String(0, map[PinKind]string{PinSubpackage: "subpackage_name", PinCompatible: "package_name"}[kind])
		if err != nil {
			return nil, err
		}
		p := &Pin{Kind: kind, Name: name, Lower: defaultLower, Upper: defaultUpper}
		var lower, upper string
		for _, key := range slices.Sorted(maps.Keys(c.Named)) {
			v := c.Named[key]
			switch key {
			case "min_pin", "max_pin":
				if s, ok := v.(string); v != nil && (!ok || s != "" && !pinPattern.MatchString(s)) {
					return nil, fmt.Errorf("%s must be like x.x, or None", key)
				}
				s, _ := v.(string)
				if key == "min_pin" {
					p.Lower = s
				} else {
					p.Upper = s
				}
			case "lower_bound":
				lower = boundText(v)
			case "upper_bound":
				upper = boundText(v)
			case "exact":
				p.Exact = v == true
			case "subpackage_name", "package_name", "permit_undefined_jinja", "allow_no_other_outputs", "skip_build_id":
			default:
				return nil, fmt.Errorf("%s has no argument %q: it has min_pin, max_pin, lower_bound, upper_bound and exact", kind, key)
			}
		}
		if lower != "" {
			p.Lower = lower
		}
		if upper != "" {
			p.Upper = upper
		}
		r.marks = append(r.marks, p)
		return name + "\ue003" + strconv.Itoa(len(r.marks)-1) + "\ue004", nil
	}
}

// boundText is a version that is given as a bound.
func boundText(v any) string {
	if v == nil {
		return ""
	}
	return tree.ScalarText(v)
}

// dataFile finds a file of load_file_data and the like: beside the recipe, or in
// a source that is a folder beside it. What is downloaded is not there yet.
func (r *v0Recipe) dataFile(c jinja.Call, argument string) (name, text string, err error) {
	name, err = c.String(0, argument)
	if err != nil {
		return "", "", err
	}
	name = strings.TrimPrefix(strings.TrimPrefix(name, lateMarkText("RECIPE_DIR")+"/"), lateMarkText("SRC_DIR")+"/")
	for _, folder := range append([]string{""}, r.folders()...) {
		if text, err = r.sideFile(folder + name); err == nil {
			return name, text, nil
		}
	}
	return name, "", &jinja.Error{
		Text: fmt.Sprintf("cannot read %q: it is neither beside the recipe nor in a folder there that is a source", name),
		Hint: "copy it beside the recipe, or write the value out: sources are not fetched to look at a recipe",
	}
}

// folderSource finds sources that are folders below the recipe's.
var folderSource = regexp.MustCompile(`(?m)^\s*-?\s*path:\s*["']?\.?/?([\w][\w./-]*)`)

// folders are sources below the recipe's folder.
func (r *v0Recipe) folders() []string {
	var all []string
	for _, m := range folderSource.FindAllStringSubmatch(r.text, -1) {
		all = append(all, strings.TrimSuffix(m[1], "/")+"/")
	}
	return all
}

// loadFileData is load_file_data(file, fmt): data of JSON, YAML or TOML.
func (r *v0Recipe) loadFileData(c jinja.Call) (any, error) {
	name, text, err := r.dataFile(c, "filename")
	if err != nil {
		return nil, err
	}
	if format, ok := c.Arg(1, "fmt"); ok && format != nil {
		name = "data." + tree.ScalarText(format)
	}
	return r.parseData(name, text)
}

// loadStrData is load_str_data(text, fmt).
func (r *v0Recipe) loadStrData(c jinja.Call) (any, error) {
	text, err := c.String(0, "string")
	if err != nil {
		return nil, err
	}
	format, err := c.String(1, "fmt")
	if err != nil {
		return nil, err
	}
	return r.parseData("data."+format, text)
}

// loadNpm is load_npm(): package.json.
func (r *v0Recipe) loadNpm(jinja.Call) (any, error) {
	return r.loadFileData(jinja.Call{Args: []any{"package.json"}})
}

// loadFileRegex is load_file_regex(file, pattern): Python's match object, as far
// as recipes use it.
func (r *v0Recipe) loadFileRegex(c jinja.Call) (any, error) {
	_, text, err := r.dataFile(c, "load_file")
	if err != nil {
		return nil, err
	}
	pattern, err := c.String(1, "regex_pattern")
	if err != nil {
		return nil, err
	}
	rule, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("the pattern %q: %w", pattern, err)
	}
	m := rule.FindStringSubmatch(text)
	if m == nil {
		return nil, nil
	}
	groups := make([]any, len(m)-1)
	for i, g := range m[1:] {
		groups[i] = g
	}
	d := jinja.NewDict()
	group := jinja.Func(func(c jinja.Call) (any, error) {
		v, ok := c.Arg(0, "group")
		if !ok {
			return m[0], nil
		}
		i, isNumber := v.(int64)
		if name, isText := v.(string); isText {
			i, isNumber = int64(rule.SubexpIndex(name)), true
		}
		if !isNumber || i < 0 || int(i) >= len(m) {
			return nil, fmt.Errorf("the pattern has no group %v", v)
		}
		return m[i], nil
	})
	d.Set("group", group)
	d.Set("groups", jinja.Func(func(jinja.Call) (any, error) { return groups, nil }))
	return d, nil
}

var (
	setupSection = regexp.MustCompile(`(?ms)^\[metadata\]\s*$(.*?)(?:^\[|\z)`)
	setupOption  = regexp.MustCompile(`(?m)^(\w+)\s*=\s*(.+?)\s*$`)
)

// loadSetup is load_setup_py_data(): what setup.py, setup.cfg and pyproject.toml
// say as plain text. Nothing is run.
func (r *v0Recipe) loadSetup(c jinja.Call) (any, error) {
	d := jinja.NewDict()
	read := func(name string) string {
		_, text, err := r.dataFile(jinja.Call{Args: []any{name}}, "setup_file")
		if err != nil {
			return ""
		}
		return text
	}
	if m := setupSection.FindStringSubmatch(read("setup.cfg")); m != nil {
		for _, o := range setupOption.FindAllStringSubmatch(m[1], -1) {
			if !strings.HasPrefix(o[2], "attr:") && !strings.HasPrefix(o[2], "file:") {
				d.Set(o[1], o[2])
			}
		}
	}
	r.addProject(d, read("pyproject.toml"))
	name := "setup.py"
	if v, ok := c.Arg(0, "setup_file"); ok && v != nil {
		name = tree.ScalarText(v)
	}
	static := setupArguments(read(name))
	for _, key := range static.Keys() {
		v, _ := static.Get(key)
		d.Set(key, v)
	}
	for _, key := range []string{"name", "version"} {
		if _, ok := d.Get(key); !ok {
			r.noStatic(key)
		}
	}
	return d, nil
}

// noStatic stops a build, and shows what is missing when the recipe is looked at.
func (r *v0Recipe) noStatic(key string) {
	r.missed(r.here(1, 1), &jinja.Error{
		Text: fmt.Sprintf("load_setup_py_data finds no %s: it reads plain text from setup.py, setup.cfg and pyproject.toml beside the recipe, and runs nothing", key),
		Hint: "write the " + key + " into the recipe",
	})
}

// addProject adds the [project] of a pyproject.toml.
func (r *v0Recipe) addProject(d *jinja.Dict, text string) {
	if text == "" {
		return
	}
	v, err := r.parseData("pyproject.toml", text)
	root, ok := v.(*jinja.Dict)
	if err != nil || !ok {
		return
	}
	project, _ := root.Get("project")
	table, ok := project.(*jinja.Dict)
	if !ok {
		return
	}
	for _, key := range table.Keys() {
		value, _ := table.Get(key)
		d.Set(key, value)
	}
}

// loadInclude is the text of a file that a template includes or imports from,
// after its selectors.
func (r *v0Recipe) loadInclude(name string) (string, error) {
	text, err := r.sideFile(name)
	if err != nil {
		return "", err
	}
	return r.selectedText(text), nil
}
