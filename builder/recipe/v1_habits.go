package recipe

import (
	"regexp"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
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
func (r *v1Recipe) warnOfBareTemplates(n *node) {
	for _, item := range n.items {
		r.warnOfBareTemplates(item)
	}
	for _, f := range n.fields {
		r.warnOfBareTemplates(f.value)
	}
	text, ok := n.text()
	if !ok || n.source == nil {
		return
	}
	for _, m := range bareTemplate.FindAllStringSubmatchIndex(text, -1) {
		if r.mentionsKnown(text[m[4]:m[5]]) {
			r.report.warn(r.inside(n, m[2]), "write $"+text[m[2]:m[3]],
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
func (r *v1Recipe) warnOfSelectors(n *node, lines []string) {
	if n.source != nil && n.source.LineComment != "" {
		r.warnOfSelector(n, lines)
	}
	for _, item := range n.items {
		r.warnOfSelectors(item, lines)
	}
	for _, f := range n.fields {
		r.warnOfSelectors(f.value, lines)
	}
}

// warnOfSelector speaks up only for names that a selector of meta.yaml would
// have: [1] in a comment means nothing.
func (r *v1Recipe) warnOfSelector(n *node, lines []string) {
	m := commentSelector.FindStringSubmatch(n.source.LineComment)
	if m == nil || n.pos.Line > len(lines) {
		return
	}
	x, err := jinja.ParseExpression(m[1], jinja.Meta)
	if err != nil {
		return
	}
	names := x.Names()
	flags := r.platform.flags()
	if len(names) == 0 || !slices.ContainsFunc(names, func(s string) bool { _, ok := flags[s]; return ok || s == "py" }) {
		return
	}
	line := lines[n.pos.Line-1]
	column := n.pos.Column
	if i := strings.LastIndexByte(line, '#'); i >= 0 {
		column = len([]rune(line[:i])) + 1
	}
	r.report.warn(Pos{r.file, n.pos.Line, column}, "write a list item with if: "+strings.TrimSpace(m[1])+" and then:",
		"# [%s] is meta.yaml's selector: in recipe.yaml it is a comment without effect", m[1])
}
