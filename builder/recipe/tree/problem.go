// Package tree reads YAML into a tree whose every value knows its place in the
// file that its author wrote, and gathers what is wrong with it. It knows no
// recipe: which keys there are and what they mean is its callers' to say.
package tree

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Pos is a place in a file, counted from 1; Line 0 means unknown.
type Pos struct {
	File         string // e.g. recipe.yaml
	Line, Column int    // columns count letters, not bytes, as editors do
}

// Problem is one thing that is wrong, or doubtful, in a recipe.
type Problem struct {
	Pos     Pos    // of the offending text in the file that its author wrote
	Text    string // what is wrong, e.g. unknown key "licence" in about
	Hint    string // what to write instead, e.g. did you mean "license"?; may be ""
	Warning bool   // it stops no build
}

// Error prints the problem as compilers do: recipe.yaml:12:3: text; hint.
func (p Problem) Error() string {
	s := p.Pos.String() + ": " + p.Text
	if p.Hint != "" {
		s += "; " + p.Hint
	}
	return s
}

// Problems is everything that is wrong in a recipe, in the file's order. It is
// the error that Render returns.
type Problems []Problem

// Error prints a line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.As each Problem.
func (p Problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i, one := range p {
		errs[i] = one
	}
	return errs
}

// String prints file:line:column, as far as they are known.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// MaxProblems is how many problems are worth reading at once.
const MaxProblems = 50

// Report gathers what is found while a recipe is read. Reading goes on after a
// problem, so that its author sees all of them in one run.
type Report struct {
	errors   Problems
	warnings Problems
}

// Fail notes an error and goes on: an author wants all mistakes at once.
func (r *Report) Fail(pos Pos, hint, format string, args ...any) {
	r.Add(Problem{Pos: pos, Text: fmt.Sprintf(format, args...), Hint: hint})
}

// Warn notes a doubt; the recipe is rendered all the same.
func (r *Report) Warn(pos Pos, hint, format string, args ...any) {
	r.Add(Problem{Pos: pos, Text: fmt.Sprintf(format, args...), Hint: hint, Warning: true})
}

// Add keeps p unless the same was said before: a text is often evaluated twice.
func (r *Report) Add(p Problem) {
	p.Text, p.Hint = shortened(p.Text), shortened(p.Hint)
	list := &r.errors
	if p.Warning {
		list = &r.warnings
	}
	if len(*list) < MaxProblems && !slices.Contains(*list, p) {
		*list = append(*list, p)
	}
}

// Merge adds what another report has.
func (r *Report) Merge(o *Report) {
	for _, p := range slices.Concat(o.errors, o.warnings) {
		r.Add(p)
	}
}

// maxText is how much of a problem's text is shown, in bytes: a value that is
// quoted in it can be as long as the recipe.
const maxText = 600

// shortened cuts the middle out of a long text: its end says what is wrong.
func shortened(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText/2], "") + " … " + strings.ToValidUTF8(s[len(s)-maxText/2:], "")
}

// Failed tells whether anything is wrong so far.
func (r *Report) Failed() bool { return len(r.errors) > 0 }

// Err is the problems as an error, in the file's order; nil when there are
// none.
func (r *Report) Err() error {
	if len(r.errors) == 0 {
		return nil
	}
	return sorted(r.errors)
}

// Warnings are the doubts, in the file's order.
func (r *Report) Warnings() Problems { return sorted(r.warnings) }

// sorted puts problems in the order of the file: they were found in another.
func sorted(list Problems) Problems {
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	return list
}
