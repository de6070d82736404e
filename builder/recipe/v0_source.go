package recipe

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// archiveRule are the names of what is unpacked.
var archiveRule = regexp.MustCompile(`(?i)\.(tar(\.[a-z0-9]+)?|t(gz|bz2?|xz|zst)|zip|7z)$`)

var v0Source = keys{
	"url": honoured, "fn": honoured, "sha256": honoured, "md5": honoured, "folder": honoured, "path": honoured,
	"patches": honoured, "no_hoist": honoured, "git_url": honoured, "git_rev": honoured, "git_tag": honoured, "git_branch": honoured,
	"git_depth": harmless, "path_via_symlink": later, "sha1": refused, "sha224": refused, "sha384": refused, "sha512": refused,
	"content_sha256": refused, "content_sha384": refused, "content_sha512": refused, "content_hash_skip": harmless,
	"hg_url": honoured, "hg_tag": harmless, "svn_url": honoured, "svn_rev": harmless, "svn_ignore_externals": harmless,
	"svn_username": harmless, "svn_password": harmless,
}

// sources keeps the recipe's order: archives given on the command line replace
// urls in it.
func (r *v0Recipe) sources(out *Output) {
	for _, n := range r.root.Get("source").All() {
		if s, ok := r.source(n); ok {
			out.Sources = append(out.Sources, s)
		}
	}
}

// source reads one source. A source that has nothing to fetch on this platform
// is left out with a warning: selectors may have cut it.
func (r *v0Recipe) source(n *tree.Node) (Source, bool) {
	s := Source{Pos: n.Pos}
	if r.foreignCondition(n) || !r.known(n, "source", v0Source) {
		return s, false
	}
	if other := slices.IndexFunc(n.Fields, func(f tree.Field) bool { return f.Key == "hg_url" || f.Key == "svn_url" }); other >= 0 {
		r.report.Fail(n.Fields[other].Pos, "use a url to an archive", "%s is not supported", n.Fields[other].Key)
		return s, false
	}
	switch {
	case n.Get("url") != nil:
		s.URLs = r.urls(n.Get("url"), "source.url")
	case n.Get("git_url") != nil:
		s.Git = r.git(n)
	case n.Get("path") != nil:
		s.Path = r.sourcePath(n.Get("path"))
	default:
		r.report.Warn(n.Pos, "", "the source has no url, path or git_url for %s, ignored", r.TargetPlatform)
		return s, false
	}
	s.SHA256 = r.digest(n.Get("sha256"), "source.sha256", 64)
	s.MD5 = r.digest(n.Get("md5"), "source.md5", 32)
	s.Folder = r.below(n.Get("folder"), "source.folder", "the work folder")
	s.Patches = r.belowAll(n.Get("patches"), "source.patches", "the recipe's folder")
	s.FileName = r.fileName(n.Get("fn"), s.URLs)
	s.NoHoist = slices.ContainsFunc(n.Fields, func(f tree.Field) bool { return f.Key == "no_hoist" })
	return s, true
}

// fileName is what a download is kept as. Conda-build tells an archive by this
// name; here an archive is told by its url, so the two must not differ.
func (r *v0Recipe) fileName(n *tree.Node, urls []string) string {
	name := r.below(n, "source.fn", "the work folder")
	if !archiveRule.MatchString(name) {
		return name
	}
	for _, u := range urls {
		u, _, _ = strings.Cut(u, "?")
		if !archiveRule.MatchString(path.Base(u)) {
			r.report.Fail(n.Pos, "use a url that ends in the archive's name",
				"source.fn %q is an archive's name, and the end of the url %s is not: it would not be unpacked", name, u)
		}
	}
	return ""
}

// foreignCondition finds recipe.yaml's if: in a meta.yaml, which conda-build
// takes for unknown keys: the source would be lost.
func (r *v0Recipe) foreignCondition(n *tree.Node) bool {
	if n.Kind != tree.Map {
		return false
	}
	for _, f := range n.Fields {
		if f.Key == "if" && n.Get("then") != nil {
			p := tree.Problem{
				Pos: f.Pos, Text: "if: and then: are recipe.yaml's: in meta.yaml this source would be ignored",
				Hint: "write the keys as they are, each line with a selector such as # [linux64] behind it",
			}
			if !slices.Contains(r.blockers, p) {
				r.blockers = append(r.blockers, p)
			}
			return true
		}
	}
	return false
}

// git reads the repository and the one revision that is named.
func (r *v0Recipe) git(n *tree.Node) *Git {
	g := &Git{URL: r.str(n.Get("git_url"), "source.git_url")}
	for _, key := range []string{"git_rev", "git_tag", "git_branch"} {
		v := n.Get(key)
		if v == nil {
			continue
		}
		if g.Rev != "" {
			r.report.Fail(v.Pos, "keep one of git_rev, git_tag and git_branch", "the git source has two revisions")
		}
		g.Rev = r.str(v, "source."+key)
	}
	return g
}
