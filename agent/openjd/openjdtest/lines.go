// Package openjdtest is the session runtimes of Open Job Description, written
// anew from what is known of them, for tests: which lines they make of the bytes
// that they read, which of these they act on, and how they start, cancel and end
// an action. Where the two runtimes or their versions differ, it has both, and
// the worse. Start with Runner.
package openjdtest

import (
	"errors"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Policy is how a runtime makes lines of an action's output.
type Policy string

const (
	// Python reads strict UTF-8 with universal newlines, and splits after 64,000
	// characters.
	Python Policy = "64,000 characters"
	// Rust reads lines that end in \n, and cuts them at 65,536 bytes.
	Rust Policy = "65,536 bytes"
)

// ErrNotUTF8 ends an action in older versions of the runtime in Python.
var ErrNotUTF8 = errors.New("the output is not valid UTF-8")

var (
	wellFormed = regexp.MustCompile(`^openjd_(progress|status|fail|env|redacted_env|unset_env|session_runtime_loglevel|service_ready): (.+)`)
	nearMiss   = []string{"openjd_env", "openjd_redacted_env", "openjd_unset_env"}
)

// Lines are the records that a runtime makes of output.
func (p Policy) Lines(output []byte) ([]string, error) {
	if p == Rust {
		return rustLines(output), nil
	}
	if !utf8.Valid(output) {
		return nil, ErrNotUTF8
	}
	return pythonLines(output), nil
}

// Directives are the lines of output that any version of either runtime acts on.
func Directives(output []byte) ([]string, error) {
	var found []string
	for _, p := range []Policy{Python, Rust} {
		lines, err := p.Lines(output)
		if err != nil {
			return found, err
		}
		for _, line := range lines {
			if acts(line) {
				found = append(found, line)
			}
		}
	}
	return found, nil
}

// acts reports whether a session acts on line, by the strictest rule that any
// version of either runtime has had: the near misses need not end in a colon.
func acts(line string) bool {
	if wellFormed.MatchString(line) {
		return true
	}
	trimmed := strings.ToLower(strings.TrimLeftFunc(line, func(r rune) bool {
		return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f // as Python's str.lstrip
	}))
	for _, word := range nearMiss {
		if strings.HasPrefix(trimmed, word) {
			return true
		}
	}
	return false
}

var universal = strings.NewReplacer("\r\n", "\n", "\r", "\n")

func pythonLines(b []byte) []string {
	var lines []string
	for line := range strings.SplitSeq(universal.Replace(string(b)), "\n") {
		for runes := []rune(line); ; runes = runes[64000:] {
			if len(runes) <= 64000 {
				lines = append(lines, string(runes))
				break
			}
			lines = append(lines, string(runes[:64000]))
		}
	}
	return lines
}

// rustLines have no trailing white space.
func rustLines(b []byte) []string {
	var lines []string
	for line := range strings.SplitSeq(string(b), "\n") {
		lines = append(lines, strings.TrimRightFunc(line[:min(len(line), 65536)], unicode.IsSpace))
	}
	return lines
}
