package recipe

import (
	"regexp"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

var (
	bareTemplate    = regexp.MustCompile(`(?:^|[^$])(\{\{([^{}]*)\}\})`)
	commentSelector = regexp.MustCompile(`#\s*\[([^\[\]]+)\]\s*$`)
)

// warnOfOldHabits finds what meta.yaml would evaluate and recipe.yaml takes as
// it stands: templates without a dollar and selectors in comments. Such a
// recipe builds, and is wrong.
func (r *v1Recipe) warnOfOldHabits() {
	r.warnOfBareTemplates(r.root)
	lines := strings.Split(r.text, "\n")
	r.warnOfSelectors(r.root, lines)
}

// warnOfBareTemplates looks at every text of the recipe.
func (r *v1Recipe) warnOfBareTemplates(n *tree.Node) {
	for _, item := range n.Items {
		r.warnOfBareTemplates(item)
	}
	for _, f := range n.Fields {
		r.warnOfBareTemplates(f.Value)
	}
	text, ok := n.Text()
	if !ok || !n.Written() || len(r.report.Warnings()) >= tree.MaxProblems {
		return
	}
	for _, m := range bareTemplate.FindAllStringSubmatchIndex(text, tree.MaxProblems) {
		if r.mentionsKnown(text[m[4]:m[5]]) {
			r.report.Warn(n.Inside(r.text, m[2]), "write $"+text[m[2]:m[3]],
				"%s has no $ before it: recipe.yaml keeps it as text", text[m[2]:m[3]])
		}
	}
}

// mentionsKnown tells whether source is an expression about something that
// the recipe knows: other braces are somebody else's.
func (r *v1Recipe) mentionsKnown(source string) bool {
	x, err := jinja.ParseExpression(source, jinja.Meta)
	if err != nil {
		return false
	}
	known := r.scope(scopeFields).Known()
	return slices.ContainsFunc(x.Names(), func(name string) bool { return slices.Contains(known, name) })
}

// warnOfSelectors looks at YAML's comments, not at those of scripts.
func (r *v1Recipe) warnOfSelectors(n *tree.Node, lines []string) {
	if n.Comment() != "" {
		r.warnOfSelector(n, lines)
	}
	for _, item := range n.Items {
		r.warnOfSelectors(item, lines)
	}
	for _, f := range n.Fields {
		r.warnOfSelectors(f.Value, lines)
	}
}

// warnOfSelector speaks up only for names that a selector of meta.yaml would
// have: [1] in a comment means nothing.
func (r *v1Recipe) warnOfSelector(n *tree.Node, lines []string) {
	m := commentSelector.FindStringSubmatch(n.Comment())
	if m == nil || n.Pos.Line > len(lines) {
		return
	}
	x, err := jinja.ParseExpression(m[1], jinja.Meta)
	if err != nil {
		return
	}
	names := x.Names()
	flags := r.platform.Flags()
	if len(names) == 0 || !slices.ContainsFunc(names, func(s string) bool { _, ok := flags[s]; return ok || s == "py" }) {
		return
	}
	line := lines[n.Pos.Line-1]
	column := n.Pos.Column
	if i := strings.LastIndexByte(line, '#'); i >= 0 {
		column = len([]rune(line[:i])) + 1
	}
	r.report.Warn(tree.Pos{File: r.file, Line: n.Pos.Line, Column: column}, "write a list item with if: "+strings.TrimSpace(m[1])+" and then:",
		"# [%s] is meta.yaml's selector: in recipe.yaml it is a comment without effect", m[1])
}
