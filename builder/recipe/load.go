package recipe

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// loadFunc is load_from_file(path): a file of the recipe's folder as data, or
// as text when its name tells no format.
func (r *v1Recipe) loadFunc() jinja.Func {
	return func(c jinja.Call) (any, error) {
		name, err := c.String(0, "path")
		if err != nil {
			return nil, err
		}
		text, err := r.sideFile(name)
		if err != nil {
			return nil, err
		}
		return r.parseData(name, text)
	}
}

// sideFile reads a file of the recipe's folder and nothing outside of it.
func (j *job) sideFile(name string) (string, error) {
	clean := path.Clean(strings.ReplaceAll(name, `\`, "/"))
	if !fs.ValidPath(clean) {
		return "", &jinja.Error{Text: fmt.Sprintf("the file %q is outside of the recipe's folder", name), Hint: "copy it beside the recipe"}
	}
	text, err := tree.ReadFile(j.fsys, clean, "the file")
	if err != nil {
		return "", &jinja.Error{Text: fmt.Sprintf("cannot read the file %q: %v", name, err), Hint: "name a file relative to the recipe's folder"}
	}
	return text, nil
}

// parseData reads JSON, YAML or TOML by the file's name.
func (j *job) parseData(name, text string) (any, error) {
	switch path.Ext(name) {
	case ".json":
		var v any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			return nil, fmt.Errorf("%s is not JSON: %w", name, err)
		}
		return jinja.FromData(v), nil
	case ".yaml", ".yml":
		report := &tree.Report{}
		reader := &tree.Reader{File: name, What: "the file", Begin: "a mapping", Report: report, Typed: tree.Typed}
		root := reader.Parse(text)
		if root == nil {
			return nil, report.Err()
		}
		return jinja.FromData(root.Free()), nil
	case ".toml":
		var v map[string]any
		if err := toml.Unmarshal([]byte(text), &v); err != nil {
			return nil, fmt.Errorf("%s is not TOML: %w", name, err)
		}
		return jinja.FromData(v), nil
	}
	return text, nil
}
