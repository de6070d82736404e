package recipe

import (
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

var v1About = keys{
	"homepage": honoured, "repository": honoured, "documentation": honoured, "license": honoured,
	"license_file": honoured, "license_family": honoured, "summary": honoured, "description": honoured,
}

// about describes the package to people. What an output does not say, the
// recipe says.
func (r *v1Recipe) about(out *Output, p v1Part) {
	n := r.aboutSection(r.root.Get("about"))
	if !p.single {
		n = mergedBuild(n, r.aboutSection(p.node.Get("about")))
	}
	text := func(key string) string { return r.str(n.Get(key), "about."+key) }
	out.About = About{
		Home: text("homepage"), Repository: text("repository"), Documentation: text("documentation"),
		License: r.license(n.Get("license")), LicenseFamily: text("license_family"),
		LicenseFiles: r.strs(n.Get("license_file"), "about.license_file"),
		Summary:      strings.TrimRight(text("summary"), "\n"), Description: text("description"),
	}
}

// aboutSection evaluates one of the two; license files may lie in the prefix.
func (r *v1Recipe) aboutSection(raw *tree.Node) *tree.Node {
	n := &tree.Node{Kind: tree.Map}
	if !r.known(raw, "about", v1About) {
		return n
	}
	for _, f := range raw.Fields {
		kind := scopeFields
		if f.Key == "license_file" {
			kind = scopeLicense
		}
		n.Fields = append(n.Fields, tree.Field{Key: f.Key, Pos: f.Pos, Value: r.evaluate(f.Value, kind)})
	}
	return n
}
