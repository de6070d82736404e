package conda

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
)

// ParseMatchSpec reads a match spec in any of the forms that conda takes:
//
//	numpy                     any numpy
//	numpy 1.26.4              that version; numpy ==1.26.4 and numpy==1.26.4 too
//	numpy=1.26                1.26 and all below it, as numpy 1.26.*
//	numpy >=1.20,<2|2.1.*     "," is and, "|" is or, "," binds tighter
//	numpy 1.26.4 *_cp312_*    with a build string; numpy=1.26.4=py312_0 too
//	numpy[build_number='>2']  other fields, in brackets
//	numpy[when="python >=3"]  what counts under a condition; also flags=[…], extras=[…]
//	conda-forge/noarch::numpy from a channel, and a subdir of it
//	https://…/numpy-1.26.4-py312_0.conda
//
// What "#" begins is a comment. Specs with parentheses must have them inside
// brackets: numpy[version='(>=1,<2)|>=3'].
func ParseMatchSpec(s string) (MatchSpec, error) {
	values, err := specValues(s)
	if err != nil {
		return MatchSpec{}, fmt.Errorf("read match spec %q: %w", s, err)
	}
	m, err := newMatchSpec(values)
	if err != nil {
		return MatchSpec{}, fmt.Errorf("read match spec %q: %w", s, err)
	}
	return m, nil
}

func specValues(s string) (map[string]string, error) {
	s, _, _ = strings.Cut(s, "#")
	s = strings.TrimSpace(s)
	if strings.ContainsFunc(s, notInSpec) {
		return nil, errors.New("it has a tab, a line break or another character that cannot be seen")
	}
	if feature, ok := strings.CutSuffix(s, "@"); ok {
		return map[string]string{"name": "*", "track_features": feature}, nil
	}
	if isArchive(s) {
		return archiveValues(s)
	}
	s, brackets, err := cutBrackets(cutParentheses(s))
	if err != nil {
		return nil, err
	}
	values, err := positionalValues(s)
	if err != nil {
		return nil, err
	}
	if channel, ok := brackets["channel"]; ok {
		setChannel(values, channel)
	}
	for key, value := range brackets {
		if key != "channel" && key != "name" { // a name in brackets could hide another package
			values[key] = value
		}
	}
	return values, nil
}

// notInSpec reports blanks that are none to a reader of the spec.
func notInSpec(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) && r != ' ' }

// cutParentheses takes off a trailing "(optional)" or "(target=…)", conda's
// notes to itself.
func cutParentheses(s string) string {
	i := strings.LastIndexByte(s, '(')
	if i <= 0 || !strings.HasSuffix(s, ")") {
		return s
	}
	if note := s[i+1:]; strings.HasPrefix(note, "optional") || strings.HasPrefix(note, "target=") {
		return strings.TrimSpace(s[:i])
	}
	return s
}

func isArchive(s string) bool {
	s = strings.ToLower(s)
	return strings.HasSuffix(s, ".conda") || strings.HasSuffix(s, ".tar.bz2")
}

// archiveValues reads the URL or path of an archive.
func archiveValues(s string) (map[string]string, error) {
	folder, file := path.Split(s)
	values := map[string]string{"fn": file, "url": s, "name": "*"}
	channel, subdir := splitChannel(folder)
	if channel == "" || subdir == "" {
		return values, nil
	}
	name, err := ParseFileName(strings.ReplaceAll(file, "%21", "!"))
	if err != nil {
		return nil, err
	}
	values["channel"], values["subdir"] = channel, subdir
	values["name"], values["version"], values["build"] = strings.ToLower(name.Name), name.Version, name.Build
	return values, checkSpecName(values["name"])
}

func setChannel(values map[string]string, text string) {
	channel, subdir := splitChannel(text)
	if channel != "" {
		values["channel"] = channel
	}
	if subdir != "" {
		values["subdir"] = subdir
	}
}

// cutBrackets splits "name[key=value, key='value']" before its brackets.
func cutBrackets(s string) (rest string, values map[string]string, err error) {
	before, after, ok := strings.Cut(s, "[")
	if !ok {
		return s, nil, nil
	}
	inner, closed := strings.CutSuffix(after, "]")
	if !closed {
		return "", nil, errors.New(`it must end with the "]" of its brackets`)
	}
	values, err = readPairs(inner)
	return strings.TrimSpace(before), values, err
}

func readPairs(s string) (map[string]string, error) {
	values := map[string]string{}
	for s = strings.Trim(s, " ,"); s != ""; s = strings.TrimLeft(s, " ,") {
		var key, value string
		var err error
		if key, value, s, err = readPair(s); err != nil {
			return nil, err
		}
		if !isSpecKey(key) {
			return nil, fmt.Errorf("there is no field %q to match: use %s", key, specKeyList())
		}
		if _, twice := values[key]; twice {
			return nil, fmt.Errorf("%s stands in the brackets twice", key)
		}
		if key == "version" {
			value = plainVersion(value, false)
		}
		values[key] = value
	}
	if len(values) == 0 {
		return nil, errors.New("there is nothing inside the brackets: write key=value")
	}
	return values, nil
}

// readPair takes one key=value. conda also lets version<2 pass as version='<2'.
func readPair(s string) (key, value, rest string, err error) {
	i := strings.IndexAny(s, "=<>!~, ")
	if i <= 0 || s[i] == ',' || s[i] == ' ' {
		return "", "", "", fmt.Errorf("read %q in the brackets: write key=value", s)
	}
	key, rest = s[:i], s[i:]
	if rest[0] == '=' {
		rest = rest[1:]
	}
	if value, after, closed, quoted := cutQuoted(key, rest); quoted {
		switch {
		case !closed:
			return "", "", "", fmt.Errorf("the value of %s has no closing quote or bracket", key)
		case after != "" && after[0] != ',' && after[0] != ' ':
			return "", "", "", fmt.Errorf("%q follows the value of %s without a comma", after, key)
		}
		return key, value, after, emptyValue(key, value)
	}
	end := strings.IndexAny(rest, ", ")
	if end < 0 {
		end = len(rest)
	}
	return key, rest[:end], rest[end:], emptyValue(key, rest[:end])
}

// cutQuoted takes a value in quotes, or a list in brackets. In that of when a backslash
// stands before quotes of specs.
func cutQuoted(key, s string) (value, after string, closed, quoted bool) {
	switch {
	case s != "" && s[0] == '[' && (key == "extras" || key == "flags"):
		value, after, closed = strings.Cut(s[1:], "]")
		return value, after, closed, true
	case s == "" || s[0] != '\'' && s[0] != '"':
		return "", "", false, false
	case key != "when":
		value, after, closed = strings.Cut(s[1:], s[:1])
		return value, after, closed, true
	}
	var out strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] == s[0] {
			return out.String(), s[i+1:], true, true
		}
		if s[i] == '\\' && i+1 < len(s) && s[i+1] == s[0] {
			i++
		}
		out.WriteByte(s[i])
	}
	return "", "", false, true
}

func emptyValue(key, value string) error {
	if strings.TrimSpace(value) == "" {
		return fmt.Errorf("%s in the brackets has no value", key)
	}
	return nil
}

func isSpecKey(key string) bool {
	for _, known := range specKeys {
		if known.key == key {
			return true
		}
	}
	return false
}

func specKeyList() string {
	keys := make([]string, len(specKeys))
	for i, known := range specKeys {
		keys[i] = known.key
	}
	return strings.Join(keys, ", ")
}

// positionalValues reads channel/subdir:namespace:name version build. The
// namespace says nothing yet.
func positionalValues(s string) (map[string]string, error) {
	values := map[string]string{}
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		before := s[:i]
		s = strings.TrimSpace(s[i+1:])
		if j := strings.LastIndexByte(before, ':'); j >= 0 {
			setChannel(values, strings.TrimSpace(before[:j]))
		}
	}
	end := strings.IndexAny(s, " =<>!~")
	if end < 0 {
		end = len(s)
	}
	name, rest := strings.ToLower(s[:end]), strings.TrimSpace(s[end:])
	if err := checkSpecName(name); err != nil {
		return nil, err
	}
	values["name"] = name
	if rest == "" || rest == "=" { // conda reads "numpy=" as "numpy"
		return values, nil
	}
	if strings.ContainsAny(rest, "()") {
		return nil, fmt.Errorf("parentheses must be inside brackets: %s[version='%s']", name, rest)
	}
	version, build, hasBuild := splitBuild(rest)
	values["version"] = plainVersion(strings.ReplaceAll(version, " ", ""), hasBuild)
	if hasBuild {
		values["build"] = build
	}
	return values, nil
}

func checkSpecName(name string) error {
	switch {
	case name == "":
		return errors.New("there is no package name")
	case name[0] == '^':
		return nil // compiled later
	case strings.Contains(name, "*"):
		if bare := strings.ReplaceAll(name, "*", ""); strings.ContainsFunc(bare, notInName) {
			return fmt.Errorf("package name %q: a name has lower-case letters, digits and . _ -", name)
		}
		return nil
	}
	return checkName(name)
}

// splitBuild finds the build string behind a version constraint. It begins
// after the first blank or "=" that is no part of an operator and behind
// which no operator follows: ">=1.0 , < 2.0 py34_0" has py34_0.
func splitBuild(s string) (version, build string, ok bool) {
	for i := 1; i < len(s)-1; i++ {
		if s[i] != ' ' && s[i] != '=' || strings.IndexByte("=!|,<>~", s[i-1]) >= 0 {
			continue
		}
		if !strings.ContainsAny(s[i+1:], "-=,|<>~") {
			return s[:i], strings.TrimSpace(s[i+1:]), true
		}
	}
	return s, "", false
}

// plainVersion turns the separator "=" into what it means: "=1.8" is 1.8.*,
// but 1.8 when a build string follows, and "==1.8" is 1.8.
func plainVersion(version string, hasBuild bool) string {
	bare := strings.TrimLeft(version, "=")
	switch {
	case bare == "" || bare == version:
		return version
	case strings.HasPrefix(version, "=="):
		return bare
	case strings.ContainsAny(bare, "=,|"):
		return version
	case hasBuild || strings.HasSuffix(bare, "*"):
		return bare
	}
	return bare + "*"
}

// splitChannel takes a known subdir off the end of a channel's name or URL.
func splitChannel(s string) (channel, subdir string) {
	s = strings.TrimLeft(strings.TrimRight(s, "/ "), " ")
	i := strings.LastIndexByte(s, '/')
	if i >= 0 && IsSubdir(s[i+1:]) {
		return strings.TrimRight(s[:i], "/ "), s[i+1:]
	}
	return s, ""
}
