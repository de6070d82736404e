package jinja

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Values are nil (none), bool, int64, float64, string, []any, *Dict, Func,
// Late and Undefined. A Scope hands in no others.

// Dict is a mapping with its keys in order.
type Dict struct {
	keys   []string
	values map[string]any
}

// NewDict returns an empty mapping.
func NewDict() *Dict { return &Dict{values: map[string]any{}} }

// Set adds or replaces a key.
func (d *Dict) Set(key string, value any) {
	if _, known := d.values[key]; !known {
		d.keys = append(d.keys, key)
	}
	d.values[key] = value
}

// Get returns a key's value.
func (d *Dict) Get(key string) (any, bool) {
	v, ok := d.values[key]
	return v, ok
}

// Keys lists the keys in the order in which they were set.
func (d *Dict) Keys() []string { return slices.Clone(d.keys) }

// Func is a function that templates call. Its error is shown at the call; an
// *Error with a Hint keeps the hint.
type Func func(c Call) (any, error)

// AnyFunc is a Func that takes undefined arguments as well.
type AnyFunc Func

// Call is the arguments of a call.
type Call struct {
	Args  []any
	Named map[string]any
}

// String returns argument i, or the named one, as text.
func (c Call) String(i int, name string) (string, error) {
	v, ok := c.Arg(i, name)
	if !ok {
		return "", fmt.Errorf("the argument %q is missing", name)
	}
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("the argument %q is %s, not text", name, kindOf(v))
	}
	return s, nil
}

// Arg returns argument i, or else the named one.
func (c Call) Arg(i int, name string) (any, bool) {
	if i < len(c.Args) {
		return c.Args[i], true
	}
	v, ok := c.Named[name]
	return v, ok
}

// Late is a value that exists only when a script runs, written as a script
// names it, e.g. ${PREFIX}. It can be printed and joined to text, nothing else.
type Late string

// Undefined is the value of a name that nothing defines.
type Undefined struct {
	Name string // e.g. version
	text string // what an error says
	hint string
}

// kindOf names a value's kind in an error.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "none"
	case bool:
		return "a boolean"
	case int64:
		return "an integer"
	case float64:
		return "a number"
	case string:
		return "text"
	case []any:
		return "a list"
	case *Dict:
		return "a mapping"
	case Func, AnyFunc:
		return "a function"
	case Late:
		return "known only when the script runs"
	}
	return "undefined"
}

// text prints a value as the dialect does: Python's way for meta.yaml,
// minijinja's for recipe.yaml.
func text(v any, d Dialect) string {
	switch v := v.(type) {
	case string:
		return v
	case Late:
		return string(v)
	case Undefined:
		return ""
	}
	var b strings.Builder
	appendText(&b, v, d)
	return b.String()
}

// appendText prints a value inside another one, where texts have quotes.
func appendText(b *strings.Builder, v any, d Dialect) {
	python := d == Meta
	switch v := v.(type) {
	case nil:
		b.WriteString(pick(python, "None", "none"))
	case bool:
		s := strconv.FormatBool(v)
		b.WriteString(pick(python, strings.ToUpper(s[:1])+s[1:], s))
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		b.WriteString(formatFloat(v))
	case string:
		b.WriteString(quote(v, python))
	case Late:
		b.WriteString(string(v))
	case []any:
		b.WriteByte('[')
		for i, x := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			appendText(b, x, d)
		}
		b.WriteByte(']')
	case *Dict:
		b.WriteByte('{')
		for i, k := range v.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(quote(k, python) + ": ")
			appendText(b, v.values[k], d)
		}
		b.WriteByte('}')
	}
}

// pick chooses between the two dialects' words.
func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// formatFloat prints as Python does: 1.0 keeps its point, and large and small
// numbers have an exponent.
func formatFloat(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if math.Abs(f) >= 1e-4 && math.Abs(f) < 1e16 {
		s = strconv.FormatFloat(f, 'f', -1, 64)
	}
	if !strings.ContainsAny(s, ".eIN") {
		s += ".0"
	}
	return s
}

// quote prints a text with quotes, single ones in Python's way unless it holds
// one.
func quote(s string, python bool) string {
	if !python || strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		return strconv.Quote(s)
	}
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(s) + "'"
}

// truthy is Python's truth of a value.
func truthy(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case *Dict:
		return len(v.keys) > 0
	case nil, Undefined:
		return false
	}
	return true
}

// number returns v as a float if it is a number; booleans are, as in Python.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// equal compares numbers by value, whatever their kind, and lists and mappings
// item by item.
func equal(a, b any) bool {
	x, isNumber := number(a)
	if y, ok := number(b); ok && isNumber {
		return x == y
	}
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	case *Dict:
		b, ok := b.(*Dict)
		if !ok || len(a.keys) != len(b.keys) {
			return false
		}
		for k, v := range a.values {
			if w, ok := b.values[k]; !ok || !equal(v, w) {
				return false
			}
		}
		return true
	case Func, AnyFunc:
		return false
	case Undefined:
		_, ok := b.(Undefined)
		return ok
	}
	if reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	return a == b
}

// compare orders two values; ok is false when their kinds have no order.
func compare(a, b any) (order int, ok bool) {
	x, isNumber := number(a)
	if y, both := number(b); both && isNumber {
		return compareOrdered(x, y), true
	}
	switch a := a.(type) {
	case string:
		b, ok := b.(string)
		return strings.Compare(a, b), ok
	case []any:
		b, ok := b.([]any)
		if !ok {
			return 0, false
		}
		for i := range min(len(a), len(b)) {
			if equal(a[i], b[i]) {
				continue
			}
			return compare(a[i], b[i])
		}
		return compareOrdered(float64(len(a)), float64(len(b))), true
	}
	return 0, false
}

// compareOrdered is -1, 0 or 1.
func compareOrdered(x, y float64) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// rank is the order of kinds, for dialects that compare different ones.
func rank(v any) int {
	switch v.(type) {
	case Undefined:
		return 0
	case nil:
		return 1
	case bool:
		return 2
	case int64, float64:
		return 3
	case string, Late:
		return 4
	case []any:
		return 5
	}
	return 6
}
