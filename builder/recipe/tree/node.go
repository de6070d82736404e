package tree

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Limits of a file. MaxNodes counts values, of a mapping and of a list, too.
const (
	maxDepth = 64
	MaxNodes = 100_000

	maxAnchors = 1000 // the library compares each with all before it
)

// anchorRule finds what may be an anchor; a shell's & and && are none.
var anchorRule = regexp.MustCompile(`(?:^|[\s\[{,])&[^\s&]`)

// Kind tells what a node is.
type Kind int

const (
	Scalar Kind = iota
	List
	Map
)

// Node is a value of a recipe with its place. Templates in it may still be
// unevaluated; Value is then the template's text.
type Node struct {
	Kind   Kind
	Value  any     // of a scalar: string, bool, int64 or nil
	Plain  bool    // of a scalar: it has no quotes in the file
	Items  []*Node // of a list
	Fields []Field // of a mapping, in the file's order
	Pos    Pos
	source *yaml.Node // nil when the node was made by evaluation
}

// Field is a key of a mapping with its value.
type Field struct {
	Key   string
	Pos   Pos
	Value *Node
}

// Get returns the value of key, nil when it is missing or null.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for _, f := range n.Fields {
		if f.Key == key && !f.Value.IsNull() {
			return f.Value
		}
	}
	return nil
}

// FieldsBut are a mapping's fields without some: those are evaluated at another
// time.
func (n *Node) FieldsBut(names ...string) []Field {
	if n == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(n.Fields), func(f Field) bool { return slices.Contains(names, f.Key) })
}

// IsNull holds for a missing node, too: most keys may be either.
func (n *Node) IsNull() bool { return n == nil || n.Kind == Scalar && n.Value == nil }

// Text is a scalar's text; ok is false for anything else.
func (n *Node) Text() (string, bool) {
	if n == nil || n.Kind != Scalar {
		return "", false
	}
	s, ok := n.Value.(string)
	return s, ok
}

// coreTags change nothing here, but that !!str keeps text what looks like
// another value.
var coreTags = []string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!seq", "!!map", "!"}

// Reader makes a tree of YAML.
type Reader struct {
	File   string  // that problems name, e.g. recipe.yaml
	What   string  // it is in problems, e.g. the recipe
	Begin  string  // what such a file begins with, e.g. package:
	Report *Report // takes the problems
	// At leads from the text that is read to the file: they differ in a
	// meta.yaml, whose lines are cut and evaluated first. nil: they are the same.
	At func(line, column int) Pos
	// Typed gives a plain scalar its value, by its YAML tag and its text: formats
	// differ in what is a boolean.
	Typed  func(tag, text string) any
	Strict bool // anchors and duplicate keys are errors

	count int
}

// at is the place in the file.
func (r *Reader) at(line, column int) Pos {
	if r.At != nil {
		return r.At(line, column)
	}
	return Pos{r.File, line, column}
}

// Parse reads text as one YAML document that is a mapping; nil when there are
// problems, which the report has.
func (r *Reader) Parse(text string) *Node {
	if structure(text) > MaxNodes {
		r.Report.Fail(Pos{r.File, 1, 1}, "", "%s has more than %d lines and items", r.What, MaxNodes)
		return nil
	}
	if len(anchorRule.FindAllStringIndex(text, maxAnchors+1)) > maxAnchors {
		r.Report.Fail(Pos{r.File, 1, 1}, "write the values out", "%s has more than %d anchors", r.What, maxAnchors)
		return nil
	}
	var doc yaml.Node
	if err := yaml.Load([]byte(text), &doc); err != nil {
		r.syntax(text, err)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		r.Report.Fail(Pos{r.File, 1, 1}, "", "%s is empty", r.What)
		return nil
	}
	root := r.convert(doc.Content[0], 1)
	if root == nil || r.Report.Failed() {
		return nil
	}
	if root.Kind != Map {
		r.Report.Fail(root.Pos, "begin with "+r.Begin, "%s is %s, not a mapping", r.What, root.Describe())
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

// newTemplate is how a recipe.yaml, which alone is read strictly, differs from a
// meta.yaml.
const newTemplate = "write ${{ … }}: a recipe.yaml's templates begin with a dollar sign"

// oldTemplate is a meta.yaml's.
var oldTemplate = regexp.MustCompile(`(?:^|[^$]){{`)

// lineOf is a line of text, counted from 1; "" when there is none.
func lineOf(text string, line int) string {
	lines := strings.Split(text, "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	return lines[line-1]
}

// syntax reports what the YAML library refused in source.
func (r *Reader) syntax(source string, err error) {
	var many *yaml.LoadErrors
	if errors.As(err, &many) && len(many.Errors) > 0 {
		err = many.Errors[0]
	}
	pos, text := Pos{r.File, 1, 1}, err.Error()
	if one, ok := errors.AsType[*yaml.LoadError](err); ok {
		text = strings.TrimPrefix(one.Message, "yaml: ")
		if one.ContextMsg != "" {
			text = one.ContextMsg + ": " + text
		}
		if line, column := place(one, source); line > 0 {
			pos = r.at(line, column)
		}
	}
	hint := ""
	switch {
	case r.Strict && oldTemplate.MatchString(lineOf(source, pos.Line)):
		hint = newTemplate
	case strings.Contains(text, "no documents"):
		r.Report.Fail(pos, "begin with "+r.Begin, "%s is empty", r.What)
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
		hint = "write Key: value"
	case strings.Contains(text, "multiple"):
		hint = "a recipe is one document: remove the --- in the middle"
	}
	r.Report.Fail(pos, hint, "the YAML is not valid: %s", text)
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
func (r *Reader) convert(y *yaml.Node, depth int) *Node {
	n := &Node{Pos: r.at(y.Line, y.Column), source: y}
	r.count++
	if r.refuses(y, n.Pos, depth) {
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
	n.Plain = y.Style&quoted == 0
	n.Value = y.Value
	if n.Plain {
		n.Value = r.Typed(y.Tag, y.Value)
	}
	return n
}

// refuses tells whether y is more than a recipe may hold, and says so.
func (r *Reader) refuses(y *yaml.Node, pos Pos, depth int) bool {
	switch {
	case depth > maxDepth:
		r.Report.Fail(pos, "", "%s is nested more than %d deep", r.What, maxDepth)
	case r.count > MaxNodes:
		r.Report.Fail(pos, "", "%s has more than %d values", r.What, MaxNodes)
	case y.Anchor != "" && r.Strict:
		r.Report.Fail(pos, "write the value out", "recipe.yaml has no anchors: &%s", y.Anchor)
	case y.Kind == yaml.AliasNode && r.Strict:
		r.Report.Fail(pos, "write the value out", "recipe.yaml has no aliases: *%s", y.Value)
	case y.Style&yaml.TaggedStyle != 0 && !slices.Contains(coreTags, y.ShortTag()):
		r.Report.Fail(pos, "remove it", "the YAML tag %s is not supported", y.ShortTag())
	default:
		return false
	}
	return true
}

// list converts a list's items.
func (r *Reader) list(n *Node, y *yaml.Node, depth int) *Node {
	n.Kind = List
	for _, item := range y.Content {
		v := r.convert(item, depth+1)
		if v == nil {
			return nil
		}
		n.Items = append(n.Items, v)
	}
	return n
}

// mapping refuses what the formats do not have: keys that are not text, and
// merge keys.
func (r *Reader) mapping(n *Node, y *yaml.Node, depth int) *Node {
	n.Kind = Map
	seen := make(map[string]int, len(y.Content)/2)
	for i := 0; i+1 < len(y.Content); i += 2 {
		k := y.Content[i]
		pos := r.at(k.Line, k.Column)
		if r.Strict && k.Kind == yaml.MappingNode && k.Style&yaml.FlowStyle != 0 {
			r.Report.Fail(n.Pos, newTemplate, "{{ begins no template")
			return n // the next one may have the same mistake
		}
		if k.Kind != yaml.ScalarNode {
			r.Report.Fail(pos, "put text in quotes if it begins with { or [", "a key is text")
			return nil
		}
		if k.Tag == "!!merge" {
			r.Report.Fail(pos, "write the keys out", "merge keys (<<) are not supported")
			return nil
		}
		v := r.convert(y.Content[i+1], depth+1)
		if v == nil {
			return nil
		}
		if at, twice := seen[k.Value]; twice {
			r.duplicate(n, at, Field{k.Value, pos, v})
			continue
		}
		seen[k.Value] = len(n.Fields)
		n.Fields = append(n.Fields, Field{k.Value, pos, v})
	}
	return n
}

// duplicate refuses a second key, or lets it win as conda-build does.
func (r *Reader) duplicate(n *Node, at int, f Field) {
	first := n.Fields[at].Pos
	if r.Strict {
		r.Report.Fail(f.Pos, "keep one of them", "the key %q stands here twice, first in line %d", f.Key, first.Line)
		return
	}
	r.Report.Warn(f.Pos, "the last one counts", "the key %q stands here twice, first in line %d", f.Key, first.Line)
	n.Fields[at] = f
}

// Describe names a node's kind in an error.
func (n *Node) Describe() string {
	switch {
	case n.Kind == List:
		return "a list"
	case n.Kind == Map:
		return "a mapping"
	case n.Value == nil:
		return "empty"
	}
	switch n.Value.(type) {
	case bool:
		return "a boolean"
	case int64:
		return "an integer"
	}
	return "text"
}
