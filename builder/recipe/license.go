package recipe

import (
	_ "embed"
	"regexp"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

//go:embed spdx.txt
var spdxList string

var (
	licenseRefRule  = regexp.MustCompile(`^(DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+$`)
	licenseSplitter = regexp.MustCompile(`[()]|\s+`)
)

// usualNames are what people write, and the identifier that they mean.
var usualNames = map[string]string{
	"gpl": "GPL-3.0-or-later", "gpl3": "GPL-3.0-only or GPL-3.0-or-later", "gplv3": "GPL-3.0-only or GPL-3.0-or-later",
	"gpl2": "GPL-2.0-only or GPL-2.0-or-later", "gplv2": "GPL-2.0-only or GPL-2.0-or-later",
	"lgpl": "LGPL-3.0-or-later", "lgplv3": "LGPL-3.0-or-later", "bsd": "BSD-3-Clause or BSD-2-Clause",
	"apache": "Apache-2.0", "apache2": "Apache-2.0", "mpl": "MPL-2.0", "psf": "PSF-2.0",
	"commercial": "LicenseRef-Commercial", "proprietary": "LicenseRef-Proprietary",
}

// license warns of a license that is not an SPDX expression: indexes take it,
// but nothing that sorts packages by license understands it.
func (j *job) license(n *tree.Node) string {
	s := j.str(n, "about.license")
	if n.IsNull() || s == "" {
		return s
	}
	if wrong := notSPDX(s); wrong != "" {
		hint := "see spdx.org/licenses, or write LicenseRef-" + refName(wrong)
		if usual := usualNames[strings.ToLower(wrong)]; usual != "" {
			hint = "write " + usual
		} else if near := jinja.Near(wrong, spdxIdentifiers()); near != "" {
			hint = "did you mean " + near + "?"
		}
		j.report.Warn(n.Pos, hint, "about.license %q is not an SPDX expression: %q is no license's identifier", s, wrong)
	}
	return s
}

// spdxIdentifiers skips the list's two lines of origin.
func spdxIdentifiers() []string { return strings.Split(strings.TrimSpace(spdxList), "\n")[2:] }

// notSPDX is the first word of an expression that SPDX does not know, "" when
// there is none.
func notSPDX(s string) string {
	known := map[string]bool{"and": true, "or": true, "with": true, "": true}
	for _, id := range spdxIdentifiers() {
		known[strings.ToLower(strings.TrimPrefix(id, "+"))] = true
	}
	for _, word := range licenseSplitter.Split(s, -1) {
		if !known[strings.ToLower(strings.TrimSuffix(word, "+"))] && !licenseRefRule.MatchString(word) {
			return word
		}
	}
	return ""
}

// refName makes the part of LicenseRef-… that SPDX allows of any text.
func refName(s string) string {
	return strings.Trim(regexp.MustCompile(`[^A-Za-z0-9.-]+`).ReplaceAllString(s, "-"), "-")
}
