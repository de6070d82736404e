package recipe

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/platform"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

var singleName = regexp.MustCompile(`^\$\{\{\s*(\w+)\s*\}\}$`)

// readContext evaluates the context in order: an entry sees those before it.
func (r *v1Recipe) readContext(n *tree.Node) {
	if n.IsNull() {
		return
	}
	if n.Kind != tree.Map {
		r.report.Fail(n.Pos, "", "context must be a mapping, this is %s", n.Describe())
		return
	}
	for _, f := range n.Fields {
		if !variableRule.MatchString(f.Key) {
			r.report.Fail(f.Pos, "use letters, digits and _", "the context's key %q cannot be a variable", f.Key)
			continue
		}
		v := r.contextValue(f)
		if r.BuildNumber != nil && f.Key == r.numberEntry() {
			v, r.numbered = int64(*r.BuildNumber), true
		}
		r.context[f.Key] = v
		r.order = append(r.order, f.Key)
	}
}

// numberEntry is the context's entry that build.number consists of, "" when
// it is not one: replacing the entry changes all that is made of it.
func (r *v1Recipe) numberEntry() string {
	text, _ := r.root.Get("build").Get("number").Text()
	m := singleName.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return m[1]
}

// contextValue evaluates an entry. Lists are kept as lists, which conditions
// and filters can use; templates in them are text.
func (r *v1Recipe) contextValue(f tree.Field) any {
	switch f.Value.Kind {
	case tree.List:
		all := []any{}
		for _, item := range f.Value.Items {
			if item.Kind != tree.Scalar {
				r.report.Fail(item.Pos, "", "a list in the context holds plain values only, this is %s", item.Describe())
				return r.failed(f.Key, nil)
			}
			all = append(all, item.Value)
		}
		return all
	case tree.Map:
		r.report.Fail(f.Value.Pos, "write a template, e.g. ${{ \"a\" if win else \"b\" }}", "the context's value must be plain or a list, this is %s", f.Value.Describe())
		return r.failed(f.Key, nil)
	}
	text, ok := f.Value.Text()
	if !ok || !isTemplate(text) {
		return f.Value.Value
	}
	v, err := r.templateValue(f.Value, text, scopeFields)
	if err == nil {
		return contextType(v, f.Value.Plain, text)
	}
	p, unsaid := r.cause(f.Value, err)
	switch {
	case !unsaid:
		return r.failed(f.Key, nil)
	case undefinedName(err) == "":
		r.report.Add(p)
		return r.failed(f.Key, nil)
	}
	return r.failed(f.Key, &p)
}

// failed is an entry without a value. One that only wants for a variable is an
// error when something uses it: many are meant for some platforms. Any other
// mistake has been reported.
func (r *v1Recipe) failed(key string, p *tree.Problem) any {
	if r.failures == nil {
		r.failures = map[string]*tree.Problem{}
	}
	r.failures[key] = p
	return jinja.Undefined{Name: key}
}

// undefinedName is the variable that an error is about; "" for other errors.
func undefinedName(err error) string {
	if e, ok := errors.AsType[*jinja.Error](err); ok {
		return e.Name
	}
	return ""
}

// contextType types a rendered Value: quotes in the file keep text, and mixed
// text is read again as a boolean or an integer.
func contextType(v any, plain bool, template string) any {
	s, isText := v.(string)
	single := strings.HasPrefix(template, "${{") && strings.HasSuffix(template, "}}") && strings.Count(template, "${{") == 1
	if !plain && !single {
		return v
	}
	if isText && plain && !single {
		switch s {
		case "true", "false":
			return s == "true"
		}
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && strconv.FormatInt(n, 10) == s {
			return n
		}
	}
	return v
}

// scopeKind is which names a template sees.
type scopeKind int

const (
	scopeFields  scopeKind = iota // most of the recipe
	scopeScript                   // text that a shell reads: its variables may be printed
	scopePaths                    // paths that a build fills in, such as ${{ SRC_DIR }}/fix.patch
	scopeLicense                  // as paths, and the prefixes
)

// pathNames are the folders that only a build knows.
var pathNames = []string{"SRC_DIR", "RECIPE_DIR", "BUILD_DIR", "PREFIX", "BUILD_PREFIX"}

// late is the value of a name that is known only when the script runs: in a
// script in the shell's own words, in a path as the template that it is.
func (r *v1Recipe) late(name string, kind scopeKind) (any, bool) {
	paths := pathNames[:3]
	switch kind {
	case scopeScript:
		// Whatever a compiler's activation sets has capital letters.
		if slices.Contains(lateNames, name) || environmentRule.MatchString(name) {
			return jinja.Late(r.platform.ShellVariable(name)), true
		}
		return nil, false
	case scopeLicense:
		paths = pathNames
	case scopeFields:
		return nil, false
	}
	if slices.Contains(paths, name) {
		return jinja.Late("${{ " + name + " }}"), true
	}
	return nil, false
}

// environmentRule are names that environment variables have.
var environmentRule = regexp.MustCompile(`^[A-Z][A-Z0-9_]+$`)

// lookup finds a name: the context hides the variant, which hides the
// platform's names.
func (r *v1Recipe) lookup(name string, kind scopeKind) (any, bool) {
	if v, ok := r.context[name]; ok {
		return v, true
	}
	if v, ok := r.platformNames()[name]; ok {
		return v, true
	}
	if v, ok := r.use(name); ok {
		return v, true
	}
	if fn, ok := r.function(name); ok {
		return fn, true
	}
	return r.late(name, kind)
}

// function is what recipe.yaml can call, or look into.
func (r *v1Recipe) function(name string) (any, bool) {
	switch name {
	case "env":
		return jinja.EnvObject(r.Env), true
	case "match":
		return jinja.AnyFunc(matchFunc), true
	case "pin_subpackage", "pin_compatible":
		return pinFunc(PinKind(name)), true
	case "cdt":
		return r.cdt(), true
	case "load_from_file":
		return r.loadFunc(), true
	case "cmp":
		return jinja.Func(func(jinja.Call) (any, error) {
			return nil, &jinja.Error{Text: "cmp() is no longer part of the format", Hint: `write match(python, ">=3.8")`}
		}), true
	case "git":
		return r.gitObject(), true
	case "compiler", "stdlib":
		return r.tool(name), true
	}
	if fn, ok := platformTests[name]; ok {
		return fn, true
	}
	return nil, false
}

// functionNames are what a misspelt function is compared with.
var functionNames = []string{"compiler", "stdlib", "env", "match", "pin_subpackage", "pin_compatible", "cdt", "load_from_file", "git"}

// platformNames are made once: each template asks for them.
func (j *job) platformNames() map[string]any {
	if j.names == nil {
		j.names = j.platform.Flags()
		j.names["host_platform"] = j.TargetPlatform
		j.names["SHLIB_EXT"] = j.platform.SharedLibraryExt()
	}
	return j.names
}

func (r *v1Recipe) scope(kind scopeKind) jinja.Scope {
	return jinja.Scope{
		Lookup: func(name string) (any, bool) { return r.lookup(name, kind) },
		Known: func() []string {
			names := slices.Concat(r.order, slices.Sorted(maps.Keys(r.variant)), slices.Sorted(maps.Keys(r.platformNames())), functionNames)
			if kind == scopeScript {
				names = append(names, lateNames...)
			}
			return names
		},
		Budget: r.budget(),
	}
}

// budget is shared by all templates of the recipe.
func (j *job) budget() *jinja.Budget {
	if j.fuel == nil {
		j.fuel = jinja.NewBudget()
	}
	return j.fuel
}

// platformTests are is_linux("linux-64") and the like.
var platformTests = map[string]jinja.Func{
	"is_linux":   platformTest(func(p platform.Platform) bool { return p.Family == "linux" }),
	"is_osx":     platformTest(func(p platform.Platform) bool { return p.Family == "osx" }),
	"is_windows": platformTest(platform.Platform.Windows),
	"is_unix":    platformTest(platform.Platform.Unix),
	"is_ios":     platformTest(func(p platform.Platform) bool { return p.Family == "ios" }),
	"is_android": platformTest(func(p platform.Platform) bool { return p.Family == "android" }),
}

func platformTest(holds func(platform.Platform) bool) jinja.Func {
	return func(c jinja.Call) (any, error) {
		name, err := c.String(0, "platform")
		if err != nil {
			return nil, err
		}
		p, err := platform.Parse(name)
		return err == nil && holds(p), nil
	}
}
