package conda

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// versionMatcher says whether a version fits. It gets the text as well:
// globs and regular expressions look at that.
type versionMatcher func(v Version, text string) bool

// versionSpec is a constraint such as ">=3.8,<4|3.6.*" (CEP 29). "," binds
// tighter than "|", parentheses group.
type versionSpec struct {
	text  string // canonical: no blanks, 1.8* written as 1.8.*
	match versionMatcher
}

// maxDepth bounds parentheses: a spec from a foreign index must not end the
// program by its depth.
const maxDepth = 100

func parseVersionSpec(s string) (versionSpec, error) {
	p := versionParser{rest: s}
	spec, err := p.alternatives(0)
	if err == nil && p.rest != "" {
		err = errors.New(`it has a ")" without "("`)
	}
	if err != nil {
		return versionSpec{}, fmt.Errorf("read version spec %q: %w", s, err)
	}
	return spec.versionSpec, nil
}

// versionParser reads a constraint by recursive descent.
type versionParser struct{ rest string }

// parsed remembers which operator joins a spec, so that the canonical text
// has parentheses where they matter and nowhere else.
type parsed struct {
	versionSpec
	join string
}

func (p *versionParser) alternatives(depth int) (parsed, error) {
	return p.joined("|", p.conjunction, depth, func(all []versionMatcher) versionMatcher {
		return func(v Version, text string) bool {
			for _, match := range all {
				if match(v, text) {
					return true
				}
			}
			return false
		}
	})
}

func (p *versionParser) conjunction(depth int) (parsed, error) {
	return p.joined(",", p.operand, depth, func(all []versionMatcher) versionMatcher {
		return func(v Version, text string) bool {
			for _, match := range all {
				if !match(v, text) {
					return false
				}
			}
			return true
		}
	})
}

func (p *versionParser) joined(operator string, next func(int) (parsed, error), depth int, join func([]versionMatcher) versionMatcher) (parsed, error) {
	first, err := next(depth)
	if err != nil || !strings.HasPrefix(p.rest, operator) {
		return first, err
	}
	var texts []string
	var matchers []versionMatcher
	for one := first; ; {
		text := one.text
		if operator == "," && one.join == "|" {
			text = "(" + text + ")"
		}
		texts, matchers = append(texts, text), append(matchers, one.match)
		if !strings.HasPrefix(p.rest, operator) {
			break
		}
		p.rest = p.rest[1:]
		if one, err = next(depth); err != nil {
			return parsed{}, err
		}
	}
	return parsed{versionSpec{strings.Join(texts, operator), join(matchers)}, operator}, nil
}

func (p *versionParser) operand(depth int) (parsed, error) {
	p.rest = strings.TrimSpace(p.rest)
	if !strings.HasPrefix(p.rest, "(") {
		clause, err := parseClause(p.token())
		return parsed{versionSpec: clause}, err
	}
	if depth == maxDepth {
		return parsed{}, fmt.Errorf("it has more than %d parentheses inside one another", maxDepth)
	}
	p.rest = p.rest[1:]
	group, err := p.alternatives(depth + 1)
	if err != nil {
		return parsed{}, err
	}
	if !strings.HasPrefix(p.rest, ")") {
		return parsed{}, errors.New(`it has a "(" without ")"`)
	}
	p.rest = strings.TrimSpace(p.rest[1:])
	if p.rest != "" && !strings.ContainsRune("|,)", rune(p.rest[0])) {
		return parsed{}, fmt.Errorf(`%q follows ")" without "," or "|"`, p.rest)
	}
	return group, nil
}

// token takes a clause. In a regular expression operators and parentheses
// mean something else, so it reaches to its "$".
func (p *versionParser) token() string {
	end := strings.IndexAny(p.rest, "()|,")
	if strings.HasPrefix(p.rest, "^") {
		if dollar := strings.IndexByte(p.rest, '$'); dollar >= 0 {
			end = dollar + 1
		}
	}
	if end < 0 {
		end = len(p.rest)
	}
	token := strings.TrimSpace(p.rest[:end])
	p.rest = p.rest[end:]
	return token
}

// parseClause reads one clause: an operator with a version, a version, a
// glob, a regular expression or "*".
func parseClause(s string) (versionSpec, error) {
	switch {
	case s == "":
		return versionSpec{}, errors.New("a version is missing beside an operator")
	case s == "*":
		return versionSpec{"*", func(Version, string) bool { return true }}, nil
	case s[0] == '^' || s[len(s)-1] == '$':
		return parseRegexp(s)
	case strings.ContainsRune("=<>!~", rune(s[0])):
		return parseRelation(s)
	case strings.Contains(strings.TrimRight(s, "*"), "*"):
		glob := newGlob(s)
		return versionSpec{s, func(_ Version, text string) bool { return glob.match(text) }}, nil
	}
	if prefix := strings.TrimRight(s, "*"); prefix != s {
		prefix = strings.TrimRight(prefix, ".")
		want, err := parseVersion(prefix)
		return versionSpec{prefix + ".*", func(v Version, _ string) bool { return v.startsWith(want) }}, err
	}
	want, err := parseVersion(s)
	return versionSpec{s, func(v Version, _ string) bool { return v.Compare(want) == 0 }}, err
}

func parseRegexp(s string) (versionSpec, error) {
	re, err := compileRegexp(s)
	if err != nil {
		return versionSpec{}, err
	}
	return versionSpec{s, func(_ Version, text string) bool { return re.MatchString(text) }}, nil
}

// compileRegexp reads a regular expression that must cover its whole subject.
func compileRegexp(s string) (*regexp.Regexp, error) {
	if len(s) < 2 || s[0] != '^' || s[len(s)-1] != '$' {
		return nil, fmt.Errorf(`a regular expression begins with "^" and ends with "$", %q does not`, s)
	}
	re, err := regexp.Compile(s)
	if err != nil {
		return nil, fmt.Errorf("read regular expression %q: %w", s, err)
	}
	return re, nil
}

// parseRelation reads a clause that begins with an operator.
func parseRelation(s string) (versionSpec, error) {
	operator := s[:len(s)-len(strings.TrimLeft(s, "=<>!~"))]
	operand := s[len(operator):]
	if operand == "" {
		return versionSpec{}, fmt.Errorf("a version must follow %q", operator)
	}
	if strings.ContainsAny(operand, " \t") {
		return versionSpec{}, fmt.Errorf("%q has a blank inside a version", s)
	}
	fuzzy := strings.HasSuffix(operand, ".*")
	want, err := parseVersion(strings.TrimSuffix(operand, ".*"))
	if err != nil {
		return versionSpec{}, err
	}
	if operator == "~=" {
		return parseCompatible(s, operand, want)
	}
	match, err := relation(operator, want, fuzzy)
	return versionSpec{s, match}, err
}

// parseCompatible reads "~=1.2.3": 1.2.3 or newer that starts with 1.2.
func parseCompatible(s, operand string, want Version) (versionSpec, error) {
	if strings.HasSuffix(operand, ".*") {
		return versionSpec{}, errors.New(`"~=" takes a version without ".*"`)
	}
	var series Version // of "~=1" is any
	if dot := strings.LastIndexByte(operand, '.'); dot > 0 {
		var err error
		if series, err = parseVersion(operand[:dot]); err != nil {
			return versionSpec{}, err
		}
	}
	return versionSpec{s, func(v Version, _ string) bool {
		return v.Compare(want) >= 0 && v.startsWith(series)
	}}, nil
}

// relation returns the matcher of an operator. fuzzy says that ".*" stood
// behind the version, which means something only for = and !=.
func relation(operator string, want Version, fuzzy bool) (versionMatcher, error) {
	compare := func(ok func(c int) bool) (versionMatcher, error) {
		return func(v Version, _ string) bool { return ok(v.Compare(want)) }, nil
	}
	switch operator {
	case "==":
		return compare(func(c int) bool { return c == 0 })
	case "<":
		return compare(func(c int) bool { return c < 0 })
	case "<=":
		return compare(func(c int) bool { return c <= 0 })
	case ">":
		return compare(func(c int) bool { return c > 0 })
	case ">=":
		return compare(func(c int) bool { return c >= 0 })
	case "=":
		return func(v Version, _ string) bool { return v.startsWith(want) }, nil
	case "!=":
		if fuzzy {
			return func(v Version, _ string) bool { return !v.startsWith(want) }, nil
		}
		return compare(func(c int) bool { return c != 0 })
	}
	return nil, fmt.Errorf("%q is no operator: use one of == != < <= > >= = ~=", operator)
}
