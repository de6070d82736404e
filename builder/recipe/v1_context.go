package recipe

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
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
		v, ok := r.contextValue(f)
		if !ok {
			v = jinja.Undefined{Name: f.Key} // reported; what uses it is not
		}
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
// and filters can use.
func (r *v1Recipe) contextValue(f tree.Field) (any, bool) {
	switch f.Value.Kind {
	case tree.List:
		var all []any
		for _, item := range f.Value.Items {
			if item.Kind != tree.Scalar {
				r.report.Fail(item.Pos, "", "a list in the context holds plain values only, this is %s", item.Describe())
				return nil, false
			}
			all = append(all, item.Value)
		}
		return all, true
	case tree.Map:
		r.report.Fail(f.Value.Pos, "write a template, e.g. ${{ \"a\" if win else \"b\" }}", "the context's value must be plain or a list, this is %s", f.Value.Describe())
		return nil, false
	}
	text, ok := f.Value.Text()
	if !ok || !jinja.IsTemplate(text, jinja.Recipe) {
		return f.Value.Value, true
	}
	v, err := r.templateValue(text, scopeFields)
	if err != nil {
		r.templateError(f.Value, err)
		return nil, false
	}
	return contextType(v, f.Value.Plain, text), true
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
	scopeFields     scopeKind = iota // most of the recipe
	scopeScript                      // text that a shell reads: its variables may be printed
	scopeConditions                  // build.skip
)

// lookup finds a name: the context hides the variant, which hides the
// platform's names.
func (r *v1Recipe) lookup(name string, kind scopeKind) (any, bool) {
	if v, ok := r.context[name]; ok {
		return v, !isUndefined(v)
	}
	if v, ok := r.platformNames()[name]; ok {
		return v, true
	}
	if v, ok := r.use(name); ok {
		return v, true
	}
	if fn, ok := r.functions(V1)[name]; ok {
		return fn, true
	}
	switch name {
	case "env":
		return jinja.EnvObject(r.Env), true
	case "match":
		return jinja.Func(matchFunc), true
	case "RECIPE_DIR":
		if kind == scopeFields {
			return ".", true // paths are relative to the recipe anyway
		}
	}
	if fn, ok := platformTests[name]; ok {
		return fn, true
	}
	if kind == scopeScript {
		return r.late(name)
	}
	return nil, false
}

// isUndefined tells a value that nothing defined.
func isUndefined(v any) bool {
	_, ok := v.(jinja.Undefined)
	return ok
}

// platformNames are made once: each template asks for them.
func (j *job) platformNames() map[string]any {
	if j.names == nil {
		j.names = j.platform.Flags()
		j.names["target_platform"] = j.TargetPlatform
		j.names["host_platform"] = j.TargetPlatform
		j.names["SHLIB_EXT"] = j.platform.SharedLibraryExt()
	}
	return j.names
}

func (r *v1Recipe) scope(kind scopeKind) jinja.Scope {
	return jinja.Scope{
		Lookup: func(name string) (any, bool) { return r.lookup(name, kind) },
		Known: func() []string {
			names := slices.Concat(r.order, slices.Sorted(maps.Keys(r.variant)), slices.Sorted(maps.Keys(r.platformNames())), []string{"compiler", "stdlib", "env", "match"})
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
	if j.steps == nil {
		j.steps = jinja.NewBudget()
	}
	return j.steps
}

// templateValue keeps the type of a value that is a single expression: ${{
// number }} stays a number.
func (r *v1Recipe) templateValue(text string, kind scopeKind) (any, error) {
	t, err := jinja.Parse(text, jinja.Recipe)
	if err != nil {
		return nil, err
	}
	if r.usesFailed(t.Names()) {
		return nil, errReported
	}
	if kind == scopeScript {
		r.useAll(t.Names())
	}
	return t.Value(r.scope(kind))
}

// useAll counts names as read that a script only mentions.
func (r *v1Recipe) useAll(names []string) {
	for _, name := range names {
		if _, hidden := r.context[name]; !hidden {
			r.use(name)
		}
	}
}

// usesFailed tells whether a context entry is among names that could not be
// evaluated.
func (r *v1Recipe) usesFailed(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return isUndefined(r.context[name]) })
}

// errReported is a template's error that follows from one in the context.
var errReported = errors.New("an entry of the context that it uses has failed")

// templateError reports an error inside n's text.
func (j *job) templateError(n *tree.Node, err error) {
	if errors.Is(err, errReported) {
		return
	}
	var e *jinja.Error
	if !errors.As(err, &e) {
		j.report.Fail(n.Pos, "", "%v", err)
		return
	}
	j.report.Fail(n.Inside(j.text, e.Offset), e.Hint, "%s", e.Text)
}
