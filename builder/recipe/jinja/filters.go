package jinja

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// filterFunc gets the value before the bar and the arguments in parentheses.
// Its error is placed at the filter's name.
type filterFunc func(m *machine, v any, c Call) (any, error)

// filters are minijinja's that recipe.yaml has, and Jinja2's common ones;
// default is the evaluator's own, because it takes undefined values.
var filters = map[string]filterFunc{
	"lower": onText(strings.ToLower), "upper": onText(strings.ToUpper),
	"capitalize": onText(capitalize), "title": onText(title),
	"trim": trim, "replace": replace, "split": split, "join": join,
	"length": length, "count": length, "first": first, "last": last,
	"list": toList, "reverse": reverse, "sort": sortFilter, "unique": unique,
	"min": extreme(-1), "max": extreme(1), "sum": sum,
	"int": toInt, "float": toFloat, "string": toString, "bool": toBool, "abs": abs, "round": round,
	"safe": same, "escape": same, "e": same,
	"tojson": toJSON, "items": dictItems, "format": formatFilter, "indent": indent,
	"version_to_buildstring": onText(versionToBuildString),
}

// Functions of the language itself.
var builtins = map[string]Func{
	"range": rangeFunc,
	"dict":  dictFunc,
}

// filterNames are those that a misspelt one is compared with.
func filterNames() []string {
	return append(slices.Sorted(maps.Keys(filters)), "default", "map")
}

// findFilter returns a filter; map is not in the table because it uses it.
func findFilter(name string) (filterFunc, bool) {
	if name == "map" {
		return mapFilter, true
	}
	fn, ok := filters[name]
	return fn, ok
}

// onText makes a filter of a function on text; other values are printed first,
// as both engines do.
func onText(f func(string) string) filterFunc {
	return func(m *machine, v any, _ Call) (any, error) { return f(text(v, m.dialect)), nil }
}

// same is for filters that only mark HTML: recipes are none.
func same(_ *machine, v any, _ Call) (any, error) { return v, nil }

// capitalize is Python's: the rest becomes lower case.
func capitalize(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return strings.ToUpper(s[:n]) + strings.ToLower(s[n:])
}

// title raises the first letter of each word; a digit does not begin one.
func title(s string) string {
	b := []byte(strings.ToLower(s))
	for i, c := range b {
		if (i == 0 || !isLetter(b[i-1]) && !isDigit(b[i-1])) && c >= 'a' && c <= 'z' {
			b[i] = c - 0x20
		}
	}
	return string(b)
}

// versionToBuildString is "3.11.* *_cpython" to 311.
func versionToBuildString(s string) string {
	s, _, _ = strings.Cut(s, " ")
	parts := strings.Split(s, ".")
	return strings.Join(parts[:min(2, len(parts))], "")
}

// trim takes blanks, or the given characters, from both ends.
func trim(m *machine, v any, c Call) (any, error) {
	if chars, ok := c.Arg(0, "chars"); ok {
		return strings.Trim(text(v, m.dialect), text(chars, m.dialect)), nil
	}
	return strings.TrimSpace(text(v, m.dialect)), nil
}

// replace has Python's third argument, the most replacements to make.
func replace(m *machine, v any, c Call) (any, error) {
	before, okBefore := c.Arg(0, "old")
	after, okAfter := c.Arg(1, "new")
	if !okBefore || !okAfter {
		return nil, fmt.Errorf("replace needs two arguments: what to replace, and with what")
	}
	limit := -1
	if n, ok := c.Arg(2, "count"); ok {
		if n, ok := n.(int64); ok {
			limit = int(n)
		}
	}
	return replaceText(text(v, m.dialect), [2]string{text(before, m.dialect), text(after, m.dialect)}, limit)
}

// replaceText computes the size first: the result of a short recipe can be
// gigabytes.
func replaceText(s string, pair [2]string, limit int) (any, error) {
	n := strings.Count(s, pair[0])
	if limit >= 0 {
		n = min(n, limit)
	}
	if size := len(s) + n*max(0, len(pair[1])-len(pair[0])); size > maxOutput {
		return nil, fmt.Errorf("a template makes more than %d bytes of text", maxOutput)
	}
	return strings.Replace(s, pair[0], pair[1], n), nil
}

// split without a separator cuts at runs of blanks, as Python does.
func split(m *machine, v any, c Call) (any, error) {
	s := text(v, m.dialect)
	limit := -1
	if n, ok := c.Arg(1, "maxsplit"); ok {
		if n, ok := n.(int64); ok && n >= 0 {
			limit = int(min(n, maxItems)) + 1
		}
	}
	sep, ok := c.Arg(0, "sep")
	if !ok || sep == nil {
		return texts(strings.Fields(s)), nil
	}
	if text(sep, m.dialect) == "" {
		return nil, fmt.Errorf("split needs a separator that is not empty")
	}
	return texts(strings.SplitN(s, text(sep, m.dialect), limit)), nil
}

// join puts the separator between the items' texts.
func join(m *machine, v any, c Call) (any, error) {
	sep := ""
	if s, ok := c.Arg(0, "d"); ok {
		sep = text(s, m.dialect)
	}
	return joinAny(m, v, sep)
}

// joinAny is join with its arguments in the order of Python's method, too.
func joinAny(m *machine, v any, sep string) (any, error) {
	items, err := filterItems(m, v)
	if err != nil {
		return nil, err
	}
	parts, size := make([]string, len(items)), 0
	for i, item := range items {
		parts[i] = text(item, m.dialect)
		if size += len(parts[i]) + len(sep); size > maxOutput {
			return nil, fmt.Errorf("a template makes more than %d bytes of text", maxOutput)
		}
	}
	return strings.Join(parts, sep), nil
}

// toInt cuts fractions off. What is no number becomes the default; without one,
// meta.yaml's language says 0 and recipe.yaml's fails.
func toInt(m *machine, v any, c Call) (any, error) {
	switch v := v.(type) {
	case int64:
		return v, nil
	case bool:
		n, _ := integer(v)
		return n, nil
	case float64:
		if math.Abs(v) < 1<<62 {
			return int64(v), nil
		}
	case string:
		s := strings.TrimSpace(v)
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n, nil
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 1<<62 {
			return int64(f), nil
		}
	}
	if fallback, ok := c.Arg(0, "default"); ok {
		return fallback, nil
	}
	if m.dialect == Meta {
		return int64(0), nil // Jinja2's default
	}
	return nil, fmt.Errorf("%s is not an integer", m.describe(v))
}

// toFloat has the rules of toInt.
func toFloat(m *machine, v any, c Call) (any, error) {
	if f, ok := number(v); ok {
		return f, nil
	}
	if s, ok := v.(string); ok {
		if f, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f, nil
		}
	}
	if fallback, ok := c.Arg(0, "default"); ok {
		return fallback, nil
	}
	if m.dialect == Meta {
		return 0.0, nil
	}
	return nil, fmt.Errorf("%s is not a number", m.describe(v))
}

// toString prints as an output would.
func toString(m *machine, v any, _ Call) (any, error) { return text(v, m.dialect), nil }

// toBool is the truth that an if would see.
func toBool(_ *machine, v any, _ Call) (any, error) { return truthy(v), nil }

// abs keeps integers integers.
func abs(m *machine, v any, _ Call) (any, error) {
	switch v := v.(type) {
	case int64:
		return max(v, -v), nil
	case float64:
		return math.Abs(v), nil
	}
	return nil, fmt.Errorf("abs needs a number, this is %s", m.describe(v))
}

// round rounds half away from zero and returns a float, whatever the precision.
func round(m *machine, v any, c Call) (any, error) {
	f, ok := number(v)
	if !ok {
		return nil, fmt.Errorf("round needs a number, this is %s", m.describe(v))
	}
	n, _ := c.Arg(0, "precision")
	digits, _ := integer(n)
	scale := math.Pow(10, float64(min(max(digits, 0), 15)))
	return math.Round(f*scale) / scale, nil
}

// toJSON has sorted keys, so that a recipe renders to the same bytes each time.
func toJSON(m *machine, v any, _ Call) (any, error) {
	out, err := json.Marshal(plain(v, m.dialect))
	return string(out), err
}

// plain is v for encoding/json.
func plain(v any, d Dialect) any {
	switch v := v.(type) {
	case []any:
		all := make([]any, len(v))
		for i, x := range v {
			all[i] = plain(x, d)
		}
		return all
	case *Dict:
		all := map[string]any{}
		for k, x := range v.values {
			all[k] = plain(x, d)
		}
		return all
	case Func, Late, Undefined:
		return text(v, d)
	}
	return v
}

// dictItems lists pairs of key and value, in the order in which they were set.
func dictItems(m *machine, v any, _ Call) (any, error) {
	d, ok := v.(*Dict)
	if !ok {
		return nil, fmt.Errorf("items needs a mapping, this is %s", m.describe(v))
	}
	pairs := []any{}
	for _, k := range d.keys {
		pairs = append(pairs, []any{k, d.values[k]})
	}
	return pairs, nil
}

// mapFilter applies a named filter to each item, or takes an attribute of it.
func mapFilter(m *machine, v any, c Call) (any, error) {
	items, err := filterItems(m, v)
	if err != nil {
		return nil, err
	}
	out := make([]any, len(items))
	if key, ok := c.Named["attribute"]; ok {
		for i, item := range items {
			d, ok := item.(*Dict)
			if !ok {
				return nil, fmt.Errorf("%s has no attributes", m.describe(item))
			}
			out[i] = d.values[text(key, m.dialect)]
		}
		return out, nil
	}
	name, err := c.String(0, "filter")
	if err != nil {
		return nil, err
	}
	fn, ok := filters[name]
	if !ok || name == "map" {
		return nil, fmt.Errorf("there is no filter %q for map", name)
	}
	for i, item := range items {
		if out[i], err = fn(m, item, Call{Args: c.Args[min(1, len(c.Args)):]}); err != nil {
			return nil, err
		}
		if err := m.paySize(out[i], 0); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// formatFilter is Python's % operator with the arguments behind it.
func formatFilter(m *machine, v any, c Call) (any, error) {
	return percentFormat(text(v, m.dialect), c.Args)
}

// indent leaves the first line alone, as Jinja2 does.
func indent(m *machine, v any, c Call) (any, error) {
	width := int64(4)
	if n, ok := c.Arg(0, "width"); ok {
		width, _ = integer(n)
	}
	pad := "\n" + strings.Repeat(" ", int(min(max(width, 0), 100)))
	return replaceText(text(v, m.dialect), [2]string{"\n", pad}, -1)
}

// rangeFunc is Python's range as a list, bounded in length.
func rangeFunc(c Call) (any, error) {
	n := [3]int64{0, 0, 1}
	if len(c.Args) == 0 || len(c.Args) > 3 {
		return nil, fmt.Errorf("range takes one to three integers")
	}
	for i, v := range c.Args {
		var ok bool
		if n[i], ok = v.(int64); !ok {
			return nil, fmt.Errorf("range takes integers, this is %s", kindOf(v))
		}
	}
	if len(c.Args) == 1 {
		n[0], n[1] = 0, n[0]
	}
	if n[2] == 0 {
		return nil, fmt.Errorf("the step of a range must not be 0")
	}
	items := []any{}
	for i := n[0]; n[2] > 0 && i < n[1] || n[2] < 0 && i > n[1]; i += n[2] {
		if items = append(items, i); len(items) > maxItems {
			return nil, fmt.Errorf("a template makes a list of more than %d items", maxItems)
		}
	}
	return items, nil
}

// dictFunc makes a mapping of named arguments, in alphabetical order: the order
// of the call is not known here.
func dictFunc(c Call) (any, error) {
	d := NewDict()
	for _, k := range slices.Sorted(maps.Keys(c.Named)) {
		d.Set(k, c.Named[k])
	}
	return d, nil
}
