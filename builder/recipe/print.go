package recipe

import (
	"maps"
	"slices"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// Document is the evaluated recipe of one output, with the keys of recipe.yaml's
// schema whatever format it was written in. What has its default is left out.
func (o *Output) Document() *tree.Node {
	d := &doc{}
	d.add("schema_version", tree.Of(int64(1)))
	d.put("package", func(d *doc) {
		d.text("name", o.Name)
		d.text("version", o.Version)
	})
	list(d, "source", o.Sources, Source.print)
	d.put("build", o.printBuild)
	d.put("requirements", o.Requirements.print)
	list(d, "tests", o.Tests, Test.print)
	d.put("about", o.About.print)
	d.add("extra", tree.Of(o.Extra))
	if o.Staging != nil {
		d.put("staging", o.Staging.print)
	}
	return d.node()
}

// YAML is the evaluated recipe in the format that it was written in, for
// info/recipe.
func (o *Output) YAML() ([]byte, error) {
	if o.Rendered != nil {
		return o.Rendered, nil
	}
	return o.Document().Dump()
}

// doc is a mapping that is being written. Empty values are left out.
type doc struct{ fields []tree.Field }

func (d *doc) node() *tree.Node { return &tree.Node{Kind: tree.Map, Fields: d.fields} }

func (d *doc) add(key string, n *tree.Node) {
	if n == nil || n.IsNull() || n.Kind != tree.Scalar && len(n.Items)+len(n.Fields) == 0 {
		return
	}
	d.fields = append(d.fields, tree.Field{Key: key, Value: n})
}

// put writes a mapping with fill.
func (d *doc) put(key string, fill func(*doc)) {
	inner := &doc{}
	fill(inner)
	d.add(key, inner.node())
}

func (d *doc) text(key, value string) {
	if value != "" {
		d.add(key, tree.Of(value))
	}
}

func (d *doc) flag(key string, value bool) {
	if value {
		d.add(key, tree.Of(true))
	}
}

func (d *doc) texts(key string, values []string) { d.add(key, tree.Of(values)) }

// list writes each item with print.
func list[T any](d *doc, key string, items []T, print func(T, *doc)) {
	n := &tree.Node{Kind: tree.List}
	for _, item := range items {
		inner := &doc{}
		print(item, inner)
		n.Items = append(n.Items, inner.node())
	}
	d.add(key, n)
}

// print writes a source. A tag and a branch are the git references that they
// stand for.
func (s Source) print(d *doc) {
	switch {
	case len(s.URLs) == 1:
		d.text("url", s.URLs[0])
	case len(s.URLs) > 1:
		d.texts("url", s.URLs)
	case s.Git != nil:
		s.Git.print(d)
	case s.Other != nil:
		d.text(s.Other.System, s.Other.URL)
		d.text("rev", s.Other.Rev)
	default:
		d.text("path", s.Path)
	}
	d.text("sha256", s.SHA256)
	d.text("md5", s.MD5)
	for _, kind := range slices.Sorted(maps.Keys(s.Hashes)) {
		d.text(kind, s.Hashes[kind])
	}
	d.text("file_name", s.FileName)
	d.texts("patches", s.Patches)
	d.text("target_directory", s.Folder)
	if s.NoGitignore {
		d.add("use_gitignore", tree.Of(false))
	}
	d.texts("filter", s.Filter)
	d.add("attestation", tree.Of(s.Attestation))
	d.flag("no_hoist", s.NoHoist)
	d.flag("path_via_symlink", s.Symlink)
}

func (g *Git) print(d *doc) {
	d.text("git", g.URL)
	switch {
	case g.Tag != "":
		d.text("rev", "refs/tags/"+g.Tag)
	case g.Branch != "":
		d.text("rev", "refs/heads/"+g.Branch)
	default:
		d.text("rev", g.Rev)
	}
	if g.Depth > 0 {
		d.add("depth", tree.Of(int64(g.Depth)))
	}
	d.flag("lfs", g.LFS)
	if g.NoSubmodules {
		d.add("submodules", tree.Of(false))
	}
	d.text("expected_commit", g.ExpectedCommit)
}

// node is the script as its recipe writes it.
func (s Script) node() *tree.Node {
	content := s.Written
	if content == nil {
		content = s.Lines
	}
	switch {
	case s.Implied:
		return nil
	case !s.Long && len(s.Env)+len(s.PassEnv)+len(s.Secrets) == 0 && s.Dir == "":
		if s.File != "" && s.Written == nil {
			return tree.Of(s.File)
		}
		if len(content) == 1 {
			return tree.Of(content[0])
		}
		return tree.Of(content)
	}
	d := &doc{}
	d.text("interpreter", s.Interpreter)
	d.add("env", tree.Of(s.Env))
	d.texts("secrets", slices.Concat(s.PassEnv, s.Secrets))
	switch {
	case s.File != "" && len(s.Written) == 1:
		d.text("file", s.Written[0])
	case s.File != "":
		d.text("file", s.File)
	default:
		d.texts("content", content)
	}
	d.text("cwd", s.Dir)
	return d.node()
}

// print writes a step: the body of its script is called run.
func (s Step) print(d *doc) {
	d.text("name", s.Name)
	run := s.Script
	run.Env, run.Interpreter, run.Dir, run.Long = nil, "", "", false
	d.add("run", run.node())
	d.text("interpreter", s.Interpreter)
	d.text("cwd", s.Dir)
	d.add("env", tree.Of(s.Env))
}

func (r Requirements) print(d *doc) {
	d.add("build", dependencyNodes(r.Build))
	d.add("host", dependencyNodes(r.Host))
	d.add("run", dependencyNodes(r.Run))
	d.add("run_constraints", dependencyNodes(r.RunConstraints))
	d.put("run_exports", r.RunExports.print)
	d.put("ignore_run_exports", func(d *doc) {
		d.texts("by_name", r.IgnoreRunExports.ByName)
		d.texts("from_package", r.IgnoreRunExports.FromPackage)
	})
	d.put("extras", func(d *doc) {
		for _, name := range slices.Sorted(maps.Keys(r.Extras)) {
			d.add(name, dependencyNodes(r.Extras[name]))
		}
	})
}

func (r RunExports) print(d *doc) {
	d.add("weak", dependencyNodes(r.Weak))
	d.add("strong", dependencyNodes(r.Strong))
	d.add("noarch", dependencyNodes(r.Noarch))
	d.add("weak_constraints", dependencyNodes(r.WeakConstraints))
	d.add("strong_constraints", dependencyNodes(r.StrongConstraints))
}

// dependencyNodes prints specs as text and pins as mappings.
func dependencyNodes(all []Dependency) *tree.Node {
	n := &tree.Node{Kind: tree.List}
	for _, dep := range all {
		if dep.Pin == nil || dep.Spec != "" {
			n.Items = append(n.Items, tree.Of(dep.Spec))
			continue
		}
		outer := &doc{}
		outer.put(string(dep.Pin.Kind), dep.Pin.print)
		n.Items = append(n.Items, outer.node())
	}
	return n
}

func (p Pin) print(d *doc) {
	d.text("name", p.Name)
	d.text("lower_bound", p.Lower)
	d.text("upper_bound", p.Upper)
	d.flag("exact", p.Exact)
	d.text("build", p.Build)
}

func (a About) print(d *doc) {
	d.text("homepage", normalURL(a.Home))
	d.text("repository", normalURL(a.Repository))
	d.text("documentation", normalURL(a.Documentation))
	d.text("license", a.License)
	d.texts("license_file", a.LicenseFiles)
	d.text("license_family", a.LicenseFamily)
	d.text("summary", a.Summary)
	d.text("description", a.Description)
	for _, key := range slices.Sorted(maps.Keys(a.Other)) {
		d.add(key, tree.Of(a.Other[key]))
	}
}

// print writes a staging output.
func (s *Staging) print(d *doc) {
	d.text("name", s.Name)
	list(d, "source", s.Sources, Source.print)
	d.put("build", func(d *doc) { d.add("script", s.Script.node()) })
	d.put("requirements", s.Requirements.print)
	if !s.RunExports {
		d.add("run_exports", tree.Of(false))
	}
}
