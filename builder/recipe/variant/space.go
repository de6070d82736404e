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

// Loops tells whether a key has several values.
func (s Space) Loops(key string) bool {
	for _, a := range s.axes {
		if i := slices.Index(a.keys, key); i >= 0 {
			return slices.ContainsFunc(a.rows, func(row []any) bool { return row[i] != a.rows[0][i] })
		}
	}
	return false
}

// Values are those that a key can have, each once.
func (s Space) Values(key string) []any {
	var all []any
	for _, a := range s.axes {
		if i := slices.Index(a.keys, key); i >= 0 {
			for _, row := range a.rows {
				if !slices.Contains(all, row[i]) {
					all = append(all, row[i])
				}
			}
		}
	}
	return all
}

// Where is the part of the space in which a key has one of some values; the
// space itself when that leaves nothing.
func (s Space) Where(key string, values ...any) Space { return s.where(Key{Name: key, Values: values}) }

func (s Space) where(k Key) Space {
	for n, a := range s.axes {
		i := slices.Index(a.keys, k.Name)
		if i < 0 {
			continue
		}
		rows := slices.DeleteFunc(slices.Clone(a.rows), func(row []any) bool { return !slices.Contains(k.Values, row[i]) })
		if len(rows) > 0 && len(rows) < len(a.rows) {
			s.axes = slices.Clone(s.axes)
			s.axes[n] = axis{a.keys, rows}
		}
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
