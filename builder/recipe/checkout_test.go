package recipe

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// repositories answers for one location.
type repositories map[string]string

func (r repositories) at(location string) error {
	if location != r["location"] {
		return errors.New("not there: " + location)
	}
	return nil
}

func (r repositories) HeadRev(location string) (string, error) { return r["head"], r.at(location) }
func (r repositories) LatestTag(location string) (name, rev string, err error) {
	return r["tag"], r["rev"], r.at(location)
}
func (r repositories) TagDistance(location string) (int, error) { return 7, r.at(location) }
func (r repositories) Describe(location, revision string) (long, full string, err error) {
	return r["long "+revision], r["head"], r.at(location)
}

func TestGitFunctions(t *testing.T) {
	const text = `context:
  url: https://example.org/tool.git
  version: ${{ git.latest_tag(url)[1:] }}
package:
  name: tool
  version: ${{ version }}.${{ git.latest_tag_distance(url) }}
source:
  git: ${{ url }}
  rev: ${{ git.latest_tag_rev(url) }}
about:
  summary: of ${{ git.head_rev(url) }}
`
	known := repositories{"location": "https://example.org/tool.git", "head": "abc", "tag": "v1.2", "rev": "def"}
	got := render(t, folder("recipe.yaml", text), Options{Git: known})
	if got.Version != "1.2.7" || got.Sources[0].Git.Rev != "def" || got.About.Summary != "of abc" {
		t.Errorf("version %s, revision %+v, summary %s", got.Version, got.Sources[0].Git, got.About.Summary)
	}
	for _, tt := range []struct {
		git  Repositories
		want string
	}{
		{nil, "git.latest_tag is not available"},
		{repositories{"location": "elsewhere"}, "git.latest_tag: not there: https://example.org/tool.git"},
	} {
		_, err := Render(folder("recipe.yaml", text), "recipe.yaml", Options{TargetPlatform: "linux-64", Git: tt.git})
		var list tree.Problems
		if !errors.As(err, &list) {
			t.Fatalf("got %v, want Problems", err)
		}
		has(t, list, "recipe.yaml:3:20", tt.want)
	}
}

func TestGitVariables(t *testing.T) {
	const recipe = `package:
  name: tool
  version: {{ GIT_DESCRIBE_TAG_PEP440 }}
source:
  SOURCE
build:
  number: {{ environ['GIT_DESCRIBE_NUMBER'] }}
  string: {{ environ.get('GIT_BUILD_STR', '') }}
`
	known := repositories{"location": "../tool", "head": "82c6ba6aa", "long v1": "v1.0-0-g82c6ba6", "long ": "release_1.2-3-g82c6ba6"}
	for _, tt := range []struct{ source, version, build string }{
		{"path: ../tool", "1.2.post3+82c6ba6", "3_g82c6ba6"},
		{"git_url: ../tool", "1.2.post3+82c6ba6", "3_g82c6ba6"},
		{"git_url: ../tool\n  git_rev: v1", "1.0", "0_g82c6ba6"},
		{"- git_url: ../tool\n    git_tag: v1\n  - path: other", "1.0", "0_g82c6ba6"},
	} {
		text := strings.Replace(recipe, "SOURCE", tt.source, 1)
		got := render(t, folder("meta.yaml", text), Options{Git: known})
		if got.Version != tt.version || got.BuildString != tt.build || len(got.Blockers)+len(got.Warnings) > 0 {
			t.Errorf("%s: %s %s, %v %v", tt.source, got.Version, got.BuildString, got.Blockers, got.Warnings)
		}
	}
	missing := folder("meta.yaml", strings.Replace(recipe, "SOURCE", "path: ../other", 1))
	got := render(t, missing, Options{Git: known})
	has(t, got.Blockers, "meta.yaml:3:15", "GIT_DESCRIBE_TAG_PEP440 is not known: not there: ../other")
	far := folder("meta.yaml", strings.Replace(recipe, "SOURCE", "git_url: https://example.org/tool.git", 1))
	got = render(t, far, Options{Git: repositories{"location": "https://example.org/tool.git", "long ": "v1-0-g82c6ba6"}})
	if got.Version != "1" || len(got.Blockers) > 0 {
		t.Errorf("of a repository elsewhere: version %s, %v", got.Version, got.Blockers)
	}
	got = render(t, far, Options{})
	has(t, got.Blockers, "meta.yaml:3:15", "GIT_DESCRIBE_TAG_PEP440 is known only when the source was fetched")
}

// Each variant is of the revision that it chooses.
func TestGitVariablesOfVariants(t *testing.T) {
	const text = `package:
  name: tool
  version: {{ GIT_DESCRIBE_TAG }}
source:
  git_url: https://example.org/tool.git
  git_tag: {{ revision }}
`
	known := repositories{"location": "https://example.org/tool.git", "long v1": "1.0-0-gabc", "long v2": "2.0-0-gdef"}
	files := folder("meta.yaml", text)
	options := Options{
		TargetPlatform: "linux-64", Git: known,
		VariantFiles: []VariantFile{{Name: "studio.yaml", Text: "revision:\n  - v1\n  - v2\n"}},
	}
	got, err := Render(files, "meta.yaml", options)
	if err != nil {
		t.Fatal(err)
	}
	var versions []string
	for _, o := range got.Outputs {
		versions = append(versions, o.Version)
	}
	slices.Sort(versions)
	if !slices.Equal(versions, []string{"1.0", "2.0"}) {
		t.Errorf("versions %q", versions)
	}
	options.Git = repositories{}
	_, err = Render(files, "meta.yaml", options)
	var list tree.Problems
	if !errors.As(err, &list) {
		t.Fatalf("got %v, want Problems", err)
	}
	has(t, list, "meta.yaml:3:15", "GIT_DESCRIBE_TAG is not known: not there: https://example.org/tool.git, of a source that the variant's revision chooses")
}

func TestDescriptions(t *testing.T) {
	for _, tt := range []struct {
		long string
		want map[string]any
	}{
		{"", map[string]any{}},
		{"nonsense", map[string]any{}},
		{"1.0-rc1-0-gabc", map[string]any{"GIT_DESCRIBE_TAG": "1.0-rc1", "GIT_DESCRIBE_NUMBER": "0", "GIT_DESCRIBE_HASH": "gabc", "GIT_BUILD_STR": "0_gabc"}},
	} {
		tt.want["GIT_FULL_HASH"] = "abcdef"
		if got := describedFacts(tt.long, "abcdef"); !maps.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.long, got, tt.want)
		}
	}
}

func TestSkipThatCannotBeEvaluated(t *testing.T) {
	const text = "package:\n  name: a\n  version: 1\nbuild:\n  skip: undefined_name\n"
	for compat, blocked := range map[HashCompat]bool{Newest: true, Middle: false, Oldest: false} {
		got := render(t, folder("recipe.yaml", text), Options{HashCompat: compat})
		list := got.Warnings
		if blocked {
			list = got.Blockers
		}
		has(t, list, "recipe.yaml:5:9", "undefined_name")
		if len(got.Blockers) > 0 != blocked {
			t.Errorf("%s: %v", compat, got.Blockers)
		}
	}
	bad := "package:\n  name: a\n  version: 1\nbuild:\n  skip: 1 < [\n"
	if _, err := Render(folder("recipe.yaml", bad), "recipe.yaml", Options{TargetPlatform: "linux-64", HashCompat: Middle}); err == nil {
		t.Error("a condition that does not parse is taken")
	}
}
