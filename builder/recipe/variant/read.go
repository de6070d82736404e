package variant

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/platform"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// The files that are read without being named when they lie beside a recipe:
// the first that is there.
const (
	File      = "variants.yaml"
	CondaFile = "conda_build_config.yaml"
)

// maxZips is how many groups zip_keys may have; conda-forge's has ten.
const maxZips = 100

// Options is what files are read for.
type Options struct {
	Platform platform.Platform // to build for
	Build    platform.Platform // that builds
	Env      map[string]string // that selectors and templates may read; the caller decides
	Before   Config            // of files that were read before: conditions see their values
	// Name is what problems call the file; "" is its name in fsys.
	Name string
}

// Find returns the variant file beside a recipe, "" when there is none.
func Find(fsys fs.FS) (string, error) {
	for _, name := range []string{File, CondaFile} {
		info, err := fs.Stat(fsys, name)
		switch {
		case err == nil && !info.IsDir():
			return name, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("look for %s: %w", name, err)
		}
	}
	return "", nil
}

// Read reads one file. Only a file of the very name conda_build_config.yaml has
// conda-build's selectors; any other has recipe.yaml's conditions. The error is
// tree.Problems when the file is wrong; doubts are returned beside the
// configuration.
func Read(fsys fs.FS, file string, o Options) (Config, tree.Problems, error) {
	text, err := tree.ReadFile(fsys, file, "the variants")
	if err != nil {
		return Config{}, nil, err
	}
	if o.Name == "" {
		o.Name = path.Base(file)
	}
	r := &reader{Options: o, report: &tree.Report{}, text: text, budget: jinja.NewBudget(), names: o.Platform.Flags()}
	r.conda = path.Base(file) == CondaFile
	c := r.read()
	if err := r.report.Err(); err != nil {
		return Config{}, nil, err
	}
	return c, r.report.Warnings(), nil
}

// reader is one file that is being read.
type reader struct {
	Options
	report *tree.Report
	text   string // as its author wrote it
	conda  bool   // it has conda-build's rules
	budget *jinja.Budget
	names  map[string]any // of the platform
}

// read makes the configuration.
func (r *reader) read() Config {
	text := r.text
	if r.conda {
		text = r.selected()
	}
	if r.report.Failed() || blank(text) {
		return Config{}
	}
	yaml := &tree.Reader{File: r.Name, What: "the variant file", Begin: "key: with a list of values", Report: r.report, Typed: tree.Typed, Strict: !r.conda}
	root := yaml.Parse(text)
	var c Config
	if root == nil {
		return c
	}
	c.own()
	for _, f := range root.Fields {
		r.field(&c, f)
	}
	return c
}

// blank holds for a file that says nothing.
func blank(text string) bool {
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

// field reads one key. A key whose list is empty, which conditions can make it,
// is as good as missing.
func (r *reader) field(c *Config, f tree.Field) {
	switch f.Key {
	case "zip_keys":
		c.zips = append(c.zips, r.zipKeys(f.Value)...)
		return
	case "pin_run_as_build", "extend_keys", "ignore_version", "ignore_build_only_deps":
		return // for a meta.yaml alone: see Layer
	}
	k := Key{Name: f.Key, Pos: f.Pos, Values: r.values(f.Value)}
	if k.Name == "target_platform" || k.Name == "build_platform" || len(k.Values) == 0 {
		return // the platforms are the command line's to choose
	}
	c.put(k)
}

// values are a key's, with conditions decided and templates evaluated.
func (r *reader) values(n *tree.Node) []any {
	var all []any
	for _, item := range n.All() {
		switch {
		case item.Kind == tree.Map && item.Get("if") != nil && !r.conda:
			all = append(all, r.values(r.branch(item))...)
		case item.Kind == tree.Scalar && item.Value != nil:
			if v, ok := r.value(item); ok {
				all = append(all, v)
			}
		case !item.IsNull():
			r.report.Fail(item.Pos, "write plain values", "a variant's value is %s", item.Describe())
		}
	}
	return all
}

// value is one of them.
func (r *reader) value(n *tree.Node) (any, bool) {
	text, ok := n.Text()
	if !ok || r.conda || !jinja.IsTemplate(text, jinja.Recipe) {
		return n.Value, true
	}
	t, err := jinja.Parse(text, jinja.Recipe)
	if err == nil {
		var v any
		if v, err = t.Value(r.scope()); err == nil {
			switch v.(type) {
			case string, bool, int64:
				return v, true
			}
			r.report.Fail(n.Pos, "make it text", "a variant's value must be plain")
			return nil, false
		}
	}
	r.failed(n, err)
	return nil, false
}

// branch is what if: chooses; nil is nothing.
func (r *reader) branch(n *tree.Node) *tree.Node {
	for _, f := range n.Fields {
		if !slices.Contains([]string{"if", "then", "else"}, f.Key) {
			r.report.Fail(f.Pos, "a condition has if:, then: and else:", "unknown key %q beside if:", f.Key)
			return nil
		}
	}
	cond := n.Get("if")
	yes, ok := cond.Value.(bool)
	if !ok {
		x, err := jinja.ParseExpression(cond.Scalar(), jinja.Recipe)
		if err == nil {
			yes, err = x.Truth(r.scope())
		}
		if err != nil {
			r.failed(cond, err)
			return nil
		}
	}
	if yes {
		return n.Get("then")
	}
	return n.Get("else")
}

// failed places a template's error.
func (r *reader) failed(n *tree.Node, err error) {
	if e, ok := errors.AsType[*jinja.Error](err); ok {
		r.report.Fail(n.Inside(r.text, e.Offset), e.Hint, "%s", e.Text)
		return
	}
	r.report.Fail(n.Pos, "", "%v", err)
}

// scope is what conditions and templates see: the platform, the caller's
// environment, and values of files that were read before.
func (r *reader) scope() jinja.Scope {
	return jinja.Scope{Lookup: r.lookup, Budget: r.budget}
}

func (r *reader) lookup(name string) (any, bool) {
	if v, ok := r.names[name]; ok {
		return v, true
	}
	switch name {
	case "target_platform", "host_platform":
		return r.Platform.Subdir, true
	case "build_platform":
		return r.Build.Subdir, true
	case "SHLIB_EXT":
		return r.Platform.SharedLibraryExt(), true
	case "env":
		return jinja.EnvObject(r.Env), true
	}
	if k, ok := r.Before.Get(name); ok {
		return k.Values[0], true
	}
	return nil, false
}

// words is a list of names.
func (r *reader) words(n *tree.Node) []string {
	var all []string
	for _, item := range n.All() {
		if item.Kind != tree.Scalar {
			r.report.Fail(item.Pos, "write a list of names", "a name is text, this is %s", item.Describe())
			continue
		}
		all = append(all, item.Scalar())
	}
	return all
}

// zipKeys reads groups; one group may stand without a list around it.
func (r *reader) zipKeys(n *tree.Node) []Zip {
	groups := n.All()
	if len(groups) > 0 && groups[0].Kind == tree.Scalar {
		groups = []*tree.Node{n}
	}
	if len(groups) > maxZips {
		r.report.Fail(n.Pos, "", "zip_keys has more than %d groups", maxZips)
		return nil
	}
	var all []Zip
	seen := map[string]bool{}
	for _, g := range groups {
		z := Zip{Pos: g.Pos}
		for _, name := range r.words(g) {
			name = Normalize(name)
			if seen[name] {
				r.report.Fail(g.Pos, "join the two groups, or leave it out of one", "zip_keys has %s twice", name)
			}
			seen[name] = true
			z.Keys = append(z.Keys, name)
		}
		if len(z.Keys) < 2 {
			r.report.Fail(g.Pos, "name at least two keys", "a group of zip_keys joins several keys")
			continue
		}
		all = append(all, z)
	}
	return all
}
