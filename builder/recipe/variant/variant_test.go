package variant

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/builder/recipe/platform"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

func options(t testing.TB, subdir string) Options {
	t.Helper()
	p, err := platform.Parse(subdir)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Platform: p, Build: p, Env: map[string]string{"STUDIO": "north", "CI": "true"}}
}

func read(t testing.TB, file, text, subdir string) (Config, error) {
	t.Helper()
	c, _, err := Read(fstest.MapFS{file: {Data: []byte(text)}}, file, options(t, subdir))
	return c, err
}

// values lists a configuration's keys and values.
func values(c Config) map[string][]any {
	all := map[string][]any{}
	for _, k := range c.Keys() {
		all[k.Name] = k.Values
	}
	return all
}

func TestRead(t *testing.T) {
	tests := []struct {
		name, file, text, subdir string
		want                     map[string][]any
	}{
		{"types", File, "a: [true, 'true', 3, '3', 3.10, x]\n", "linux-64", map[string][]any{"a": {true, "true", int64(3), "3", "3.10", "x"}}},
		{"one value", File, "a: 3.9\nb:\nc: []\n", "linux-64", map[string][]any{"a": {"3.9"}}},
		{"names", File, "r-base: [1]\nlib.x: [2]\n", "linux-64", map[string][]any{"r_base": {int64(1)}, "lib_x": {int64(2)}}},
		{"conditions", File, "a:\n  - if: win\n    then: w\n  - if: unix\n    then:\n      - if: linux\n        then: [l, ll]\n", "linux-64", map[string][]any{"a": {"l", "ll"}}},
		{"templates", File, "a:\n  - ${{ 'x' ~ target_platform }}\n  - ${{ env.get('STUDIO') }}\n", "linux-64", map[string][]any{"a": {"xlinux-64", "north"}}},
		{"platforms are the command line's", File, "target_platform: [osx-64]\nbuild_platform: [osx-64]\n", "linux-64", map[string][]any{}},
		{"a file of comments", CondaFile, "# nothing\n", "linux-64", map[string][]any{}},
		{"selectors", CondaFile, "a:      # [linux]\n  - 1    # [linux]\n  - 1.10\nb:  # [win]\n  - x  # [win]\n", "linux-64", map[string][]any{"a": {int64(1), "1.10"}}},
		{"selectors of Python", CondaFile, "a:\n  - 1  # [os.environ.get('CI') == 'true' and build_platform.startswith('linux')]\n  - 2  # [environ.get('X', 'y') == 'y' and not arm]\n  - 3  # [unknown or win]\n  - 4  # [is wrong ]]\n", "linux-64", map[string][]any{"a": {int64(1), int64(2)}}},
		{"a # in quotes", CondaFile, "a:\n  - 'x # [win]'\n", "linux-64", map[string][]any{"a": {"x # [win]"}}},
		{"other names have conditions", "studio.yaml", "a:\n  - 1 # [win]\n", "linux-64", map[string][]any{"a": {int64(1)}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := read(t, tt.file, tt.text, tt.subdir)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, values(c)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWrongFilesAreRefused(t *testing.T) {
	for _, tt := range []struct{ file, text, want string }{
		{File, "a: {b: c}\n", "variants.yaml:1:4: a variant's value is a mapping; write plain values"},
		{File, "a: [1]\na: [2]\n", `variants.yaml:2:1: the key "a" stands here twice`},
		{File, "a: &x [1]\n", "no anchors"},
		{File, "a:\n  - if: linx\n    then: 1\n", `variants.yaml:2:9: "linx" is undefined`},
		{File, "a:\n  - if: win\n    than: 1\n", `unknown key "than" beside if:`},
		{File, "a: ['${{ nothing }}']\n", `variants.yaml:1:10: "nothing" is undefined`},
		{File, "- a\n", "a list, not a mapping"},
		{File, "a: [\n", "YAML is not valid"},
		{File, "zip_keys: [[a]]\n", "name at least two keys"},
		{File, "zip_keys: [[a, b], [b, c]]\n", "zip_keys has b twice"},
		{File, "zip_keys:\n" + strings.Repeat("  - [a, b]\n", 101), "more than 100 groups"},
		{CondaFile, "a:\n  - [1, 2]\n", "conda_build_config.yaml:2:5: a variant's value is a list"},
		{File, strings.Repeat("# x\n", 300_000), "larger than 1048576 bytes"},
	} {
		_, err := read(t, tt.file, tt.text, "linux-64")
		if _, ok := errors.AsType[tree.Problems](err); !ok || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %s", tt.text[:min(len(tt.text), 40)], err, tt.want)
		}
	}
}

func TestLaterFilesReplaceKeys(t *testing.T) {
	first, err := read(t, File, "a: [1, 2]\nb: [1]\nzip_keys: [[a, b]]\n", "linux-64")
	if err != nil {
		t.Fatal(err)
	}
	second, err := read(t, File, "a: [3]\nc: [x]\n", "linux-64")
	if err != nil {
		t.Fatal(err)
	}
	merged := first.Merge(second)
	if diff := cmp.Diff(map[string][]any{"a": {int64(3)}, "b": {int64(1)}, "c": {"x"}}, values(merged)); diff != "" || len(merged.Zips()) != 1 {
		t.Errorf("%s %v", diff, merged.Zips())
	}
	if diff := cmp.Diff(map[string][]any{"a": {int64(1), int64(2)}, "b": {int64(1)}}, values(first)); diff != "" {
		t.Errorf("the first was changed: %s", diff)
	}
	over, err := merged.Override("a-b=1.10, x")
	if err != nil || cmp.Diff([]any{"1.10", "x"}, values(over)["a_b"]) != "" {
		t.Errorf("%v %v", values(over), err)
	}
	for _, wrong := range []string{"a", "=1", "a="} {
		if _, err := merged.Override(wrong); err == nil {
			t.Errorf("%q: no error", wrong)
		}
	}
}

func TestCombinations(t *testing.T) {
	c, err := read(t, File, "a: [1, 2]\nb: [x, y]\nc: [p, q]\nd: [p, p]\nzip_keys: [[a, b, d]]\n", "linux-64")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		used []string
		want int
	}{{nil, 1}, {[]string{"a"}, 2}, {[]string{"a", "b"}, 2}, {[]string{"a", "b", "c"}, 4}, {[]string{"d"}, 1}, {[]string{"none"}, 1}} {
		if got, err := c.Combinations(tt.used); len(got) != tt.want || err != nil {
			t.Errorf("%v: %v, %v", tt.used, got, err)
		}
	}
	// What was chosen already decides what is zipped with it.
	got, err := c.Expand(map[string]any{"a": int64(2)}, []string{"b", "c"})
	want := []map[string]any{{"a": int64(2), "b": "y", "c": "p"}, {"a": int64(2), "b": "y", "c": "q"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%s %v", diff, err)
	}
}

func TestUnevenZipsAreShown(t *testing.T) {
	c, err := read(t, File, "a: [1, 2]\nb: [x]\nzip_keys: [[a, b]]\n", "linux-64")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Combinations([]string{"a", "b"}); err == nil || !strings.Contains(err.Error(), "variants.yaml:2:1: zip_keys joins a, which has the values 1, 2, and b, which has the value x") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Combinations([]string{"a"}); err != nil {
		t.Errorf("b is not used: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("a:\n  - if: win\n    then: [1, '2']\n    else: ${{ target_platform }}\nzip_keys: [[a, b]]\n", true)
	f.Add("a:  # [linux]\n  - 1.10  # [not win]\npin_run_as_build:\n  python: {max_pin: x.x}\n", false)
	f.Fuzz(func(t *testing.T, text string, conditions bool) {
		file := CondaFile
		if conditions {
			file = File
		}
		c, err := read(t, file, text, "linux-64")
		if list, ok := errors.AsType[tree.Problems](err); ok {
			for _, p := range list {
				if p.Text == "" || p.Pos.File == "" || p.Pos.Line > strings.Count(text, "\n")+strings.Count(text, "\r")+2 {
					t.Errorf("%#v", p)
				}
			}
			return
		}
		var used []string
		for _, k := range c.Keys() {
			if len(k.Values) == 0 {
				t.Errorf("%s has no values", k.Name)
			}
			used = append(used, k.Name)
		}
		_, _ = c.Combinations(used) // ends, with an error or without
	})
}
