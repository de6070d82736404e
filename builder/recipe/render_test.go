package recipe

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/condaworker/condaworker/builder/recipe/platform"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/builder/recipe/variant"
)

func TestFind(t *testing.T) {
	both := folder("meta.yaml", head)
	both["recipe.yaml"] = both["meta.yaml"]
	for _, tt := range []struct {
		fsys fstest.MapFS
		want string
	}{{both, "recipe.yaml"}, {folder("meta.yaml", head), "meta.yaml"}, {folder("meta.yml", head), "meta.yml"}} {
		if got, err := Find(tt.fsys, false); got != tt.want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, tt.want)
		}
	}
	if got, err := Find(both, true); got != "meta.yaml" || err != nil {
		t.Errorf("got %q, %v, want the meta.yaml", got, err)
	}
	_, err := Find(fstest.MapFS{"sub/recipe.yaml": {}}, false)
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "sub/recipe.yaml") || !strings.Contains(err.Error(), "meta.yaml") {
		t.Errorf("got %v", err)
	}
}

func TestUnknownPlatformsAreRefused(t *testing.T) {
	for _, p := range []string{"", "linux", "linux-63", "dos-64", "noarch"} {
		if _, err := Render(folder("recipe.yaml", head), "recipe.yaml", Options{TargetPlatform: p}); err == nil {
			t.Errorf("%q: no error", p)
		}
	}
}

func TestPlatformFlags(t *testing.T) {
	for subdir, want := range map[string]string{
		"linux-64": "linux linux64 unix x86_64", "linux-aarch64": "aarch64 linux unix", "win-64": "win win64 x86_64",
		"osx-arm64": "arm64 osx unix", "win-32": "win win32 x86",
	} {
		p, err := platform.Parse(subdir)
		if err != nil {
			t.Fatal(err)
		}
		flags := p.Flags()
		for name := range strings.FieldsSeq(want) {
			if flags[name] != true {
				t.Errorf("%s is not %s", subdir, name)
			}
			delete(flags, name)
		}
		for name, v := range flags {
			if v == true {
				t.Errorf("%s is %s", subdir, name)
			}
		}
	}
}

func TestLicenses(t *testing.T) {
	for _, ok := range []string{"MIT", "MIT OR Apache-2.0", "(MIT and BSD-3-Clause)", "GPL-2.0-or-later WITH Classpath-exception-2.0", "LicenseRef-AutodeskEULA", "Apache-2.0+"} {
		if wrong := notSPDX(ok); wrong != "" {
			t.Errorf("%q: %q is no identifier", ok, wrong)
		}
	}
	for _, bad := range []string{"GPL3", "Commercial", "MIT OR BSD", "LicenseRef-"} {
		if notSPDX(bad) == "" {
			t.Errorf("%q is no SPDX expression", bad)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		version, spec string
		want          bool
	}{
		{"3.11", ">=3.11,<3.13", true},
		{"3.13", ">=3.11,<3.13", false},
		{"3.9", "<3.10", true},
		{"3.12.1", "3.12.*", true},
		{"3.12", "==3.12", true},
		{"3.1", "3.12.*", false},
		{"2", "==1|>=2", true},
		{"3.12", "!=3.12.*", false},
		{"1.0", "==1", true},
		{"1.4.2", "~=1.4.0", true},
		{"1.10rc1", "<1.10", true},
	} {
		if got, err := matches(tt.version, tt.spec); got != tt.want || err != nil {
			t.Errorf("%s %s: %v, %v", tt.version, tt.spec, got, err)
		}
	}
}

func TestVersionTestsThatAreNone(t *testing.T) {
	for _, spec := range []string{"", " ", ">=", "'", "1[build=x]", "1',build='*", ">=1,"} {
		if got, err := matches("1", spec); err == nil {
			t.Errorf("%q: %v, no error", spec, got)
		}
	}
}

func TestPythonJSON(t *testing.T) {
	variant := map[string]any{"b": true, "a": int64(1), "c": "é\"\\\n😀", "d": nil, "e": 1.5}
	if got, want := string(pythonJSON(variant, true)), `{"a": 1, "b": true, "c": "\u00e9\"\\\n\ud83d\ude00", "d": null, "e": 1.5}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := string(pythonJSON(variant, false)), `{"a": 1, "b": true, "c": "é\"\\\n😀", "d": null, "e": 1.5}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// hostile recipes try to take a worker's time or memory.
func hostile() map[string]string {
	bomb := head + "extra:\n  a0: &a0 {x: 1}\n"
	for i := range 30 {
		bomb += fmt.Sprintf("  a%d: &a%d {p: *a%d, q: *a%d}\n", i+1, i+1, i, i)
	}
	return map[string]string{
		"large":    head + strings.Repeat("# x\n", 300_000),
		"deep":     head + "extra: {a: " + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}\n",
		"deeper":   strings.Repeat("- ", 200_000),
		"aliases":  bomb,
		"items":    head + "extra: {a: [" + strings.Repeat("1,", 200_000) + "1]}\n",
		"ranges":   head + "extra:\n  a:\n" + strings.Repeat("    - ${{ range(99999) }}\n", 100) + "{{ range(10**9) }}",
		"loops":    head + "about:\n  summary: ${{ 1 }}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}\n",
		"problems": head + strings.Repeat("  a: ${{ x }}\n", 20_000) + "{{ x }}",
	}
}

func TestHostileRecipesAreRefused(t *testing.T) {
	for name, text := range hostile() {
		for _, file := range []string{"recipe.yaml", "meta.yaml"} {
			t.Run(name+" "+file, func(t *testing.T) {
				if list := problems(t, file, text); len(list) > tree.MaxProblems {
					t.Errorf("%d problems", len(list))
				}
			})
		}
	}
}

func TestAnchorsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(head + "extra:\n")
	for i := range 45_000 {
		fmt.Fprintf(&b, "  a%d: &a%d 1\n", i, i)
	}
	has(t, problems(t, "meta.yaml", b.String()), "meta.yaml:1:1", "more than 1000 anchors")
	script := head + "build:\n  script:\n" + strings.Repeat("    - a && b &c\n", 900) + strings.Repeat("    - a && b &\n", 900)
	render(t, folder("meta.yaml", script), Options{})
}

func TestTagsKeepText(t *testing.T) {
	text := head + "extra:\n  a: !!str yes\n  b: !!str 'x'\n  c: !!int 3\n"
	for _, file := range []string{"meta.yaml", "recipe.yaml"} {
		got := render(t, folder(file, text), Options{}).Extra
		if got["a"] != "yes" || got["b"] != "x" {
			t.Errorf("%s: %v", file, got)
		}
	}
}

func TestProblemsAreShort(t *testing.T) {
	for _, file := range []string{"meta.yaml", "recipe.yaml"} {
		long := strings.Repeat("é", 20_000)
		list := problems(t, file, head+"build:\n  number: "+long+"\n  noarch: "+long+" # ["+strings.Repeat("(", 20_000)+"]\n")
		if got := list.Error(); len(got) > 2*(2*600+200) || !utf8.ValidString(got) || !strings.Contains(got, "must be an integer") && file == "recipe.yaml" {
			t.Errorf("%d bytes: %.100s", len(got), got)
		}
	}
}

// A recipe that was cut off, as by a full disk, is an error with a place, or a
// whole recipe.
func TestCutRecipesHavePlaces(t *testing.T) {
	for file, text := range map[string]string{"meta.yaml": vendorV0, "recipe.yaml": vendorV1} {
		for n := 0; n < len(text); n += 3 {
			_, err := Render(folder(file, text[:n]), file, Options{TargetPlatform: "linux-64"})
			list, ok := errors.AsType[tree.Problems](err)
			if err != nil && !ok {
				t.Fatalf("%s cut at %d: %v", file, n, err)
			}
			for _, p := range list {
				if p.Pos.Line < 1 || p.Pos.Column < 1 || p.Pos.Line > strings.Count(text[:n], "\n")+1 {
					t.Errorf("%s cut at %d: %v", file, n, p)
				}
			}
		}
	}
}

func TestMadeTextIsLimitedLikeTheFile(t *testing.T) {
	text := head + "extra: {a: [\n{% for i in range(60000) %}\n1, 2,\n{% endfor %}\n3]\n  }\n"
	has(t, problems(t, "meta.yaml", text), "meta.yaml:1:1", "more than 100000 lines and items")
}

func fuzzRender(f *testing.F, file string) {
	for _, text := range []string{vendorV0, vendorV1, head, "a: [b, {c: d}]\n"} {
		f.Add(text, "linux-64")
		f.Add(text, "win-64")
	}
	f.Add(hostile()["deep"], "linux-64")
	f.Add(hostile()["aliases"], "linux-64")
	f.Fuzz(func(t *testing.T, text, platform string) {
		number := 3
		fsys := folder(file, text, "build.sh")
		result, err := Render(fsys, file, Options{TargetPlatform: platform, BuildNumber: &number, Variants: variant.Of(map[string]any{"python": "3.11"})})
		if list, ok := errors.AsType[tree.Problems](err); ok {
			lines := strings.Count(text, "\n") + strings.Count(text, "\r") + 1
			for _, p := range list {
				if p.Pos.Line < 0 || p.Pos.Line > lines+1 || p.Pos.File == "" || p.Text == "" {
					t.Errorf("%d lines, but %#v", lines, p)
				}
			}
		}
		for _, o := range result.Outputs {
			if o.Name == "" || o.Version == "" || o.BuildString == "" || yamlOf(t, o) == "" || strings.ContainsAny(o.Name+o.Version+o.BuildString, "/\\-\x00") && !strings.Contains(o.Name, "-") {
				t.Errorf("incomplete: %+v", o)
			}
			again, err := Render(fsys, file, Options{TargetPlatform: platform, BuildNumber: &number, Variants: variant.Of(map[string]any{"python": "3.11"})})
			if err != nil || yamlOf(t, again.Outputs[0]) != yamlOf(t, o) {
				t.Errorf("not the same twice: %v", err)
			}
		}
	})
}

func FuzzRenderV0(f *testing.F) { fuzzRender(f, "meta.yaml") }
func FuzzRenderV1(f *testing.F) { fuzzRender(f, "recipe.yaml") }
