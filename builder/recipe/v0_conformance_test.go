package recipe

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// metaExpectation is what conda-build makes of a recipe without any channel.
type metaExpectation struct {
	Error   bool
	Outputs []struct {
		Name, Version, Subdir string
		BuildString           string `json:"build_string"`
		Requirements          json.RawMessage
	}
}

// TestMetaConformance compares with conda-build's own rendering of recipes. What
// cannot agree needs what is not there: a git checkout, a setup.py outside of the
// recipe; and an output with a target is of that target here.
func TestMetaConformance(t *testing.T) {
	root := conformance(t, "meta")
	files, err := filepath.Glob(filepath.Join(root, "*", "expected.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d expectations, %v", len(files), err)
	}
	passed := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want metaExpectation
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(filepath.Dir(file))
		got, err := renderMeta(filepath.Join(filepath.Dir(file), "recipe"))
		switch wanted := want.identities(); {
		case want.Error != (err != nil):
			t.Logf("%s: %v", name, err)
		case !want.Error && !slices.Equal(wanted, got):
			t.Logf("%s: got %q, want %q", name, got, wanted)
		default:
			passed++
		}
	}
	t.Logf("%d of %d", passed, len(files))
	if share := float64(passed) / float64(len(files)); share < 0.93 {
		t.Errorf("%.2f %% of the recipes agree", 100*share)
	}
}

// identities are the outputs' names, versions, build strings and subdirs.
func (m metaExpectation) identities() []string {
	var all []string
	for _, o := range m.Outputs {
		all = append(all, fmt.Sprint(o.Name, " ", o.Version, " ", o.BuildString, " ", o.Subdir))
	}
	slices.Sort(all)
	return all
}

// renderMeta renders a recipe with the variants beside it.
func renderMeta(dir string) ([]string, error) {
	files := os.DirFS(dir)
	o := Options{TargetPlatform: "linux-64", Env: map[string]string{"CONDA_TEST_VAR": "conda_test", "CONDA_TEST_VAR_2": "conda_test_2", "TEST_FN": "test"}}
	text, err := fs.ReadFile(files, "conda_build_config.yaml")
	switch {
	case err == nil:
		o.VariantFiles = []VariantFile{{Name: "conda_build_config.yaml", Text: strings.ReplaceAll(string(text), "\r\n", "\n")}}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	result, err := Render(files, "meta.yaml", o)
	var all []string
	for _, out := range result.Outputs {
		all = append(all, fmt.Sprint(out.Name, " ", out.Version, " ", out.BuildString, " ", out.Subdir))
	}
	slices.Sort(all)
	return all, err
}

// TestOnlyUsedKeysAreMultipliedOut has as many combinations as conda-forge's own
// file, of which a recipe uses a few.
func TestOnlyUsedKeysAreMultipliedOut(t *testing.T) {
	var config strings.Builder
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"} {
		fmt.Fprintf(&config, "%s_key:\n  - 1\n  - 2\n  - 3\n", key)
	}
	text := head + "build:\n  string: x{{ a_key }}{{ b_key }}{{ l_key }}\n"
	result, err := Render(folder("meta.yaml", text), "meta.yaml", Options{
		TargetPlatform: "linux-64", VariantFiles: []VariantFile{{Name: "conda_build_config.yaml", Text: config.String()}},
	})
	if err != nil || len(result.Outputs) != 27 {
		t.Errorf("%d outputs, %v", len(result.Outputs), err)
	}
}

// The values were observed with conda-build.
func TestASubspaceOfZippedKeys(t *testing.T) {
	base := VariantFile{Name: "conda_build_config.yaml", Text: `a:
  - coffee
  - coffee
  - llama
b:
  - 123
  - abc
  - concrete
c:
  - mooo
  - baaa
  - woof
zip_keys:
  - a
  - b
  - c
`}
	text := "package:\n  name: p\n  version: 1\nrequirements:\n  build:\n    - x {{ a }}\n    - y {{ b }}\n"
	for more, want := range map[string]int{
		"": 3, "a:\n  - coffee\n": 2, "a:\n  - coffee\nb:\n  - 123\n": 1, "a:\n  - some\nb:\n  - new\nc:\n  - animal\n": 1, "c:\n  - not an animal\n": -1,
	} {
		files := []VariantFile{base, {Name: "more.yaml", Text: more}}
		result, err := Render(folder("meta.yaml", text), "meta.yaml", Options{TargetPlatform: "linux-64", VariantFiles: files})
		if want < 0 {
			if err == nil || !strings.Contains(err.Error(), "more.yaml:1:1: the value not an animal of c is not among those") {
				t.Errorf("%q: %v", more, err)
			}
			continue
		}
		if err != nil || len(result.Outputs) != want {
			t.Errorf("%q: %d outputs, want %d, %v", more, len(result.Outputs), want, err)
		}
	}
}

// Rows as conda-build prints them.
func TestPinsOfMeta(t *testing.T) {
	for _, tt := range []struct{ version, lower, upper, want string }{
		{"1.2.3", "x.x.x.x.x.x", "x", ">=1.2.3,<2.0a0"},
		{"1.2.3", "x.x", "x.x", ">=1.2,<1.3.0a0"},
		{"9b", "x.x.x", "x", ">=9b,<10a"},
		{"1.1.1w", "x.x.x.x.x.x", "x.x.x", ">=1.1.1w,<1.1.2a"},
		{"1.2", "x.x.x", "x.x.x.x", ">=1.2,<1.3.0a0"},
		{"1.2.3", "", "x", "<2.0a0"},
		{"1.2.3", "x.x", "", ">=1.2"},
		{"5.0.0a1", "x.x.x", "x", ">=5.0.0a1,<6.0a0"},
	} {
		if got := (Pin{Name: "a", Lower: tt.lower, Upper: tt.upper}).applyV0(tt.version, ""); got != "a "+tt.want {
			t.Errorf("%+v: got %s", tt, got)
		}
	}
}
