package builder

import (
	"fmt"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/pack"
	"github.com/condaworker/condaworker/builder/recipe"
)

// checkContents holds a package's files against what a test says is in it. All
// that is wrong is in the error, a line each.
func checkContents(out *recipe.Output, t recipe.ContentsTest, files []string) error {
	var wrong []string
	named := map[string]bool{}
	for _, part := range []struct {
		name  string
		globs recipe.Contents
		paths func(glob string) []string
	}{
		{"files", t.Files, func(glob string) []string { return []string{glob} }},
		{"include", t.Include, func(glob string) []string { return []string{"include/" + glob} }},
		{"bin", t.Bin, func(glob string) []string { return []string{"bin/" + glob} }},
		{"lib", t.Lib, libraryPaths(out.Subdir)},
		{"site_packages", t.SitePackages, modulePaths(out)},
	} {
		for _, glob := range part.globs.Exists {
			found, err := pack.Select(files, nil, pack.Globs{Include: part.paths(glob)})
			if err != nil {
				return fmt.Errorf("package_contents: %s: %w", part.name, err)
			}
			if len(found) == 0 {
				wrong = append(wrong, fmt.Sprintf("%s: nothing is %s (%s)", part.name, glob, strings.Join(part.paths(glob), " or ")))
			}
			for _, f := range found {
				named[f] = true
			}
		}
		for _, glob := range part.globs.NotExists {
			found, err := pack.Select(files, nil, pack.Globs{Include: part.paths(glob)})
			if err != nil {
				return fmt.Errorf("package_contents: %s: %w", part.name, err)
			}
			if len(found) > 0 {
				wrong = append(wrong, fmt.Sprintf("%s: %s must not be there, and is: %s", part.name, glob, few(found)))
			}
		}
	}
	if left := slices.DeleteFunc(slices.Clone(files), func(f string) bool { return named[f] }); t.Strict && len(left) > 0 {
		wrong = append(wrong, "strict: no part of the test names "+few(left))
	}
	if len(wrong) > 0 {
		return fmt.Errorf("package_contents: %s", strings.Join(wrong, "\npackage_contents: "))
	}
	return nil
}

// libraryPaths is where a library of a name or of a file's name lies.
func libraryPaths(subdir string) func(string) []string {
	return func(glob string) []string {
		if strings.HasSuffix(glob, ".a") {
			return []string{"lib/" + glob}
		}
		if strings.HasPrefix(subdir, "osx-") {
			if strings.HasSuffix(glob, ".dylib") {
				return []string{"lib/" + glob}
			}
			return []string{"lib/{,lib}" + glob + ".dylib", "lib/{,lib}" + glob + ".*.dylib"}
		}
		if strings.HasSuffix(glob, ".so") || strings.Contains(glob, ".so.") {
			return []string{"lib/" + glob}
		}
		return []string{"lib/{,lib}" + glob + ".so", "lib/{,lib}" + glob + ".so.*"}
	}
}

// modulePaths is where a Python module, or a file of one, lies.
func modulePaths(out *recipe.Output) func(string) []string {
	base := "lib/python*/site-packages/"
	if out.Noarch == "python" || out.Build.VersionIndependent {
		base = "site-packages/"
	}
	return func(glob string) []string {
		if strings.Contains(glob, "/") {
			return []string{base + glob}
		}
		module := base + strings.ReplaceAll(glob, ".", "/")
		return []string{module + ".py", module + "/__init__.py"}
	}
}

// few are the first of a list.
func few(list []string) string {
	const shown = 5
	if len(list) > shown {
		return strings.Join(list[:shown], ", ") + fmt.Sprintf(" and %d more", len(list)-shown)
	}
	return strings.Join(list, ", ")
}
