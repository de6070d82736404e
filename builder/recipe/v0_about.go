package recipe

import (
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

var (
	v0Top = keys{
		"package": honoured, "source": honoured, "build": honoured, "requirements": honoured, "test": honoured,
		"about": honoured, "extra": honoured, "outputs": honoured, "app": later,
	}
	v0Package = keys{"name": honoured, "version": honoured}
	v0About   = keys{
		"home": honoured, "dev_url": honoured, "doc_url": honoured, "doc_source_url": honoured, "license_url": honoured,
		"license": honoured, "summary": honoured, "description": honoured, "license_family": honoured,
		"identifiers": honoured, "tags": honoured, "keywords": honoured, "license_file": honoured,
		"prelink_message": later, "readme": later, "recipe_log_file": harmless,
	}
)

// licenseFamilies are the only ones that conda-build takes, in its comparison:
// without blanks and signs, in capitals.
var licenseFamilies = []string{
	"AGPL", "LGPL", "GPL3", "GPL2", "GPL", "BSD", "MIT", "APACHE", "PSF", "CC", "MOZILLA", "PUBLICDOMAIN", "PROPRIETARY", "OTHER", "NONE",
}

// identity reads what the package is called.
func (r *v0Recipe) identity(out *Output) {
	n := r.root.Get("package")
	if n == nil {
		r.report.Fail(r.root.Pos, "add package: with name: and version:", "the recipe has no package")
		return
	}
	if !r.known(n, "package", v0Package) {
		return
	}
	if n.Get("name") == nil {
		r.report.Fail(n.Pos, "", "package.name is missing")
	}
	out.Name = r.packageName(n.Get("name"), "package.name")
	switch version := n.Get("version"); {
	case version != nil:
		out.Version = r.version(version, "package.version")
	case len(r.blockers) > 0:
		out.Version = "None" // as conda-build shows what is not known yet
	default:
		r.report.Fail(n.Pos, "", "package.version is missing")
	}
	r.overrideName(out, n)
}

// about takes the first of several home pages: a package's metadata has room
// for one.
func (r *v0Recipe) about(out *Output) {
	n := r.root.Get("about")
	if !r.known(n, "about", v0About) {
		return
	}
	text := func(key string) string { return r.str(n.Get(key), "about."+key) }
	first := func(key string) string {
		if all := r.strs(n.Get(key), "about."+key); len(all) > 0 {
			return all[0]
		}
		return ""
	}
	out.About = About{
		Home: first("home"), Repository: first("dev_url"), Documentation: first("doc_url"),
		License: r.license(n.Get("license")), LicenseFamily: r.licenseFamily(n.Get("license_family")),
		Summary: strings.TrimSpace(text("summary")), Description: text("description"),
	}
	for _, file := range r.strs(n.Get("license_file"), "about.license_file") {
		for _, name := range []string{"SRC_DIR", "RECIPE_DIR"} {
			file = strings.TrimPrefix(file, r.platform.ShellVariable(name)+"/")
		}
		out.About.LicenseFiles = append(out.About.LicenseFiles, file)
	}
	for _, key := range []string{"doc_source_url", "license_url", "identifiers", "tags", "keywords"} {
		if v := n.Get(key); v != nil {
			if out.About.Other == nil {
				out.About.Other = map[string]any{}
			}
			out.About.Other[key] = v.Free()
		}
	}
}

// licenseFamily refuses what conda-build refuses.
func (r *v0Recipe) licenseFamily(n *tree.Node) string {
	family := r.str(n, "about.license_family")
	plain := strings.ToUpper(strings.NewReplacer(" ", "", "-", "", "_", "", ".", "").Replace(family))
	if family != "" && !slices.Contains(licenseFamilies, plain) {
		r.report.Fail(n.Pos, "write OTHER, or one of "+strings.Join(licenseFamilies, ", "), "about.license_family %q is not known", family)
	}
	return family
}
