package builder_test

import (
	"strings"
	"testing"
)

func TestContentsOfPackages(t *testing.T) {
	const made = `build: {script: 'mkdir -p $PREFIX/lib/python3.11/site-packages/mod/sub $PREFIX/bin $PREFIX/include $PREFIX/share && cd $PREFIX &&
  touch lib/libz.so.1 lib/liba.a lib/python3.11/site-packages/mod/__init__.py lib/python3.11/site-packages/mod/sub/x.py bin/z include/z.h share/doc'}
`
	for contents, want := range map[string]string{
		"{lib: [z], bin: [z], include: [z.h], files: ['share/*'], site_packages: [mod, mod.sub.x], strict: true}": "strict: no part of the test names lib/liba.a",
		"{lib: [z, libz.so.1, liba.a], bin: {not_exists: [y]}, site_packages: [mod/sub/x.py]}":                    "",
		"{lib: [q]}":                       "lib: nothing is q (lib/{,lib}q.so or lib/{,lib}q.so.*)",
		"{bin: {not_exists: ['*']}}":       "bin: * must not be there, and is: bin/z",
		"{site_packages: [gone, mod]}":     "site_packages: nothing is gone (lib/python*/site-packages/gone.py or ",
		"{files: [gone, '**/z.h', sh*]}":   "files: nothing is gone",
		"{files: {exists: ['{', share]}}":  "read glob",
		"{include: [z.h], strict: true}\n": "bin/z, lib/liba.a, lib/libz.so.1, ",
	} {
		_, _, err := build(t, map[string]string{"recipe.yaml": head + made + "tests:\n  - package_contents: " + contents}, nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), "TESTS FAILED: ") || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", contents, err)
		}
	}
}

// Modules of other languages are loaded by their interpreter, which comes with
// the test.
func TestModulesOfOtherLanguages(t *testing.T) {
	for kind, want := range map[string]string{"perl: {uses: [x]}": "perl", "r: {libraries: [x]}": "r-base", "ruby: {requires: [x]}": "ruby"} {
		_, _, err := build(t, map[string]string{"recipe.yaml": head + "tests:\n  - " + kind}, nil)
		if err == nil || !strings.Contains(err.Error(), "nothing provides "+want) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
