package builder_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/builder"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/builder/sandbox"
	"github.com/condaworker/condaworker/conda/archive"
)

func TestMain(m *testing.M) {
	if code, inside := sandbox.Init(os.Args); inside {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// heard is an Observer that keeps what it is told.
type heard struct {
	mu     sync.Mutex // guards what follows
	phases []string
	warns  []string
	hidden []string
	lines  bytes.Buffer
}

func (h *heard) Phase(name string) func(error) {
	h.phases = append(h.phases, name)
	return func(error) {}
}
func (h *heard) Folder(string, string) {}
func (h *heard) Info(string)           {}
func (h *heard) Redact(s ...string)    { h.hidden = append(h.hidden, s...) }
func (h *heard) Warn(text string)      { h.warns = append(h.warns, text) }
func (h *heard) Lines() io.WriteCloser { return h }
func (h *heard) Close() error          { return nil }

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lines.Write(p)
}

func (h *heard) output() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lines.String()
}

// folder writes files and returns the folder that they are in.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// build builds the recipe of these files. change may alter the request.
func build(t *testing.T, files map[string]string, change func(*builder.Request)) (builder.Package, *heard, error) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("packages are built on Linux")
	}
	platform, err := builder.HostPlatform()
	if err != nil {
		t.Fatal(err)
	}
	r := builder.Request{
		RenderRequest: builder.RenderRequest{
			Recipe: folder(t, files), Platform: platform,
			CallerEnv: map[string]string{"AWS_SECRET_ACCESS_KEY": "secret", "DEADLINE_JOB_ID": "job", "STUDIO": "north", "HTTPS_PROXY": "http://proxy:1"},
		},
		Work: t.TempDir(), OutputDir: t.TempDir(), Version: "test",
	}
	if change != nil {
		change(&r)
	}
	h := &heard{}
	made, err := builder.Build(t.Context(), r, h)
	if len(made) == 0 {
		return builder.Package{}, h, err
	}
	return made[0], h, err
}

func mustBuild(t *testing.T, files map[string]string, change func(*builder.Request)) (builder.Package, *heard) {
	t.Helper()
	p, h, err := build(t, files, change)
	if err != nil {
		t.Fatalf("%v\n%s", err, h.output())
	}
	return p, h
}

// contents are the package's members by name; a link's is its target behind an
// arrow.
func contents(t *testing.T, p builder.Package) map[string]string {
	t.Helper()
	data, err := os.ReadFile(p.Path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	err = archive.Walk(bytes.NewReader(data), int64(len(data)), filepath.Base(p.Path), func(e archive.Entry, r io.Reader) error {
		text, err := io.ReadAll(r)
		all[e.Name] = string(text)
		if e.Header.Linkname != "" {
			all[e.Name] = "-> " + e.Header.Linkname
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func decoded(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

const v1 = `
package: {name: tool, version: "1.5"}
build:
  number: 4
  script: |
    mkdir -p "$PREFIX/bin" "$PREFIX/share"
    printf '#!/bin/sh\necho tool in %s\n' "$PREFIX" > "$PREFIX/bin/tool"
    chmod +x "$PREFIX/bin/tool"
    ln -s ../bin/tool "$PREFIX/share/link"
    printf 'a\0%s\0b' "$PREFIX/lib" > "$PREFIX/share/binary"
    echo plain > "$PREFIX/share/plain"
requirements:
  run: [other >=2, other >=2]
  run_constraints: [third <3]
about:
  homepage: https://studio.example
  license: MIT
  license_file: LICENSE
  summary: A tool
extra: {team: pipeline}
tests:
  - script: tool
    files: {recipe: [data/]}
`

const v0 = `
{% set version = "1.5" %}
package:
  name: tool
  version: {{ version }}
build:
  number: 4
requirements:
  run:
    - other >=2
  run_constrained:
    - third <3
test:
  files:
    - data
  commands:
    - tool
about:
  home: https://studio.example
  license: MIT
  license_file: LICENSE
  summary: A tool
extra:
  team: pipeline
`

func TestThePackageSaysWhatTheRecipeSays(t *testing.T) {
	script := v1[strings.Index(v1, "    mkdir"):strings.Index(v1, "requirements:")]
	for name, files := range map[string]map[string]string{
		"recipe.yaml": {"recipe.yaml": v1},
		"meta.yaml":   {"meta.yaml": v0, "build.sh": strings.ReplaceAll(script, "    ", "")},
	} {
		t.Run(name, func(t *testing.T) {
			files["LICENSE"], files["data/deep/x.txt"], files[".git/HEAD"] = "free", "x", "not ours"
			p, _ := mustBuild(t, files, func(r *builder.Request) {
				r.NoTest, r.Epoch = true, time.Unix(1700000000, 0)
			})
			all := contents(t, p)
			index := decoded(t, all["info/index.json"])
			if family, arch, _ := strings.Cut(fmt.Sprint(index["subdir"]), "-"); family != "linux" || arch == "" {
				t.Errorf("subdir %v", index["subdir"])
			}
			if !strings.HasPrefix(filepath.Base(p.Path), "tool-1.5-") || !strings.HasSuffix(fmt.Sprint(index["build"]), "4") {
				t.Errorf("%s has the build string %v", p.Path, index["build"])
			}
			for key, want := range map[string]any{
				"name": "tool", "version": "1.5", "build_number": 4.0, "timestamp": 1700000000000.0, "license": "MIT",
				"depends": []any{"other >=2"}, "constrains": []any{"third <3"}, "platform": "linux",
			} {
				if diff := cmp.Diff(want, index[key]); diff != "" {
					t.Errorf("index.json %s:\n%s", key, diff)
				}
			}
			about := decoded(t, all["info/about.json"])
			if about["home"] != "https://studio.example" || about["summary"] != "A tool" || !cmp.Equal(about["extra"], map[string]any{"team": "pipeline"}) {
				t.Errorf("about.json %v", about)
			}
			if decoded(t, all["info/hash_input.json"]) == nil {
				t.Error("no hash_input.json")
			}
			for member, want := range map[string]string{
				"share/link": "-> ../bin/tool", "share/plain": "plain\n", "info/licenses/LICENSE": "free",
				"info/test/data/deep/x.txt": "x", "info/recipe/data/deep/x.txt": "x",
				"info/files": "bin/tool\nshare/binary\nshare/link\nshare/plain\n",
			} {
				if all[member] != want {
					t.Errorf("%s = %q, want %q", member, all[member], want)
				}
			}
			if _, found := all["info/recipe/.git/HEAD"]; found || !strings.Contains(all["info/test/run_test.sh"], "\ntool\n") || all["info/recipe/"+name] == "" {
				t.Errorf("members %q", slices.Sorted(maps.Keys(all)))
			}
			checkPaths(t, all)
		})
	}
}

func checkPaths(t *testing.T, all map[string]string) {
	t.Helper()
	var paths struct {
		Paths []struct {
			Path        string `json:"_path"`
			Type        string `json:"path_type"`
			SHA256      string `json:"sha256"`
			Size        int64  `json:"size_in_bytes"`
			Mode        string `json:"file_mode"`
			Placeholder string `json:"prefix_placeholder"`
		} `json:"paths"`
		Version int `json:"paths_version"`
	}
	if err := json.Unmarshal([]byte(all["info/paths.json"]), &paths); err != nil || paths.Version != 1 {
		t.Fatal(err, paths.Version)
	}
	want := map[string]string{"bin/tool": "hardlink text", "share/binary": "hardlink binary", "share/link": "softlink ", "share/plain": "hardlink "}
	for _, p := range paths.Paths {
		if got := p.Type + " " + p.Mode; got != want[p.Path] {
			t.Errorf("%s is %q, want %q", p.Path, got, want[p.Path])
		}
		if p.Type == "hardlink" {
			if sum := sha256.Sum256([]byte(all[p.Path])); p.SHA256 != hex.EncodeToString(sum[:]) || p.Size != int64(len(all[p.Path])) {
				t.Errorf("%s: sha256 %s, size %d", p.Path, p.SHA256, p.Size)
			}
		}
		if p.Mode != "" && (len(p.Placeholder) != 255 || !strings.Contains(all[p.Path], p.Placeholder)) {
			t.Errorf("%s: placeholder %q", p.Path, p.Placeholder)
		}
		delete(want, p.Path)
	}
	if len(want) > 0 {
		t.Errorf("paths.json lacks %v", want)
	}
}

// README.md's table is the contract with recipe authors.
func TestScriptsGetTheDocumentedEnvironment(t *testing.T) {
	t.Setenv("AWS_PROFILE", "leak")
	t.Setenv("LEAK", "leak")
	p, _ := mustBuild(t, map[string]string{"recipe.yaml": `
package: {name: tool, version: "1.0"}
build:
  script:
    content: env -0 > $PREFIX/env
    env: {MINE: "1"}
`}, nil)
	vars := map[string]string{}
	for v := range strings.SplitSeq(strings.TrimSuffix(contents(t, p)["env"], "\x00"), "\x00") {
		name, value, _ := strings.Cut(v, "=")
		vars[name] = value
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), "## What a build script gets")
	table, _, _ = strings.Cut(table, "## ")
	documented := map[string]bool{"MINE": true, "PWD": true, "SHLVL": true, "_": true, "OLDPWD": true} // the recipe's, and bash's own
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		for _, m := range regexp.MustCompile("`([A-Za-z_*]+)`").FindAllStringSubmatch(cells[1], -1) {
			documented[m[1]] = true
		}
	}
	for name := range vars {
		if strings.HasPrefix(name, "PIP_") {
			name = "PIP_*"
		}
		if !documented[name] {
			t.Errorf("%s=%s is not documented", name, vars[name])
		}
	}
	optional := regexp.MustCompile(`(?i)_PROXY$|CERT|CA_BUNDLE|\*|^OLDPWD$|^script_env$`)
	for name := range documented {
		if _, set := vars[name]; !set && !optional.MatchString(name) {
			t.Errorf("%s is documented and not set", name)
		}
	}
	if len(vars["PREFIX"]) != 255 || vars["HTTPS_PROXY"] != "http://proxy:1" || vars["MINE"] != "1" || vars["PKG_VERSION"] != "1.0" {
		t.Errorf("%v", vars)
	}
	if strings.Contains(fmt.Sprint(vars), "leak") || strings.Contains(fmt.Sprint(vars), "secret") {
		t.Errorf("the caller's variables leak: %v", vars)
	}
}

func TestScriptEnvTakesFromTheCaller(t *testing.T) {
	recipe := func(name string) map[string]string {
		return map[string]string{"meta.yaml": "package: {name: a, version: 1}\nbuild:\n  script_env:\n    - " + name + "\n  script: echo \"it is $STUDIO $" + strings.Split(name, "=")[0] + "\"\n"}
	}
	for name, want := range map[string]string{"STUDIO": "it is north north", "X=y": "it is  y"} {
		if _, h := mustBuild(t, recipe(name), nil); !strings.Contains(h.output(), want) {
			t.Errorf("%s: %s", name, h.output())
		}
	}
	for _, name := range []string{"AWS_SECRET_ACCESS_KEY", "DEADLINE_JOB_ID"} {
		if _, h, err := build(t, recipe(name), nil); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(h.output(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, h := mustBuild(t, recipe("NOT_SET"), nil); !strings.Contains(strings.Join(h.warns, "\n"), "NOT_SET") {
		t.Errorf("%q", h.warns)
	}
}

func TestTheSameInputsGiveTheSameBytes(t *testing.T) {
	var sums []string
	for range 2 {
		p, _ := mustBuild(t, map[string]string{"recipe.yaml": v1, "LICENSE": "free", "data/x": "x"}, func(r *builder.Request) { r.NoTest = true })
		sums = append(sums, p.Summary.SHA256)
	}
	if sums[0] != sums[1] {
		t.Errorf("%q", sums)
	}
}

// The test's prefix is another one, as a client would make it: texts and
// binaries name it, activation scripts ran, and the build's folders are gone.
func TestTestsSeeAnInstalledPackage(t *testing.T) {
	_, h := mustBuild(t, map[string]string{
		"meta.yaml": `
package: {name: tool, version: 1}
source: {path: src}
test:
  files:
    - given.txt
  source_files:
    - more/deep.txt
  commands:
    - test "$(cat $PREFIX/share/home)" = "$PREFIX"
    - test "$(tr '\0' '\n' < $PREFIX/share/binary | sed -n 2p)" = "$PREFIX/lib"
    - test "$TOOL_HOME" = "$PREFIX/share"
    - test ! -e "$(cat $PREFIX/share/where | sed 's,@,,')"
    - test "$(printf %s "$PREFIX" | wc -c)" -lt 150
    - test -f given.txt
    - test -f more/deep.txt
    - test ! -e recipe-only.txt
    - test "$PKG_NAME $CONDA_BUILD_STATE" = "tool TEST"
    - echo the commands ran
`,
		"build.sh": `
mkdir -p $PREFIX/share $PREFIX/etc/conda/activate.d
echo $PREFIX > $PREFIX/share/home
printf 'a\0%s\0b' "$PREFIX/lib" > "$PREFIX/share/binary"
printf '%s' "$SRC_DIR" | sed 's,^/,@/,' > $PREFIX/share/where
echo 'export TOOL_HOME="$CONDA_PREFIX/share"' > $PREFIX/etc/conda/activate.d/tool.sh
`,
		"given.txt": "", "recipe-only.txt": "", "src/more/deep.txt": "", "run_test.sh": "echo the test script ran",
	}, nil)
	for _, want := range []string{"the test script ran", "the commands ran"} {
		if !strings.Contains(h.output(), want) {
			t.Errorf("no %q in:\n%s", want, h.output())
		}
	}
}

func TestFailuresSayWhatFailed(t *testing.T) {
	const head = "package: {name: a, version: 1}\n"
	for name, tt := range map[string]struct {
		files map[string]string
		check func(error) bool
		says  string
	}{
		"script": {map[string]string{"meta.yaml": head, "build.sh": "exit 3"}, func(err error) bool {
			exit, ok := errors.AsType[*sandbox.ExitError](err)
			_, script := errors.AsType[*builder.ScriptError](err)
			return ok && script && exit.Code == 3
		}, "a-1-0"},
		"a command in the middle": {map[string]string{"meta.yaml": head, "build.sh": "false\ntrue"}, as[*builder.ScriptError], "status 1"},
		"timeout":                 {map[string]string{"meta.yaml": head, "build.sh": "sleep 60"}, func(err error) bool { return errors.Is(err, sandbox.ErrTimeout) }, "--timeout"},
		"test":                    {map[string]string{"meta.yaml": head + "test: {commands: ['false']}\n"}, as[*builder.TestError], "broken"},
		"no test file":            {map[string]string{"meta.yaml": head + "test: {files: ['gone.txt'], commands: ['true']}\n"}, nil, `"gone.txt", which is not in the recipe folder`},
		"no licence":              {map[string]string{"meta.yaml": head + "about: {license_file: LICENSE}\n"}, nil, `license_file "LICENSE"`},
		"no source":               {map[string]string{"meta.yaml": head + "source: {path: gone}\n"}, nil, "gone"},
		"git":                     {map[string]string{"meta.yaml": head + "source: {git_url: 'https://x.example/a.git'}\n"}, nil, "meta.yaml:2:"},
		"recipe":                  {map[string]string{"meta.yaml": "package: {name: A B, version: 1}\n"}, as[tree.Problems], "meta.yaml:1:"},
		"no recipe":               {map[string]string{"readme": ""}, as[*builder.MissingRecipeError], "recipe.yaml"},
		"noarch python":           {map[string]string{"meta.yaml": head + "build: {noarch: python}\n"}, nil, "noarch: python"},
	} {
		t.Run(name, func(t *testing.T) {
			_, h, err := build(t, tt.files, func(r *builder.Request) { r.Timeout = 2 * time.Second })
			if err == nil || !strings.Contains(err.Error(), tt.says) || tt.check != nil && !tt.check(err) {
				t.Errorf("%v (%T)\n%s", err, err, h.output())
			}
		})
	}
}

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func TestAFailedTestKeepsThePackageApart(t *testing.T) {
	var out string
	_, _, err := build(t, map[string]string{"meta.yaml": "package: {name: a, version: 1}\ntest: {commands: ['false']}\n"}, func(r *builder.Request) { out = r.OutputDir })
	test, ok := errors.AsType[*builder.TestError](err)
	if !ok || test.Kept != filepath.Join(out, "broken", "a-1-0.conda") {
		t.Fatalf("%v", err)
	}
	if _, err := os.Stat(test.Kept); err != nil {
		t.Error(err)
	}
	if found, _ := filepath.Glob(filepath.Join(out, "linux-*", "*")); len(found) > 0 {
		t.Errorf("%q can be taken for good", found)
	}
}

func TestCancelEndsTheScript(t *testing.T) {
	files := map[string]string{"meta.yaml": "package: {name: a, version: 1}\n", "build.sh": "echo begun; sleep 60"}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the farm says so")
	work := t.TempDir()
	platform, _ := builder.HostPlatform()
	if !strings.HasPrefix(platform, "linux") {
		t.Skip("packages are built on Linux")
	}
	h := &heard{}
	go func() {
		for !strings.Contains(h.output(), "begun") {
			time.Sleep(5 * time.Millisecond)
		}
		cancel(why)
	}()
	_, err := builder.Build(ctx, builder.Request{RenderRequest: builder.RenderRequest{Recipe: folder(t, files), Platform: platform}, Work: work, PrefixLength: 200}, h)
	if !errors.Is(err, why) {
		t.Error(err)
	}
}

// tarball is a .tar.gz of files in a folder vendor-1.
func tarball(t *testing.T, files map[string]string) (path, sum string) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		err := w.WriteHeader(&tar.Header{Name: "vendor-1/" + name, Size: int64(len(files[name])), Mode: 0o644, ModTime: time.Unix(1500000000, 0)})
		_, werr := io.WriteString(w, files[name])
		if err = errors.Join(err, werr); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(b.Bytes())
	dir := folder(t, map[string]string{"given.tar.gz": b.String()})
	return filepath.Join(dir, "given.tar.gz"), hex.EncodeToString(digest[:])
}

func TestArchivesReplaceURLSourcesInOrder(t *testing.T) {
	first, firstSum := tarball(t, map[string]string{"one": "1"})
	second, secondSum := tarball(t, map[string]string{"two": "2"})
	files := map[string]string{
		"local/three": "3",
		"meta.yaml": `
package: {name: a, version: 1}
source:
  - url: https://vendor.example/first.tar.gz
    sha256: ` + firstSum + `
    folder: first
  - path: local
    folder: mine
  - url: https://vendor.example/second.tar.gz
    sha256: ` + secondSum + `
`,
		"build.sh": "cp -r $SRC_DIR/. $PREFIX/",
	}
	p, h := mustBuild(t, files, func(r *builder.Request) { r.Archives = []string{first, second} })
	all := contents(t, p)
	if all["first/one"] != "1" || all["mine/three"] != "3" || all["two"] != "2" {
		t.Errorf("members %q", slices.Sorted(maps.Keys(all)))
	}
	if h.phases[1] != "verify" {
		t.Errorf("phases %q", h.phases)
	}
	_, h, err := build(t, files, func(r *builder.Request) { r.Archives = []string{second, first} })
	if err == nil || !strings.Contains(err.Error(), firstSum) || !strings.Contains(err.Error(), second) {
		t.Error(err)
	}
	if slices.Contains(h.phases, "fetch") {
		t.Error("something was unpacked before the hashes were looked at")
	}
}

func TestTheNewestSourceDatesThePackage(t *testing.T) {
	archive, sum := tarball(t, map[string]string{"one": "1"})
	p, _ := mustBuild(t, map[string]string{
		"meta.yaml": "package: {name: a, version: 1}\nsource: {url: 'https://vendor.example/a.tar.gz', sha256: " + sum + "}\n",
		"build.sh":  "cp one $PREFIX/",
	}, func(r *builder.Request) { r.Archives = []string{archive} })
	if got := decoded(t, contents(t, p)["info/index.json"])["timestamp"]; got != 1500000000000.0 {
		t.Errorf("timestamp %v", got)
	}
}

func TestTestsInOtherLanguages(t *testing.T) {
	files := map[string]string{
		"recipe.yaml": `
package: {name: a, version: "1"}
build: {script: mkdir -p $PREFIX/bin; cp $RECIPE_DIR/speak $PREFIX/bin/speak; chmod +x $PREFIX/bin/speak}
tests:
  - script:
      interpreter: speak
      content: a text that is no shell script (
  - script: {file: check.sh}
`,
		"speak": "#!/bin/sh\necho speaking: \"$(cat $1)\"\n", "check.sh": "echo the file ran",
	}
	p, h := mustBuild(t, files, nil)
	for _, want := range []string{"speaking: a text that is no shell script (", "the file ran"} {
		if !strings.Contains(h.output(), want) {
			t.Errorf("no %q in:\n%s", want, h.output())
		}
	}
	all := contents(t, p)
	if !strings.Contains(all["info/test/run_test.sh"], "speak './test_script_0'") || all["info/test/check.sh"] != "echo the file ran" || !strings.Contains(all["info/test/test_script_0"], "no shell script") {
		t.Errorf("run_test.sh:\n%s", all["info/test/run_test.sh"])
	}
}
