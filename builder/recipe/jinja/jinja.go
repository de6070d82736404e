// Package jinja evaluates the templates and expressions of conda recipes. It
// knows two dialects: the strict minijinja subset of recipe.yaml, between
// ${{ and }}, and the Jinja2 of meta.yaml with its string methods.
//
// It never touches disk, network, clock or environment: names and functions
// come from a Scope, and every evaluation is paid from a Budget, so that a
// hostile template ends with an error instead of a worker's memory. Every
// error carries the offset of the text that caused it, and a Scope is asked
// for a variable only when its value is needed: who records the questions
// knows which variables a template used.
//
// Read this file first, then lex.go, parse.go, eval.go.
package jinja

import (
	"fmt"
	"strings"
)

// Dialect is the flavour of the language.
type Dialect int

const (
	// Recipe is recipe.yaml's: ${{ expression }}; strings have filters but no
	// methods; values of different kinds compare without error.
	Recipe Dialect = iota
	// Meta is meta.yaml's: {{ expression }} with Python's string methods and
	// Python's way to print values.
	Meta
)

// Error is a template that cannot be read or evaluated.
type Error struct {
	Offset int    // in bytes from the start of the template, e.g. 3
	Text   string // what is wrong, e.g. "version" is undefined
	Hint   string // what to do about it; may be ""
	Name   string // of the undefined variable that it is about; "" for other errors
}

// Error prints text and hint; the place is the caller's to print.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Text
	}
	return e.Text + "; " + e.Hint
}

// errorAt is an error at an offset of the template.
func errorAt(offset int, format string, args ...any) *Error {
	return &Error{Offset: offset, Text: fmt.Sprintf(format, args...)}
}

// hint adds what the author could write instead.
func (e *Error) hint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Scope is the world of a template.
type Scope struct {
	// Lookup gives a variable's value. It is called when the value is needed,
	// never for operands that and, or and inline if leave out.
	Lookup func(name string) (value any, found bool)
	// Known lists the names that a misspelt one may have meant; nil is none.
	Known func() []string
	// Lenient makes undefined names empty text instead of an error.
	Lenient bool
	// Missed hears in a lenient scope of each use of what is not defined, as the
	// error that it would be else; nil hears nothing.
	Missed func(*Error)
	// Load gives the text of another file that a meta.yaml includes or imports
	// from; nil is none.
	Load func(name string) (string, error)
	// Budget is shared by all templates of one recipe; nil is a new one.
	Budget *Budget
}

// Template is a parsed text with expressions in it.
type Template struct {
	dialect Dialect
	body    []stmt
}

// Expression is a parsed expression without delimiters, e.g. of an if: key.
type Expression struct {
	dialect Dialect
	root    expr
}

// Span says where a piece of the rendered text comes from.
type Span struct {
	Out    int  // offset of its first byte in the rendered text
	Source int  // offset in the template
	Same   bool // the piece is template text as it stands, not a value
}

// Parse reads a template. The error is an *Error.
func Parse(source string, d Dialect) (*Template, error) {
	p, err := newParser(source, d, false)
	if err != nil {
		return nil, err
	}
	body, err := p.template()
	if err != nil {
		return nil, err
	}
	return &Template{d, body}, nil
}

// ParseExpression reads an expression without delimiters, e.g. "linux and
// not aarch64". The error is an *Error.
func ParseExpression(source string, d Dialect) (*Expression, error) {
	p, err := newParser(source, d, true)
	if err != nil {
		return nil, err
	}
	root, err := p.expression()
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != tokenEOF {
		return nil, errorAt(t.offset, "unexpected %s after the expression", t)
	}
	return &Expression{d, root}, nil
}

// Render evaluates the template to text, with the origin of each piece of it.
// The error is an *Error.
func (t *Template) Render(s Scope) (string, []Span, error) {
	m := newMachine(t.dialect, s)
	if err := m.run(t.body); err != nil {
		return "", nil, err
	}
	return m.out.String(), m.spans, nil
}

// Value evaluates the template to a value: a template that is one expression
// and nothing else keeps the expression's type, any other is text.
func (t *Template) Value(s Scope) (any, error) {
	if len(t.body) != 1 {
		text, _, err := t.Render(s)
		return text, err
	}
	one, ok := t.body[0].(*outputStmt)
	if !ok {
		text, _, err := t.Render(s)
		return text, err
	}
	m := newMachine(t.dialect, s)
	v, err := m.eval(one.x)
	if err != nil {
		return nil, err
	}
	return m.printable(v, one.x)
}

// Names lists the variables that the template mentions, read or not, each
// once, in order.
func (t *Template) Names() []string {
	var w nameWalker
	w.statements(t.body)
	return w.names
}

// Calls lists the calls of functions with a literal text, made or not.
func (t *Template) Calls() []Mention {
	var w nameWalker
	w.statements(t.body)
	return w.calls
}

// Calls lists the calls of functions with a literal text, made or not.
func (e *Expression) Calls() []Mention {
	var w nameWalker
	w.expr(e.root)
	return w.calls
}

// Value evaluates the expression; an undefined result is an error unless the
// scope is lenient.
func (e *Expression) Value(s Scope) (any, error) {
	m := newMachine(e.dialect, s)
	v, err := m.eval(e.root)
	if err != nil {
		return nil, err
	}
	return m.defined(v, e.root)
}

// Truth evaluates the expression as a condition.
func (e *Expression) Truth(s Scope) (bool, error) {
	m := newMachine(e.dialect, s)
	v, err := m.eval(e.root)
	if err != nil {
		return false, err
	}
	return m.truth(v, e.root)
}

// Names lists the variables that the expression mentions, read or not.
func (e *Expression) Names() []string {
	var w nameWalker
	w.expr(e.root)
	return w.names
}

// IsTemplate tells whether text has anything to evaluate in dialect d. What is
// opened and never closed counts: Parse says where.
func IsTemplate(text string, d Dialect) bool {
	if d == Recipe {
		return strings.Contains(text, "${{")
	}
	return strings.Contains(text, "{{") || strings.Contains(text, "{%") || strings.Contains(text, "{#")
}
