// Package variant knows what a recipe may be built for: the files that list
// values for keys such as python, how several of them become one configuration,
// and the combinations of values that a recipe asks for.
//
// It reads variants.yaml (CEP 14's conditions and templates) and
// conda_build_config.yaml (conda-build's selectors) through an fs.FS. Start
// with Read.
package variant

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// Config is values for keys. The zero value is empty and ready to use.
type Config struct {
	keys []Key
	at   map[string]int // of each key in keys
	zips []Zip
}

// Key is the values for one key.
type Key struct {
	Name   string // normalised, e.g. c_compiler
	Values []any  // string, bool or int64, in the file's order; never empty
	Pos    tree.Pos
}

// Zip is keys whose values belong together: the first with the first, and so
// on.
type Zip struct {
	Keys []string // normalised; at least two
	Pos  tree.Pos
}

// Normalize is the name under which templates know a key.
func Normalize(key string) string {
	return strings.NewReplacer("-", "_", ".", "_").Replace(key)
}

// Of makes a configuration with one value for each key of a map.
func Of(values map[string]any) Config {
	var c Config
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v := values[name]
		if n, ok := v.(int); ok {
			v = int64(n)
		}
		c.Set(Key{Name: name, Values: []any{v}})
	}
	return c
}

// Set gives a key its values, in place of those it had.
func (c *Config) Set(k Key) {
	c.own()
	c.put(k)
}

// own makes the keys this configuration's alone.
func (c *Config) own() {
	c.keys, c.at = slices.Clone(c.keys), maps.Clone(c.at)
	if c.at == nil {
		c.at = map[string]int{}
	}
}

// put is Set for keys that are this configuration's alone.
func (c *Config) put(k Key) {
	k.Name = Normalize(k.Name)
	if i, known := c.at[k.Name]; known {
		c.keys[i] = k
		return
	}
	c.at[k.Name] = len(c.keys)
	c.keys = append(c.keys, k)
}

// Get returns a key by its normalised name.
func (c Config) Get(name string) (Key, bool) {
	if i, known := c.at[name]; known {
		return c.keys[i], true
	}
	return Key{}, false
}

// Keys are all keys in the order in which files named them.
func (c Config) Keys() []Key { return slices.Clone(c.keys) }

// Zips are the groups of keys whose values belong together.
func (c Config) Zips() []Zip { return slices.Clone(c.zips) }

// First is the first value of each key.
func (c Config) First() map[string]any {
	first := make(map[string]any, len(c.keys))
	for _, k := range c.keys {
		first[k.Name] = k.Values[0]
	}
	return first
}

// Merge puts a later file over c: a key that it has replaces c's, and so do its
// zip_keys if it has any.
func (c Config) Merge(later Config) Config {
	out := c
	out.own()
	for _, k := range later.keys {
		out.put(k)
	}
	if len(later.zips) > 0 {
		out.zips = later.zips
	}
	return out
}

// Override applies KEY=VALUE,VALUE… of a command line: the last word on a key.
func (c Config) Override(assignment string) (Config, error) {
	name, list, ok := strings.Cut(assignment, "=")
	name = strings.TrimSpace(name)
	if !ok || name == "" || strings.TrimSpace(list) == "" {
		return c, fmt.Errorf("the variant %q: write KEY=VALUE, or KEY=VALUE,VALUE for several", assignment)
	}
	k := Key{Name: name}
	for value := range strings.SplitSeq(list, ",") {
		k.Values = append(k.Values, tree.Typed("", strings.TrimSpace(value)))
	}
	out := c
	out.Set(k)
	return out, nil
}
