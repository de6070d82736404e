package recipe

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// archiveRule are the names of what is unpacked.
var archiveRule = regexp.MustCompile(`(?i)\.(tar(\.[a-z0-9]+)?|t(gz|bz2?|xz|zst)|zip|7z)$`)

var v0Source = keys{
	"url": honoured, "fn": honoured, "sha256": honoured, "md5": honoured, "folder": honoured, "path": honoured,
	"patches": honoured, "no_hoist": honoured, "git_url": honoured, "git_rev": honoured, "git_tag": honoured, "git_branch": honoured,
	"git_depth": honoured, "path_via_symlink": later, "sha1": honoured, "sha224": honoured, "sha384": honoured, "sha512": honoured,
	"content_sha256": honoured, "content_sha384": honoured, "content_sha512": honoured, "content_hash_skip": honoured,
	"hg_url": honoured, "hg_tag": honoured, "svn_url": honoured, "svn_rev": honoured, "svn_ignore_externals": honoured,
	"svn_username": honoured, "svn_password": honoured,
}

// v0Hashes are the further hashes of a source, with their hex digits.
var v0Hashes = map[string]int{
	"sha1": 40, "sha224": 56, "sha384": 96, "sha512": 128, "content_sha256": 64, "content_sha384": 96, "content_sha512": 128,
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
	switch {
	case n.Get("url") != nil:
		s.URLs = r.urls(n.Get("url"), "source.url")
	case n.Get("git_url") != nil:
		s.Git = r.git(n)
	case n.Get("hg_url") != nil:
		s.Other = r.otherSource(n, "hg", "hg_tag")
	case n.Get("svn_url") != nil:
		s.Other = r.otherSource(n, "svn", "svn_rev", "svn_ignore_externals", "svn_username", "svn_password")
	case n.Get("path") != nil:
		s.Path = r.sourcePath(n.Get("path"))
	default:
		r.report.Warn(n.Pos, "", "the source has no url, path or git_url for %s, ignored", r.TargetPlatform)
		return s, false
	}
	s.SHA256 = r.digest(n.Get("sha256"), "source.sha256", 64)
	s.MD5 = r.digest(n.Get("md5"), "source.md5", 32)
	for kind, length := range v0Hashes {
		if sum := r.digest(n.Get(kind), "source."+kind, length); sum != "" {
			if s.Hashes == nil {
				s.Hashes = map[string]string{}
			}
			s.Hashes[kind] = sum
		}
	}
	s.HashSkip = r.strs(n.Get("content_hash_skip"), "source.content_hash_skip")
	s.Symlink = n.Get("path_via_symlink") != nil
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

// otherSource reads a checkout of another system. The first of its further keys
// is the revision.
func (r *v0Recipe) otherSource(n *tree.Node, system, revision string, further ...string) *OtherSource {
	o := &OtherSource{System: system, URL: r.str(n.Get(system+"_url"), "source."+system+"_url"), Rev: r.str(n.Get(revision), "source."+revision)}
	for _, key := range further {
		if v := n.Get(key); v != nil {
			if o.Options == nil {
				o.Options = map[string]string{}
			}
			o.Options[key] = tree.ScalarText(v.Value)
		}
	}
	return o
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
	if depth := n.Get("git_depth"); depth != nil {
		number, err := strconv.Atoi(depth.Scalar())
		if err != nil {
			r.report.Fail(depth.Pos, "write how many commits to fetch, or -1 for all", "source.git_depth is %s", depth.Quoted())
		}
		g.Depth = max(0, number)
	}
	return g
}
