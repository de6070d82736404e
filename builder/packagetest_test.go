package builder_test

import (
	"strings"
	"testing"

	"github.com/condaworker/condaworker/builder"
	"github.com/condaworker/condaworker/conda/condatest"
)

// runTests runs the tests of a package with these files.
func runTests(t *testing.T, files map[string]string) (int, *heard, error) {
	t.Helper()
	platform, err := builder.HostPlatform()
	if err != nil {
		t.Fatal(err)
	}
	p := condatest.Write(t, "a-1.0-0.conda", condatest.Index("a", "1.0", 0, "noarch"), files)
	h := &heard{}
	n, err := builder.Test(t.Context(), builder.Request{RenderRequest: builder.RenderRequest{Platform: platform}, Work: t.TempDir()}, []string{p}, h)
	return n, h, err
}

// The form is rattler-build's.
func TestTestsOfAList(t *testing.T) {
	n, h, err := runTests(t, map[string]string{
		"etc/conda/test-files/a/0/data/f.txt": "of the first",
		"info/hash_input.json":                `{"flavour": "sweet"}`,
		"info/tests/tests.yaml": `- script:
    content:
    - echo $(cat data/f.txt) $flavour $PKG_NAME
    - test $CONDA_BUILD_STATE = TEST
    cwd: etc/conda/test-files/a/0
  files:
    recipe:
    - data/*
- script:
    interpreter: bash
    env:
      A: b
    content: |
      echo A is $A
      test ! -e data/f.txt
- downstream: other
- script:
    interpreter: sed
    content: s/x/y/
`,
	})
	if n != 2 || err == nil || !strings.HasPrefix(err.Error(), "TESTS FAILED: a-1.0-0: ") { // sed has no input
		t.Errorf("%d tests, %v", n, err)
	}
	for _, want := range []string{"of the first sweet a\n", "A is b\n"} {
		if !strings.Contains(h.output(), want) {
			t.Errorf("no %q in\n%s", want, h.output())
		}
	}
	if !strings.HasPrefix(strings.Join(h.warns, ""), "the tests of other are not run: it cannot be installed together with a-1.0-0: ") {
		t.Errorf("it warns %q", h.warns)
	}
}

// A package without tests says so.
func TestNoTestsOfAList(t *testing.T) {
	for _, text := range []string{"[]\n", "\n[]", ""} {
		if n, _, err := runTests(t, map[string]string{"info/tests/tests.yaml": text}); n != 0 || err != nil {
			t.Errorf("%q: %d tests, %v", text, n, err)
		}
	}
}

// The form is conda-build's, and ours.
func TestTestsOfScripts(t *testing.T) {
	n, h, err := runTests(t, map[string]string{
		"info/test/run_test.sh":                 "echo in $(cat f) && test $0 = ./run_test.sh\n",
		"info/test/f":                           "f",
		"info/test/test_time_dependencies.json": "[]",
	})
	if n != 1 || err != nil || !strings.Contains(h.output(), "in f\n") {
		t.Errorf("%d tests, %v\n%s", n, err, h.output())
	}
	_, _, err = runTests(t, map[string]string{"info/test/run_test.py": "import sys\n"})
	if err == nil || !strings.Contains(err.Error(), "nothing provides python") {
		t.Errorf("without a python: %v", err)
	}
}

func TestBrokenTestsAreNamed(t *testing.T) {
	for name, text := range map[string]string{
		"info/tests/tests.yaml":                 "- script: [",
		"info/test/test_time_dependencies.json": "{}",
		"info/hash_input.json":                  "[]",
	} {
		n, _, err := runTests(t, map[string]string{name: text})
		if n != 0 || err == nil || !strings.Contains(err.Error(), "a-1.0-0.conda") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
