package conda

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// Version is a package's version, split so that it can be ordered (CEP 33).
// The zero value is no version.
type Version struct {
	text  string
	main  [][]part // the epoch, then one segment for each of the dotted parts
	local [][]part // what stands after "+"
}

// part is a run of digits or of other characters inside a segment.
type part struct {
	kind partKind
	text string // digits without leading zeros ("" is 0), or letters in lower case
}

// partKind orders parts of different kinds.
type partKind uint8

const (
	word   partKind = iota // e.g. rc, or DEV in upper case so that it sorts first
	number                 // of any size: dates with a time do not fit in 32 bits
	post                   // the word "post", greater than any number
)

// zero stands for what one of two versions lacks: 1.1 equals 1.1.0.
var zero = part{kind: number}

// ParseVersion reads a version literal such as 1.2.3, 1!2.0rc1 or 1.0+local.
// Letter case does not matter and a dash counts as an underscore, as in conda.
func ParseVersion(s string) (Version, error) {
	if strings.Contains(s, "*") {
		return Version{}, versionError(s, `"*" belongs in a match spec`)
	}
	return parseVersion(s)
}

// parseVersion also takes "*", which sorts before all letters: in specs such
// as ">=2.*.*" conda compares with it.
func parseVersion(s string) (Version, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	if text == "" {
		return Version{}, versionError(s, "it is empty")
	}
	if strings.Contains(text, "-") && !strings.Contains(text, "_") {
		text = strings.ReplaceAll(text, "-", "_")
	}
	if strings.ContainsFunc(text, notInVersion) {
		return Version{}, versionError(s, "a version has only letters, digits and . _ + ! and no mix of - and _")
	}
	epoch, text, err := cutEpoch(text)
	if err != nil {
		return Version{}, versionError(s, err.Error())
	}
	main, local, hasLocal := strings.Cut(text, "+")
	v := Version{text: s}
	if v.main, err = splitSegments(epoch, main); err != nil {
		return Version{}, versionError(s, err.Error())
	}
	if hasLocal {
		if v.local, err = splitSegments("", local); err != nil {
			return Version{}, versionError(s, err.Error())
		}
	}
	return v, nil
}

func versionError(s, reason string) error { return fmt.Errorf("read version %q: %s", s, reason) }

func notInVersion(r rune) bool {
	return ('0' > r || r > '9') && ('a' > r || r > 'z') && !strings.ContainsRune("*.+!_", r)
}

func cutEpoch(text string) (epoch, rest string, err error) {
	epoch, rest, found := strings.Cut(text, "!")
	if !found {
		return "0", text, nil
	}
	if strings.Trim(epoch, "0123456789") != "" || epoch == "" {
		return "", "", errors.New(`what stands before "!" must be a number`)
	}
	if strings.Contains(rest, "!") {
		return "", "", errors.New(`"!" stands in it twice`)
	}
	return epoch, rest, nil
}

// splitSegments splits text at "." and "_". An underscore at the very end of
// the main version stays with its segment: 1.0.1_ is less than 1.0.1a, by
// which openssl's letters can be ordered. epoch is "" for the local version.
func splitSegments(epoch, text string) ([][]part, error) {
	if strings.Contains(text, "+") {
		return nil, errors.New(`"+" stands in it twice`)
	}
	if text == "" {
		return nil, errors.New("a part of it is empty")
	}
	segments := make([][]part, 0, strings.Count(text, ".")+2)
	tail := ""
	if epoch != "" {
		segments = append(segments, appendParts(nil, epoch))
		if strings.HasSuffix(text, "_") {
			text, tail = text[:len(text)-1], "_"
		}
	}
	for i := strings.IndexAny(text, "._"); i >= 0; i = strings.IndexAny(text, "._") {
		if i == 0 {
			return nil, errors.New("a part of it is empty")
		}
		segments = append(segments, appendParts(nil, text[:i]))
		text = text[i+1:]
	}
	if text+tail == "" {
		return nil, errors.New("a part of it is empty")
	}
	return append(segments, appendParts(nil, text+tail)), nil
}

// appendParts appends the runs of a segment, a number first: 1.a is 1.0a.
func appendParts(parts []part, segment string) []part {
	if class(segment[0]) != '0' {
		parts = append(parts, zero)
	}
	for segment != "" {
		n := 1
		for n < len(segment) && class(segment[n]) == class(segment[0]) {
			n++
		}
		parts = append(parts, newPart(segment[:n]))
		segment = segment[n:]
	}
	return parts
}

func class(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return '0'
	case c == '*':
		return '*'
	}
	return 'a'
}

func newPart(run string) part {
	switch {
	case class(run[0]) == '0':
		return part{kind: number, text: strings.TrimLeft(run, "0")}
	case run == "post":
		return part{kind: post}
	case run == "dev":
		return part{kind: word, text: "DEV"}
	}
	return part{kind: word, text: run}
}

// String returns the version as it was written.
func (v Version) String() string { return v.text }

// Compare returns -1, 0 or 1 as v is older than, equal to or newer than o.
// Equal versions may be written differently: 1.0 equals 1.0.0.
func (v Version) Compare(o Version) int {
	return cmp.Or(compareSegments(v.main, o.main), compareSegments(v.local, o.local))
}

func compareSegments(a, b [][]part) int {
	for i := range max(len(a), len(b)) {
		if c := compareParts(at(a, i), at(b, i)); c != 0 {
			return c
		}
	}
	return 0
}

func at(segments [][]part, i int) []part {
	if i < len(segments) {
		return segments[i]
	}
	return nil
}

func compareParts(a, b []part) int {
	for i := range max(len(a), len(b)) {
		if c := comparePart(partAt(a, i), partAt(b, i)); c != 0 {
			return c
		}
	}
	return 0
}

func partAt(parts []part, i int) part {
	if i < len(parts) {
		return parts[i]
	}
	return zero
}

func comparePart(a, b part) int {
	if a.kind != b.kind {
		return cmp.Compare(a.kind, b.kind)
	}
	if a.kind == number && len(a.text) != len(b.text) {
		return cmp.Compare(len(a.text), len(b.text))
	}
	return strings.Compare(a.text, b.text)
}

// startsWith reports whether v is o or a version below it: 1.8.3 starts with
// 1.8, and 1.80 does not. A word at o's end may go on in v: 2013ab starts with
// 2013a.
func (v Version) startsWith(o Version) bool {
	if len(o.main) == 0 {
		return true
	}
	a, b := v.main, o.main
	if o.local != nil {
		if compareSegments(a, b) != 0 {
			return false
		}
		a, b = v.local, o.local
	}
	last := len(b) - 1
	if compareSegments(a[:min(last, len(a))], b[:last]) != 0 {
		return false
	}
	parts, prefix := at(a, last), b[last]
	last = len(prefix) - 1
	if compareParts(parts[:min(last, len(parts))], prefix[:last]) != 0 {
		return false
	}
	got, want := partAt(parts, last), prefix[last]
	if want.kind == word {
		return got.kind == word && strings.HasPrefix(got.text, want.text)
	}
	return got == want
}
