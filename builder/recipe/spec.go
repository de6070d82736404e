package recipe

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/conda"
)

// pinnableVersion is a plain version of a variant, or the beginning of one.
var pinnableVersion = regexp.MustCompile(`^[A-Za-z0-9.*]+$`)

// matchSpec checks a match spec and brings it into the normal form in which
// recipe.yaml's tools print it: name, version and build with a blank between
// them, and =1.2 written as 1.2.*.
func (r *v1Recipe) matchSpec(n *tree.Node, where, text string) (string, bool) {
	text, _, _ = strings.Cut(text, "#")
	if !nameRule.MatchString(strings.ToLower(specName(text))) {
		r.report.Fail(n.Pos, "begin with the package's name, e.g. python >=3.11", "%s %q is not a match spec", where, text)
		return "", false
	}
	spec := r.templates.spec(text)
	if spec.problem != "" {
		r.report.Fail(n.Pos, spec.hint, "%s: %s", where, spec.problem)
		return "", false
	}
	return spec.text, true
}

// versionBefore is =1.2 before a build string: conda, and packages, mean that very
// version by it, a recipe.yaml the series.
var versionBefore = regexp.MustCompile(`^([^\s=<>!~]+\s*)=([^=<>!~,|\s]+\s+[^=<>!~,|\s]+)$`)

// RunSpec is a package's match spec as the tools of the output's format write it among its
// run requirements: those of recipe.yaml in normal form, conda-build as name,
// version and build, with "foo 1.2" as foo 1.2.* and without a channel.
func (o *Output) RunSpec(text string) string {
	if o.Format == V1 {
		return normalSpec(versionBefore.ReplaceAllString(strings.TrimSpace(text), "$1==$2"))
	}
	text = starred(text)
	m, err := conda.ParseMatchSpec(text)
	if err != nil || strings.Contains(text, "[") {
		return text
	}
	version := m.Version()
	if version == "" && m.Build() != "" {
		version = "*"
	}
	return strings.Join(strings.Fields(strings.Join([]string{m.Name, version, m.Build()}, " ")), " ")
}

// specParts are the pieces of a match spec.
type specParts struct {
	channel, name, version, build string
	keys                          map[string]string // further ones, from brackets
}

// normalSpec is the normal form of a match spec.
func normalSpec(text string) string {
	p := splitSpec(text)
	version := normalVersionSpec(p.version)
	out := p.channel + strings.ToLower(p.name)
	switch {
	case version != "" && p.build != "":
		out += " " + version + " " + p.build
	case p.build != "":
		out += " * " + p.build
	case version != "":
		out += " " + version
	}
	if len(p.keys) > 0 {
		var list []string
		for _, key := range slices.Sorted(maps.Keys(p.keys)) {
			list = append(list, key+`="`+p.keys[key]+`"`)
		}
		out += "[" + strings.Join(list, ", ") + "]"
	}
	return out
}

// buildNumber is one without an operator.
var buildNumber = regexp.MustCompile(`^[0-9]+$`)

// bracketRule is key=value in brackets, with or without quotes.
var bracketRule = regexp.MustCompile(`\s*([a-z_0-9]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^,\s]*))\s*(?:,|$)`)

// splitSpec reads channel::name version build[key=value], where = may stand in
// place of the blanks.
func splitSpec(text string) specParts {
	p := specParts{keys: map[string]string{}}
	text, inner := cutBrackets(text)
	for _, m := range bracketRule.FindAllStringSubmatch(inner, -1) {
		p.keys[m[1]] = m[2] + m[3] + m[4]
	}
	if i := strings.Index(text, "::"); i >= 0 {
		p.channel, text = text[:i+2], text[i+2:]
	}
	p.name = specName(text)
	rest := strings.TrimSpace(text[len(p.name):])
	p.version, p.build = splitVersionBuild(rest)
	for key, into := range map[string]*string{"version": &p.version, "build": &p.build, "name": &p.name} {
		if v, ok := p.keys[key]; ok {
			*into = v
			delete(p.keys, key)
		}
	}
	if channel := p.keys["channel"]; channel != "" && p.channel == "" {
		p.channel = channel + "::"
		delete(p.keys, "channel")
	}
	if buildNumber.MatchString(p.keys["build_number"]) {
		p.keys["build_number"] = "==" + p.keys["build_number"]
	}
	return p
}

// cutBrackets takes the brackets off a spec.
func cutBrackets(text string) (before, inner string) {
	text = strings.TrimSpace(text)
	before, inner, found := strings.Cut(text, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if !found || !closed {
		return text, ""
	}
	return strings.TrimSpace(before), inner
}

// splitVersionBuild finds the build string behind a version: the last word, or
// what stands behind the second = of name=version=build.
func splitVersionBuild(rest string) (version, build string) {
	if after, ok := strings.CutPrefix(rest, "="); ok && !strings.HasPrefix(after, "=") {
		if v, b, ok := strings.Cut(after, "="); ok && b != "" && !strings.ContainsAny(v, "<>!~, |") && v != "" {
			return "==" + strings.TrimSpace(v), strings.TrimSpace(b)
		}
	}
	words := versionWords(rest)
	if last := len(words) - 1; last > 0 {
		return strings.Join(words[:last], ""), words[last]
	}
	version = strings.Join(words, "")
	if m := buildBehind.FindStringSubmatch(version); m != nil {
		return m[1], m[2]
	}
	return version, ""
}

// versionWords are what blanks separate. One behind an operator, or on either side of a
// comma, belongs to the version.
func versionWords(rest string) []string {
	return strings.Fields(operatorBlank.ReplaceAllString(blankBehind.ReplaceAllString(rest, "$1"), "$1"))
}

var (
	operatorBlank = regexp.MustCompile(`([=<>!~,|(])\s+`)
	blankBehind   = regexp.MustCompile(`\s+([,|)])`)
	buildBehind   = regexp.MustCompile(`^(.*[^=<>!~,|])=([^-=<>!~,|]+)$`)
)

// normalVersionSpec prints a version's conditions without blanks, and without the
// parentheses that change nothing: conda reads those inside brackets alone.
func normalVersionSpec(s string) string {
	var out strings.Builder
	clause := ""
	flush := func() {
		if clause != "" {
			out.WriteString(normalClause(clause))
		}
		clause = ""
	}
	for _, r := range s {
		if strings.ContainsRune(",|()", r) {
			flush()
			out.WriteRune(r)
			continue
		}
		if r != ' ' {
			clause += string(r)
		}
	}
	flush()
	return withoutParentheses(out.String())
}

var (
	andGroup   = regexp.MustCompile(`\(([^()|]*)\)`) // "," binds tighter than "|"
	wholeGroup = regexp.MustCompile(`(^|[|(])\(([^()]*)\)($|[|)])`)
)

// withoutParentheses leaves those of alternatives that a comma stands beside.
func withoutParentheses(s string) string {
	for {
		plain := wholeGroup.ReplaceAllString(andGroup.ReplaceAllString(s, "$1"), "$1$2$3")
		if plain == s {
			return s
		}
		s = plain
	}
}

var clauseRule = regexp.MustCompile(`^(==|!=|<=|>=|~=|=|<|>)?(.*)$`)

// normalClause is one condition: =1.2 and 1.2.* are the same, 1.2 alone is that
// very version, and numbers lose the zeros before them.
func normalClause(s string) string {
	if strings.HasPrefix(s, "^") && strings.HasSuffix(s, "$") {
		return s
	}
	m := clauseRule.FindStringSubmatch(s)
	operator, version := m[1], normalVersion(m[2])
	star := strings.HasSuffix(version, "*")
	base := strings.TrimSuffix(strings.TrimSuffix(version, "*"), ".")
	switch {
	case strings.Trim(version, "*.") == "" && (operator == "" || operator == "=" || operator == "==" || operator == ">="):
		return "*"
	case (operator == "" || operator == "=" || operator == "==") && star, operator == "=":
		return base + ".*"
	case operator == "":
		return "==" + version
	case operator == "!=" && star:
		return "!=" + base + ".*"
	case star:
		return operator + base
	}
	return operator + version
}

var zerosRule = regexp.MustCompile(`\d+`)

// normalVersion drops what does not change a version's meaning.
func normalVersion(v string) string {
	return zerosRule.ReplaceAllStringFunc(strings.ToLower(v), func(digits string) string {
		if trimmed := strings.TrimLeft(digits, "0"); trimmed != "" {
			return trimmed
		}
		return "0"
	})
}
