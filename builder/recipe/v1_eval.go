package recipe

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
)

// evaluate returns n with its templates evaluated and its conditions decided.
// What cannot be evaluated is reported and becomes null.
func (r *v1Recipe) evaluate(n *node, kind scopeKind) *node {
	switch n.kind {
	case listNode:
		out := &node{kind: listNode, pos: n.pos, source: n.source}
		for _, item := range n.items {
			out.items = append(out.items, r.item(item, kind)...)
		}
		return out
	case mapNode:
		out := &node{kind: mapNode, pos: n.pos, source: n.source}
		if misplaced := n.get("if"); misplaced != nil && n.get("then") != nil {
			r.report.fail(misplaced.pos, "make it a list item: - if: …", "if: and then: stand in a list only")
			return &node{pos: n.pos}
		}
		for _, f := range n.fields {
			inner := kind
			if f.key == "script" || f.key == "content" {
				inner = scopeScript
			}
			out.fields = append(out.fields, field{f.key, f.pos, r.evaluate(f.value, inner)})
		}
		return out
	}
	text, ok := n.text()
	if !ok || !jinja.IsTemplate(text, jinja.Recipe) {
		return n
	}
	v, err := r.templateValue(text, kind)
	if err != nil {
		r.templateError(n, err)
		return &node{pos: n.pos}
	}
	return r.made(v, n.pos)
}

// made is a node of an evaluated value. Templates can make lists much longer
// than a file: they are counted like the file's.
func (r *v1Recipe) made(v any, pos Pos) *node {
	if r.values++; r.values > maxNodes {
		r.report.fail(pos, "", "the recipe's templates make more than %d values", maxNodes)
		return &node{pos: pos}
	}
	switch v := v.(type) {
	case []any:
		n := &node{kind: listNode, pos: pos}
		for _, item := range v {
			n.items = append(n.items, r.made(item, pos))
		}
		return n
	case *jinja.Dict:
		n := &node{kind: mapNode, pos: pos}
		for _, key := range v.Keys() {
			item, _ := v.Get(key)
			n.fields = append(n.fields, field{key, pos, r.made(item, pos)})
		}
		return n
	case jinja.Late:
		return &node{value: string(v), pos: pos}
	case float64:
		return &node{value: variantText(v), pos: pos}
	case string, bool, int64:
		return &node{value: v, pos: pos}
	}
	return &node{pos: pos}
}

// item evaluates a list's item, which a condition may make none or many.
func (r *v1Recipe) item(n *node, kind scopeKind) []*node {
	if n.kind == mapNode && slices.ContainsFunc(n.fields, func(f field) bool { return f.key == "if" }) {
		return r.branch(n, kind)
	}
	v := r.evaluate(n, kind)
	text, isText := v.text()
	raw, _ := n.text()
	switch {
	case isText && text == "", v.isNull() && raw != "":
		return nil
	case v.kind == listNode && n.kind == scalarNode:
		return v.items
	}
	return []*node{v}
}

// branch is what if: chooses, its items in the place of the condition.
func (r *v1Recipe) branch(n *node, kind scopeKind) []*node {
	var cond, then, alt *node
	for _, f := range n.fields {
		switch f.key {
		case "if":
			cond = f.value
		case "then":
			then = f.value
		case "else":
			alt = f.value
		default:
			hint := "a condition has if:, then: and else:"
			if near := jinja.Near(f.key, []string{"then", "else"}); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			r.report.fail(f.pos, hint, "unknown key %q beside if:", f.key)
			return nil
		}
	}
	if then == nil {
		r.report.fail(n.pos, "add then: with what to do", "if: without then:")
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
	var out []*node
	for _, item := range chosen.list() {
		out = append(out, r.item(item, kind)...)
	}
	return out
}

// useMentioned counts the names of a branch that is not taken: for scripts,
// and only there, both branches make the variant.
func (r *v1Recipe) useMentioned(n *node) {
	if n == nil {
		return
	}
	for _, item := range n.items {
		r.useMentioned(item)
	}
	for _, f := range n.fields {
		r.useMentioned(f.value)
	}
	if text, ok := n.text(); ok && jinja.IsTemplate(text, jinja.Recipe) {
		if t, err := jinja.Parse(text, jinja.Recipe); err == nil {
			r.useAll(t.Names())
		}
	}
}

// decide evaluates a condition; ok is false when that failed and was reported.
func (r *v1Recipe) decide(n *node) (yes, ok bool) {
	switch v := n.value.(type) {
	case bool:
		return v, true
	case string:
		return r.condition(n, v)
	}
	r.report.fail(n.pos, "write an expression such as linux and not aarch64", "the condition is %s", n.describe())
	return false, false
}

// condition evaluates an expression that stands without ${{ }}.
func (r *v1Recipe) condition(n *node, text string) (yes, ok bool) {
	if jinja.IsTemplate(text, jinja.Recipe) {
		if strings.HasPrefix(strings.TrimSpace(text), "${{") {
			v := r.evaluate(n, scopeConditions)
			return r.boolean(v, "the condition", false), !v.isNull()
		}
		r.report.fail(n.pos, "write the expression alone", "a condition needs no ${{ }}")
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
	"is_linux":   platformTest(func(p platform) bool { return p.family == "linux" }),
	"is_osx":     platformTest(platform.apple),
	"is_windows": platformTest(platform.windows),
	"is_unix":    platformTest(platform.unix),
}

func platformTest(holds func(platform) bool) jinja.Func {
	return func(c jinja.Call) (any, error) {
		name, err := c.String(0, "platform")
		if err != nil {
			return nil, err
		}
		p, err := parsePlatform(name)
		return err == nil && holds(p), nil
	}
}
