package builder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/pack"
	"github.com/condaworker/condaworker/builder/recipe"
	"github.com/condaworker/condaworker/env"
	"github.com/condaworker/condaworker/env/install"
)

// TestError reports that a finished package failed its own test.
type TestError struct {
	Package string // e.g. blender-4.2.5-hb0f4dca_0
	Kept    string // where the package lies now; "" when it is gone
	Err     error
}

// Error has conda-build's words TESTS FAILED, which people search logs for.
func (e *TestError) Error() string {
	kept := ""
	if e.Kept != "" {
		kept = "; the package is kept as " + e.Kept
	}
	return fmt.Sprintf("TESTS FAILED: %s: %v%s", e.Package, e.Err, kept)
}

// Unwrap returns the cause.
func (e *TestError) Unwrap() error { return e.Err }

// test installs the package into a fresh prefix, as a client would, and runs
// each of its tests there. The work folder and the build prefix are out of
// the way, so that a package that still points to them fails.
func (b *build) test(ctx context.Context) error {
	tests := b.tests()
	if len(tests) == 0 {
		b.Info("the recipe has no tests")
		return nil
	}
	work, restore, err := b.hideBuild()
	if err != nil {
		return err
	}
	defer restore()
	for i, t := range tests {
		if err := b.testAs(ctx, t, i, work); err != nil {
			kept := b.keepBroken()
			if ctx.Err() != nil {
				return err
			}
			return &TestError{b.dist(), kept, err}
		}
	}
	return nil
}

// needsAny tells whether the package's tests need an output that is built later, or an
// earlier one that does. They cannot wait for one of the package's own name, which is
// built where this one was.
func (b *build) needsAny(later []*recipe.Output) bool {
	tests := b.tests()
	comes := map[string]bool{}
	for _, out := range later {
		comes[out.Name] = true
	}
	if len(tests) == 0 || comes[b.out.Name] {
		return false
	}
	specs := slices.Clone(b.made.Record.Depends)
	for _, t := range tests {
		specs = append(slices.Concat(specs, t.Requires, t.Build), t.Downstream)
	}
	depends := map[string][]string{}
	for _, p := range b.earlier {
		depends[p.Record.Name] = append(depends[p.Record.Name], p.Record.Depends...)
		comes[p.Record.Name] = false
	}
	for seen := map[string]bool{}; len(specs) > 0; specs = specs[1:] {
		name := nameOf(specs[0])
		if comes[name] {
			return true
		}
		if !seen[name] {
			seen[name], specs = true, append(specs, depends[name]...)
		}
	}
	return false
}

// testAs does what the kind of a test asks for.
func (b *build) testAs(ctx context.Context, t recipe.Test, i int, work string) error {
	switch {
	case t.Contents != nil:
		return checkContents(b.out, *t.Contents, b.packed)
	case t.Downstream != "":
		_, err := b.downstream(ctx, t.Downstream)
		return err
	}
	inputs, err := b.testInputs(t, i, work)
	if err != nil {
		return err
	}
	return b.testOne(ctx, t, i, inputs)
}

// testOne runs one test in a prefix and a folder of its own, so that no test
// sees what another left. inputs are what it finds there.
func (b *build) testOne(ctx context.Context, t recipe.Test, i int, inputs []pack.InfoFile) error {
	for _, dir := range []string{b.dirs.testPrefix, b.dirs.testTools, b.dirs.testWork, b.dirs.testHome, b.dirs.testTmp} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := place(b.dirs.testWork, inputs); err != nil {
		return err
	}
	if _, err := env.Create(ctx, b.testRequest(t.Requires...)); err != nil {
		return fmt.Errorf("install the package for its test: %w", err)
	}
	if len(t.Build) > 0 {
		request := b.testRequest()
		request.Prefix, request.Specs = b.dirs.testTools, t.Build
		if _, err := env.Create(ctx, request); err != nil {
			return fmt.Errorf("install what the test is run with: %w", err)
		}
	}
	vars, err := b.testEnviron(t)
	if err != nil {
		return err
	}
	return b.run(ctx, recipe.Script{Lines: append([]string{"set -x"}, testLines(t, i)...)}, job{
		name: fmt.Sprintf("test_%d", i), dir: b.dirs.testWork, vars: vars,
		prefixes: []string{b.dirs.testPrefix, b.dirs.testTools}, view: b.testView(),
	})
}

// testRequest is the environment of a test: the package itself, which hides all that
// channels have under its name, and more.
func (b *build) testRequest(more ...string) env.Request {
	specs := append([]string{b.exact()}, more...)
	if b.beside != "" {
		specs = append(specs, b.beside)
	}
	return env.Request{
		Prefix: b.dirs.testPrefix, Specs: specs,
		Channels: b.Channels, Subdir: b.Platform, Virtual: b.virtual(), Cache: b.dirs.cache,
		Local: append(b.local(), install.Package{Path: b.made.Path, Record: b.made.Record, URL: "file://" + b.made.Path}),
		Run:   Programs(b.Observer, b.walls()), LinkScripts: true, Warn: b.Warn,
	}
}

// exact is the match spec of the package alone.
func (b *build) exact() string {
	return strings.Join([]string{b.out.Name, b.out.Version, b.out.BuildString}, " ")
}

// testLines are the shell commands of test number i: its script, then its
// imports. A script in another language is a file in the test's folder.
func testLines(t recipe.Test, i int) []string {
	var lines []string
	file := t.Script.File
	if file == "" && inOtherLanguage(t.Script) && len(t.Script.Lines) > 0 {
		file = testScript(i)
	}
	from := "./"
	if dir := path.Clean(t.Script.Dir); dir != "." && (file != "" || len(t.Script.Lines) > 0) {
		lines = []string{"mkdir -p " + shellQuote(dir), "cd " + shellQuote(dir)}
		from = strings.Repeat("../", strings.Count(dir, "/")+1)
	}
	switch {
	case inOtherLanguage(t.Script) && file != "":
		lines = append(lines, program(t.Script.Interpreter)+" "+shellQuote(from+file))
	case file != "":
		lines = append(lines, ". "+shellQuote(from+file))
	default:
		lines = append(lines, t.Script.Lines...)
	}
	lines = append(lines, importLines(t)...)
	if t.Python == nil {
		return lines
	}
	for _, module := range t.Python.Imports {
		lines = append(lines, "python -c 'import "+module+"'")
	}
	if !t.Python.NoPip {
		lines = append(lines, "python -m pip check")
	}
	return lines
}

// importLines load modules of other languages.
func importLines(t recipe.Test) []string {
	var lines []string
	for _, kind := range []struct {
		modules []string
		command string
		code    string // with the module's name for %s
	}{
		{t.Perl, "perl -e", "use %s;"}, {t.R, "Rscript -e", "library(%s)"}, {t.Ruby, "ruby -e", "require '%s'"}, {t.Lua, "lua -e", "require '%s'"},
	} {
		for _, m := range kind.modules {
			lines = append(lines, kind.command+" "+shellQuote(fmt.Sprintf(kind.code, m)))
		}
	}
	return lines
}

// singleTests gives each version of Python that a test names a test of its own,
// with what it needs installed.
func singleTests(tests []recipe.Test) []recipe.Test {
	var all []recipe.Test
	for _, t := range tests {
		if t.Python == nil {
			t.Requires = slices.Concat(t.Requires, interpreterOf(t))
			all = append(all, t)
			continue
		}
		versions := t.Python.Versions
		if len(versions) == 0 {
			versions = []string{""}
		}
		for _, v := range versions {
			one := t
			one.Requires = append(slices.Clone(t.Requires), strings.TrimSpace("python "+v))
			if !t.Python.NoPip {
				one.Requires = append(one.Requires, "pip")
			}
			all = append(all, one)
		}
	}
	return all
}

// interpreterOf is the package that loads a test's modules.
func interpreterOf(t recipe.Test) []string {
	switch {
	case t.Perl != nil:
		return []string{"perl"}
	case t.R != nil:
		return []string{"r-base"}
	case t.Ruby != nil:
		return []string{"ruby"}
	case t.Lua != nil:
		return []string{"lua"}
	}
	return nil
}

// inOtherLanguage holds for scripts that the shell only starts.
func inOtherLanguage(s recipe.Script) bool { return s.Interpreter != "" && s.Interpreter != "bash" }

// testScript is the file of a test's script that its recipe wrote in line.
func testScript(i int) string { return fmt.Sprintf("test_script_%d", i) }

// testInputs are the files that test number i finds in its folder: those of
// the recipe folder and of the work folder that it names, and its script.
func (b *build) testInputs(t recipe.Test, i int, work string) ([]pack.InfoFile, error) {
	globs := t.Files
	if t.Script.File != "" {
		globs = append(slices.Clone(globs), t.Script.File)
	}
	files, err := named(b.Dir, globs, "the recipe folder")
	if err != nil {
		return nil, err
	}
	more, err := named(work, t.Source, "the work folder")
	return slices.Concat(files, more, inlineScript(t, i)), err
}

// inlineScript is the file of a script in another language that a recipe has in
// line.
func inlineScript(t recipe.Test, i int) []pack.InfoFile {
	if !inOtherLanguage(t.Script) || t.Script.File != "" {
		return nil
	}
	return []pack.InfoFile{{Path: testScript(i), Data: []byte(strings.Join(t.Script.Lines, "\n") + "\n")}}
}

// named finds the files that globs name. One that names nothing is the author's
// mistake: the test would run without it.
func named(dir string, globs []string, where string) ([]pack.InfoFile, error) {
	var files []pack.InfoFile
	for _, glob := range globs {
		names, err := expand(dir, glob)
		if err != nil || len(names) == 0 {
			return nil, fmt.Errorf("the test names the file %q, which is not in %s", glob, where)
		}
		for _, name := range names {
			files = append(files, pack.InfoFile{Path: name, Source: filepath.Join(dir, filepath.FromSlash(name))})
		}
	}
	return files, nil
}

// expand lists the regular files below dir that glob names, itself or by a
// folder that they are in. A glob with ** or {} has the rules of pack.Globs.
func expand(dir, glob string) ([]string, error) {
	from := os.DirFS(dir)
	wide := strings.Contains(glob, "**") || strings.Contains(glob, "{")
	top := path.Clean(glob)
	if wide {
		top = "."
	}
	names, err := regularFiles(from, top)
	if err != nil || !wide {
		return names, err
	}
	return pack.Select(names, nil, pack.Globs{Include: []string{glob}})
}

func regularFiles(from fs.FS, glob string) ([]string, error) {
	found, err := fs.Glob(from, glob)
	var names []string
	for _, top := range found {
		err = errors.Join(err, fs.WalkDir(from, top, func(name string, _ fs.DirEntry, err error) error {
			if info, statErr := fs.Stat(from, name); statErr == nil && info.Mode().IsRegular() {
				names = append(names, name)
			}
			return err
		}))
	}
	return names, err
}

// place writes files below dir.
func place(dir string, files []pack.InfoFile) error {
	for _, f := range files {
		data, mode := f.Data, cmp.Or(f.Mode, 0o644)
		if f.Source != "" {
			info, err := os.Stat(f.Source)
			if err != nil {
				return err
			}
			if data, err = os.ReadFile(f.Source); err != nil {
				return err
			}
			mode = info.Mode().Perm()
		}
		to := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, data, mode); err != nil {
			return fmt.Errorf("copy the test's file %s: %w", f.Path, err)
		}
	}
	return nil
}

// hideBuild renames the work folder and the prefixes. It returns where the work
// folder is then, and what puts both back: --keep shows them where they were.
func (b *build) hideBuild() (work string, restore func(), err error) {
	root := filepath.Dir(b.dirs.work)
	work = filepath.Join(root, "work_moved")
	moves := map[string]string{
		b.dirs.buildPrefix: filepath.Join(root, "_build_env_moved"), b.dirs.work: work,
		b.dirs.prefix: filepath.Join(root, "_h_env_moved"), // last: the build prefix may be the same
	}
	restore = func() {
		for from, to := range moves {
			if err := ignoreMissing(os.Rename(to, from)); err != nil {
				b.Warn(fmt.Sprintf("put %s back: %v", from, err))
			}
		}
	}
	for from, to := range moves {
		if err := os.Rename(from, to); err != nil {
			restore()
			return "", nil, fmt.Errorf("move the build's folders away before the test: %w", err)
		}
	}
	return work, restore, nil
}

// keepBroken moves a package that failed its test to OutputDir/broken, so that
// nobody takes it for a good one and its author can still look at it.
func (b *build) keepBroken() string {
	if b.OutputDir == "" {
		return ""
	}
	to := filepath.Join(b.OutputDir, "broken", filepath.Base(b.made.Path))
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		b.Warn(fmt.Sprintf("keep the package that failed its test: %v", err))
		return b.made.Path
	}
	if err := os.Rename(b.made.Path, to); err != nil {
		b.Warn(fmt.Sprintf("keep the package that failed its test: %v", err))
		return b.made.Path
	}
	return to
}
