package builder_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/condaworker/condaworker/builder"
	"github.com/condaworker/condaworker/conda/condatest"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/indexer"
	"github.com/condaworker/condaworker/store/dir"
)

// channelOf is an indexed folder channel of packages that activate: each sets
// <NAME>_HOME by CONDA_PREFIX and adds itself to ORDER; and each is of the careless
// kind that goes to another folder and returns a status that means nothing.
func channelOf(t *testing.T, names ...string) env.Channel {
	t.Helper()
	var files []string
	for _, name := range names {
		script := "export " + strings.ToUpper(name) + "_HOME=$CONDA_PREFIX/share\nexport ORDER=$ORDER:" + name + "\ncd /\n[ -n \"$NOT_SET\" ]\n"
		files = append(files, condatest.Write(t, name+"-1.0-0.conda", condatest.Index(name, "1.0", 0, "noarch"), map[string]string{
			"share/" + name: name, "etc/conda/activate.d/" + name + ".sh": script,
		}))
	}
	return indexed(t, files)
}

// indexed is a folder channel of the packages at paths.
func indexed(t *testing.T, paths []string) env.Channel {
	t.Helper()
	root := t.TempDir()
	s := dir.Open(root)
	for _, p := range paths {
		if _, err := indexer.Publish(t.Context(), s, indexer.Package{Path: p}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := indexer.Reindex(t.Context(), s, indexer.Options{}); err != nil {
		t.Fatal(err)
	}
	return env.Channel{URL: root, Reader: s}
}

// Host comes first and build on top of it, each with its own CONDA_PREFIX.
func TestScriptsRunInActivatedEnvironments(t *testing.T) {
	const lists = `
package: {name: a, version: "1"}
build:
  merge_build_and_host_envs: MERGE
  script:
    - echo "order $ORDER"
    - test "$LIB_HOME" = "$PREFIX/share" && test -f $LIB_HOME/lib
    - test "$TOOL_HOME" = "$BUILD_PREFIX/share" && test -f $TOOL_HOME/tool
    - test "$CONDA_PREFIX" = "$PREFIX" && test "$PWD" = "$SRC_DIR"
    - test ! -e $PREFIX/share/run
    - bash -c 'echo "order in a shell of its own $ORDER"'
    - echo mine > $PREFIX/mine
requirements: {build: [tool], host: [lib], run: [run]}
tests:
  - script:
      - test "$RUN_HOME" = "$PREFIX/share" && test -f $RUN_HOME/run
      - test -f $PREFIX/share/extra && test -f $PREFIX/mine
      - test ! -e $PREFIX/share/lib && test ! -e $PREFIX/share/tool
    requirements: {run: [extra]}
`
	channel := channelOf(t, "tool", "lib", "run", "extra")
	for merge, order := range map[string]string{"false": ":lib:tool", "true": ":lib:tool"} {
		t.Run("merged "+merge, func(t *testing.T) {
			p, h := mustBuild(t, map[string]string{"recipe.yaml": strings.Replace(lists, "MERGE", merge, 1)}, func(r *builder.Request) {
				r.Channels = []env.Channel{channel}
			})
			for _, want := range []string{"order " + order + "\n", "order in a shell of its own " + order + "\n"} {
				if !strings.Contains(h.output(), want) {
					t.Errorf("no %q in:\n%s", want, h.output())
				}
			}
			all := contents(t, p)
			if all["info/files"] != "mine\n" || !strings.Contains(all["info/test/test_time_dependencies.json"], `"extra"`) {
				t.Errorf("files %q, test needs %s", all["info/files"], all["info/test/test_time_dependencies.json"])
			}
		})
	}
}

func TestRequirementsWithoutASolutionAreNamed(t *testing.T) {
	channel := channelOf(t, "lib")
	for _, section := range []string{"build", "host", "run"} {
		_, h, err := build(t, map[string]string{"recipe.yaml": `
package: {name: a, version: "1"}
requirements: {` + section + `: [gone]}
tests: [{script: "true"}]
`}, func(r *builder.Request) { r.Channels = []env.Channel{channel} })
		if err == nil || !strings.Contains(err.Error(), "gone") {
			t.Errorf("%s: %v\n%s", section, err, h.output())
		}
	}
}

func TestNoarchGeneric(t *testing.T) {
	p, h := mustBuild(t, map[string]string{"recipe.yaml": `
package: {name: a, version: "1"}
build: {noarch: generic, script: 'echo "$SUBDIR $target_platform" > $PREFIX/x'}
tests: [{script: 'grep -q ^noarch $PREFIX/x && echo tested'}]
`}, nil)
	all := contents(t, p)
	index := decoded(t, all["info/index.json"])
	if filepath.Base(filepath.Dir(p.Path)) != "noarch" || index["subdir"] != "noarch" || index["noarch"] != "generic" || index["platform"] != nil || index["arch"] != nil {
		t.Errorf("%s: %v", p.Path, index)
	}
	if !strings.Contains(h.output(), "tested") {
		t.Error(h.output())
	}
}
