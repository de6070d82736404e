package jinja

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// testFunc gets the value before "is" and the arguments.
type testFunc func(v any, c Call) (any, error)

// tests stand behind "is"; defined and undefined are the evaluator's own.
var tests = map[string]testFunc{
	"none": isKind("none"), "None": isKind("none"),
	"boolean": isKind("a boolean"), "integer": isKind("an integer"), "int": isKind("an integer"),
	"float": isKind("a number"), "string": isKind("text"), "mapping": isKind("a mapping"),
	"number": isKind("an integer", "a number"), "sequence": isKind("a list", "text"),
	"iterable": isKind("a list", "text", "a mapping"), "callable": isKind("a function"),
	"true": isValue(true), "True": isValue(true), "false": isValue(false), "False": isValue(false),
	"odd": isRest(1), "even": isRest(0), "divisibleby": divisible,
	"safe": isKind("text"), "escaped": isKind(),
	"lower":        onTextTest(func(s string) bool { return s == strings.ToLower(s) }),
	"upper":        onTextTest(func(s string) bool { return s == strings.ToUpper(s) }),
	"startingwith": affix(strings.HasPrefix), "endingwith": affix(strings.HasSuffix),
	"in": isIn,
	"eq": order(func(n int) bool { return n == 0 }), "equalto": order(func(n int) bool { return n == 0 }),
	"ne": order(func(n int) bool { return n != 0 }),
	"lt": order(func(n int) bool { return n < 0 }), "lessthan": order(func(n int) bool { return n < 0 }),
	"le": order(func(n int) bool { return n <= 0 }),
	"gt": order(func(n int) bool { return n > 0 }), "greaterthan": order(func(n int) bool { return n > 0 }),
	"ge": order(func(n int) bool { return n >= 0 }),
}

// testNames are those that a misspelt one is compared with.
func testNames() []string { return append(slices.Sorted(maps.Keys(tests)), "defined", "undefined") }

// isKind holds for values of these kinds.
func isKind(kinds ...string) testFunc {
	return func(v any, _ Call) (any, error) { return slices.Contains(kinds, kindOf(v)), nil }
}

// isValue holds for this boolean.
func isValue(want bool) testFunc {
	return func(v any, _ Call) (any, error) { return v == want, nil }
}

// isRest holds for integers with this rest when divided by two.
func isRest(want int64) testFunc {
	return func(v any, _ Call) (any, error) {
		n, ok := v.(int64)
		return ok && n&1 == want, nil
	}
}

// divisible is divisibleby.
func divisible(v any, c Call) (any, error) {
	n, ok := v.(int64)
	d, isInt := firstArg(c).(int64)
	if !ok || !isInt || d == 0 {
		return nil, fmt.Errorf("divisibleby needs integers other than 0")
	}
	return n%d == 0, nil
}

// onTextTest holds for texts only.
func onTextTest(f func(string) bool) testFunc {
	return func(v any, _ Call) (any, error) {
		s, ok := v.(string)
		return ok && f(s), nil
	}
}

// affix is startingwith and endingwith.
func affix(f func(s, part string) bool) testFunc {
	return func(v any, c Call) (any, error) {
		s, ok := v.(string)
		part, isText := firstArg(c).(string)
		if !ok || !isText {
			return nil, fmt.Errorf("startingwith and endingwith compare text with text")
		}
		return f(s, part), nil
	}
}

// isIn is the operator in as a test.
func isIn(v any, c Call) (any, error) {
	switch box := firstArg(c).(type) {
	case []any:
		return slices.ContainsFunc(box, func(x any) bool { return equal(x, v) }), nil
	case string:
		s, ok := v.(string)
		return ok && strings.Contains(box, s), nil
	case *Dict:
		s, ok := v.(string)
		_, found := box.Get(s)
		return ok && found, nil
	}
	return nil, fmt.Errorf("\"is in\" needs text, a list or a mapping")
}

// order compares as the operators of recipe.yaml do: any two values have an
// order, so that no test fails.
func order(holds func(int) bool) testFunc {
	return func(v any, c Call) (any, error) {
		other := firstArg(c)
		if equal(v, other) {
			return holds(0), nil
		}
		n, ok := compare(v, other)
		if !ok {
			n = rank(v) - rank(other)
		}
		if n == 0 {
			n = 1 // of one kind, not equal, without an order
		}
		return holds(n), nil
	}
}

// firstArg is the first argument, nil without one.
func firstArg(c Call) any {
	v, _ := c.Arg(0, "")
	return v
}
