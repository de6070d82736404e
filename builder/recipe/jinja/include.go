package jinja

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// includeStmt is {% include "file" %}, {% import "file" as name %} and
// {% from "file" import a, b as c %}.
type includeStmt struct {
	place
	file     expr
	module   string      // of import
	names    [][2]string // of from: what the file calls it, and what it is called here
	optional bool        // ignore missing
	kind     string
}

func (*includeStmt) isStmt() {}

// include reads the rest of a statement that names another file.
func (p *parser) include(offset int, kind string) (stmt, error) {
	s := &includeStmt{place: place(offset), kind: kind}
	var err error
	if s.file, err = p.or(); err != nil {
		return nil, err
	}
	switch kind {
	case "import":
		if err = p.expect("as"); err != nil {
			return nil, err
		}
		s.module, err = p.identifier()
	case "from":
		if err = p.expect("import"); err == nil {
			err = p.imported(s)
		}
	}
	if err != nil {
		return nil, err
	}
	if p.accept("ignore") {
		s.optional = true
		if err := p.expect("missing"); err != nil {
			return nil, err
		}
	}
	if p.accept("with") || p.accept("without") { // a file always sees the recipe's names
		if err := p.expect("context"); err != nil {
			return nil, err
		}
	}
	return s, p.end()
}

// imported reads a, b as c.
func (p *parser) imported(s *includeStmt) error {
	for {
		name, err := p.identifier()
		if err != nil {
			return err
		}
		as := name
		if p.accept("as") {
			if as, err = p.identifier(); err != nil {
				return err
			}
		}
		s.names = append(s.names, [2]string{name, as})
		if !p.accept(",") {
			return nil
		}
	}
}

// identifier reads a name.
func (p *parser) identifier() (string, error) {
	t := p.next()
	if t.kind != tokenName {
		return "", errorAt(t.offset, "expected a name, found %s", t)
	}
	return t.text, nil
}

// include evaluates another file with the recipe's names, and takes its text or
// what it defines.
func (m *machine) include(s *includeStmt) error {
	v, err := m.eval(s.file)
	if err != nil {
		return err
	}
	file, ok := v.(string)
	if !ok {
		return errorAt(s.file.at(), "the file's name is %s, not text", kindOf(v))
	}
	inner, err := m.fileMachine(file, s)
	switch {
	case err != nil:
		return err
	case inner == nil:
		return nil
	case s.kind == "include":
		return m.write(inner.out.String(), Span{Source: s.at()})
	}
	defined := inner.locals[0]
	top := m.locals[len(m.locals)-1]
	if s.kind == "import" {
		module := NewDict()
		for _, name := range slices.Sorted(maps.Keys(defined)) {
			module.Set(name, defined[name])
		}
		top[s.module] = module
		return nil
	}
	for _, pair := range s.names {
		v, ok := defined[pair[0]]
		if !ok {
			return errorAt(s.at(), "the file %q does not define %s", file, pair[0])
		}
		top[pair[1]] = v
	}
	return nil
}

// fileMachine evaluates a file; nil when it is missing and may be. Its errors
// are shown where it is named.
func (m *machine) fileMachine(file string, s *includeStmt) (*machine, error) {
	if m.calls >= maxCalls {
		return nil, errorAt(s.at(), "files include one another more than %d deep", maxCalls)
	}
	if m.scope.Load == nil {
		return nil, errorAt(s.at(), "the statement %q is not supported here", s.kind).hint("set, if, for, macro and raw are")
	}
	source, err := m.scope.Load(file)
	if err != nil {
		if s.optional {
			return nil, nil
		}
		return nil, m.failedCall(err, s)
	}
	if err := m.pay(s.at(), len(source)); err != nil {
		return nil, err
	}
	t, err := Parse(source, m.dialect)
	inner := newMachine(m.dialect, m.scope)
	inner.calls = m.calls + 1
	if s.kind == "include" {
		inner.locals = []map[string]any{maps.Clone(m.locals[0])}
	}
	if err == nil {
		err = inner.run(t.body)
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return nil, errorAt(s.at(), "%s: %s", file, e.Text).hint("%s", e.Hint)
	}
	return inner, err
}

// failedCall places an error of the caller's.
func (m *machine) failedCall(err error, s *includeStmt) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return errorAt(s.at(), "%s", e.Text).hint("%s", e.Hint)
	}
	return errorAt(s.at(), "%s", fmt.Sprint(err))
}
