package jinja

import "slices"

// eval evaluates an expression. Undefined is a value here; whoever uses it
// decides whether it is an error.
func (m *machine) eval(x expr) (any, error) {
	if err := m.step(x.at()); err != nil {
		return nil, err
	}
	switch x := x.(type) {
	case *literal:
		return x.value, nil
	case *name:
		return m.name(x)
	case *unary:
		return m.unary(x)
	case *binary:
		return m.binary(x)
	case *comparison:
		return m.comparison(x)
	case *conditional:
		return m.conditional(x)
	case *attribute:
		return m.attribute(x)
	case *index:
		return m.index(x)
	case *slice:
		return m.slice(x)
	case *call:
		return m.call(x)
	case *filter:
		return m.filter(x)
	case *test:
		return m.test(x)
	case *list:
		return m.list(x)
	case *dict:
		return m.dict(x)
	}
	return nil, errorAt(x.at(), "unknown expression")
}

// name looks in the blocks from the inside out, then in the recipe's own scope,
// then among the language's functions.
func (m *machine) name(x *name) (any, error) {
	for _, v := range slices.Backward(m.locals) {
		if v, ok := v[x.id]; ok {
			return v, nil
		}
	}
	if m.scope.Lookup != nil {
		if v, ok := m.scope.Lookup(x.id); ok {
			return v, nil
		}
	}
	if fn, ok := builtins[x.id]; ok {
		return fn, nil
	}
	return Undefined{Name: x.id}, nil
}

// known evaluates an operand that must have a value.
func (m *machine) known(x expr) (any, error) {
	v, err := m.eval(x)
	if err != nil {
		return nil, err
	}
	return m.defined(v, x)
}

// all evaluates expressions that must each have a value.
func (m *machine) all(list []expr) ([]any, error) {
	values := make([]any, len(list))
	for i, x := range list {
		var err error
		if values[i], err = m.known(x); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// list pays for its size at once: lists can hold lists.
func (m *machine) list(x *list) (any, error) {
	items, err := m.all(x.items)
	if err != nil {
		return nil, err
	}
	return items, m.paySize(items, x.at())
}

// dict has text keys only, which is all that recipes use.
func (m *machine) dict(x *dict) (any, error) {
	d := NewDict()
	for i := range x.keys {
		k, err := m.known(x.keys[i])
		if err != nil {
			return nil, err
		}
		v, err := m.known(x.values[i])
		if err != nil {
			return nil, err
		}
		d.Set(text(k, m.dialect), v)
	}
	return d, m.paySize(d, x.at())
}

// conditional evaluates the chosen side alone. Without an else its value is
// undefined, and printing it differs between the dialects.
func (m *machine) conditional(x *conditional) (any, error) {
	v, err := m.eval(x.cond)
	if err != nil {
		return nil, err
	}
	yes, err := m.truth(v, x.cond)
	switch {
	case err != nil:
		return nil, err
	case yes:
		return m.eval(x.then)
	case x.alt != nil:
		return m.eval(x.alt)
	}
	return Undefined{}, nil
}

// attribute is a mapping's key, or in meta.yaml a Python method.
func (m *machine) attribute(x *attribute) (any, error) {
	v, err := m.known(x.x)
	if err != nil {
		return nil, err
	}
	if u, ok := v.(Undefined); ok {
		return u, nil
	}
	if d, ok := v.(*Dict); ok {
		if item, ok := d.Get(x.name); ok {
			return item, nil
		}
	}
	if m.dialect == Meta {
		if fn := m.method(v, x.name); fn != nil {
			return fn, nil
		}
	}
	return Undefined{Name: x.name, text: kindOf(v) + " has no " + `"` + x.name + `"`, hint: m.attributeHint(v, x.name)}, nil
}

// attributeHint guesses what was meant: a near key, or a method of Python's
// that recipe.yaml has as a filter.
func (m *machine) attributeHint(v any, name string) string {
	if d, ok := v.(*Dict); ok {
		if near := Near(name, d.keys); near != "" {
			return `did you mean "` + near + `"?`
		}
	}
	if _, ok := filters[name]; ok && m.dialect == Recipe {
		return "recipe.yaml has filters instead of methods: write | " + name
	}
	return ""
}

// arguments are evaluated in the order in which they are written, by evaluate.
func (m *machine) arguments(a arguments, evaluate func(expr) (any, error)) (Call, error) {
	var c Call
	var err error
	for _, x := range a.list {
		v, err := evaluate(x)
		if err != nil {
			return c, err
		}
		c.Args = append(c.Args, v)
	}
	for _, n := range a.named {
		if c.Named == nil {
			c.Named = map[string]any{}
		}
		if c.Named[n.name], err = evaluate(n.x); err != nil {
			return c, err
		}
	}
	return c, nil
}

// call runs a function; an undefined one stays undefined where the scope is
// lenient.
func (m *machine) call(x *call) (any, error) {
	v, err := m.known(x.fn)
	if err != nil {
		return nil, err
	}
	evaluate := m.known
	if _, ok := v.(AnyFunc); ok {
		evaluate = m.eval
	}
	c, err := m.arguments(x.args, evaluate)
	if err != nil {
		return nil, err
	}
	switch fn := v.(type) {
	case Func:
		return m.invoke(fn, c, x.fn.at())
	case AnyFunc:
		return m.invoke(Func(fn), c, x.fn.at())
	case Undefined:
		return fn, nil
	}
	return nil, errorAt(x.fn.at(), "%s is not a function", m.describe(v))
}

// filter hands its operand on. It pays for the operand's size as well: a filter
// reads it all, whatever it returns.
func (m *machine) filter(x *filter) (any, error) {
	if x.name == "default" || x.name == "d" {
		return m.defaultFilter(x)
	}
	fn, ok := findFilter(x.name)
	if !ok {
		e := errorAt(x.at(), "there is no filter %q", x.name)
		if near := Near(x.name, filterNames()); near != "" {
			return nil, e.hint("did you mean %q?", near)
		}
		return nil, e
	}
	v, err := m.known(x.x)
	if err != nil {
		return nil, err
	}
	c, err := m.arguments(x.args, m.known)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case Undefined:
		return v, nil
	case Late:
		return nil, m.late(v, x.x)
	}
	if err := m.paySize(v, x.x.at()); err != nil {
		return nil, err
	}
	return m.invoke(func(c Call) (any, error) { return fn(m, v, c) }, c, x.at())
}

// defaultFilter is the one filter that may meet an undefined operand. With its
// second argument true it replaces empty values, too.
func (m *machine) defaultFilter(x *filter) (any, error) {
	v, err := m.eval(x.x)
	if err != nil {
		return nil, err
	}
	c, err := m.arguments(x.args, m.known)
	if err != nil {
		return nil, err
	}
	_, undefined := v.(Undefined)
	empty, _ := c.Arg(1, "boolean")
	if !undefined && (!truthy(empty) || truthy(v)) {
		return v, nil
	}
	if fallback, ok := c.Arg(0, "default_value"); ok {
		return fallback, nil
	}
	return "", nil
}

// test evaluates "is". Only defined and undefined may meet an undefined
// operand.
func (m *machine) test(x *test) (any, error) {
	v, err := m.eval(x.x)
	if err != nil {
		return nil, err
	}
	_, isUndefined := v.(Undefined)
	switch x.name {
	case "defined":
		return !isUndefined != x.negated, nil
	case "undefined":
		return isUndefined != x.negated, nil
	}
	if v, err = m.defined(v, x.x); err != nil {
		return nil, err
	}
	fn, ok := tests[x.name]
	if !ok {
		e := errorAt(x.at(), "there is no test %q", x.name)
		if near := Near(x.name, testNames()); near != "" {
			return nil, e.hint("did you mean %q?", near)
		}
		return nil, e
	}
	c, err := m.arguments(x.args, m.known)
	if err != nil {
		return nil, err
	}
	yes, err := m.invoke(func(c Call) (any, error) { return fn(v, c) }, c, x.at())
	if err != nil {
		return nil, err
	}
	return truthy(yes) != x.negated, nil
}
