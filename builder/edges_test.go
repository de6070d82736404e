package builder_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/builder"
)

const head = "package: {name: a, version: \"1\"}\n"

func TestTemplatesCannotReadTheFarmsVariables(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"recipe.yaml":  {"recipe.yaml": head + "build: {script: 'echo it is ${{ env.get(\"AWS_SECRET_ACCESS_KEY\", default=\"nothing\") }}'}\n"},
		"meta.yaml":    {"meta.yaml": head + "build:\n  script: echo it is {{ environ.get('AWS_SECRET_ACCESS_KEY', 'nothing') }}\n"},
		"by its name":  {"meta.yaml": head + "build:\n  script: echo it is {{ DEADLINE_JOB_ID | default('nothing') }}\n"},
		"os.environ":   {"meta.yaml": head + "build:\n  script: echo it is {{ os.environ.get('DEADLINE_JOB_ID', 'nothing') }}\n"},
		"other values": {"meta.yaml": head + "build:\n  script: echo it is nothing but {{ environ.get('STUDIO') }}; test {{ environ.get('STUDIO') }} = north\n"},
	} {
		p, h, err := build(t, files, nil)
		if err != nil || !strings.Contains(h.output(), "it is nothing") {
			t.Errorf("%s: %v %s", name, err, h.output())
			continue
		}
		for member, text := range contents(t, p) {
			if strings.Contains(text, "it is secret") || strings.Contains(text, "it is job") {
				t.Errorf("%s: %s has %s", name, member, text)
			}
		}
	}
}

func TestSecretsAreHidden(t *testing.T) {
	files := map[string]string{"recipe.yaml": head + "build:\n  script:\n    content: test $STUDIO = north\n    secrets: [STUDIO]\n"}
	if _, h := mustBuild(t, files, nil); !slices.Equal(h.hidden, []string{"north"}) {
		t.Errorf("hidden %q", h.hidden)
	}
	archive, sum := tarball(t, map[string]string{"one": "1"})
	files["recipe.yaml"] = head + "source: {url: 'https://studio:north1@vendor.example/a.tar.gz', sha256: " + sum + "}\nbuild: {script: 'true'}\n"
	_, h := mustBuild(t, files, func(r *builder.Request) { r.Archives = []string{archive} })
	if !slices.Contains(h.hidden, "north1") {
		t.Errorf("hidden %q", h.hidden)
	}
	files["recipe.yaml"] = head + "build:\n  script:\n    content: 'true'\n    env: {AWS_PROFILE: mine}\n"
	if _, _, err := build(t, files, nil); err == nil || !strings.Contains(err.Error(), "AWS_PROFILE") {
		t.Error(err)
	}
}

// A package must not pass its test with what only the build's folders have.
func TestTestsFindNothingOfTheBuild(t *testing.T) {
	mustBuild(t, map[string]string{"recipe.yaml": head + `
build:
  script:
    - test -d $BUILD_PREFIX && mkdir $BUILD_PREFIX/bin
    - touch $HOME/left $TMPDIR/left $SRC_DIR/left
    - printf '%s\n' $BUILD_PREFIX $PREFIX $SRC_DIR | sed 's,^/,@,' > $PREFIX/places
tests:
  - script:
      - test ! -e $HOME/left && test ! -e $TMPDIR/left && test ! -e left
      - touch $HOME/first $TMPDIR/first && test -w $PREFIX
      - sed 's,^@,/,' $PREFIX/places | while read place; do test ! -e $place; done
  - script: test ! -e $HOME/first && test ! -e $TMPDIR/first
`}, nil)
}

// What the package carries of its tests is a script that runs by itself, with
// the variables and in the folder that the recipe gave it.
func TestThePackagesTestScriptRunsByItself(t *testing.T) {
	p, h := mustBuild(t, map[string]string{"recipe.yaml": head + `
tests:
  - script:
      content: ['test "$MINE" = "it''s \$HOME"', 'test "$(basename $PWD)" = deep', 'test -f ../given', 'echo ran one']
      cwd: sub/deep
      env: {MINE: "it's $HOME"}
    files: {recipe: [sub/given]}
  - script: {file: check.sh, cwd: other}
`, "sub/given": "", "check.sh": "test \"$(basename $PWD)\" = other; echo ran two\n"}, nil)
	dir := t.TempDir()
	for name, text := range contents(t, p) {
		if rest, ok := strings.CutPrefix(name, "info/test/"); ok {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, rest)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, rest), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), "/bin/bash", "-e", "run_test.sh")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"ran one\n", "ran two\n"} {
		if err != nil || !strings.Contains(string(out), want) || !strings.Contains(h.output(), want) {
			t.Errorf("no %q (%v) in\n%s\nor\n%s", want, err, out, h.output())
		}
	}
}

func TestLicences(t *testing.T) {
	for globs, want := range map[string]string{
		"[LICENSE, 'LIC*']": "LICENSE", "'**/COPYING*'": "COPYING x/y/COPYING.txt", "x/": "x/y/COPYING.txt x/z", "['{LICENSE,COPYING}']": "COPYING LICENSE",
		"link": "link", "'*ICENSE'": "LICENSE",
	} {
		dir := folder(t, map[string]string{
			"recipe.yaml": head + "about: {license_file: " + globs + "}\n", "LICENSE": "1", "COPYING": "2", "x/y/COPYING.txt": "3", "x/z": "4",
		})
		if err := os.Symlink("LICENSE", filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		p, _, err := build(t, nil, func(r *builder.Request) { r.Recipe = dir })
		if err != nil {
			t.Errorf("%s: %v", globs, err)
			continue
		}
		var got []string
		for _, name := range slices.Sorted(maps.Keys(contents(t, p))) {
			if rest, ok := strings.CutPrefix(name, "info/licenses/"); ok {
				got = append(got, rest)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %s", globs, got, want)
		}
	}
}

// Links count as what they lead to; what cannot be packed is named; packages
// that were made before are no part of the recipe.
func TestTheRecipeFolderIsPackedWhole(t *testing.T) {
	dir := folder(t, map[string]string{"recipe.yaml": head, "note": "a note", "out/linux-64/old.conda": "old", "channel/linux-64/old.conda": "old", "sub/big": strings.Repeat("x", 3<<20)})
	for link, to := range map[string]string{"link": "note", "dangling": "gone", "around": "."} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	p, h := mustBuild(t, nil, func(r *builder.Request) {
		r.Recipe, r.OutputDir, r.Outputs = dir, filepath.Join(dir, "out"), []string{filepath.Join(dir, "channel")}
	})
	all := contents(t, p)
	if all["info/recipe/link"] != "a note" || len(all["info/recipe/sub/big"]) != 3<<20 {
		t.Errorf("members %q", slices.Sorted(maps.Keys(all)))
	}
	for _, folder := range []string{"out", "channel"} {
		if _, found := all["info/recipe/"+folder+"/linux-64/old.conda"]; found {
			t.Errorf("the folder %s is in the package", folder)
		}
	}
	for _, name := range []string{"dangling", "around"} {
		if !strings.Contains(strings.Join(h.warns, "\n"), name+" is not packed") {
			t.Errorf("no word of %s: %q", name, h.warns)
		}
	}
}

func TestWhereABuildTakesPlaceIsNotInThePackage(t *testing.T) {
	files := map[string]string{"recipe.yaml": v1, "LICENSE": "free", "data/x": "x"}
	var sums []string
	for _, deep := range []string{"", "a/longer/path/to/the/work"} {
		p, _ := mustBuild(t, files, func(r *builder.Request) {
			r.NoTest, r.Work = true, filepath.Join(r.Work, deep)
			if err := os.MkdirAll(r.Work, 0o755); err != nil {
				t.Fatal(err)
			}
		})
		sums = append(sums, p.Summary.SHA256)
	}
	if sums[0] != sums[1] {
		t.Errorf("%q", sums)
	}
}

func TestImpossibleRequestsAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*builder.Request)
		says   string
	}{
		"name with ..":     {func(r *builder.Request) { r.PackageName = "../../evil" }, "evil"},
		"name with /":      {func(r *builder.Request) { r.PackageName = "a/b" }, "a/b"},
		"name with blank":  {func(r *builder.Request) { r.PackageName = "a b" }, "a b"},
		"name of dots":     {func(r *builder.Request) { r.PackageName = ".." }, ".."},
		"prefix too long":  {func(r *builder.Request) { r.PrefixLength = 900 }, "--prefix-length"},
		"prefix too short": {func(r *builder.Request) { r.PrefixLength = 10 }, "--prefix-length"},
		"too many sources": {func(r *builder.Request) { r.Archives = []string{"x.tar.gz"} }, "x.tar.gz"},
	} {
		if _, _, err := build(t, map[string]string{"recipe.yaml": head}, tt.change); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, _ := mustBuild(t, map[string]string{"recipe.yaml": head}, func(r *builder.Request) { r.PackageName = "other" })
	if p.Record.Name != "other" || !strings.HasPrefix(filepath.Base(p.Path), "other-1-") {
		t.Errorf("%s", p.Path)
	}
}

func TestTheBuildNumberIsChosenByTheChannel(t *testing.T) {
	p, _ := mustBuild(t, map[string]string{"recipe.yaml": head + "build: {script: 'echo $PKG_BUILDNUM $PKG_BUILD_STRING > $PREFIX/n'}\n"}, func(r *builder.Request) {
		r.NextBuildNumber = func(_ context.Context, name, version string, subdirs []string) (int, bool, error) {
			if name != "a" || version != "1" || !slices.Contains(subdirs, "noarch") || len(subdirs) != 2 {
				t.Errorf("asked for %s %s in %q", name, version, subdirs)
			}
			return 7, false, nil
		}
	})
	if want := "7 " + p.Record.Build + "\n"; p.Record.BuildNumber != 7 || contents(t, p)["n"] != want {
		t.Errorf("%+v, %q, want %q", p.Record, contents(t, p)["n"], want)
	}
}

func TestAPackageWhoseTestWasCancelledIsNotTakenForGood(t *testing.T) {
	dir := folder(t, map[string]string{"recipe.yaml": head + "tests: [{script: 'echo begun; sleep 60'}]\n"})
	platform, err := builder.HostPlatform()
	if err != nil || !strings.HasPrefix(platform, "linux") {
		t.Skip("packages are built on Linux")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the farm says so")
	h := &cancelling{begun: func() { cancel(why) }}
	out := t.TempDir()
	_, err = builder.Build(ctx, builder.Request{RenderRequest: builder.RenderRequest{Recipe: dir, Platform: platform}, Work: t.TempDir(), OutputDir: out}, h)
	if !errors.Is(err, why) {
		t.Error(err)
	}
	if found, _ := filepath.Glob(filepath.Join(out, "linux-*", "*")); len(found) > 0 {
		t.Errorf("%q can be taken for good", found)
	}
}

// cancelling ends the build when its test has printed something.
type cancelling struct {
	heard
	begun func()
}

func (c *cancelling) Lines() io.WriteCloser { return c }

func (c *cancelling) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "\nbegun") || strings.HasPrefix(string(p), "begun") {
		c.begun()
	}
	return c.heard.Write(p)
}
