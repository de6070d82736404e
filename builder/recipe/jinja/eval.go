package jinja

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// machine evaluates one template.
type machine struct {
	dialect Dialect
	scope   Scope
	locals  []map[string]any // of set and for, innermost last
	out     strings.Builder
	spans   []Span
	macros  []*macroStmt // that were defined so far
	calls   int          // of macros, one inside the other
	misses  int          // uses of undefined names that a lenient scope heard of
}

// newMachine begins an evaluation. A scope without a budget gets one of its
// own: nothing runs without a bound.
func newMachine(d Dialect, s Scope) *machine {
	if s.Budget == nil {
		s.Budget = NewBudget()
	}
	return &machine{dialect: d, scope: s, locals: []map[string]any{{}}}
}

// step pays for one evaluated node.
func (m *machine) step(offset int) error {
	if !m.scope.Budget.spend(1) {
		return errorAt(offset, "the recipe's templates take more than %d steps", maxSteps).hint("a loop is too long")
	}
	return nil
}

// pay pays for n bytes of new text and limits their number.
func (m *machine) pay(offset, n int) error {
	if n > maxOutput {
		return errorAt(offset, "a template makes more than %d bytes of text", maxOutput)
	}
	if !m.scope.Budget.spend(n / bytesAStep) {
		return m.step(offset)
	}
	return nil
}

// run evaluates statements in order, into the output.
func (m *machine) run(body []stmt) error {
	for _, s := range body {
		if err := m.statement(s); err != nil {
			return err
		}
	}
	return nil
}

// statement evaluates one. An output's text is marked as made, not copied, so
// that a problem in it is shown at its tag.
func (m *machine) statement(s stmt) error {
	switch s := s.(type) {
	case *textStmt:
		return m.write(s.text, Span{Source: s.at(), Same: true})
	case *outputStmt:
		v, err := m.eval(s.x)
		if err != nil {
			return err
		}
		if v, err = m.printable(v, s.x); err != nil {
			return err
		}
		return m.write(text(v, m.dialect), Span{Source: s.at()})
	case *setStmt:
		return m.set(s)
	case *ifStmt:
		return m.ifBlock(s)
	case *forStmt:
		return m.forBlock(s)
	case *macroStmt:
		m.define(s)
	case *includeStmt:
		return m.include(s)
	}
	return nil
}

// write appends text and notes where it came from: behind the templates, the
// recipe's YAML is read from the result, and its problems must be shown in the
// file that the author has.
func (m *machine) write(s string, origin Span) error {
	if err := m.step(origin.Source); err != nil {
		return err
	}
	if m.out.Len()+len(s) > maxOutput {
		return errorAt(origin.Source, "a template makes more than %d bytes of text", maxOutput)
	}
	origin.Out = m.out.Len()
	m.spans = append(m.spans, origin)
	m.out.WriteString(s)
	return m.pay(origin.Source, len(s))
}

// set binds names to a value, or to what its body renders to.
func (m *machine) set(s *setStmt) error {
	var v any
	var err error
	if s.x != nil {
		if v, err = m.eval(s.x); err != nil {
			return err
		}
	} else if v, err = m.capture(s.body); err != nil {
		return err
	}
	return m.assign(s.names, v, s.at())
}

// capture renders a body to text instead of the output.
func (m *machine) capture(body []stmt) (string, error) {
	inner := &machine{dialect: m.dialect, scope: m.scope, locals: m.locals, macros: m.macros, calls: m.calls}
	err := inner.run(body)
	return inner.out.String(), err
}

// assign binds in the innermost block, as Jinja2 does: what a loop's body sets
// is gone behind the loop. Several names spread a list of as many items.
func (m *machine) assign(names []string, v any, offset int) error {
	top := m.locals[len(m.locals)-1]
	if len(names) == 1 {
		top[names[0]] = v
		return nil
	}
	items, ok := v.([]any)
	if !ok || len(items) != len(names) {
		return errorAt(offset, "cannot spread %s over %d names", kindOf(v), len(names))
	}
	for i, n := range names {
		top[n] = items[i]
	}
	return nil
}

// ifBlock evaluates conditions only up to the first true one: the others may
// fail.
func (m *machine) ifBlock(s *ifStmt) error {
	for _, arm := range s.arms {
		v, err := m.eval(arm.cond)
		if err != nil {
			return err
		}
		yes, err := m.truth(v, arm.cond)
		if err != nil {
			return err
		}
		if yes {
			return m.run(arm.body)
		}
	}
	return m.run(s.alt)
}

// forBlock gives each round variables of its own. The else part runs when there
// is nothing to go through.
func (m *machine) forBlock(s *forStmt) error {
	v, err := m.eval(s.over)
	if err != nil {
		return err
	}
	items, err := m.items(v, s.over)
	if err != nil {
		return err
	}
	m.locals = append(m.locals, map[string]any{})
	defer func() { m.locals = m.locals[:len(m.locals)-1] }()
	if s.only != nil {
		if items, err = m.chosen(s, items); err != nil {
			return err
		}
	}
	for i, item := range items {
		if err := m.step(s.at()); err != nil {
			return err
		}
		m.locals[len(m.locals)-1] = map[string]any{}
		if err := m.assign(s.names, item, s.at()); err != nil {
			return err
		}
		if s.usesLoop {
			m.locals[len(m.locals)-1]["loop"] = loopDict(i, len(items))
		}
		if err := m.run(s.body); err != nil {
			return err
		}
	}
	if len(items) == 0 {
		return m.run(s.alt)
	}
	return nil
}

// chosen are the items for which the condition behind "for x in y if" holds. It
// runs before the loop, since loop.length counts only those.
func (m *machine) chosen(s *forStmt, items []any) ([]any, error) {
	var kept []any
	for _, item := range items {
		if err := m.assign(s.names, item, s.at()); err != nil {
			return nil, err
		}
		v, err := m.eval(s.only)
		if err != nil {
			return nil, err
		}
		yes, err := m.truth(v, s.only)
		if err != nil {
			return nil, err
		}
		if yes {
			kept = append(kept, item)
		}
	}
	return kept, nil
}

// loopDict is the variable loop. It is made only for bodies that mention it.
func loopDict(i, n int) *Dict {
	d := NewDict()
	d.Set("index", int64(i+1))
	d.Set("index0", int64(i))
	d.Set("revindex", int64(n-i))
	d.Set("first", i == 0)
	d.Set("last", i == n-1)
	d.Set("length", int64(n))
	return d
}

// items lists what a loop or a filter goes over.
func (m *machine) items(v any, x expr) ([]any, error) {
	switch v := v.(type) {
	case []any:
		return v, nil
	case *Dict:
		return texts(v.keys), nil
	case string:
		return m.characters(v, x)
	case Undefined:
		if m.scope.Lenient {
			m.missed(v, x)
			return nil, nil
		}
		return nil, m.undefined(v, x)
	}
	return nil, errorAt(x.at(), "cannot go through %s", m.describe(v))
}

// characters cuts text up; a character costs more than a byte of text.
func (m *machine) characters(s string, x expr) ([]any, error) {
	if !m.scope.Budget.spend(len(s) / 2) {
		return nil, m.step(x.at())
	}
	return texts(strings.Split(s, "")), nil
}

// texts is a list of texts as a value.
func texts(list []string) []any {
	all := make([]any, len(list))
	for i, s := range list {
		all[i] = s
	}
	return all
}

// defined refuses an undefined value.
func (m *machine) defined(v any, x expr) (any, error) {
	if u, ok := v.(Undefined); ok {
		if m.scope.Lenient {
			m.missed(u, x)
			return u, nil
		}
		return nil, m.undefined(u, x)
	}
	return v, nil
}

// missed tells a lenient scope what is not defined.
func (m *machine) missed(u Undefined, x expr) {
	if m.scope.Missed == nil || m.misses >= maxMisses {
		return
	}
	m.misses++
	if e, ok := errors.AsType[*Error](m.undefined(u, x)); ok {
		m.scope.Missed(e)
	}
}

// printable refuses what has no text.
func (m *machine) printable(v any, x expr) (any, error) {
	switch v.(type) {
	case Func, AnyFunc:
		return nil, errorAt(x.at(), "this is a function").hint("call it: add ( and )")
	}
	if m.dialect == Recipe {
		if u, ok := v.(Undefined); ok && u.Name == "" && u.text == "" {
			return "", nil // an inline if without else
		}
	}
	return m.defined(v, x)
}

// truth decides a condition. What is undefined is no false: a misspelt name
// would switch a part of the recipe off in silence. What is known only when the
// script runs cannot decide anything now.
func (m *machine) truth(v any, x expr) (bool, error) {
	v, err := m.defined(v, x)
	if err != nil {
		return false, err
	}
	if l, ok := v.(Late); ok {
		return false, m.late(l, x)
	}
	return truthy(v), nil
}

// late is the error of using a value before it exists.
func (m *machine) late(l Late, x expr) error {
	return errorAt(x.at(), "%s is known only when the script runs", string(l)).hint("print it, or use the variable in the script itself")
}

// undefined is the error of a name that nothing defines, with the nearest name
// that something does.
func (m *machine) undefined(u Undefined, x expr) error {
	switch {
	case u.text != "":
		return errorAt(x.at(), "%s", u.text).hint("%s", u.hint)
	case u.Name == "":
		return errorAt(x.at(), "the inline if has no else, and its condition is false").hint(`add else ""`)
	}
	e := errorAt(x.at(), "%q is undefined", u.Name)
	e.Name = u.Name
	if m.scope.Known != nil {
		known := slices.Concat(m.scope.Known(), slices.Sorted(maps.Keys(m.locals[0])))
		if near := Near(u.Name, known); near != "" {
			return e.hint("did you mean %q?", near)
		}
	}
	return e
}

// describe names a value's kind in an error, and a short value itself.
func (m *machine) describe(v any) string {
	switch v.(type) {
	case string, int64, float64, bool:
		s := text(v, m.dialect)
		if len(s) > 40 {
			s = s[:40] + "…"
		}
		return fmt.Sprintf("%s (%q)", kindOf(v), s)
	}
	return kindOf(v)
}

// invoke calls a function and places its error.
func (m *machine) invoke(fn Func, c Call, offset int) (any, error) {
	v, err := fn(c)
	if err == nil {
		return v, m.paySize(v, offset)
	}
	placed := errorAt(offset, "%s", err.Error())
	if own, ok := errors.AsType[*Error](err); ok {
		placed.Text, placed.Hint = own.Text, own.Hint
	}
	return nil, placed
}

// paySize pays for a value that a function, filter or method made.
func (m *machine) paySize(v any, offset int) error {
	switch v := v.(type) {
	case string:
		return m.pay(offset, len(v))
	case []any, *Dict:
		left := maxItems
		if weigh(v, &left); left < 0 {
			return errorAt(offset, "a template makes a list of more than %d items", maxItems)
		}
		return m.pay(offset, (maxItems-left)*8)
	}
	return nil
}

// weigh takes what v holds from left and stops below zero: lists of lists of
// themselves are small in memory and endless on paper.
func weigh(v any, left *int) {
	*left--
	switch v := v.(type) {
	case string:
		*left -= len(v) / 16
	case []any:
		for i := 0; i < len(v) && *left >= 0; i++ {
			weigh(v[i], left)
		}
	case *Dict:
		for i := 0; i < len(v.keys) && *left >= 0; i++ {
			weigh(v.values[v.keys[i]], left)
		}
	}
}
