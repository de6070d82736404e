package recipe

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/platform"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// evaluate returns n with its templates evaluated and its conditions decided.
// What cannot be evaluated is reported and becomes null.
func (r *v1Recipe) evaluate(n *tree.Node, kind scopeKind) *tree.Node {
	switch n.Kind {
	case tree.List:
		out := &tree.Node{Kind: tree.List, Pos: n.Pos}
		for _, item := range n.Items {
			out.Items = append(out.Items, r.item(item, kind)...)
		}
		return out
	case tree.Map:
		out := &tree.Node{Kind: tree.Map, Pos: n.Pos}
		if misplaced := n.Get("if"); misplaced != nil && n.Get("then") != nil {
			r.report.Fail(misplaced.Pos, "make it a list item: - if: …", "if: and then: stand in a list only")
			return &tree.Node{Pos: n.Pos}
		}
		for _, f := range n.Fields {
			inner := kind
			if f.Key == "script" || f.Key == "content" {
				inner = scopeScript
			}
			out.Fields = append(out.Fields, tree.Field{Key: f.Key, Pos: f.Pos, Value: r.evaluate(f.Value, inner)})
		}
		return out
	}
	text, ok := n.Text()
	if !ok || !jinja.IsTemplate(text, jinja.Recipe) {
		return n
	}
	v, err := r.templateValue(text, kind)
	if err != nil {
		r.templateError(n, err)
		return &tree.Node{Pos: n.Pos}
	}
	return r.made(v, n.Pos)
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
		return &tree.Node{Value: variantText(v), Pos: pos}
	case string, bool, int64:
		return &tree.Node{Value: v, Pos: pos}
	}
	return &tree.Node{Pos: pos}
}

// item evaluates a list's item, which a condition may make none or many.
func (r *v1Recipe) item(n *tree.Node, kind scopeKind) []*tree.Node {
	if n.Kind == tree.Map && slices.ContainsFunc(n.Fields, func(f tree.Field) bool { return f.Key == "if" }) {
		return r.branch(n, kind)
	}
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

// branch is what if: chooses, its items in the place of the condition.
func (r *v1Recipe) branch(n *tree.Node, kind scopeKind) []*tree.Node {
	var cond, then, alt *tree.Node
	for _, f := range n.Fields {
		switch f.Key {
		case "if":
			cond = f.Value
		case "then":
			then = f.Value
		case "else":
			alt = f.Value
		default:
			hint := "a condition has if:, then: and else:"
			if near := jinja.Near(f.Key, []string{"then", "else"}); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			r.report.Fail(f.Pos, hint, "unknown key %q beside if:", f.Key)
			return nil
		}
	}
	if then == nil {
		r.report.Fail(n.Pos, "add then: with what to do", "if: without then:")
		return nil
	}
	yes, ok := r.decide(cond)
	if !ok {
		return nil
	}
	chosen, other := then, alt
	if !yes {
		chosen, other = alt, then
	}
	if kind == scopeScript {
		r.useMentioned(other)
	}
	var out []*tree.Node
	for _, item := range chosen.All() {
		out = append(out, r.item(item, kind)...)
	}
	return out
}

// useMentioned counts the names of a branch that is not taken: for scripts,
// and only there, both branches make the variant.
func (r *v1Recipe) useMentioned(n *tree.Node) {
	if n == nil {
		return
	}
	for _, item := range n.Items {
		r.useMentioned(item)
	}
	for _, f := range n.Fields {
		r.useMentioned(f.Value)
	}
	if text, ok := n.Text(); ok && jinja.IsTemplate(text, jinja.Recipe) {
		if t, err := jinja.Parse(text, jinja.Recipe); err == nil {
			r.useAll(t.Names())
		}
	}
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
	if jinja.IsTemplate(text, jinja.Recipe) {
		if strings.HasPrefix(strings.TrimSpace(text), "${{") {
			v := r.evaluate(n, scopeConditions)
			return r.boolean(v, "the condition", false), !v.IsNull()
		}
		r.report.Fail(n.Pos, "write the expression alone", "a condition needs no ${{ }}")
		return false, false
	}
	x, err := jinja.ParseExpression(text, jinja.Recipe)
	switch {
	case err != nil:
	case r.usesFailed(x.Names()):
		return false, false
	default:
		yes, err = x.Truth(r.scope(scopeConditions))
	}
	if err != nil {
		var e *jinja.Error
		if errors.As(err, &e) && e.Hint == "" && strings.Contains(text, "-") {
			e.Hint = `compare the platform: target_platform == "linux-64"`
		}
		r.templateError(n, err)
		return false, false
	}
	return yes, true
}

// platformTests are is_linux("linux-64") and the like.
var platformTests = map[string]jinja.Func{
	"is_linux":   platformTest(func(p platform.Platform) bool { return p.Family == "linux" }),
	"is_osx":     platformTest(platform.Platform.Apple),
	"is_windows": platformTest(platform.Platform.Windows),
	"is_unix":    platformTest(platform.Platform.Unix),
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
