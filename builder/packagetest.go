package builder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/pack"
	"github.com/condaworker/condaworker/builder/recipe"
	"github.com/condaworker/condaworker/conda/archive"
)

// Where packages have their tests: conda-build's and ours, rattler-build's, and
// the files of the latter.
const (
	testFolder  = "info/test/"
	testsFile   = "info/tests/tests.yaml"
	testedFiles = "etc/conda/test-files/"
)

// maxTests bounds what a package's tests may hold in memory.
const maxTests = 256 << 20

// Test runs the tests that finished packages have in them, each in a fresh
// prefix with its package from r.Channels' packages and, before these, the given
// ones: files called .conda or .tar.bz2. It returns how many tests ran. Of r it
// needs no recipe. A test that fails is a *TestError; the others are not run then.
func Test(ctx context.Context, r Request, packages []string, o Observer) (ran int, err error) {
	var all []*tested
	var given []Package
	for _, file := range packages {
		t, err := readTested(file, r.Work)
		if err == nil && t.out.Subdir != "noarch" && t.out.Subdir != r.Platform {
			err = fmt.Errorf("it is for %s, and tests run on %s here", t.out.Subdir, r.Platform)
		}
		if err != nil {
			return 0, fmt.Errorf("test package %s: %w", file, err)
		}
		all, given = append(all, t), append(given, t.made)
	}
	for i, t := range all {
		others := slices.Delete(slices.Clone(given), i, i+1)
		b := &build{Request: r, Observer: o, out: t.out, earlier: others, made: t.made}
		err := phase(o, "test", func() error {
			if err := b.layout(); err != nil {
				return err
			}
			n, err := b.runTests(ctx, t)
			ran += n
			if err != nil && ctx.Err() == nil {
				err = &TestError{Package: b.dist(), Err: err}
			}
			return err
		})
		if err != nil {
			return ran, err
		}
	}
	return ran, nil
}

// runTest runs test number i, and where that asks for another package's, those. The
// other package's own wishes of this kind are not followed.
func (b *build) runTest(ctx context.Context, t recipe.Test, i int, inputs []pack.InfoFile) (ran int, err error) {
	switch {
	case t.Downstream != "" && b.beside != "":
		return 0, nil
	case t.Downstream != "":
		return b.downstream(ctx, t.Downstream)
	case len(testLines(t, i)) == 0:
		b.Warn(fmt.Sprintf("test %d of %s is of a kind that this version does not run", i+1, b.dist()))
		return 0, nil
	}
	if err := b.testOne(ctx, t, i, inputs); err != nil {
		return 0, err
	}
	return 1, nil
}

// tested is a package on disk and its tests.
type tested struct {
	made   Package
	out    *recipe.Output
	files  map[string]pack.InfoFile // of the tests, by their names in the archive
	inputs [][]pack.InfoFile        // of each of out.Tests
}

// runTests runs a package's tests and says how many there were.
func (b *build) runTests(ctx context.Context, t *tested) (ran int, err error) {
	for i, one := range t.out.Tests {
		n, err := b.runTest(ctx, one, i, t.inputs[i])
		ran += n
		if err != nil {
			return ran, err
		}
	}
	if ran == 0 {
		b.Info(b.dist() + " has no tests")
	}
	return ran, nil
}

// readTested reads what a package says of itself and its tests. work is a folder
// for what is read again.
func readTested(file, work string) (*tested, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	t := &tested{made: Package{Path: abs}, files: map[string]pack.InfoFile{}}
	if err := t.read(); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(t.files["info/index.json"].Data, &t.made.Record); err != nil {
		return nil, fmt.Errorf("read info/index.json: %w", err)
	}
	r := &t.made.Record
	r.FileName = filepath.Base(abs)
	t.out = &recipe.Output{
		Name: r.Name, Version: r.Version, BuildNumber: r.BuildNumber, BuildString: r.Build, Noarch: r.Noarch, Subdir: r.Subdir,
	}
	if input := t.files["info/hash_input.json"].Data; input != nil {
		if err := json.Unmarshal(input, &t.out.Variant); err != nil {
			return nil, fmt.Errorf("read info/hash_input.json: %w", err)
		}
	}
	if err := t.readScripts(); err != nil {
		return nil, err
	}
	return t, t.readList(filepath.Join(work, "tests", t.out.Name))
}

// read holds the files of the archive that tell of it and that its tests need.
func (t *tested) read() (err error) {
	f, err := os.Open(t.made.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	stat, err := f.Stat()
	if err != nil {
		return err
	}
	held := int64(0)
	return archive.Walk(f, stat.Size(), t.made.Path, func(e archive.Entry, r io.Reader) error {
		name := e.Name
		if name != "info/index.json" && name != "info/hash_input.json" && name != testsFile &&
			!strings.HasPrefix(name, testFolder) && !strings.HasPrefix(name, testedFiles) || !filepath.IsLocal(name) || !e.Header.FileInfo().Mode().IsRegular() {
			return nil
		}
		if held += e.Header.Size; held > maxTests {
			return fmt.Errorf("its tests have more than %d bytes", int64(maxTests))
		}
		data, err := io.ReadAll(io.LimitReader(r, e.Header.Size))
		t.files[name] = pack.InfoFile{Path: name, Data: data, Mode: e.Header.FileInfo().Mode().Perm()}
		return err
	})
}

// runners are conda-build's scripts, how each is run, and the package that it
// needs when nothing names it.
var runners = []struct{ file, command, needs string }{
	{"run_test.py", "python -s run_test.py", "python"},
	{"run_test.pl", "perl run_test.pl", "perl"},
	{"run_test.r", "Rscript run_test.r", "r-base"},
	{"run_test.lua", "lua run_test.lua", "lua"},
	{"run_test.sh", "/bin/bash -e ./run_test.sh", ""},
}

// readScripts reads the tests below info/test. They share a prefix.
func (t *tested) readScripts() error {
	var one recipe.Test
	if text := t.files[testFolder+"test_time_dependencies.json"].Data; text != nil {
		if err := json.Unmarshal(text, &one.Requires); err != nil {
			return fmt.Errorf("read info/test/test_time_dependencies.json: %w", err)
		}
	}
	for _, r := range runners {
		if _, there := t.files[testFolder+r.file]; !there {
			continue
		}
		one.Script.Lines = append(one.Script.Lines, r.command)
		if r.needs != "" && !slices.ContainsFunc(one.Requires, func(spec string) bool { return nameOf(spec) == r.needs }) {
			one.Requires = append(one.Requires, r.needs)
		}
	}
	if len(one.Script.Lines) > 0 {
		t.out.Tests, t.inputs = append(t.out.Tests, one), append(t.inputs, t.below(testFolder))
	}
	return nil
}

// readList reads the tests of tests.yaml: as those of a recipe, but for the files,
// which the package has.
func (t *tested) readList(work string) error {
	text := t.files[testsFile].Data
	if len(text) == 0 {
		return nil
	}
	platform, err := HostPlatform()
	if err != nil {
		return err
	}
	head := fmt.Sprintf("package: {name: %s, version: %q}\ntests:\n", t.out.Name, t.out.Version)
	if flow := bytes.TrimSpace(text); bytes.HasPrefix(flow, []byte("[")) {
		head, text = head+"  ", flow // rattler-build writes [] where there are none, which cannot begin a line
	}
	asRecipe := pack.InfoFile{Path: string(recipe.V1), Data: append([]byte(head), text...)}
	if err := place(work, []pack.InfoFile{asRecipe}); err != nil {
		return err
	}
	got, err := recipe.Render(os.DirFS(work), asRecipe.Path, recipe.Options{TargetPlatform: platform, BuildPlatform: platform})
	if err != nil {
		return fmt.Errorf("read %s: %w", testsFile, err)
	}
	if len(got.Outputs) != 1 {
		return fmt.Errorf("read %s: it is no list of tests", testsFile)
	}
	for _, one := range singleTests(got.Outputs[0].Tests) {
		var inputs []pack.InfoFile
		if dir := path.Clean(one.Script.Dir); strings.HasPrefix(dir, testedFiles) {
			one.Script.Dir, inputs = "", t.below(dir+"/")
		}
		one.Files, one.Source = nil, nil
		inputs = append(inputs, inlineScript(one, len(t.out.Tests))...)
		t.out.Tests, t.inputs = append(t.out.Tests, one), append(t.inputs, inputs)
	}
	return nil
}

// below are the files of a folder, by their names in it, sorted.
func (t *tested) below(folder string) []pack.InfoFile {
	var all []pack.InfoFile
	for _, name := range slices.Sorted(maps.Keys(t.files)) {
		if rest, ok := strings.CutPrefix(name, folder); ok {
			f := t.files[name]
			f.Path = rest
			all = append(all, f)
		}
	}
	return all
}
