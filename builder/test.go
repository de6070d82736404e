package builder

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
	tests := slices.DeleteFunc(slices.Clone(b.out.Tests), func(t recipe.Test) bool { return len(testLines(t)) == 0 })
	if len(tests) == 0 {
		b.Info("the recipe has no tests")
		return nil
	}
	restore, err := b.hideBuild()
	if err != nil {
		return err
	}
	defer restore()
	for i, t := range tests {
		if err := b.testOne(ctx, t, i); err != nil {
			if ctx.Err() != nil {
				return err
			}
			return &TestError{b.dist(), b.keepBroken(), err}
		}
	}
	return nil
}

func (b *build) testOne(ctx context.Context, t recipe.Test, i int) error {
	for _, dir := range []string{b.dirs.testPrefix, b.dirs.testWork} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := b.copyTestFiles(t); err != nil {
		return err
	}
	exact := strings.Join([]string{b.out.Name, b.out.Version, b.out.BuildString}, " ")
	_, err := env.Create(ctx, env.Request{
		Prefix: b.dirs.testPrefix, Specs: append([]string{exact}, t.Requires...),
		Channels: b.Channels, Subdir: b.Platform, Virtual: b.Virtual, Cache: b.dirs.cache,
		Local: []install.Package{{Path: b.made.Path, Record: b.made.Record, URL: "file://" + b.made.Path}},
	})
	if err != nil {
		return fmt.Errorf("install the package for its test: %w", err)
	}
	vars, err := b.testEnviron(t)
	if err != nil {
		return err
	}
	script := recipe.Script{Lines: testLines(t)}
	return b.run(ctx, script, job{
		name: fmt.Sprintf("test_%d", i), dir: b.dirs.testWork, vars: vars,
		prefixes: []string{b.dirs.testPrefix}, options: "-ex",
	})
}

// testLines are the commands of t: its script, then its imports.
func testLines(t recipe.Test) []string {
	lines := slices.Clone(t.Script.Lines)
	if t.Script.File != "" {
		lines = append(lines, ". ./"+t.Script.File)
	}
	for _, module := range t.Imports {
		lines = append(lines, "python -c 'import "+module+"'")
	}
	if t.PipCheck {
		lines = append(lines, "python -m pip check")
	}
	return lines
}

// copyTestFiles brings the recipe's files that t names to the test's folder.
func (b *build) copyTestFiles(t recipe.Test) error {
	globs := t.Files
	if t.Script.File != "" {
		globs = append(slices.Clone(globs), t.Script.File)
	}
	for _, glob := range globs {
		names, err := fs.Glob(b.files, glob)
		if err != nil || len(names) == 0 {
			return fmt.Errorf("the test names the file %q, which is not in the recipe folder", glob)
		}
		for _, name := range names {
			if err := copyInto(b.files, name, filepath.Join(b.dirs.testWork, filepath.FromSlash(name))); err != nil {
				return fmt.Errorf("copy the test's file %s: %w", name, err)
			}
		}
	}
	return nil
}

func copyInto(from fs.FS, name, to string) error {
	info, err := fs.Stat(from, name)
	if err != nil {
		return err
	}
	if info.IsDir() {
		sub, err := fs.Sub(from, name)
		if err != nil {
			return err
		}
		return os.CopyFS(to, sub)
	}
	data, err := fs.ReadFile(from, name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, info.Mode().Perm())
}

// hideBuild renames the work folder and the prefix and returns what puts them
// back: --keep shows them where they were.
func (b *build) hideBuild() (restore func(), err error) {
	root := filepath.Dir(b.dirs.work)
	moves := map[string]string{b.dirs.work: filepath.Join(root, "work_moved"), b.dirs.prefix: filepath.Join(root, "_h_env_moved")}
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
			return nil, fmt.Errorf("move the build's folders away before the test: %w", err)
		}
	}
	return restore, nil
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
