package builder

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/pack"
	"github.com/condaworker/condaworker/builder/recipe"
	"github.com/condaworker/condaworker/conda"
)

// packOptions is all that goes into the package beside the prefix's files.
func (b *build) packOptions(files []string, n needs, runExports []byte) (pack.Options, error) {
	index, err := b.indexJSON(n)
	if err != nil {
		return pack.Options{}, err
	}
	about, err := b.aboutJSON()
	if err != nil {
		return pack.Options{}, err
	}
	extra, err := b.infoFiles(n, runExports)
	return pack.Options{
		Prefix:            b.dirs.prefix,
		Placeholder:       pack.Placeholder(len(b.dirs.prefix)),
		Forbidden:         b.Work,
		Dist:              b.dist(),
		Files:             files,
		IgnorePrefixFiles: b.out.Build.IgnorePrefixFiles,
		IgnoreBinaryFiles: b.out.Build.IgnoreBinaryFiles,
		IgnorePrefixGlobs: b.out.Build.IgnorePrefixGlobs,
		Index:             index,
		About:             about,
		HashInput:         b.out.HashInput,
		Extra:             extra,
		Epoch:             b.packageTime(),
	}, err
}

// indexJSON is info/index.json: what a channel's index says of the package
// (CEP 34; conda-build's keys).
func (b *build) indexJSON(n needs) ([]byte, error) {
	index := map[string]any{
		"name": b.out.Name, "version": b.out.Version,
		"build": b.out.BuildString, "build_number": b.out.BuildNumber,
		"subdir": b.out.Subdir, "depends": n.depends,
		"timestamp": b.packageTime().UnixMilli(),
		"arch":      nil, "platform": nil,
	}
	if b.out.Noarch != "" {
		index["noarch"] = b.out.Noarch
	} else {
		index["arch"], index["platform"] = conda.Arch(b.out.Subdir), conda.Platform(b.out.Subdir)
	}
	if len(n.constrains) > 0 {
		index["constrains"] = n.constrains
	}
	setText(index, "license", b.out.About.License)
	setText(index, "license_family", b.out.About.LicenseFamily)
	return encodeJSON(index)
}

// aboutJSON is info/about.json. It names the program and the channels that
// built the package, and nothing of the machine.
func (b *build) aboutJSON() ([]byte, error) {
	a := b.out.About
	about := map[string]any{
		"channels": distinct(b.ChannelNames), "extra": orEmpty(b.out.Extra),
		"identifiers": []string{}, "keywords": []string{}, "tags": []string{},
		"condaworker_version": b.Version,
	}
	maps.Copy(about, a.Other)
	setText(about, "home", a.Home)
	setText(about, "dev_url", a.Repository)
	setText(about, "doc_url", a.Documentation)
	setText(about, "license", a.License)
	setText(about, "license_family", a.LicenseFamily)
	setText(about, "summary", a.Summary)
	setText(about, "description", a.Description)
	if len(a.LicenseFiles) > 0 {
		about["license_file"] = a.LicenseFiles
	}
	return encodeJSON(about)
}

// infoFiles are the recipe, the tests, the licences and what the package exports,
// if anything.
func (b *build) infoFiles(n needs, runExports []byte) ([]pack.InfoFile, error) {
	files, err := b.recipeFiles(n)
	if err != nil {
		return nil, err
	}
	tests, err := b.testFiles()
	if err != nil {
		return nil, err
	}
	if runExports != nil {
		files = append(files, pack.InfoFile{Path: "run_exports.json", Data: runExports})
	}
	licences, err := b.licenceFiles()
	return slices.Concat(files, tests, licences), err
}

// recipeFiles are the recipe folder's files, and the evaluated recipe beside
// the original: meta.yaml with meta.yaml.template, or rendered_recipe.yaml.
func (b *build) recipeFiles(n needs) ([]pack.InfoFile, error) {
	var files []pack.InfoFile
	err := fs.WalkDir(b.files, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir() && b.isOurs(name):
			return fs.SkipDir
		case name == b.File || d.IsDir():
			return nil
		}
		if info, err := fs.Stat(b.files, name); err != nil || !info.Mode().IsRegular() { // a link's target counts
			b.Warn(fmt.Sprintf("the recipe folder's %s is not packed: it is no file and no link to one", name))
			return nil
		}
		files = append(files, pack.InfoFile{Path: "recipe/" + name, Source: filepath.Join(b.Dir, filepath.FromSlash(name))})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the recipe folder: %w", err)
	}
	rendered, err := b.out.FinalYAML(recipe.Final{
		Build: b.tools.installed(), Host: b.host.installed(), Run: n.depends, RunConstraints: n.constrains, RunExports: n.exports,
	})
	if err != nil {
		return nil, fmt.Errorf("write the evaluated recipe: %w", err)
	}
	original := filepath.Join(b.Dir, b.File)
	if b.out.Format == recipe.V0 {
		return append(files, pack.InfoFile{Path: "recipe/meta.yaml.template", Source: original},
			pack.InfoFile{Path: "recipe/meta.yaml", Data: rendered}), nil
	}
	return append(files, pack.InfoFile{Path: "recipe/recipe.yaml", Source: original},
		pack.InfoFile{Path: "recipe/rendered_recipe.yaml", Data: rendered}), nil
}

// isOurs tells whether a folder of the recipe folder is one that builds write
// to: packages must not hold the packages that were made before.
func (b *build) isOurs(name string) bool {
	dir := filepath.Join(b.Dir, filepath.FromSlash(name))
	for _, own := range append([]string{b.Work, b.OutputDir}, b.Outputs...) {
		if full, err := filepath.Abs(own); own != "" && err == nil && full == dir {
			return true
		}
	}
	return false
}

// testFiles are the package's tests in the form that every builder runs again
// from the package: info/test/run_test.sh and what it needs.
func (b *build) testFiles() ([]pack.InfoFile, error) {
	var files []pack.InfoFile
	var script strings.Builder
	var requires []string
	for i, t := range b.tests() {
		lines := testLines(t, i)
		if len(lines) == 0 {
			continue
		}
		fmt.Fprintf(&script, "(\nset -ex\n%s%s\n)\n", exports(t.Script.Env), strings.Join(lines, "\n"))
		requires = slices.Concat(requires, t.Requires, t.Build) // they have one prefix there
		inputs, err := b.testInputs(t, i, b.dirs.work)
		if err != nil {
			return nil, err
		}
		files = append(files, inputs...)
	}
	if script.Len() == 0 {
		return nil, nil
	}
	files = append(files, pack.InfoFile{Path: "run_test.sh", Data: []byte("set -e\n" + script.String() + "exit 0\n"), Mode: 0o755})
	if len(requires) > 0 {
		needs, err := encodeJSON(distinct(requires))
		if err != nil {
			return nil, err
		}
		files = append(files, pack.InfoFile{Path: "test_time_dependencies.json", Data: needs})
	}
	return below("test", files), nil
}

// exports are the shell's words for the variables that a recipe itself sets.
func exports(vars map[string]string) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		fmt.Fprintf(&text, "export %s=%s\n", name, shellQuote(vars[name]))
	}
	return text.String()
}

// below moves files into a folder. Of several with one name the last counts.
func below(folder string, files []pack.InfoFile) []pack.InfoFile {
	byPath := map[string]pack.InfoFile{}
	for _, f := range files {
		f.Path = folder + "/" + f.Path
		byPath[f.Path] = f
	}
	return slices.Collect(maps.Values(byPath))
}

// licenceFiles finds the recipe's licence globs in the recipe folder, else in
// the work folder. A glob that finds nothing is the author's mistake.
func (b *build) licenceFiles() ([]pack.InfoFile, error) {
	var files []pack.InfoFile
	for _, glob := range b.out.About.LicenseFiles {
		found, err := licences(glob, b.Dir, b.dirs.work)
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	return below("licenses", files), nil
}

// licences looks in one folder after the other: a licence beside the recipe
// stands for one that the archive lacks.
func licences(glob string, dirs ...string) ([]pack.InfoFile, error) {
	for _, dir := range dirs {
		names, err := expand(dir, glob)
		if err != nil {
			return nil, fmt.Errorf("about.license_file %q: %w", glob, err)
		}
		var files []pack.InfoFile
		for _, name := range names {
			files = append(files, pack.InfoFile{Path: name, Source: filepath.Join(dir, filepath.FromSlash(name))})
		}
		if len(files) > 0 {
			return files, nil
		}
	}
	return nil, fmt.Errorf("about.license_file %q: no such file in the recipe folder or the work folder", glob)
}

// encodeJSON has sorted keys and no line end behind it.
func encodeJSON(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false) // ">=1.0" stays readable
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// setText leaves keys without a value out.
func setText(m map[string]any, key, text string) {
	if text != "" {
		m[key] = text
	}
}

// orEmpty is an object also when there is nothing in it: readers expect one.
func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// distinct is list without repetitions, in its order, and never nil.
func distinct(list []string) []string {
	out := []string{}
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
