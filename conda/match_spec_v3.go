package conda

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// v3Keys are what repodata's version 3 adds to match specs (CEP 43 to 45).
var v3Keys = []string{"extras", "flags", "when"}

// NeedsV3 reports whether the spec says what only clients of repodata's version 3
// understand: others would resolve it wrongly.
func (m MatchSpec) NeedsV3() bool {
	return slices.ContainsFunc(m.fields, func(f specField) bool { return slices.Contains(v3Keys, f.key) })
}

// ParsePlainSpec is ParseMatchSpec where nothing of repodata's version 3 can be used:
// in recipes, and in what packages export.
func ParsePlainSpec(s string) (MatchSpec, error) {
	m, err := ParseMatchSpec(s)
	if err == nil && m.NeedsV3() {
		err = fmt.Errorf("read match spec %q: %s are of repodata's version 3, which packages are not built for here: leave them out", s, strings.Join(v3Keys, ", "))
	}
	return m, err
}

// Extras returns the groups of a record's ExtraDepends that are wanted as well (CEP 44).
func (m MatchSpec) Extras() []string { return splitList(m.value("extras")) }

// When returns the condition of the spec (CEP 43) as alternatives: the spec counts where
// all that one of them has is there. nil: it always counts.
func (m MatchSpec) When() [][]MatchSpec {
	text := m.value("when")
	if text == "" {
		return nil
	}
	all, _ := parseCondition(text) // was read before
	return all
}

// splitList reads a, b and "a", 'b'.
func splitList(s string) []string {
	var all []string
	for one := range strings.SplitSeq(s, ",") {
		one = strings.TrimSpace(one)
		if len(one) > 1 && (one[0] == '\'' || one[0] == '"') && one[len(one)-1] == one[0] {
			one = one[1 : len(one)-1]
		}
		if one != "" {
			all = append(all, one)
		}
	}
	return all
}

// The names of groups and flags; those of specs may have "*" for any text.
var (
	extraRule = regexp.MustCompile(`^[a-z0-9_.+-]{1,64}$`)
	flagRule  = regexp.MustCompile(`^[a-z0-9_*]+(:[a-z0-9_*]+)?$`)
)

// listField keeps a list of names, each of which fits the rule; match gets them and a record.
func listField(rule *regexp.Regexp, match func(want []string, r *Record) bool) func(string) (specField, error) {
	return func(value string) (specField, error) {
		want := splitList(value)
		for _, name := range want {
			if !rule.MatchString(name) {
				return specField{}, fmt.Errorf("%q is no name for it: use one that fits %s", name, rule)
			}
		}
		if want == nil {
			return specField{}, errors.New("a list in the brackets is empty")
		}
		return specField{value: strings.Join(want, ","), kind: pattern, match: func(r *Record, _ Version) bool { return match(want, r) }}, nil
	}
}

// hasFlags reports whether a record has each of the flags that are wanted (CEP 45).
func hasFlags(want []string, r *Record) bool {
	return !slices.ContainsFunc(want, func(flag string) bool { return !slices.ContainsFunc(r.Flags, newGlob(flag).match) })
}

// conditionField is no condition on a record, but on what is installed beside it.
func conditionField(value string) (specField, error) {
	return specField{value: strings.Join(strings.Fields(value), " "), kind: all, match: func(*Record, Version) bool { return true }}, nil
}

// maxAlternatives bounds what a condition from a foreign index can make of itself.
const maxAlternatives = 64

// parseCondition reads specs that are joined by "and", "or" and parentheses.
func parseCondition(s string) ([][]MatchSpec, error) {
	p := &conditionParser{words: conditionWords(s)}
	found, err := p.either(0)
	if err == nil && len(p.words) > 0 {
		err = fmt.Errorf("%q follows its end", p.words[0])
	}
	if err != nil {
		return nil, fmt.Errorf("read the condition %q: %w", s, err)
	}
	return found, nil
}

// conditionWords splits at blanks and parentheses, but for those in brackets and quotes.
func conditionWords(s string) []string {
	var words []string
	from, depth, quote := 0, 0, rune(0)
	end := func(to int) {
		if from < to {
			words = append(words, s[from:to])
		}
		from = to
	}
	for i, c := range s {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '[':
			depth++
		case c == ']':
			depth--
		case depth > 0:
		case c == ' ':
			end(i)
			from++
		case c == '(' || c == ')':
			end(i)
			words = append(words, string(c))
			from++
		}
	}
	end(len(s))
	return words
}

// conditionParser reads a condition by recursive descent.
type conditionParser struct{ words []string }

// take removes the next word if it is this one.
func (p *conditionParser) take(word string) bool {
	if len(p.words) == 0 || p.words[0] != word {
		return false
	}
	p.words = p.words[1:]
	return true
}

func (p *conditionParser) either(depth int) ([][]MatchSpec, error) {
	found, err := p.both(depth)
	for err == nil && p.take("or") {
		var other [][]MatchSpec
		other, err = p.both(depth)
		found = append(found, other...)
	}
	return found, err
}

func (p *conditionParser) both(depth int) ([][]MatchSpec, error) {
	found, err := p.one(depth)
	for err == nil && p.take("and") {
		var other, joined [][]MatchSpec
		if other, err = p.one(depth); len(found)*len(other) > maxAlternatives {
			return nil, fmt.Errorf("it has more than %d alternatives", maxAlternatives)
		}
		for _, a := range found {
			for _, b := range other {
				joined = append(joined, slices.Concat(a, b))
			}
		}
		found = joined
	}
	return found, err
}

func (p *conditionParser) one(depth int) ([][]MatchSpec, error) {
	if p.take("(") {
		if depth == maxDepth {
			return nil, fmt.Errorf("it has more than %d parentheses inside one another", maxDepth)
		}
		found, err := p.either(depth + 1)
		if err == nil && !p.take(")") {
			err = errors.New(`it has a "(" without ")"`)
		}
		return found, err
	}
	var words []string
	for len(p.words) > 0 && !slices.Contains([]string{"and", "or", "(", ")"}, p.words[0]) {
		words, p.words = append(words, p.words[0]), p.words[1:]
	}
	m, err := ParseMatchSpec(strings.Join(words, " "))
	switch {
	case len(words) == 0:
		return nil, errors.New("a spec is missing beside an operator")
	case err != nil:
		return nil, err
	case !m.ExactName() || m.value("when") != "":
		return nil, fmt.Errorf("%s is no condition: name one package, without a condition of its own", m)
	}
	return [][]MatchSpec{{m}}, nil
}

// SpecName is the package name of a match spec, told sooner than ParseMatchSpec does,
// which also checks it.
func SpecName(spec string) string {
	spec = strings.TrimLeft(spec, " ")
	if end := strings.IndexAny(spec, " =<>!~["); end >= 0 {
		spec = spec[:end]
	}
	return strings.ToLower(spec[strings.LastIndexByte(spec, ':')+1:])
}
