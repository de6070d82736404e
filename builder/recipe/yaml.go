package recipe

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Limits of a recipe's YAML.
const (
	maxDepth = 64
	maxNodes = 100_000

	maxAnchors = 1000 // the library compares each with all before it
)

// anchorRule finds what may be an anchor; a shell's & and && are none.
var anchorRule = regexp.MustCompile(`(?:^|[\s\[{,])&[^\s&]`)

// kind tells what a node is.
type kind int

const (
	scalarNode kind = iota
	listNode
	mapNode
)

// node is a value of a recipe with its place. Templates in it may still be
// unevaluated; value is then the template's text.
type node struct {
	kind   kind
	value  any // of a scalar: string, bool, int64 or nil
	plain  bool
	items  []*node
	fields []field
	pos    Pos
	source *yaml.Node // nil when the node was made by evaluation
}

// field is a key of a mapping with its value.
type field struct {
	key   string
	pos   Pos
	value *node
}

// get returns the value of key, nil when it is missing or null.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, f := range n.fields {
		if f.key == key && !f.value.isNull() {
			return f.value
		}
	}
	return nil
}

// isNull holds for a missing node, too: most keys may be either.
func (n *node) isNull() bool { return n == nil || n.kind == scalarNode && n.value == nil }

// text is a scalar's text; ok is false for anything else.
func (n *node) text() (string, bool) {
	if n == nil || n.kind != scalarNode {
		return "", false
	}
	s, ok := n.value.(string)
	return s, ok
}

// coreTags change nothing here, but that !!str keeps text what looks like
// another value.
var coreTags = []string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!seq", "!!map", "!"}

// typer gives a plain scalar its value: formats differ in what is a boolean.
type typer func(tag, text string) any

// reader makes nodes of YAML.
type reader struct {
	*job
	typed  typer
	strict bool // anchors and duplicate keys are errors
	count  int
}

// parse reads text as one YAML document; nil when there are problems.
func (r *reader) parse(text string) *node {
	if structure(text) > maxNodes {
		r.report.fail(Pos{r.file, 1, 1}, "", "the recipe has more than %d lines and items", maxNodes)
		return nil
	}
	if len(anchorRule.FindAllStringIndex(text, maxAnchors+1)) > maxAnchors {
		r.report.fail(Pos{r.file, 1, 1}, "write the values out", "the recipe has more than %d anchors", maxAnchors)
		return nil
	}
	var doc yaml.Node
	if err := yaml.Load([]byte(text), &doc); err != nil {
		r.syntax(text, err)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		r.report.fail(Pos{r.file, 1, 1}, "", "the recipe is empty")
		return nil
	}
	root := r.convert(doc.Content[0], 1)
	if root == nil || len(r.report.errors) > 0 {
		return nil
	}
	if root.kind != mapNode {
		r.report.fail(root.pos, "begin with package:", "the recipe is %s, not a mapping", root.describe())
		return nil
	}
	return root
}

// structure is about how many values YAML will find: the library needs time
// that grows with the square of their number.
func structure(text string) int {
	n := 0
	for i := range len(text) {
		switch text[i] {
		case ',', '[', '{', '\n':
			n++
		}
	}
	return n
}

// syntax reports what the YAML library refused in source.
func (r *reader) syntax(source string, err error) {
	var many *yaml.LoadErrors
	if errors.As(err, &many) && len(many.Errors) > 0 {
		err = many.Errors[0]
	}
	pos, text := Pos{r.file, 1, 1}, err.Error()
	if one, ok := errors.AsType[*yaml.LoadError](err); ok {
		text = strings.TrimPrefix(one.Message, "yaml: ")
		if one.ContextMsg != "" {
			text = one.ContextMsg + ": " + text
		}
		if line, column := place(one, source); line > 0 {
			pos = r.positions.at(line, column)
		}
	}
	hint := ""
	switch {
	case strings.Contains(text, "no documents"):
		r.report.fail(pos, "begin with package:", "the recipe is empty")
		return
	case strings.Contains(text, "cannot start any token"):
		hint = "indent with blanks, not tabs, and put text that begins with a special character in quotes"
	case strings.Contains(text, "mapping values are not allowed"):
		hint = "put text that holds \": \" in quotes, and indent keys alike"
	case strings.Contains(text, "quoted scalar"):
		hint = "close the quote"
	case strings.Contains(text, "flow "):
		hint = "close the [ or {, and put commas between its items"
	case strings.Contains(text, "expected ':'"):
		hint = "write key: value"
	case strings.Contains(text, "multiple"):
		hint = "a recipe is one document: remove the --- in the middle"
	}
	r.report.fail(pos, hint, "the YAML is not valid: %s", text)
}

// place is where the author should look: not where the text ends, but at what
// was opened and not closed.
func place(e *yaml.LoadError, source string) (line, column int) {
	source = strings.TrimRight(source, " \n")
	last := strings.Count(source, "\n") + 1
	mark := e.Mark
	if e.ContextMark.Line > 0 && (mark.Line > last || strings.Contains(e.Message, "expected ':'")) {
		mark = e.ContextMark
	}
	if mark.Line > last {
		return last, utf8.RuneCountInString(source[strings.LastIndexByte(source, '\n')+1:]) + 1
	}
	return mark.Line, mark.Column
}

// convert makes a node of the library's. Nesting and the number of nodes are
// bounded: aliases of aliases would grow without end.
func (r *reader) convert(y *yaml.Node, depth int) *node {
	n := &node{pos: r.positions.at(y.Line, y.Column), source: y}
	r.count++
	if r.refuses(y, n.pos, depth) {
		return nil
	}
	switch y.Kind {
	case yaml.AliasNode:
		return r.convert(y.Alias, depth+1)
	case yaml.SequenceNode:
		return r.list(n, y, depth)
	case yaml.MappingNode:
		return r.mapping(n, y, depth)
	}
	quoted := yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	if y.ShortTag() == "!!str" {
		quoted |= yaml.TaggedStyle
	}
	n.plain = y.Style&quoted == 0
	n.value = y.Value
	if n.plain {
		n.value = r.typed(y.Tag, y.Value)
	}
	return n
}

// refuses tells whether y is more than a recipe may hold, and says so.
func (r *reader) refuses(y *yaml.Node, pos Pos, depth int) bool {
	switch {
	case depth > maxDepth:
		r.report.fail(pos, "", "the recipe is nested more than %d deep", maxDepth)
	case r.count > maxNodes:
		r.report.fail(pos, "", "the recipe has more than %d values", maxNodes)
	case y.Anchor != "" && r.strict:
		r.report.fail(pos, "write the value out", "recipe.yaml has no anchors: &%s", y.Anchor)
	case y.Kind == yaml.AliasNode && r.strict:
		r.report.fail(pos, "write the value out", "recipe.yaml has no aliases: *%s", y.Value)
	case y.Style&yaml.TaggedStyle != 0 && !slices.Contains(coreTags, y.ShortTag()):
		r.report.fail(pos, "remove it", "the YAML tag %s is not supported", y.ShortTag())
	default:
		return false
	}
	return true
}

// list converts a list's items.
func (r *reader) list(n *node, y *yaml.Node, depth int) *node {
	n.kind = listNode
	for _, item := range y.Content {
		v := r.convert(item, depth+1)
		if v == nil {
			return nil
		}
		n.items = append(n.items, v)
	}
	return n
}

// mapping refuses what the formats do not have: keys that are not text, and
// merge keys.
func (r *reader) mapping(n *node, y *yaml.Node, depth int) *node {
	n.kind = mapNode
	seen := make(map[string]int, len(y.Content)/2)
	for i := 0; i+1 < len(y.Content); i += 2 {
		k := y.Content[i]
		pos := r.positions.at(k.Line, k.Column)
		if k.Kind != yaml.ScalarNode {
			r.report.fail(pos, "put text in quotes if it begins with { or [", "a key is text")
			return nil
		}
		if k.Tag == "!!merge" {
			r.report.fail(pos, "write the keys out", "merge keys (<<) are not supported")
			return nil
		}
		v := r.convert(y.Content[i+1], depth+1)
		if v == nil {
			return nil
		}
		if at, twice := seen[k.Value]; twice {
			r.duplicate(n, at, field{k.Value, pos, v})
			continue
		}
		seen[k.Value] = len(n.fields)
		n.fields = append(n.fields, field{k.Value, pos, v})
	}
	return n
}

// duplicate refuses a second key, or lets it win as conda-build does.
func (r *reader) duplicate(n *node, at int, f field) {
	first := n.fields[at].pos
	if r.strict {
		r.report.fail(f.pos, "keep one of them", "the key %q stands here twice, first in line %d", f.key, first.Line)
		return
	}
	r.report.warn(f.pos, "the last one counts", "the key %q stands here twice, first in line %d", f.key, first.Line)
	n.fields[at] = f
}

// describe names a node's kind in an error.
func (n *node) describe() string {
	switch {
	case n.kind == listNode:
		return "a list"
	case n.kind == mapNode:
		return "a mapping"
	case n.value == nil:
		return "empty"
	}
	switch n.value.(type) {
	case bool:
		return "a boolean"
	case int64:
		return "an integer"
	}
	return "text"
}
