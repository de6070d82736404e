package builder_test

import (
	"strings"
	"testing"

	"github.com/condaworker/condaworker/builder"
	"github.com/condaworker/condaworker/conda/condatest"
	"github.com/condaworker/condaworker/env"
)

// downstreamChannel has an old a, and packages that need an a: one that any does, one
// whose test fails with a new one, and one that cannot have that at all. The tests are
// written in conda-build's form and in rattler-build's.
func downstreamChannel(t *testing.T) env.Channel {
	t.Helper()
	var paths []string
	for _, p := range []struct{ name, depends, file, test string }{
		{"a", "", "share/a", "old"},
		{"user", "a >=1", "info/test/run_test.sh", "echo user of $(cat $PREFIX/share/a) in $PKG_NAME\n"},
		{"strict", "a", "info/tests/tests.yaml", "- script: [grep -q old $PREFIX/share/a]\n- downstream: user\n"},
		{"behind", "a <2", "info/test/run_test.sh", "exit 5"},
		{"untested", "a", "share/untested", ""},
	} {
		in := condatest.Index(p.name, "1.0", 0, "noarch")
		if p.depends != "" {
			in["depends"] = []string{p.depends}
		}
		paths = append(paths, condatest.Write(t, p.name+"-1.0-0.conda", in, map[string]string{p.file: p.test}))
	}
	return indexed(t, paths)
}

// A package is tested by the tests of those that need it, each with the new package and
// never with what the channel has under its name.
func TestTestsOfDownstreamPackages(t *testing.T) {
	channel := downstreamChannel(t)
	for _, tt := range []struct{ name, warns, failed string }{
		{name: "user >=1"},
		{name: "untested"},
		{name: "strict", failed: "with the package installed, the tests of strict-1.0-0 from "},
		{name: "behind", warns: "the tests of behind are not run: it cannot be installed together with a-2.0-"},
		{name: "gone", warns: "the tests of gone are not run: "},
		{name: "a", failed: `the tests of "a" are asked for: name one other package`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for format, recipe := range map[string]string{
				"recipe.yaml": "package: {name: a, version: '2.0'}\nbuild: {script: mkdir -p $PREFIX/share && echo new > $PREFIX/share/a}\ntests: [{downstream: '" + tt.name + "'}]\n",
				"meta.yaml":   "package: {name: a, version: '2.0'}\nbuild: {script: mkdir -p $PREFIX/share && echo new > $PREFIX/share/a}\ntest:\n  downstreams:\n    - '" + tt.name + "'\n",
			} {
				_, h, err := build(t, map[string]string{format: recipe}, func(r *builder.Request) { r.Channels = []env.Channel{channel} })
				if tt.failed == "" && err != nil || tt.failed != "" && (!as[*builder.TestError](err) || !strings.Contains(err.Error(), tt.failed)) {
					t.Errorf("%s: %v", format, err)
				}
				if warns := strings.Join(h.warns, "\n"); !strings.HasPrefix(warns, tt.warns) || tt.warns == "" && warns != "" {
					t.Errorf("%s: it warns %q", format, warns)
				}
				if said := "user of new in user\n"; strings.Contains(h.output(), said) != (tt.name == "user >=1") {
					t.Errorf("%s: %s", format, h.output())
				}
			}
		})
	}
}

// What a finished package asks for is done as well, and what can be asked no further
// than one package away.
func TestAPackagesListNamesDownstreamPackages(t *testing.T) {
	channel := downstreamChannel(t)
	platform, err := builder.HostPlatform()
	if err != nil {
		t.Fatal(err)
	}
	p := condatest.Write(t, "a-2.0-0.conda", condatest.Index("a", "2.0", 0, "noarch"), map[string]string{
		"share/a": "not so old", "info/tests/tests.yaml": "- downstream: strict\n",
	})
	r := builder.Request{RenderRequest: builder.RenderRequest{Platform: platform}, Work: t.TempDir(), Channels: []env.Channel{channel}}
	h := &heard{}
	if n, err := builder.Test(t.Context(), r, []string{p}, h); n != 1 || err != nil || strings.Contains(h.output(), "user of") {
		t.Errorf("%d tests, %v\n%s", n, err, h.output())
	}
}
