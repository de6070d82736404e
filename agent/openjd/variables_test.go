package openjd

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/condaworker/condaworker/agent/openjd/openjdtest"
)

// variablesOf are the variables that a session has after output, by either
// runtime's rules.
func variablesOf(t testing.TB, output []byte) map[string]string {
	t.Helper()
	python, rust := map[string]string{}, map[string]string{}
	for vars, policy := range map[*map[string]string]openjdtest.Policy{&python: openjdtest.Python, &rust: openjdtest.Rust} {
		lines, err := policy.Lines(output)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			payload, is := strings.CutPrefix(line, "openjd_env: ")
			if !is {
				continue
			}
			var text string
			if err := json.Unmarshal([]byte(payload), &text); err != nil {
				t.Fatalf("%.80q: %v", line, err)
			}
			name, value, _ := strings.Cut(text, "=")
			(*vars)[name] = value
		}
	}
	for name := range python {
		if rust[name] != python[name] {
			t.Errorf("%s is %q to one runtime and %q to another", name, python[name], rust[name])
		}
	}
	return python
}

func TestVariablesReachTheSession(t *testing.T) {
	out := open(Options{Session: true})
	for name, value := range map[string]string{
		"A": "", "B": "two\nlines\r\nand \"quotes\" 'of' \\ both", "C": "é €  \U0001F600 \x7f\x1b[31m", "_D1": " openjd_fail: x\nopenjd_fail: y ",
		"LONG": strings.Repeat("/a/folder:", 5900),
	} {
		out.stdout.Reset()
		if err := out.Setenv(name, value); err != nil {
			t.Error(err)
		}
		if got := variablesOf(t, out.stdout.Bytes()); len(got) != 1 || got[name] != value {
			t.Errorf("%s: %q", name, got)
		}
		if n := strings.Count(out.stdout.String(), "\n"); n != 1 {
			t.Errorf("%s takes %d lines", name, n)
		}
	}
	out.stdout.Reset()
	if err := out.Unsetenv("A"); err != nil || out.stdout.String() != "openjd_unset_env: A\n" {
		t.Errorf("%q, %v", out.stdout.String(), err)
	}
}

func TestVariablesThatNoSessionTakesAreErrors(t *testing.T) {
	out := open(Options{Session: true})
	for name, value := range map[string]string{"": "x", "A-B": "x", "1A": "x", "BASH_FUNC_f%%": "x", "A\n": "x", "A": "\xff", "NUL": "a\x00b", "LONG": strings.Repeat("x", 60_000), "WIDE": strings.Repeat("é", 10_000)} {
		if out.Setenv(name, value) == nil {
			t.Errorf("%q was taken", name)
		}
	}
	if out.Unsetenv("A B") == nil {
		t.Error("A B was taken")
	}
	out.expect(t, "", "")
}

func FuzzSetenv(f *testing.F) {
	f.Add("PATH", "/usr/bin")
	f.Add("A", "\u2028\U0010ffff")
	f.Fuzz(func(t *testing.T, name, value string) {
		var b bytes.Buffer
		out := New(Options{Stdout: &b, Stderr: io.Discard, Session: true})
		if out.Setenv(name, value) != nil {
			return
		}
		if got := variablesOf(t, b.Bytes()); !utf8.ValidString(value) || len(got) != 1 || got[name] != value {
			t.Errorf("%q=%q became %q", name, value, got)
		}
	})
}
