package recipe

import "github.com/condaworker/condaworker/builder/recipe/tree"

// Output is one package that a recipe builds, fully evaluated: nothing in it
// depends on a template, a selector or a variant any more, and nothing behind
// it needs to know in which format the recipe was written. It is never changed
// after Render made it.
type Output struct {
	Name        string // e.g. blender
	Version     string // e.g. 4.2.5
	BuildNumber int    // e.g. 0
	BuildString string // e.g. hb0f4dca_0
	Subdir      string // e.g. linux-64, or noarch
	Noarch      string // "", "generic" or "python"

	Sources      []Source
	Script       Script
	Requirements Requirements
	Build        Build
	Tests        []Test
	About        About
	Extra        map[string]any // free; about.json's "extra"

	Variant   map[string]any // the variant keys that this output uses, e.g. target_platform: linux-64
	Hash      string         // seven hex digits, "" when there is none
	HashInput []byte         // the JSON text that was hashed; becomes info/hash_input.json

	Format   Format         // the format that the recipe was written in
	File     string         // the recipe's file name in its folder, e.g. recipe.yaml
	Rendered []byte         // the evaluated recipe as YAML, for info/recipe
	Warnings []tree.Problem // what its author should look at; none of them stops a build
}

// Format is the format of a recipe.
type Format string

const (
	V0 Format = "meta.yaml"   // conda-build's
	V1 Format = "recipe.yaml" // CEP 13 and 14
)

// Source is one thing to place in the work folder before the script runs.
// Exactly one of URLs, Path and Git is set.
type Source struct {
	URLs     []string // mirrors, tried in order, e.g. https://…/blender-4.2.5-linux-x64.tar.xz
	Path     string   // relative to the recipe folder, or absolute
	Git      string   // a repository's URL
	GitRev   string   // its commit, tag or branch; "" is the default branch
	SHA256   string   // lower-case hex; "" when the recipe gives none
	MD5      string   // lower-case hex; "" when the recipe gives none
	Folder   string   // below the work folder, e.g. blender; "" is the work folder itself
	FileName string   // keeps the download as this file, not unpacked; "" unpacks archives
	Patches  []string // relative to the recipe folder
	NoHoist  bool     // keep a single top-level folder instead of lifting its contents
	Pos      tree.Pos
}

// Script is what builds the package.
type Script struct {
	Lines       []string          // commands; nil when File is set or there is none
	File        string            // a script in the recipe folder, e.g. build.sh
	Interpreter string            // e.g. bash, python; "" is the platform's shell
	Env         map[string]string // extra variables
	PassEnv     []string          // names of variables to take from the caller's environment
	Secrets     []string          // names as in PassEnv whose values are masked in logs
	Dir         string            // working folder relative to the work folder
}

// Requirements are match specs as text, e.g. "python >=3.11".
type Requirements struct {
	Build, Host, Run, RunConstraints []string
}

// Build is how the prefix becomes a package.
type Build struct {
	IgnorePrefixFiles  bool     // no prefix replacement records at all
	IgnoreBinaryFiles  bool     // no prefix replacement records for binary files
	IgnorePrefixGlobs  []string // no records for these files
	BinaryRelocation   bool     // rpaths are to be made relative
	FilesInclude       []string // globs; empty takes all new files
	FilesExclude       []string // globs
	AlwaysIncludeFiles []string // globs of files that were in the prefix before
	EntryPoints        []string // name = module:function
	MergeBuildHost     bool     // build and host requirements share one prefix
}

// Test is one test of the finished package, run in a fresh prefix with it.
type Test struct {
	Script   Script
	Requires []string // match specs added to the test's prefix
	Imports  []string // Python modules to import
	PipCheck bool     // run "pip check" after the imports
	Files    []string // globs in the recipe folder, copied to the test's folder
	Source   []string // globs in the work folder, copied to the test's folder
}

// About describes the package to people.
type About struct {
	Home, Repository, Documentation string
	License, LicenseFamily          string
	LicenseFiles                    []string // globs, in the recipe folder or the work folder
	Summary, Description            string
	Other                           map[string]any // further keys that the format knows, as given
}
