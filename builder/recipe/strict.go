package recipe

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/condaworker/condaworker/conda"
)

// Requirements of a recipe.yaml are match specs of which each part can be meant in one
// way only. The specs that packages carry are older than that, and RunSpec reads them.

var (
	// strictBuild is a build string behind a version.
	strictBuild = regexp.MustCompile(`^[\pL\pN_*]+$`)
	// buildSeparator is a = between a version and a build string.
	buildSeparator = regexp.MustCompile(`[^\s=<>!~,|(]\s*=\s*[^\s=]`)
	partSeparator  = regexp.MustCompile(`[,|()]+`)
	hashLength     = map[string]int{"md5": 32, "sha256": 64} // in hex digits
)

// parseSpec reads a requirement of a recipe.yaml.
func parseSpec(text string) parsedSpec {
	p := parsedSpec{text: normalSpec(text)}
	if p.problem, p.hint = ambiguous(text, p.text); p.problem == "" {
		if _, err := conda.ParsePlainSpec(p.text); err != nil {
			p.problem = err.Error()
		}
	}
	return p
}

// ambiguous tells what of a spec could mean several things, and what to write for them.
// normal is its normal form.
func ambiguous(text, normal string) (problem, hint string) {
	before, inner := cutBrackets(text)
	parts, seen := splitSpec(text), map[string]bool{}
	for _, m := range bracketRule.FindAllStringSubmatch(inner, -1) {
		key, value := m[1], m[2]+m[3]+m[4]
		switch length, isHash := hashLength[key]; {
		case seen[key]:
			return fmt.Sprintf("%q has %s in its brackets twice", text, key), "leave out one"
		case value == "":
			return fmt.Sprintf("%s in the brackets of %q has no value", key, text), "give it one, or leave it out"
		case isHash && (len(value) != length || strings.Trim(value, "0123456789abcdefABCDEF") != ""):
			return fmt.Sprintf("%s in the brackets of %q is no hash", key, text), fmt.Sprintf("write %d hex digits", length)
		}
		seen[key] = true
	}
	written := splitSpec(before)
	rest := strings.TrimPrefix(before, written.channel)
	rest = strings.TrimPrefix(rest, specName(rest))
	switch {
	case written.channel == "::":
		return fmt.Sprintf("%q has no channel before ::", text), "leave out ::"
	case seen["name"]:
		return fmt.Sprintf("%q has a name in its brackets", text), "write the name before the brackets"
	case seen["version"] && written.version != "", seen["build"] && written.build != "":
		return fmt.Sprintf("%q says the same before the brackets and in them", text), "leave out one"
	case buildSeparator.MatchString(rest):
		return fmt.Sprintf("%q has a = between version and build string", text), "write " + normal
	case strings.ContainsAny(written.build, "<>=!~"):
		return fmt.Sprintf("%q has a blank between conditions", text), "put a comma there, as in " + parts.name + " >=1.2,<2"
	case len(versionWords(rest)) > 2:
		return fmt.Sprintf("%q has more than a version and a build string", text), "write them as in " + parts.name + " >=1.2,<2 h1_0"
	case written.build != "" && !strictBuild.MatchString(written.build):
		return fmt.Sprintf("the build string %q has other characters than letters, digits, _ and *", written.build), "put * in their place"
	}
	for _, clause := range partSeparator.Split(parts.version, -1) {
		if problem, hint := ambiguousClause(parts.name, strings.TrimSpace(clause)); problem != "" {
			return problem, hint
		}
	}
	return "", ""
}

// ambiguousClause is ambiguous for one condition of a version.
func ambiguousClause(name, clause string) (problem, hint string) {
	m := clauseRule.FindStringSubmatch(clause)
	operator, version := m[1], strings.TrimSpace(m[2])
	base, star := strings.CutSuffix(version, "*")
	base = strings.TrimSuffix(base, ".")
	_, err := conda.ParseVersion(base)
	switch {
	case clause == "" || clause == "*" || clause == "*.*":
	case err != nil, strings.ContainsAny(base, "*^$"):
		return fmt.Sprintf("%q is not a condition for a version", clause), fmt.Sprintf("write one such as %s >=1.2,<2, %[1]s ==1.2 or %[1]s 1.2.*", name)
	case operator == "" && !star:
		return fmt.Sprintf("the version %s has no operator", version), fmt.Sprintf("write %s ==%s for that very version, or %[1]s %[2]s.* for all that begin so", name, version)
	case operator == "!=" || operator == "" || !star:
	case operator == "=" || operator == "==":
		return fmt.Sprintf("%q has an operator and a *", clause), fmt.Sprintf("write %s %s.*", name, base)
	default:
		return fmt.Sprintf("%q has an operator and a *", clause), fmt.Sprintf("write %s %s%s", name, operator, base)
	}
	return "", ""
}
