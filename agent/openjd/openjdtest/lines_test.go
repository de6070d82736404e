package openjdtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func must(t *testing.T, output string) []string {
	t.Helper()
	found, err := Directives([]byte(output))
	if err != nil {
		t.Fatal(err)
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
		if len(must(t, hostile)) == 0 {
			t.Errorf("the oracle takes %.60q for harmless", hostile)
		}
	}
	for _, harmless := range []string{"", "| openjd_fail: x", "openjd_fail:x", "x openjd_env: A=b", fmt.Sprint("openjd_", "progress")} {
		if found := must(t, harmless); len(found) > 0 {
			t.Errorf("the oracle acts on %q", found)
		}
	}
	if _, err := Directives([]byte("\xff")); !errors.Is(err, ErrNotUTF8) {
		t.Errorf("a byte that is not UTF-8: %v", err)
	}
}
