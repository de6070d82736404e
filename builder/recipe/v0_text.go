package recipe

import (
	"errors"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// A meta.yaml is text before it is YAML. As conda-build does, lines are first
// kept or dropped by their selectors, then the text is a template, then lines
// are selected once more. Each step remembers where its lines came from.

// selectorRule is conda-build's: [expression] at the end of a line, behind a #
// with anything but parentheses after it, or at the very end without a #.
var selectorRule = regexp.MustCompile(`^(.+?)\s*(?:(#.*)\[([^\[\]]+)\][^()]*|\[([^\[\]]+)\])$`)

// selected is a text whose lines went through their selectors.
type selected struct {
	text  string
	lines []int // of the text before, from 1, for each line of text
}

// choose applies the selectors of text. at gives the place of a line of it.
func (r *v0Recipe) choose(text string, at func(line, column int) tree.Pos) selected {
	var out selected
	var b strings.Builder
	known := map[string]bool{}
	line := 0
	for full := range strings.SplitSeq(text, "\n") {
		line++
		kept, keep := r.chooseLine(full, func(column int) tree.Pos { return at(line, column) }, known)
		if !keep {
			continue
		}
		b.WriteString(kept)
		b.WriteByte('\n')
		out.lines = append(out.lines, line)
	}
	out.text = b.String()
	return out
}

// chooseLine keeps or drops a line. A comment becomes an empty line, so that
// line numbers stay; what is known caches the selectors' truth, since a recipe
// repeats a few of them on hundreds of lines.
func (r *v0Recipe) chooseLine(full string, at func(column int) tree.Pos, known map[string]bool) (string, bool) {
	line := strings.TrimRight(full, " \t\r")
	if strings.HasPrefix(strings.TrimLeft(line, " \t"), "#") {
		return "", true
	}
	if !strings.HasSuffix(strings.TrimRight(line, `"'`), "]") && !strings.Contains(line, "#") {
		return line, true
	}
	m := selectorRule.FindStringSubmatchIndex(line)
	if m == nil {
		return line, true
	}
	first, last := m[6], m[7]
	if m[4] < 0 {
		first, last = m[8], m[9]
		r.report.Warn(at(utf8.RuneCountInString(line[:first-1])+1), "write a list over several lines, and a selector behind #",
			"[%s] at the end of a line is a selector, even without a #", line[first:last])
	}
	source := line[first:last]
	yes, done := known[source]
	if !done {
		yes = r.selects(source, m[4] >= 0, func(offset int) tree.Pos { return at(utf8.RuneCountInString(line[:first+offset]) + 1) })
		known[source] = yes
	}
	kept := line[:m[3]]
	if quote := line[len(line)-1]; quote == '"' || quote == '\'' {
		kept += string(quote)
	}
	return kept, yes
}

// selects evaluates a selector; names that nothing defines are false. comment
// tells that it stands behind a #.
func (r *v0Recipe) selects(source string, comment bool, at func(offset int) tree.Pos) bool {
	x, err := jinja.ParseExpression(source, jinja.Meta)
	if err == nil {
		var yes bool
		yes, err = x.Truth(jinja.Scope{Lookup: r.lookupSelector, Budget: r.budget()})
		if err == nil {
			return yes
		}
	}
	if e, ok := errors.AsType[*jinja.Error](err); ok {
		if e.Hint == "" && !comment {
			e.Hint = "brackets at the end of a line are a selector: write the list over several lines"
		}
		r.report.Fail(at(min(e.Offset, len(source))), e.Hint, "the selector [%s] is not valid: %s", source, e.Text)
	}
	return false
}

// here is a place in the recipe's file.
func (j *job) here(line, column int) tree.Pos {
	return tree.Pos{File: j.file, Line: line, Column: column}
}

// evaluate runs the three steps. Undefined names are empty, and kept from a
// build.
func (r *v0Recipe) evaluate() (string, bool) {
	raw := r.choose(r.text, r.here)
	before := func(line, column int) tree.Pos {
		if line > len(raw.lines) { // the end of the text
			return tree.Pos{File: r.file, Line: max(1, len(raw.lines)), Column: 1}
		}
		return tree.Pos{File: r.file, Line: raw.lines[line-1], Column: column}
	}
	t, err := jinja.Parse(raw.text, jinja.Meta)
	if err != nil {
		r.failAt(raw.text, err, before)
		return "", false
	}
	r.mentioned = t.Names()
	lines := tree.NewLines(raw.text)
	r.marks = nil
	text, spans, err := t.Render(r.scope(func(e *jinja.Error) { r.missed(before(lines.Place(e.Offset)), e) }))
	if err != nil {
		r.failAt(raw.text, err, before)
		return "", false
	}
	rendered := newRenderedText(raw.text, text, spans, before)
	again := r.choose(text, rendered.at)
	r.at = (&evaluated{again.lines, rendered}).at
	return again.text, !r.report.Failed()
}

// failAt reports a template's error at its place in the file.
func (r *v0Recipe) failAt(text string, err error, at func(line, column int) tree.Pos) {
	var e *jinja.Error
	if !errors.As(err, &e) {
		r.report.Fail(tree.Pos{File: r.file}, "", "%v", err)
		return
	}
	line, column := tree.NewLines(text).Place(e.Offset)
	r.report.Fail(at(line, column), e.Hint, "%s", r.shellText(e.Text))
}

// renderedText leads from a template's output back to the template.
type renderedText struct {
	source, out *tree.Lines
	spans       []jinja.Span
	before      func(line, column int) tree.Pos
}

func newRenderedText(source, out string, spans []jinja.Span, before func(line, column int) tree.Pos) *renderedText {
	return &renderedText{tree.NewLines(source), tree.NewLines(out), spans, before}
}

// at leads a place of the output to the template: into copied text letter by
// letter, to the tag where a tag made it.
func (t *renderedText) at(line, column int) tree.Pos {
	offset := t.out.Offset(line, column)
	i := sort.Search(len(t.spans), func(i int) bool { return t.spans[i].Out > offset }) - 1
	if i < 0 {
		return t.before(1, 1)
	}
	span := t.spans[i]
	source := span.Source
	if span.Same {
		source += offset - span.Out
	}
	return t.before(t.source.Place(source))
}

// evaluated is the positions of the text that is read as YAML.
type evaluated struct {
	lines    []int // of the rendered text
	rendered *renderedText
}

// at leads a place of the YAML to the file.
func (e *evaluated) at(line, column int) tree.Pos {
	if line < 1 || line > len(e.lines) {
		line = len(e.lines)
	}
	if line == 0 {
		return e.rendered.before(1, 1)
	}
	return e.rendered.at(e.lines[line-1], column)
}
