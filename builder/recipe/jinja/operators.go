package jinja

import (
	"math"
	"slices"
	"strings"
)

// unary is not, - and +.
func (m *machine) unary(x *unary) (any, error) {
	v, err := m.eval(x.x)
	if err != nil {
		return nil, err
	}
	if x.op == "not" {
		yes, err := m.truth(v, x.x)
		return !yes, err
	}
	if v, err = m.defined(v, x.x); err != nil {
		return nil, err
	}
	sign := int64(1)
	if x.op == "-" {
		sign = -1
	}
	switch v := v.(type) {
	case int64:
		return sign * v, nil
	case float64:
		return float64(sign) * v, nil
	case Undefined:
		return v, nil
	}
	return nil, errorAt(x.at(), "%q needs a number, this is %s", x.op, m.describe(v))
}

// binary evaluates both sides but for and, or.
func (m *machine) binary(x *binary) (any, error) {
	if x.op == "and" || x.op == "or" {
		return m.shortCircuit(x)
	}
	l, err := m.known(x.l)
	if err != nil {
		return nil, err
	}
	r, err := m.known(x.r)
	if err != nil {
		return nil, err
	}
	if x.op == "~" {
		return m.concat(text(l, m.dialect), text(r, m.dialect), x)
	}
	if u, ok := l.(Undefined); ok {
		return u, nil // lenient: any operation on it is undefined again
	}
	if u, ok := r.(Undefined); ok {
		return u, nil
	}
	return m.arithmetic(x, l, r)
}

// shortCircuit returns an operand, not its truth: x or "default" is an idiom.
func (m *machine) shortCircuit(x *binary) (any, error) {
	l, err := m.eval(x.l)
	if err != nil {
		return nil, err
	}
	yes, err := m.truth(l, x.l)
	if err != nil {
		return nil, err
	}
	if yes == (x.op == "or") {
		return l, nil
	}
	return m.eval(x.r)
}

// arithmetic is Python's: / always gives a float, // and % round down.
func (m *machine) arithmetic(x *binary, l, r any) (any, error) {
	if a, ok := l.(string); ok && x.op == "%" && m.dialect == Meta {
		return m.invoke(func(Call) (any, error) { return percentFormat(a, r) }, Call{}, x.at())
	}
	if x.op == "+" {
		if v, done, err := m.add(x, l, r); done {
			return v, err
		}
	}
	if x.op == "*" {
		if v, done, err := m.repeat(x, l, r); done {
			return v, err
		}
	}
	if m.dialect == Recipe && (isBool(l) || isBool(r)) {
		return nil, m.mismatch(x, l, r) // "linux-64" is no platform in an expression
	}
	a, aInt := integer(l)
	b, bInt := integer(r)
	if aInt && bInt && x.op != "/" {
		return m.integers(x, a, b)
	}
	p, pOK := number(l)
	q, qOK := number(r)
	if !pOK || !qOK {
		return nil, m.mismatch(x, l, r)
	}
	return m.floats(x, p, q)
}

// mismatch is the error of operands that do not go together.
func (m *machine) mismatch(x *binary, l, r any) error {
	e := errorAt(x.at(), "%q does not work on %s and %s", x.op, m.describe(l), m.describe(r))
	if x.op == "+" {
		return e.hint("~ joins anything as text")
	}
	return e
}

// add joins texts and lists; done is false for numbers.
func (m *machine) add(x *binary, l, r any) (v any, done bool, err error) {
	switch l := l.(type) {
	case string, Late:
		switch r.(type) {
		case string, Late:
			v, err = m.concat(text(l, m.dialect), text(r, m.dialect), x)
			return v, true, err
		}
	case []any:
		if r, ok := r.([]any); ok {
			sum := slices.Concat(l, r)
			return sum, true, m.paySize(sum, x.at())
		}
	}
	return nil, false, nil
}

// concat joins texts and pays for the result before it is made.
func (m *machine) concat(l, r string, x *binary) (any, error) {
	if err := m.pay(x.at(), len(l)+len(r)); err != nil {
		return nil, err
	}
	return l + r, nil
}

// repeat is text or list times integer.
func (m *machine) repeat(x *binary, l, r any) (v any, done bool, err error) {
	if _, ok := l.(int64); ok {
		l, r = r, l
	}
	n, ok := r.(int64)
	if !ok {
		return nil, false, nil
	}
	n = max(n, 0)
	switch l := l.(type) {
	case string:
		if int64(len(l)) > 0 && n > maxOutput/int64(len(l)) {
			return nil, true, errorAt(x.at(), "a template makes more than %d bytes of text", maxOutput)
		}
		return strings.Repeat(l, int(min(n, maxOutput))), true, m.pay(x.at(), len(l)*int(min(n, maxOutput)))
	case []any:
		if int64(len(l)) > 0 && n > maxItems/int64(len(l)) {
			return nil, true, errorAt(x.at(), "a template makes a list of more than %d items", maxItems)
		}
		product := slices.Repeat(l, int(min(n, maxItems)))
		return product, true, m.paySize(product, x.at())
	}
	return nil, false, nil
}

// isBool tells a boolean from an integer, where Python would not.
func isBool(v any) bool {
	_, ok := v.(bool)
	return ok
}

// integer returns v if it is one; booleans count, as in Python.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// integers computes in floats first, to see an overflow coming.
func (m *machine) integers(x *binary, a, b int64) (any, error) {
	f, err := m.floats(x, float64(a), float64(b))
	if err != nil {
		return nil, err
	}
	if v, ok := f.(float64); ok && math.Abs(v) >= 1<<62 {
		return nil, errorAt(x.at(), "the number is too large")
	}
	switch x.op {
	case "+":
		return a + b, nil
	case "-":
		return a - b, nil
	case "*":
		return a * b, nil
	case "//":
		return floorDiv(a, b), nil
	case "%":
		return a - floorDiv(a, b)*b, nil
	}
	if b < 0 {
		return f, nil
	}
	result := int64(1)
	for range b {
		result *= a
	}
	return result, nil
}

// floorDiv rounds down, where Go's division rounds towards zero.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// floats refuses results that are no number: they could not be printed into
// YAML.
func (m *machine) floats(x *binary, a, b float64) (any, error) {
	if b == 0 && (x.op == "/" || x.op == "//" || x.op == "%") {
		return nil, errorAt(x.at(), "division by zero")
	}
	var f float64
	switch x.op {
	case "+":
		f = a + b
	case "-":
		f = a - b
	case "*":
		f = a * b
	case "/":
		f = a / b
	case "//":
		f = math.Floor(a / b)
	case "%":
		f = a - math.Floor(a/b)*b
	case "**":
		if math.Abs(b) > maxExponent {
			return nil, errorAt(x.at(), "the exponent is too large")
		}
		f = math.Pow(a, b)
	}
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, errorAt(x.at(), "the number is too large")
	}
	return f, nil
}

// comparison may be a chain: 1 < x < 3 evaluates x once.
func (m *machine) comparison(x *comparison) (any, error) {
	l, err := m.eval(x.first)
	if err != nil {
		return nil, err
	}
	left := x.first
	for _, c := range x.rest {
		r, err := m.eval(c.x)
		if err != nil {
			return nil, err
		}
		yes, err := m.holds(c.op, operand{l, left}, operand{r, c.x})
		if err != nil || !yes {
			return false, err
		}
		l, left = r, c.x
	}
	return true, nil
}

// operand is a value and the expression that gave it, for errors.
type operand struct {
	value any
	x     expr
}

// holds decides one comparison. In recipe.yaml an undefined value equals only
// another; everywhere else it is an error.
func (m *machine) holds(op string, l, r operand) (bool, error) {
	if m.dialect != Recipe || op != "==" && op != "!=" {
		for _, o := range []operand{l, r} {
			if _, err := m.defined(o.value, o.x); err != nil {
				return false, err
			}
		}
	}
	for _, o := range []operand{l, r} {
		if late, ok := o.value.(Late); ok {
			return false, m.late(late, o.x)
		}
	}
	switch op {
	case "==":
		return equal(l.value, r.value), nil
	case "!=":
		return !equal(l.value, r.value), nil
	case "in":
		return m.contains(r, l)
	case "not in":
		yes, err := m.contains(r, l)
		return !yes, err
	}
	order, err := m.order(op, l, r)
	if err != nil {
		return false, err
	}
	return op == "<" && order < 0 || op == "<=" && order <= 0 || op == ">" && order > 0 || op == ">=" && order >= 0, nil
}

// order compares; recipe.yaml's language puts different kinds in an order of
// their own, Python refuses them.
func (m *machine) order(op string, l, r operand) (int, error) {
	order, ok := compare(l.value, r.value)
	if ok {
		return order, nil
	}
	if m.dialect == Recipe || m.scope.Lenient {
		return rank(l.value) - rank(r.value), nil
	}
	return 0, errorAt(r.x.at(), "%q does not work on %s and %s", op, m.describe(l.value), m.describe(r.value))
}

// contains is the operator in.
func (m *machine) contains(in, what operand) (bool, error) {
	switch box := in.value.(type) {
	case string:
		return strings.Contains(box, text(what.value, m.dialect)), m.pay(in.x.at(), len(box))
	case []any:
		return slices.ContainsFunc(box, func(v any) bool { return equal(v, what.value) }), m.pay(in.x.at(), len(box)*8)
	case *Dict:
		_, ok := box.Get(text(what.value, m.dialect))
		return ok, nil
	case Undefined:
		return false, nil
	}
	return false, errorAt(in.x.at(), "\"in\" needs text, a list or a mapping, this is %s", m.describe(in.value))
}
