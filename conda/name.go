package conda

import (
	"errors"
	"fmt"
	"strings"
)

// maxFileName is what CEP 26 allows. Its 64 characters for each part are not asked
// for: conda-build has no such bound, so that channels have longer ones.
const maxFileName = 211

// ValidName returns an error that says what is allowed if no package can be
// called s. What conda or rattler can install passes, though CEP 26 wants new
// packages to have neither upper-case letters, which clients look for in lower
// case, nor two separators in a row. Names that begin with two underscores are
// refused: they are virtual packages, which nobody builds.
func ValidName(s string) error {
	if strings.HasPrefix(s, "__") {
		return fmt.Errorf("package name %q begins with two underscores, which is kept for virtual packages", s)
	}
	return checkName(s)
}

// checkName also takes the names of virtual packages.
func checkName(s string) error {
	const allowed = "a name has letters, digits and . _ - between them"
	switch {
	case s == "":
		return errors.New("the package name is empty: " + allowed)
	case strings.ContainsFunc(s, notInName):
		return fmt.Errorf("package name %q: %s", s, allowed)
	case s[0] == '.' || s[0] == '-':
		return fmt.Errorf("package name %q must begin with a letter, a digit or an underscore", s)
	case strings.Contains(s, ".."):
		return fmt.Errorf("package name %q has two dots in a row: %s", s, allowed)
	}
	return nil
}

// ValidBuild returns an error that says what is allowed if no package can have
// the build string s (CEP 26, but for the length).
func ValidBuild(s string) error {
	if s == "" {
		return errors.New("the build string is empty: it has letters, digits and . _ +")
	}
	for i := range len(s) {
		if c := s[i]; !isLower(c|0x20) && !isDigit(c) && c != '.' && c != '_' && c != '+' {
			return fmt.Errorf("build string %q: only letters, digits and . _ + are allowed", s)
		}
	}
	return nil
}

func notInName(r rune) bool {
	return r > '~' || !isLower(byte(r)|0x20) && !isDigit(byte(r)) && !isSeparator(byte(r))
}

func isLower(c byte) bool     { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool     { return '0' <= c && c <= '9' }
func isSeparator(c byte) bool { return c == '.' || c == '_' || c == '-' }

// FileName is the name of a package archive, name-version-build.ext.
type FileName struct {
	Name    string // e.g. python-dateutil
	Version string // e.g. 2.9.0
	Build   string // e.g. pyhd8ed1ab_0
	Ext     string // .conda or .tar.bz2
}

// ParseFileName splits an archive's name from the right, for a package name
// may have dashes. It takes more than an index does, for which there are ValidName
// and ValidBuild.
func ParseFileName(s string) (FileName, error) {
	ext := ".conda"
	stem := strings.TrimSuffix(s, ext)
	if stem == s {
		ext = ".tar.bz2"
		if stem = strings.TrimSuffix(s, ext); stem == s {
			return FileName{}, fmt.Errorf("read file name %q: a package ends with .conda or .tar.bz2", s)
		}
	}
	if i := strings.IndexFunc(stem, notInFileName); i >= 0 || stem != "" && stem[0] == '.' {
		return FileName{}, fmt.Errorf("read file name %q: it has a character that no package has", s)
	}
	rest, build, ok := cutLast(stem)
	name, version, ok2 := cutLast(rest)
	if !ok || !ok2 || name == "" || version == "" || build == "" {
		return FileName{}, fmt.Errorf("read file name %q: a package is called name-version-build%s", s, ext)
	}
	if len(s) > maxFileName {
		return FileName{}, fmt.Errorf("read file name %q: it has %d characters, at most %d are allowed", s, len(s), maxFileName)
	}
	return FileName{name, version, build, ext}, nil
}

func notInFileName(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune(`/\:*?"<>|`, r)
}

// cutLast cuts at the last hyphen.
func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '-')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// String returns the file name.
func (f FileName) String() string { return f.Name + "-" + f.Version + "-" + f.Build + f.Ext }
