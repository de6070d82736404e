package recipe

import (
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/conda"
)

// The rules of conda for what ends up in a package's file name.
var (
	nameRule        = regexp.MustCompile(`^[a-z0-9_][a-z0-9_.-]*$`)
	versionRule     = regexp.MustCompile(`^(?:\d+!)?[A-Za-z0-9_][A-Za-z0-9_.]*(?:\+[A-Za-z0-9_.]+)?$`)
	buildStringRule = regexp.MustCompile(`^[A-Za-z0-9_.+]+$`)
	hexRule         = regexp.MustCompile(`^[0-9a-f]+$`)
	entryPointRule  = regexp.MustCompile(`^\s*([\w.-]+)\s*=\s*([\w.]+):([\w.]+)\s*$`)
	looseEntryPoint = regexp.MustCompile(`^\s*(\S[^=]*?)\s*=\s*([^:]+?)\s*:\s*(.*\S)\s*$`)
	variableRule    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

const maxNameLength = 128

// packageName has conda-build's rules. The name becomes part of file names,
// paths and object keys, so nothing that could lead elsewhere gets through.
func (j *job) packageName(n *tree.Node, where string) string {
	name := j.str(n, where)
	switch {
	case n.IsNull() || name == "":
		if n.IsNull() {
			return ""
		}
		j.report.Fail(n.Pos, "", "%s is empty", where)
	case len(name) > maxNameLength:
		j.report.Fail(n.Pos, "", "%s has more than %d characters", where, maxNameLength)
	case strings.ToLower(name) != name:
		j.report.Fail(n.Pos, "write "+strings.ToLower(strings.ReplaceAll(name, " ", "-")), "%s %q has capital letters, which package names must not", where, name)
	case !nameRule.MatchString(name):
		j.report.Fail(n.Pos, "use a-z, 0-9, and - _ . inside", "%s %q is not a package name", where, name)
	case strings.Contains(name, ".."):
		j.report.Fail(n.Pos, "remove a dot", "%s %q is not a package name: it has two dots in a row", where, name)
	}
	return name
}

// version has no hyphen for the same reason: name-version-build is split at the
// last two of them.
func (j *job) version(n *tree.Node, where string) string {
	version := j.str(n, where)
	switch {
	case n.IsNull():
	case strings.Contains(version, "-"):
		j.report.Fail(n.Pos, "write "+strings.ReplaceAll(version, "-", "_")+" or "+strings.ReplaceAll(version, "-", "."),
			"%s %q has a -, which separates the parts of a package's file name", where, version)
	case !versionRule.MatchString(version) || len(version) > maxNameLength || strings.Contains(version, ".."):
		j.report.Fail(n.Pos, "use digits and letters with . or _ between them, e.g. 1.10.2", "%s %q is not a version", where, version)
	default:
		if _, err := conda.ParseVersion(version); err != nil {
			j.report.Fail(n.Pos, "use digits and letters with . or _ between them, e.g. 1.10.2", "%s: %v", where, err)
		}
	}
	return version
}

// buildString checks what the recipe gave or a template made of it.
func (j *job) buildString(n *tree.Node, where, s string) {
	if !buildStringRule.MatchString(s) || len(s) > maxNameLength {
		j.report.Fail(n.Pos, "use a-z, 0-9, _ . and +", "%s %q cannot be part of a package's file name", where, s)
	}
}

// digest checks a hash that is written in hex and returns it in lower case.
func (j *job) digest(n *tree.Node, where string, length int) string {
	if n.IsNull() {
		return ""
	}
	given := j.str(n, where)
	s := strings.ToLower(strings.TrimSpace(given))
	hint := "replace it by what " + strings.TrimPrefix(path.Ext(where), ".") + "sum ARCHIVE prints"
	switch {
	case s == "":
		// Other tools take it for a hash that is not known yet.
		j.blockers = append(j.blockers, tree.Problem{Pos: n.Pos, Text: where + " is empty", Hint: "write the archive's hash, or leave the key out"})
	case !hexRule.MatchString(s):
		j.report.Fail(n.Pos, hint, "%s is %q: expected %d hex digits", where, given, length)
	case len(s) != length:
		j.report.Fail(n.Pos, hint, "%s has %d hex digits: expected %d", where, len(s), length)
	}
	return s
}

// inside checks that a path stays below the folder it is relative to.
func (j *job) below(n *tree.Node, where, folder string) string {
	p := strings.ReplaceAll(j.str(n, where), `\`, "/")
	if p == "" {
		return ""
	}
	clean := path.Clean(p)
	switch {
	case path.IsAbs(p) || len(p) > 1 && p[1] == ':':
		j.report.Fail(n.Pos, "make it relative to "+folder, "%s %q is absolute", where, p)
	case clean == ".." || strings.HasPrefix(clean, "../"):
		j.report.Fail(n.Pos, "remove the ..", "%s %q leaves %s", where, p, folder)
	case clean == ".":
		return ""
	}
	return clean
}

// belowAll is below for each item of a list.
func (j *job) belowAll(n *tree.Node, where, folder string) []string {
	var all []string
	for _, item := range n.All() {
		if p := j.below(item, where, folder); p != "" {
			all = append(all, p)
		}
	}
	return all
}

// entryPoints are command = module:function, as Python's packaging has them.
func (j *job) entryPoints(n *tree.Node, where string) []string {
	var all []string
	for _, item := range n.All() {
		s := j.str(item, where)
		m := entryPointRule.FindStringSubmatch(s)
		if loose := looseEntryPoint.FindStringSubmatch(s); m == nil && loose != nil && j.format() == V1 {
			j.report.Warn(item.Pos, "write name = module:function", "%s %q is an unusual entry point", where, s)
			m = loose
		}
		if m == nil {
			j.report.Fail(item.Pos, "write name = module:function", "%s %q is not an entry point", where, s)
			continue
		}
		all = append(all, m[1]+" = "+m[2]+":"+m[3])
	}
	return all
}

// specName is the package's name in a match spec.
func specName(s string) string {
	if i := strings.LastIndex(s, "::"); i >= 0 {
		s = s[i+2:]
	}
	if i := strings.IndexAny(s, " =<>!~["); i >= 0 {
		s = s[:i]
	}
	return s
}

// noarch is generic or python; in a meta.yaml true means generic.
func (j *job) noarch(n *tree.Node) string {
	s := j.str(n, "build.noarch")
	switch {
	case n.IsNull(), s == "" && j.format() == V1: // an inline if without else
		return ""
	case s == "generic" || s == "python":
		return s
	case s == "true" && j.format() == V0:
		return "generic"
	}
	j.report.Fail(n.Pos, "write python or generic, or remove the key", "build.noarch is %q", s)
	return ""
}

// integer is n as a whole number, which may be negative.
func (j *job) integer(n *tree.Node, where string) int {
	s := strings.TrimSpace(n.Scalar())
	number, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		j.report.Fail(n.Pos, "", "%s must be an integer, this is %s", where, n.Quoted())
	}
	return int(number)
}

// inside is below for a path that is kept as it is written.
func (j *job) inside(n *tree.Node, where, folder string) string {
	j.below(n, where, folder)
	return j.str(n, where)
}

// insideAll checks that paths stay below the folder that they are relative to,
// and keeps them as they are written: a / at the end means a folder.
func (j *job) insideAll(n *tree.Node, where, folder string) []string {
	for _, item := range n.All() {
		j.below(item, where, folder)
	}
	return j.strs(n, where)
}
