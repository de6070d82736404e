package tree

import (
	"math"
	"strconv"
	"strings"
)

// Typed is the reading of plain scalars of recipe.yaml and variants.yaml:
// booleans and integers have a type, which counts in a hash; 1.10 and all else
// is text.
func Typed(_, text string) any {
	switch text {
	case "true", "True", "TRUE":
		return true
	case "false", "False", "FALSE":
		return false
	case "", "~", "null", "Null", "NULL":
		return nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
		return n
	}
	return text
}

// Idle holds for a value that asks for nothing, such as false or an empty list.
func (n *Node) Idle() bool {
	if n.IsNull() || n.Kind != Scalar {
		return n.IsNull() || len(n.Items)+len(n.Fields) == 0
	}
	return n.Value == false || n.Value == ""
}

// ScalarText is a scalar as its author wrote it: the formats' readings keep
// 1.10 text. A number that a template made is printed as templates print it, and
// what is no scalar is "".
func ScalarText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if v == math.Trunc(v) && !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		return s
	}
	return ""
}

// All is the items of a list; a single value is a list of one.
func (n *Node) All() []*Node {
	switch {
	case n.IsNull():
		return nil
	case n.Kind == List:
		return n.Items
	}
	return []*Node{n}
}

// Quoted shows a value in an error.
func (n *Node) Quoted() string {
	if n.Kind != Scalar || n.Value == nil {
		return n.Describe()
	}
	return strconv.Quote(ScalarText(n.Value))
}

// Free is n as plain Go data: nil, bool, int64, string, []any, map[string]any, for keys that are free.
func (n *Node) Free() any {
	switch {
	case n.IsNull():
		return nil
	case n.Kind == List:
		all := make([]any, len(n.Items))
		for i, item := range n.Items {
			all[i] = item.Free()
		}
		return all
	case n.Kind == Map:
		all := map[string]any{}
		for _, f := range n.Fields {
			all[f.Key] = f.Value.Free()
		}
		return all
	}
	return n.Value
}

// Scalar is a scalar's text as its author wrote it; "" for anything else and
// for a missing node.
func (n *Node) Scalar() string {
	if n == nil || n.Kind != Scalar {
		return ""
	}
	return ScalarText(n.Value)
}
