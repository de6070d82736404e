package variant

import (
	"maps"
	"slices"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// Space is all combinations of values that conda-build's variants allow, kept as
// axes: it is multiplied out for those keys alone that a recipe uses. It is
// never changed.
type Space struct {
	axes []axis
	of   map[string]int // a key to its axis

	Pins                map[string]map[string]string // pin_run_as_build: by package, min_pin and max_pin
	IgnoreVersion       []string                     // keys that do not count in a hash
	IgnoreBuildOnlyDeps []string                     // keys that do not count when only build requirements name them
}

// axis is keys whose values change together; a row has one for each.
type axis struct {
	keys []string
	rows [][]any
}

// First is the first value of each key.
func (s Space) First() map[string]any {
	first := map[string]any{}
	for _, a := range s.axes {
		a.fill(first, 0)
	}
	return first
}

// fill puts a row's values into a combination.
func (a axis) fill(combination map[string]any, row int) {
	for i, key := range a.keys {
		combination[key] = a.rows[row][i]
	}
}

// axis finds a key: its axis and its column there.
func (s Space) axis(key string) (n, column int, ok bool) {
	n, ok = s.of[key]
	if !ok {
		return 0, 0, false
	}
	return n, slices.Index(s.axes[n].keys, key), true
}

// Loops tells whether a key has several values.
func (s Space) Loops(key string) bool {
	n, column, ok := s.axis(key)
	if !ok {
		return false
	}
	rows := s.axes[n].rows
	return slices.ContainsFunc(rows, func(row []any) bool { return row[column] != rows[0][column] })
}

// Values are those that a key can have, each once.
func (s Space) Values(key string) []any {
	n, column, ok := s.axis(key)
	if !ok {
		return nil
	}
	var all []any
	for _, row := range s.axes[n].rows {
		if !slices.Contains(all, row[column]) {
			all = append(all, row[column])
		}
	}
	return all
}

// Where is the part of the space in which a key has one of some values; the
// space itself when that leaves nothing.
func (s Space) Where(key string, values ...any) Space { return s.where(Key{Name: key, Values: values}) }

func (s Space) where(k Key) Space {
	n, column, ok := s.axis(k.Name)
	if !ok {
		return s
	}
	all := s.axes[n]
	rows := slices.DeleteFunc(slices.Clone(all.rows), func(row []any) bool { return !slices.Contains(k.Values, row[column]) })
	if len(rows) > 0 && len(rows) < len(all.rows) {
		s.axes = slices.Clone(s.axes)
		s.axes[n] = axis{all.keys, rows}
	}
	return s
}

// Combinations are all ways to choose values for the used keys, in the order in
// which files have them; the keys that are not used have their first value. The
// error is tree.Problems.
func (s Space) Combinations(used map[string]bool) ([]map[string]any, error) {
	all := []map[string]any{s.First()}
	for _, a := range s.axes {
		if len(a.rows) < 2 || !slices.ContainsFunc(a.keys, func(key string) bool { return used[key] }) {
			continue
		}
		if len(all)*len(a.rows) > maxCombinations {
			return nil, tree.Problems{{Text: "the variants make more than 10000 combinations", Hint: "zip keys that belong together, or give fewer values"}}
		}
		var next []map[string]any
		for _, combination := range all {
			for row := range a.rows {
				one := maps.Clone(combination)
				a.fill(one, row)
				next = append(next, one)
			}
		}
		all = next
	}
	return all, nil
}
