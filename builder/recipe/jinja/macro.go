package jinja

import (
	"fmt"
	"maps"
)

// maxCalls is how deep macros may call macros: far more than any recipe does,
// far less than what a stack holds.
const maxCalls = 50

// macroStmt is {% macro name(a, b=1) %} … {% endmacro %}.
type macroStmt struct {
	place
	name   string
	params []parameter
	body   []stmt
}

// parameter is one of a macro's; its fallback may be nil.
type parameter struct {
	name     string
	fallback expr
}

func (*macroStmt) isStmt() {}

// macro reads one up to endmacro.
func (p *parser) macro(offset int) (stmt, error) {
	name := p.next()
	if name.kind != tokenName {
		return nil, errorAt(name.offset, "expected the macro's name, found %s", name)
	}
	s := &macroStmt{place: place(offset), name: name.text}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	for !p.accept(")") {
		one, err := p.parameter()
		if err != nil {
			return nil, err
		}
		s.params = append(s.params, one)
		if p.peek().text != ")" {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	var err error
	if s.body, _, err = p.closed(offset, "macro", "endmacro"); err != nil {
		return nil, err
	}
	p.accept(s.name) // {% endmacro name %}
	return s, p.end()
}

// parameter reads name or name=fallback.
func (p *parser) parameter() (parameter, error) {
	t := p.next()
	one := parameter{name: t.text}
	if t.kind != tokenName {
		return one, errorAt(t.offset, "expected a parameter's name, found %s", t)
	}
	var err error
	if p.accept("=") {
		one.fallback, err = p.expression()
	}
	return one, err
}

// define binds a macro's name to a function. Its body sees what the template's
// top level has, and its parameters.
func (m *machine) define(s *macroStmt) {
	m.macros = append(m.macros, s)
	m.locals[len(m.locals)-1][s.name] = Func(func(c Call) (any, error) { return m.callMacro(s, c) })
}

func (m *machine) callMacro(s *macroStmt, c Call) (any, error) {
	if m.calls >= maxCalls {
		return nil, fmt.Errorf("the macro %s calls itself, or others, more than %d deep", s.name, maxCalls)
	}
	if len(c.Args) > len(s.params) {
		return nil, fmt.Errorf("the macro %s takes %d arguments, not %d", s.name, len(s.params), len(c.Args))
	}
	inner := m.forMacro()
	frame := map[string]any{}
	inner.locals = append(inner.locals, frame)
	for i, p := range s.params {
		v, given := c.Arg(i, p.name)
		switch {
		case given:
		case p.fallback != nil:
			var err error
			if v, err = inner.eval(p.fallback); err != nil {
				return nil, err
			}
		default:
			v = Undefined{Name: p.name}
		}
		frame[p.name] = v
	}
	if err := inner.run(s.body); err != nil {
		return nil, err
	}
	return inner.out.String(), nil
}

// forMacro is a machine for a body. The macros that the body calls are its own,
// not the caller's: the depth is counted along the calls.
func (m *machine) forMacro() *machine {
	inner := &machine{dialect: m.dialect, scope: m.scope, calls: m.calls + 1, macros: m.macros}
	globals := maps.Clone(m.locals[0])
	for _, s := range m.macros {
		globals[s.name] = Func(func(c Call) (any, error) { return inner.callMacro(s, c) })
	}
	inner.locals = []map[string]any{globals}
	return inner
}
