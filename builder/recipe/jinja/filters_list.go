package jinja

import (
	"fmt"
	"slices"
	"strings"
)

// filterItems is items for functions that do not know their place.
func filterItems(m *machine, v any) ([]any, error) { return m.items(v, &literal{}) }

// length counts characters, not bytes.
func length(m *machine, v any, _ Call) (any, error) {
	switch v := v.(type) {
	case string:
		return int64(len([]rune(v))), nil
	case []any:
		return int64(len(v)), nil
	case *Dict:
		return int64(len(v.keys)), nil
	}
	return nil, fmt.Errorf("%s has no length", m.describe(v))
}

// first of an empty list is undefined, so that default can follow.
func first(m *machine, v any, _ Call) (any, error) {
	items, err := filterItems(m, v)
	if err != nil || len(items) == 0 {
		return Undefined{text: "the list is empty: it has no first item"}, err
	}
	return items[0], nil
}

// last of an empty list is undefined, so that default can follow.
func last(m *machine, v any, _ Call) (any, error) {
	items, err := filterItems(m, v)
	if err != nil || len(items) == 0 {
		return Undefined{text: "the list is empty: it has no last item"}, err
	}
	return items[len(items)-1], nil
}

// toList copies: nothing that a template holds is ever changed in place.
func toList(m *machine, v any, _ Call) (any, error) {
	items, err := filterItems(m, v)
	return slices.Clone(items), err
}

// reverse keeps the kind: a text stays a text.
func reverse(m *machine, v any, _ Call) (any, error) {
	items, err := filterItems(m, v)
	if err != nil {
		return nil, err
	}
	items = slices.Clone(items)
	slices.Reverse(items)
	if _, ok := v.(string); ok {
		return joinTexts(items), nil
	}
	return items, nil
}

// sortFilter ignores case unless told otherwise, as Jinja2 does, and is stable.
func sortFilter(m *machine, v any, c Call) (any, error) {
	items, err := filterItems(m, v)
	if err != nil {
		return nil, err
	}
	items = slices.Clone(items)
	folded, _ := c.Arg(1, "case_sensitive")
	slices.SortStableFunc(items, func(a, b any) int {
		if s, ok := a.(string); ok && !truthy(folded) {
			if t, ok := b.(string); ok {
				return strings.Compare(strings.ToLower(s), strings.ToLower(t))
			}
		}
		if order, ok := compare(a, b); ok {
			return order
		}
		return rank(a) - rank(b)
	})
	if down, _ := c.Arg(0, "reverse"); truthy(down) {
		slices.Reverse(items)
	}
	return items, nil
}

// unique keeps the first of equal items; 1 and "1" differ.
func unique(m *machine, v any, _ Call) (any, error) {
	items, err := filterItems(m, v)
	if err != nil {
		return nil, err
	}
	seen, kept := map[string]bool{}, []any{}
	for _, item := range items {
		key := fmt.Sprintf("%T", item) + text(item, m.dialect)
		if !seen[key] {
			seen[key] = true
			kept = append(kept, item)
		}
	}
	return kept, nil
}

// extreme is min for -1 and max for 1.
func extreme(sign int) filterFunc {
	return func(m *machine, v any, _ Call) (any, error) {
		items, err := filterItems(m, v)
		if err != nil || len(items) == 0 {
			return Undefined{text: "the list is empty"}, err
		}
		best := items[0]
		for _, item := range items[1:] {
			order, ok := compare(item, best)
			if !ok {
				order = rank(item) - rank(best)
			}
			if order*sign > 0 {
				best = item
			}
		}
		return best, nil
	}
}

// sum adds from 0 on, so it refuses texts as Python does.
func sum(m *machine, v any, _ Call) (any, error) {
	items, err := filterItems(m, v)
	if err != nil {
		return nil, err
	}
	var total any = int64(0)
	for _, item := range items {
		if total, err = m.arithmetic(&binary{op: "+"}, total, item); err != nil {
			return nil, err
		}
	}
	return total, nil
}
