package openjd

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// The session runtimes, written anew from what is known of them: which lines
// they make of the bytes that they read, and which of these they act on.

var (
	wellFormed = regexp.MustCompile(`^openjd_(progress|status|fail|env|redacted_env|unset_env|session_runtime_loglevel|service_ready): .`)
	nearMiss   = []string{"openjd_env", "openjd_redacted_env", "openjd_unset_env"}
)

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

// pythonLines are the records of the runtime in Python: strict UTF-8, universal
// newlines, readline(64000).
func pythonLines(t testing.TB, b []byte) []string {
	t.Helper()
	if !utf8.Valid(b) {
		t.Fatalf("invalid UTF-8 ends the reader: %q", b)
	}
	var lines []string
	for line := range strings.SplitSeq(regexp.MustCompile("\r\n?").ReplaceAllString(string(b), "\n"), "\n") {
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

// rustLines are the records of the runtime in Rust: lines at \n only, cut off
// at 65,536 bytes, without trailing white space.
func rustLines(b []byte) []string {
	var lines []string
	for line := range strings.SplitSeq(string(b), "\n") {
		lines = append(lines, strings.TrimRightFunc(line[:min(len(line), 65536)], unicode.IsSpace))
	}
	return lines
}

// directives returns the lines that either runtime acts on.
func directives(t testing.TB, b []byte) []string {
	t.Helper()
	var found []string
	for _, line := range append(pythonLines(t, b), rustLines(b)...) {
		if acts(line) {
			found = append(found, line)
		}
	}
	return found
}

// TestSessionOracle makes sure that the judge of the other tests can say yes.
func TestSessionOracle(t *testing.T) {
	for _, hostile := range []string{
		"openjd_fail: x",
		"   OPENJD_ENV foo",
		"\u00a0openjd_unset_envy",
		"| progress\ropenjd_fail: x",
		"| " + strings.Repeat("x", 63998) + "openjd_fail: x",
		"text\n\topenjd_redacted_env",
		"openjd_session_runtime_loglevel: error",
	} {
		if len(directives(t, []byte(hostile))) == 0 {
			t.Errorf("the oracle takes %.60q for harmless", hostile)
		}
	}
	for _, harmless := range []string{"", "| openjd_fail: x", "openjd_fail:x", "x openjd_env: A=b", fmt.Sprint("openjd_", "progress")} {
		if found := directives(t, []byte(harmless)); len(found) > 0 {
			t.Errorf("the oracle acts on %q", found)
		}
	}
}
