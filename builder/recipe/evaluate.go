package recipe

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// Step three of a recipe.yaml: the templates and conditions of a part are
// evaluated for one combination of the variant's values, and it is noted which
// of them were read.

// templates are the parsed texts of a recipe: it is evaluated many times.
type templates struct {
	once        sync.Once // what is said once for all combinations
	texts       map[string]parsedTemplate
	expressions map[string]parsedExpression
	specs       map[string]parsedSpec
}

type (
	parsedTemplate struct {
		*jinja.Template
		err error
	}
	parsedExpression struct {
		*jinja.Expression
		err error
	}
	parsedSpec struct {
		text          string // in normal form
		problem, hint string // why it is none, and what to write
	}
)

func newTemplates() *templates {
	return &templates{texts: map[string]parsedTemplate{}, expressions: map[string]parsedExpression{}, specs: map[string]parsedSpec{}}
}

func (c *templates) template(text string) (*jinja.Template, error) {
	p, ok := c.texts[text]
	if !ok {
		p.Template, p.err = jinja.Parse(text, jinja.Recipe)
		c.texts[text] = p
	}
	return p.Template, p.err
}

func (c *templates) expression(text string) (*jinja.Expression, error) {
	p, ok := c.expressions[text]
	if !ok {
		p.Expression, p.err = jinja.ParseExpression(text, jinja.Recipe)
		c.expressions[text] = p
	}
	return p.Expression, p.err
}

func (c *templates) spec(text string) parsedSpec {
	p, ok := c.specs[text]
	if !ok {
		p = parseSpec(text)
		c.specs[text] = p
	}
	return p
}

// evaluate returns n with its templates evaluated and its conditions decided.
// What cannot be evaluated is reported and becomes null.
func (r *v1Recipe) evaluate(n *tree.Node, kind scopeKind) *tree.Node {
	if n == nil {
		return nil
	}
	if !r.budget().Spend(1) {
		r.report.Fail(r.root.Pos, "", "the recipe takes too many steps")
		return &tree.Node{Pos: n.Pos}
	}
	switch n.Kind {
	case tree.List:
		out := &tree.Node{Kind: tree.List, Pos: n.Pos}
		for _, item := range r.flatten(n) {
			out.Items = append(out.Items, r.item(item, kind)...)
		}
		return out
	case tree.Map:
		out := &tree.Node{Kind: tree.Map, Pos: n.Pos}
		if isCondition(n) && n.Get("then") != nil {
			r.flatten(n) // says that it stands in the wrong place
			return &tree.Node{Pos: n.Pos}
		}
		for _, f := range n.Fields {
			out.Fields = append(out.Fields, tree.Field{Key: f.Key, Pos: f.Pos, Value: r.evaluate(f.Value, kind)})
		}
		return out
	}
	text, ok := n.Text()
	if !ok || !isTemplate(text) {
		return n
	}
	v, err := r.templateValue(n, text, kind)
	if err != nil {
		r.templateError(n, err)
		return &tree.Node{Pos: n.Pos}
	}
	return r.made(v, n.Pos)
}

// isTemplate holds for text that opens a template and closes it: anything else
// is text. What opens one with a mistake in it is a template as well.
func isTemplate(text string) bool { return jinja.IsTemplate(text, jinja.Recipe) }

// templateValue keeps the type of a value that is a single expression: ${{
// number }} stays a number.
func (r *v1Recipe) templateValue(n *tree.Node, text string, kind scopeKind) (any, error) {
	t, err := r.templates.template(text)
	if err != nil {
		return nil, err
	}
	defer r.reading(n, text)()
	return t.Value(r.scope(kind))
}

// reading says what is evaluated, for the reads that follow, until it is over.
func (r *v1Recipe) reading(n *tree.Node, text string) (done func()) {
	before := r.current
	r.current = Read{Pos: n.Pos, Why: "read by " + shortText(text)}
	return func() { r.current = before }
}

// shortText is a text's first line, cut to what a person reads.
func shortText(text string) string {
	first, _, more := strings.Cut(strings.TrimSpace(text), "\n")
	if runes := []rune(first); len(runes) > 80 {
		first, more = string(runes[:80]), true
	}
	if more {
		first += " …"
	}
	return first
}

// made is a node of an evaluated value. Templates can make lists much longer
// than a file: they are counted like the file's.
func (r *v1Recipe) made(v any, pos tree.Pos) *tree.Node {
	if r.values++; r.values > tree.MaxNodes {
		r.report.Fail(pos, "", "the recipe's templates make more than %d values", tree.MaxNodes)
		return &tree.Node{Pos: pos}
	}
	switch v := v.(type) {
	case []any:
		n := &tree.Node{Kind: tree.List, Pos: pos}
		for _, item := range v {
			n.Items = append(n.Items, r.made(item, pos))
		}
		return n
	case *jinja.Dict:
		n := &tree.Node{Kind: tree.Map, Pos: pos}
		for _, key := range v.Keys() {
			item, _ := v.Get(key)
			n.Fields = append(n.Fields, tree.Field{Key: key, Pos: pos, Value: r.made(item, pos)})
		}
		return n
	case jinja.Late:
		return &tree.Node{Value: string(v), Pos: pos}
	case float64:
		return &tree.Node{Value: tree.ScalarText(v), Pos: pos}
	case string, bool, int64:
		return &tree.Node{Value: v, Pos: pos}
	}
	return &tree.Node{Pos: pos}
}

// item evaluates a list's item, which a template may make none or many.
func (r *v1Recipe) item(n *tree.Node, kind scopeKind) []*tree.Node {
	v := r.evaluate(n, kind)
	text, isText := v.Text()
	raw, _ := n.Text()
	switch {
	case isText && text == "", v.IsNull() && raw != "":
		return nil
	case v.Kind == tree.List && n.Kind == tree.Scalar:
		return v.Items
	}
	return []*tree.Node{v}
}

// flatten decides the conditions of a list: the items that are left, as the
// file has them. A single value is a list of one.
func (r *v1Recipe) flatten(n *tree.Node) []*tree.Node {
	if n != nil && isCondition(n) {
		r.report.Fail(n.Get("if").Pos, "make it a list item: - if: …", "if: and then: stand in a list only")
		return nil
	}
	return r.chosen(n)
}

// chosen is flatten for what a condition chooses, which may be a condition.
func (r *v1Recipe) chosen(n *tree.Node) []*tree.Node {
	var out []*tree.Node
	for _, item := range n.All() {
		if !isCondition(item) {
			out = append(out, item)
			continue
		}
		out = append(out, r.chosen(r.branch(item))...)
	}
	return out
}

// isCondition tells a mapping that chooses from one that is chosen.
func isCondition(n *tree.Node) bool { return n.Kind == tree.Map && n.Get("if") != nil }

// branch is what if: chooses; nil is nothing.
func (r *v1Recipe) branch(n *tree.Node) *tree.Node {
	parts, ok := r.conditionParts(n)
	if !ok {
		return nil
	}
	yes, ok := r.decide(parts["if"])
	switch {
	case !ok:
		return nil
	case yes:
		return parts["then"]
	}
	return parts["else"]
}

// conditionParts checks an item's keys.
func (r *v1Recipe) conditionParts(n *tree.Node) (map[string]*tree.Node, bool) {
	parts := map[string]*tree.Node{}
	for _, f := range n.Fields {
		if !slices.Contains([]string{"if", "then", "else"}, f.Key) {
			hint := "a condition has if:, then: and else:"
			if near := jinja.Near(f.Key, []string{"then", "else"}); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			r.report.Fail(f.Pos, hint, "unknown key %q beside if:", f.Key)
			return nil, false
		}
		parts[f.Key] = f.Value
	}
	if parts["then"] == nil {
		r.report.Fail(n.Pos, "add then: with what to do", "if: without then:")
		return nil, false
	}
	return parts, true
}

// decide evaluates a condition; ok is false when that failed and was reported.
func (r *v1Recipe) decide(n *tree.Node) (yes, ok bool) {
	switch v := n.Value.(type) {
	case bool:
		return v, true
	case string:
		return r.condition(n, v)
	}
	r.report.Fail(n.Pos, "write an expression such as linux and not aarch64", "the condition is %s", n.Describe())
	return false, false
}

// condition evaluates an expression that stands without ${{ }}.
func (r *v1Recipe) condition(n *tree.Node, text string) (yes, ok bool) {
	if isTemplate(text) {
		if strings.HasPrefix(strings.TrimSpace(text), "${{") {
			v := r.evaluate(n, scopeFields)
			return r.truth(v), !v.IsNull()
		}
		r.report.Fail(n.Pos, "write the expression alone", "a condition needs no ${{ }}")
		return false, false
	}
	x, err := r.templates.expression(text)
	if err == nil {
		done := r.reading(n, text)
		yes, err = x.Truth(r.scope(scopeFields))
		done()
	}
	if err != nil {
		r.templateError(n, conditionError(err, text))
		return false, false
	}
	return yes, true
}

// conditionError adds what a platform's name in a condition may have meant.
func conditionError(err error, text string) error {
	var e *jinja.Error
	if errors.As(err, &e) && e.Hint == "" && strings.Contains(text, "-") {
		e.Hint = `compare the platform: target_platform == "linux-64"`
	}
	return err
}

// truth is that of a condition's template: text that is not a boolean holds
// when it is not empty.
func (r *v1Recipe) truth(n *tree.Node) bool {
	switch v := n.Value.(type) {
	case bool:
		return v
	case int64:
		return v != 0
	case string:
		return v != "" && !strings.EqualFold(v, "false")
	}
	return n.Kind != tree.Scalar
}

// templateError reports an error inside n's text, or the one in the context that
// it follows from.
func (r *v1Recipe) templateError(n *tree.Node, err error) {
	if p, ok := r.cause(n, err); ok {
		r.report.Add(p)
	}
}

// cause is the problem behind an error; ok is false when it has been said.
func (r *v1Recipe) cause(n *tree.Node, err error) (p tree.Problem, ok bool) {
	if first, failed := r.failures[undefinedName(err)]; failed {
		if first == nil {
			return p, false
		}
		return *first, true
	}
	return r.templateProblem(n, err), true
}

// templateProblem places an error inside n's text.
func (j *job) templateProblem(n *tree.Node, err error) tree.Problem {
	var e *jinja.Error
	if !errors.As(err, &e) {
		return tree.Problem{Pos: n.Pos, Text: err.Error()}
	}
	return tree.Problem{Pos: n.Inside(j.text, e.Offset), Text: e.Text, Hint: e.Hint}
}
