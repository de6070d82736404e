package variant

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// maxCombinations is more than any recipe builds: conda-forge's widest has a
// few hundred.
const maxCombinations = 10_000

// Combinations are all ways to choose a value for each of the used keys that c
// has, in the order of the sorted keys, the last of which changes fastest. Keys
// of a zip change together; those of them that are not used are left out.
// Without a used key there is one combination, which is empty. The error is
// tree.Problems.
func (c Config) Combinations(used []string) ([]map[string]any, error) {
	return c.Expand(map[string]any{}, used)
}

// Expand chooses values for further keys beside those that base has already.
func (c Config) Expand(base map[string]any, used []string) ([]map[string]any, error) {
	all := []map[string]any{maps.Clone(base)}
	for _, axis := range c.axes(base, used) {
		if err := c.even(axis); err != nil {
			return nil, err
		}
		var next []map[string]any
		if len(all)*len(axis[0].Values) > maxWide {
			return nil, c.tooMany(axis)
		}
		for _, combination := range all {
			next = append(next, c.choose(combination, axis)...)
			if len(next) > maxCombinations {
				return nil, c.tooMany(axis)
			}
		}
		all = next
	}
	return all, nil
}

// maxWide is how many choices are looked at to find those that differ.
const maxWide = 20 * maxCombinations

// tooMany is the problem of a configuration that is multiplied too often.
func (c Config) tooMany(axis []Key) error {
	return tree.Problems{{
		Pos: axis[0].Pos, Hint: "zip keys that belong together, or give fewer values",
		Text: fmt.Sprintf("the variants make more than %d combinations", maxCombinations),
	}}
}

// axes are the used keys, those of a zip together, without those of base.
func (c Config) axes(base map[string]any, used []string) [][]Key {
	var axes [][]Key
	done := map[string]bool{}
	for _, name := range slices.Sorted(slices.Values(used)) {
		k, ok := c.Get(name)
		if _, chosen := base[name]; !ok || done[name] || chosen {
			continue
		}
		axis := []Key{k}
		done[name] = true
		for _, other := range c.partners(name) {
			if o, ok := c.Get(other); ok && !done[other] && (slices.Contains(used, other) || base[other] != nil) {
				axis = append(axis, o)
				done[other] = true
			}
		}
		axes = append(axes, axis)
	}
	return axes
}

// partners are the keys that are zipped with one.
func (c Config) partners(name string) []string {
	for _, z := range c.zips {
		if slices.Contains(z.Keys, name) {
			return slices.DeleteFunc(slices.Clone(z.Keys), func(k string) bool { return k == name })
		}
	}
	return nil
}

// even checks that zipped keys have equally many values.
func (c Config) even(axis []Key) error {
	for _, k := range axis[1:] {
		if len(k.Values) != len(axis[0].Values) {
			return tree.Problems{{
				Pos: k.Pos, Hint: "give zipped keys equally many values",
				Text: "zip_keys joins " + axis[0].Name + ", which has " + count(axis[0]) + ", and " + k.Name + ", which has " + count(k),
			}}
		}
	}
	return nil
}

func count(k Key) string {
	texts := make([]string, len(k.Values))
	for i, v := range k.Values {
		texts[i] = tree.ScalarText(v)
	}
	if len(texts) == 1 {
		return "the value " + texts[0]
	}
	return "the values " + strings.Join(texts, ", ")
}

// choose takes a combination, and extends it by each value of an axis that agrees with what
// the combination has chosen already. Equal results count once: a zip whose
// other keys are not used often has the same value twice.
func (c Config) choose(base map[string]any, axis []Key) []map[string]any {
	var chosen []int
	seen := map[string]bool{}
	for i := range axis[0].Values {
		agrees := true
		var name strings.Builder
		for _, k := range axis {
			v, chosen := base[k.Name]
			agrees = agrees && (!chosen || v == k.Values[i])
			fmt.Fprintf(&name, "%T %v\x00", k.Values[i], k.Values[i])
		}
		if !agrees || seen[name.String()] {
			continue
		}
		seen[name.String()] = true
		chosen = append(chosen, i)
	}
	all := make([]map[string]any, len(chosen))
	for n, i := range chosen {
		all[n] = base
		if n < len(chosen)-1 { // the last one may have the original
			all[n] = maps.Clone(base)
		}
		for _, k := range axis {
			all[n][k.Name] = k.Values[i]
		}
	}
	return all
}
