package jinja

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// EnvDict is environment variables as a mapping, in alphabetical order.
func EnvDict(env map[string]string) *Dict {
	d := NewDict()
	for _, name := range slices.Sorted(maps.Keys(env)) {
		d.Set(name, env[name])
	}
	return d
}

// EnvObject is recipe.yaml's env, with env.get and env.exists. It sees env and
// nothing of the process.
func EnvObject(env map[string]string) *Dict {
	d := NewDict()
	d.Set("get", Func(func(c Call) (any, error) {
		name, err := c.String(0, "name")
		if err != nil {
			return nil, err
		}
		if v, ok := env[name]; ok {
			return v, nil
		}
		if v, ok := c.Arg(1, "default"); ok {
			return v, nil
		}
		return nil, &Error{
			Text: fmt.Sprintf("the environment variable %s is not set", name),
			Hint: fmt.Sprintf(`set it, or write env.get(%q, default="…")`, name),
		}
	}))
	d.Set("exists", Func(func(c Call) (any, error) {
		name, err := c.String(0, "name")
		_, ok := env[name]
		return ok, err
	}))
	return d
}

// OSObject is Python's os as far as conda-build's files use it: environ, getenv,
// sep and pathsep.
func OSObject(env map[string]string, windows bool) *Dict {
	return OSOf(EnvDict(env), windows)
}

// OSOf is OSObject with variables that are no plain text.
func OSOf(environ *Dict, windows bool) *Dict {
	d := NewDict()
	d.Set("environ", environ)
	d.Set("sep", pick(windows, `\`, "/"))
	d.Set("pathsep", pick(windows, ";", ":"))
	d.Set("getenv", Func(func(c Call) (any, error) {
		name, err := c.String(0, "key")
		if err != nil {
			return nil, err
		}
		if v, ok := environ.Get(name); ok {
			return v, nil
		}
		v, _ := c.Arg(1, "default")
		return v, nil
	}))
	return d
}

// FromData makes a value of plain data, as decoders return it.
func FromData(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case int:
		return int64(v)
	case []any:
		all := make([]any, len(v))
		for i, item := range v {
			all[i] = FromData(item)
		}
		return all
	case map[string]any:
		d := NewDict()
		for _, key := range slices.Sorted(maps.Keys(v)) {
			d.Set(key, FromData(v[key]))
		}
		return d
	}
	return v
}
