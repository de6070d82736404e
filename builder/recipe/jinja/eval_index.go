package jinja

import "strings"

// index takes an item. One that is not there is undefined, not an error, so
// that default and "is defined" can deal with it.
func (m *machine) index(x *index) (any, error) {
	v, err := m.known(x.x)
	if err != nil {
		return nil, err
	}
	k, err := m.known(x.key)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case *Dict:
		if item, ok := v.Get(text(k, m.dialect)); ok {
			return item, nil
		}
		return Undefined{Name: text(k, m.dialect), text: "the mapping has no " + quote(text(k, m.dialect), false)}, nil
	case Undefined:
		return v, nil
	}
	i, ok := k.(int64)
	if !ok {
		return nil, errorAt(x.key.at(), "the index must be an integer, this is %s", m.describe(k))
	}
	items, err := m.sequence(v, x.x)
	if err != nil {
		return nil, err
	}
	if i < 0 {
		i += int64(len(items))
	}
	if i < 0 || i >= int64(len(items)) {
		return Undefined{text: "the index is outside: " + kindOf(v) + " has only " + text(int64(len(items)), m.dialect) + " items"}, nil
	}
	return items[i], nil
}

// sequence is the items of a list, or the characters of a text.
func (m *machine) sequence(v any, x expr) ([]any, error) {
	switch v := v.(type) {
	case []any:
		return v, nil
	case string:
		return m.characters(v, x)
	}
	return nil, errorAt(x.at(), "%s has no items", m.describe(v))
}

// slice follows Python's rules, negative bounds and steps included.
func (m *machine) slice(x *slice) (any, error) {
	v, err := m.known(x.x)
	if err != nil {
		return nil, err
	}
	if u, ok := v.(Undefined); ok {
		return u, nil
	}
	items, err := m.sequence(v, x.x)
	if err != nil {
		return nil, err
	}
	step, err := m.bound(x.step, 1)
	if err != nil {
		return nil, err
	}
	if step == 0 {
		return nil, errorAt(x.step.at(), "the step of a slice must not be 0")
	}
	n := int64(len(items))
	first, last := int64(0), n
	if step < 0 {
		first, last = n-1, -n-1
	}
	lo, err := m.bound(x.lo, first)
	if err != nil {
		return nil, err
	}
	hi, err := m.bound(x.hi, last)
	if err != nil {
		return nil, err
	}
	cut := cutSlice(items, clampIndex(lo, n, step), clampIndex(hi, n, step), step)
	if _, ok := v.(string); ok {
		return joinTexts(cut), nil
	}
	return cut, m.paySize(cut, x.at())
}

// bound is one of a slice's three numbers; none and a missing one are the
// fallback.
func (m *machine) bound(x expr, fallback int64) (int64, error) {
	if x == nil {
		return fallback, nil
	}
	v, err := m.known(x)
	if err != nil {
		return 0, err
	}
	switch v := v.(type) {
	case int64:
		return v, nil
	case nil:
		return fallback, nil
	}
	return 0, errorAt(x.at(), "a slice needs integers, this is %s", m.describe(v))
}

// clampIndex is Python's rule for a slice's bounds.
func clampIndex(i, n, step int64) int64 {
	if i < 0 {
		i += n
	}
	if step > 0 {
		return min(max(i, 0), n)
	}
	return min(max(i, -1), n-1)
}

// cutSlice takes every step-th item. The step is bounded first: i += step must
// not overflow.
func cutSlice(items []any, lo, hi, step int64) []any {
	cut := []any{}
	if n := int64(len(items)); step > n || step < -n {
		step = min(max(step, -n-1), n+1)
	}
	for i := lo; step > 0 && i < hi || step < 0 && i > hi; i += step {
		cut = append(cut, items[i])
	}
	return cut
}

// joinTexts makes a text again of the characters that it was cut into.
func joinTexts(items []any) string {
	var b strings.Builder
	for _, item := range items {
		if s, ok := item.(string); ok {
			b.WriteString(s)
		}
	}
	return b.String()
}
