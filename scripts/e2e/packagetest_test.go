package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// rattlerTest runs a package's tests with rattler-build.
const rattlerTest = `
import sys, warnings
warnings.simplefilter("ignore")
from rattler_build import test_package
test_package(sys.argv[1], channel=[sys.argv[2]])
`

// The tests of a package that rattler-build made run here, and those of ours run
// there; a test that fails is seen by both.
func TestPackagesAreTestedElsewhere(t *testing.T) {
	s := start(t)
	channel := filepath.Join(t.TempDir(), "channel")
	for _, name := range []string{"plain", "runtime"} {
		recipe := filepath.Join(t.TempDir(), name)
		write(t, filepath.Join(recipe, "recipe.yaml"), libraries[name])
		s.must(t, s.program, "build", recipe, "--to", channel)
	}
	for word, passes := range map[string]bool{"hi": true, "nothing": false} {
		recipe, ours, theirs := t.TempDir(), filepath.Join(t.TempDir(), "ours"), filepath.Join(t.TempDir(), "theirs")
		write(t, filepath.Join(recipe, "recipe.yaml"), `package: {name: tested, version: "1.0"}
build: {script: 'mkdir -p $PREFIX/bin; echo "echo hi" > $PREFIX/bin/tested; chmod +x $PREFIX/bin/tested; echo src > data.txt'}
requirements: {run: [plain]}
tests:
  - script: ["tested | grep `+word+`", "test -f $PREFIX/plain", "test -f f.txt", "grep src data.txt", "test -f $PREFIX/lib/runtime"]
    requirements: {run: [runtime >=12]}
    files: {recipe: [f.txt], source: [data.txt]}
  - script: {file: t.sh, env: {A: b}}
`)
		write(t, filepath.Join(recipe, "f.txt"), "f\n")
		write(t, filepath.Join(recipe, "t.sh"), "test \"$A\" = b\ntested\n")
		s.must(t, s.program, "build", recipe, "-c", channel, "--output-dir", ours, "--no-test")
		s.must(t, s.python, "-c", rattlerBuild, filepath.Join(recipe, "recipe.yaml"), theirs, "file://"+channel)

		out, code := s.run(t, s.program, "test", onlyPackage(t, theirs), "-c", channel)
		if passes && (code != 0 || !strings.Contains(out, "2 tests of 1 package passed")) || !passes && code != 6 {
			t.Errorf("%s, theirs here: exit code %d\n%s", word, code, tail(out))
		}
		out, code = s.run(t, s.program, "test", onlyPackage(t, ours), "-c", channel)
		if passes && code != 0 || !passes && code != 6 {
			t.Errorf("%s, ours here: exit code %d\n%s", word, code, tail(out))
		}
		if out, code = s.run(t, s.python, "-c", rattlerTest, onlyPackage(t, ours), "file://"+channel); passes != (code == 0) {
			t.Errorf("%s, ours there: exit code %d\n%s", word, code, tail(out))
		}
	}
}
