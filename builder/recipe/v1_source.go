package recipe

import (
	"net/url"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// The keys of a source, by its kind.
var (
	v1URLSource = keys{
		"url": honoured, "sha256": honoured, "md5": honoured, "file_name": honoured, "patches": honoured,
		"target_directory": honoured, "attestation": honoured, "filter": honoured,
	}
	v1PathSource = keys{
		"path": honoured, "sha256": honoured, "md5": honoured, "file_name": honoured, "patches": honoured,
		"target_directory": honoured, "use_gitignore": honoured, "filter": honoured,
	}
	v1GitSource = keys{
		"git": honoured, "rev": honoured, "tag": honoured, "branch": honoured, "patches": honoured,
		"target_directory": honoured, "depth": honoured, "lfs": honoured, "submodules": honoured, "expected_commit": honoured, "filter": honoured,
	}
)

// sources keeps the recipe's order: archives given on the command line replace
// urls in it.
func (r *v1Recipe) sources(out *Output, p v1Part, fromTop bool) {
	if fromTop && !p.single {
		r.readSources(out, r.root.Get("source"))
	}
	r.readSources(out, p.node.Get("source"))
}

// readSources reads one of the two lists.
func (r *v1Recipe) readSources(out *Output, list *tree.Node) {
	if list == nil {
		return
	}
	for _, raw := range r.flatten(list) {
		if raw.Kind != tree.Map {
			if !raw.IsNull() {
				r.report.Fail(raw.Pos, "write url: or path: before it", "a source is a mapping, this is %s", raw.Quoted())
			}
			continue
		}
		if s, ok := r.source(r.sourceFields(raw)); ok {
			out.Sources = append(out.Sources, s)
		}
	}
}

// sourceFields evaluates a source; patches may lie in the unpacked sources.
func (r *v1Recipe) sourceFields(raw *tree.Node) *tree.Node {
	n := &tree.Node{Kind: tree.Map, Pos: raw.Pos}
	for _, f := range raw.Fields {
		kind := scopeFields
		if f.Key == "patches" {
			kind = scopePaths
		}
		n.Fields = append(n.Fields, tree.Field{Key: f.Key, Pos: f.Pos, Value: r.evaluate(f.Value, kind)})
	}
	return n
}

// source reads one source, whose kind is told by its key.
func (r *v1Recipe) source(n *tree.Node) (Source, bool) {
	s := Source{Pos: n.Pos}
	kinds := map[string]keys{"url": v1URLSource, "path": v1PathSource, "git": v1GitSource}
	var found []tree.Field
	for _, f := range n.Fields {
		if _, ok := kinds[f.Key]; ok {
			found = append(found, f)
		}
	}
	switch {
	case len(found) == 0:
		r.report.Fail(n.Pos, "add one of them", "the source has no url, path or git")
		return s, false
	case len(found) > 1:
		r.report.Fail(found[1].Pos, "make it two sources", "the source has both %s and %s", found[0].Key, found[1].Key)
		return s, false
	case found[0].Value.IsNull():
		if !r.report.Failed() { // else its template has failed
			r.report.Fail(found[0].Pos, "", "source.%s is empty", found[0].Key)
		}
		return s, false
	}
	r.known(n, "source", kinds[found[0].Key])
	switch found[0].Key {
	case "url":
		s.URLs = r.urls(n.Get("url"), "source.url")
	case "path":
		s.Path = r.sourcePath(n.Get("path"))
	case "git":
		s.Git = r.git(n)
	}
	s.Filter = r.strs(n.Get("filter"), "source.filter")
	s.Attestation = r.freeMap(n.Get("attestation"), "source.attestation")
	s.NoGitignore = !r.boolean(n.Get("use_gitignore"), "source.use_gitignore", true)
	s.SHA256 = r.digest(n.Get("sha256"), "source.sha256", 64)
	s.MD5 = r.digest(n.Get("md5"), "source.md5", 32)
	s.Folder = r.inside(n.Get("target_directory"), "source.target_directory", "the work folder")
	s.FileName = r.inside(n.Get("file_name"), "source.file_name", "the work folder")
	s.Patches = r.insideAll(n.Get("patches"), "source.patches", "the recipe's folder")
	return s, true
}

// urls checks what can be checked without fetching.
func (j *job) urls(n *tree.Node, where string) []string {
	var all []string
	for _, item := range n.All() {
		u := strings.TrimSpace(j.str(item, where))
		if u == "" {
			j.report.Fail(item.Pos, "", "%s is empty", where)
			continue
		}
		if parsed, err := url.Parse(u); err == nil && parsed.User != nil {
			if _, secret := parsed.User.Password(); secret {
				j.report.Warn(item.Pos, "fetch it another way", "%s has a password in it, which goes into the package's metadata", where)
			}
		}
		all = append(all, u)
	}
	return all
}

// sourcePath may lead out of the recipe's folder: archives often lie beside
// the recipes.
func (j *job) sourcePath(n *tree.Node) string {
	p := j.str(n, "source.path")
	for _, prefix := range []string{"./"} {
		p = strings.TrimPrefix(p, prefix)
	}
	return p
}

// git reads the repository and the one revision that is named.
func (r *v1Recipe) git(n *tree.Node) *Git {
	g := &Git{
		URL: r.str(n.Get("git"), "source.git"), Depth: r.natural(n.Get("depth"), "source.depth"),
		LFS: r.boolean(n.Get("lfs"), "source.lfs", false), NoSubmodules: !r.boolean(n.Get("submodules"), "source.submodules", true),
		ExpectedCommit: r.str(n.Get("expected_commit"), "source.expected_commit"),
	}
	named := false
	for _, k := range []struct {
		key  string
		into *string
	}{{"rev", &g.Rev}, {"tag", &g.Tag}, {"branch", &g.Branch}} {
		v := n.Get(k.key)
		if v == nil {
			continue
		}
		if named {
			r.report.Fail(v.Pos, "keep one of rev, tag and branch", "the git source has two revisions")
		}
		*k.into, named = r.str(v, "source."+k.key), true
	}
	return g
}
