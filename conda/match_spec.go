package conda

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MatchSpec chooses among records (CEP 29). It is read by ParseMatchSpec; the
// zero value matches every record.
type MatchSpec struct {
	Name   string // lower case, e.g. python; may be a glob such as "*" or a regular expression
	fields []specField
}

// specField is one condition of a spec.
type specField struct {
	key   string // e.g. build
	value string // canonical text, e.g. *_cpython
	kind  valueKind
	match fieldMatcher
}

// fieldMatcher says whether a record fits; v is the record's version, read
// beforehand if any condition needs it.
type fieldMatcher func(r *Record, v Version) bool

// valueKind is how a condition compares.
type valueKind uint8

const (
	exact   valueKind = iota // with one value
	pattern                  // with a glob, a regular expression or a range
	all                      // not at all: "*"
)

// ExactName reports whether the spec is for one package, not for all whose
// name fits a pattern.
func (m MatchSpec) ExactName() bool { return m.Name != "" && !isPattern(m.Name) }

// Match reports whether r fits. A record whose version cannot be read fits
// only specs without a version.
func (m MatchSpec) Match(r *Record) bool {
	var v Version
	if m.needsVersion() {
		var err error
		if v, err = ParseVersion(r.Version); err != nil {
			return false
		}
	}
	return m.MatchVersion(r, v)
}

// MatchVersion is Match for a caller that has parsed r.Version already.
func (m MatchSpec) MatchVersion(r *Record, v Version) bool {
	for _, f := range m.fields {
		if !f.match(r, v) {
			return false
		}
	}
	return true
}

func (m MatchSpec) needsVersion() bool {
	f, ok := m.field("version")
	return ok && f.kind != all
}

func (m MatchSpec) field(key string) (specField, bool) {
	i := slices.IndexFunc(m.fields, func(f specField) bool { return f.key == key })
	if i < 0 {
		return specField{}, false
	}
	return m.fields[i], true
}

// Version returns the version constraint, e.g. >=3.8,<4 or 3.8.*, and "" if
// there is none.
func (m MatchSpec) Version() string { return m.value("version") }

// Build returns the constraint on the build string, e.g. *_cpython, and "" if
// there is none.
func (m MatchSpec) Build() string { return m.value("build") }

// Channel returns the channel that records must come from, e.g. conda-forge or a
// URL, and "" if any will do.
func (m MatchSpec) Channel() string { return m.value("channel") }

// InChannel reports whether the spec allows records of the channel with this URL.
func (m MatchSpec) InChannel(url string) bool {
	f, given := m.field("channel")
	return !given || f.match(&Record{Channel: url}, Version{})
}

func (m MatchSpec) value(key string) string {
	f, _ := m.field(key)
	return f.value
}

// Both returns the spec of the records that a and b allow, which are of one name, as
// conda merges what is asked for twice. It is not ok where one spec cannot say that, as
// of two patterns for a build string.
func Both(a, b MatchSpec) (both MatchSpec, ok bool) {
	if a.NeedsV3() || b.NeedsV3() || a.Name != b.Name {
		return MatchSpec{}, false
	}
	both.Name = a.Name
	for _, known := range specKeys {
		f, inA := a.field(known.key)
		g, inB := b.field(known.key)
		switch {
		case !inA && !inB:
			continue
		case !inA || f.kind == all && inB:
			f = g
		case !inB || g.kind == all || f.value == g.value:
		case f.kind == exact != (g.kind == exact): // the exact one is among those of the pattern, or nothing is
			if g.kind == exact {
				f = g
			}
		case known.key == "version":
			var err error
			if f, err = versionField(inParentheses(f.value) + "," + inParentheses(g.value)); err != nil {
				return MatchSpec{}, false
			}
			f.key = known.key
		default:
			return MatchSpec{}, false
		}
		both.fields = append(both.fields, f)
	}
	return both, true
}

// inParentheses keeps alternatives together.
func inParentheses(version string) string {
	if strings.Contains(version, "|") {
		return "(" + version + ")"
	}
	return version
}

// String returns the canonical form: channel/subdir::name==version=build for
// what is exact, name=1.8 for 1.8.*, all else in brackets. It reads back as
// the same spec.
func (m MatchSpec) String() string {
	var out, brackets strings.Builder
	bracket := func(key, value string, quote bool) {
		brackets.WriteString(cmp.Or(strings.Repeat(",", min(brackets.Len(), 1)), "["))
		switch {
		case key == "extras" || key == "flags":
			value = "[" + value + "]"
		case key == "when":
			value = `"` + strings.ReplaceAll(value, `"`, `\"`) + `"`
		case quote || strings.ContainsAny(value, ", ="):
			value = "'" + value + "'"
		}
		brackets.WriteString(key + "=" + value)
	}
	channel, hasChannel := m.field("channel")
	m.writeChannel(&out, bracket)
	out.WriteString(cmp.Or(m.Name, "*"))
	m.writeVersion(&out, bracket)
	_, hasURL := m.field("url")
	for _, f := range m.fields {
		switch {
		case slices.Contains(positional, f.key), f.key == "fn" && hasURL:
		case f.key == "url" && hasChannel && channel.kind != all:
		default:
			bracket(f.key, f.value, false)
		}
	}
	if brackets.Len() == 0 && isArchive(out.String()) { // say that it is no file; a name in brackets means nothing
		bracket("name", cmp.Or(m.Name, "*"), false)
	}
	if brackets.Len() > 0 {
		brackets.WriteString("]")
	}
	return out.String() + brackets.String()
}

// positional are the keys that have a place before the brackets.
var positional = []string{"channel", "subdir", "name", "version", "build"}

func (m MatchSpec) writeChannel(out *strings.Builder, bracket func(key, value string, quote bool)) {
	channel, hasChannel := m.field("channel")
	subdir, hasSubdir := m.field("subdir")
	outside := hasChannel && channel.kind == exact
	if outside {
		out.WriteString(channel.value)
		if hasSubdir {
			out.WriteString("/" + subdir.value)
		}
		out.WriteString("::")
		return
	}
	if hasChannel && channel.kind != all {
		bracket("channel", channel.value, false)
	}
	if hasSubdir {
		bracket("subdir", subdir.value, false)
	}
}

func (m MatchSpec) writeVersion(out *strings.Builder, bracket func(key, value string, quote bool)) {
	version, _ := m.field("version")
	build, hasBuild := m.field("build")
	text := version.value
	series := strings.TrimSuffix(text, ".*")
	switch {
	case text == "" || text == "*":
		text = ""
	case strings.ContainsAny(text, "><$^|,") || strings.Contains(series, "*") || text[0] == '=' && !strings.HasPrefix(text, "=="):
		bracket("version", text, true)
	case text[0] == '!' || text[0] == '~':
		if hasBuild {
			bracket("version", text, true)
		} else {
			out.WriteString(text)
		}
	case series != text:
		out.WriteString("=" + series)
	default:
		out.WriteString("==" + strings.TrimPrefix(text, "=="))
	}
	switch {
	case !hasBuild:
	case version.kind == exact && text != "" && build.kind == exact && !strings.ContainsAny(build.value, "-=,|<>~^$()#:"):
		out.WriteString("=" + build.value)
	default:
		bracket("build", build.value, strings.ContainsAny(build.value, "><$^|,"))
	}
}

// specKeys are the fields that can be matched, in the order of the canonical
// form, each with what makes its condition.
var specKeys = []struct {
	key string
	new func(value string) (specField, error)
}{
	{"channel", channelField},
	{"subdir", textField(strings.ToLower, func(r *Record) string { return r.Subdir })},
	{"name", textField(asWritten, func(r *Record) string { return r.Name })},
	{"version", versionField},
	{"build", textField(asWritten, func(r *Record) string { return r.Build })},
	{"build_number", buildNumberField},
	{"track_features", featuresField(func(r *Record) []string { return r.TrackFeatures })},
	{"features", featuresField(func(*Record) []string { return nil })},
	{"url", textField(asWritten, func(r *Record) string { return strings.TrimRight(r.Channel, "/") + "/" + r.Subdir + "/" + r.FileName })},
	{"md5", textField(strings.ToLower, func(r *Record) string { return r.MD5 })},
	{"sha256", textField(strings.ToLower, func(r *Record) string { return r.SHA256 })},
	{"license", textField(strings.ToLower, func(r *Record) string { return r.License })},
	{"license_family", textField(strings.ToLower, func(r *Record) string { return r.LicenseFamily })},
	{"fn", textField(asWritten, func(r *Record) string { return r.FileName })},
	{"extras", listField(extraRule, func([]string, *Record) bool { return true })},
	{"flags", listField(flagRule, hasFlags)},
	{"when", conditionField},
}

func newMatchSpec(values map[string]string) (MatchSpec, error) {
	m := MatchSpec{Name: values["name"]}
	for _, known := range specKeys {
		value, given := values[known.key]
		if !given {
			continue
		}
		if strings.ContainsAny(value, `[]'"`) && !slices.Contains(v3Keys, known.key) {
			return MatchSpec{}, fmt.Errorf("%s %q has a bracket or quote inside: write choices as (a|b) instead of [ab]", known.key, value)
		}
		f, err := known.new(value)
		if err != nil {
			return MatchSpec{}, err
		}
		f.key = known.key
		m.fields = append(m.fields, f)
	}
	if text := m.value("when"); text != "" {
		if _, err := parseCondition(text); err != nil {
			return MatchSpec{}, err
		}
	}
	return m, nil
}

func asWritten(s string) string { return s }

func isPattern(s string) bool {
	return strings.Contains(s, "*") || len(s) > 1 && s[0] == '^' && s[len(s)-1] == '$'
}

// textField compares by CEP 29's rules for strings: ^…$ is a regular
// expression, "*" stands for any text, all else is compared whole.
func textField(fold func(string) string, get func(*Record) string) func(string) (specField, error) {
	return func(value string) (specField, error) {
		value = fold(value)
		kind, match, err := textMatcher(value)
		return specField{value: value, kind: kind, match: func(r *Record, _ Version) bool { return match(fold(get(r))) }}, err
	}
}

func textMatcher(value string) (valueKind, func(string) bool, error) {
	switch {
	case value == "*":
		return all, func(string) bool { return true }, nil
	case !isPattern(value):
		return exact, func(s string) bool { return s == value }, nil
	case value[0] == '^' && value[len(value)-1] == '$':
		re, err := compileRegexp(value)
		if err != nil {
			return pattern, nil, err
		}
		return pattern, re.MatchString, nil
	}
	return pattern, newGlob(value).match, nil
}

func versionField(value string) (specField, error) {
	spec, err := parseVersionSpec(strings.ReplaceAll(value, " ", ""))
	f := specField{value: spec.text, kind: pattern}
	switch {
	case err != nil:
		return f, err
	case spec.text == "*":
		f.kind = all
	case !strings.ContainsAny(spec.text, "*^$|,!~<>()") && (spec.text[0] != '=' || strings.HasPrefix(spec.text, "==")):
		f.kind = exact
	}
	f.match = func(r *Record, v Version) bool { return spec.match(v, r.Version) }
	return f, nil
}

// buildNumberField takes a number, a comparison such as >=3, or "*".
func buildNumberField(value string) (specField, error) {
	value = strings.TrimSpace(value)
	if strings.ContainsAny(value, "|,()") {
		return specField{}, fmt.Errorf("read build_number %q: it takes one number or one comparison such as >=3", value)
	}
	spec, err := parseVersionSpec(value)
	if err != nil {
		return specField{}, fmt.Errorf("read build_number: %w", err)
	}
	return specField{value: value, kind: pattern, match: func(r *Record, _ Version) bool {
		text := fmt.Sprint(r.BuildNumber)
		v, err := ParseVersion(text)
		return err == nil && spec.match(v, text)
	}}, nil
}

// featuresField wants the same set of features, not a part of it.
func featuresField(get func(*Record) []string) func(string) (specField, error) {
	return func(value string) (specField, error) {
		want := slices.Sorted(slices.Values(splitFeatures(value)))
		if len(want) == 0 {
			return specField{}, errors.New("read features: there is no name")
		}
		return specField{value: joinFeatures(want), kind: exact, match: func(r *Record, _ Version) bool {
			return slices.Equal(want, slices.Sorted(slices.Values(get(r))))
		}}, nil
	}
}
