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
	Subdir      string // that the package goes to, e.g. linux-64, or noarch
	BuiltFor    string // e.g. linux-64, where a meta.yaml's target sends the package to another subdir; else ""
	Noarch      string // "", "generic" or "python"

	Sources      []Source
	Script       Script
	Requirements Requirements
	Build        Build
	Tests        []Test
	About        About
	Extra        map[string]any // free; about.json's "extra"

	Staging *Staging // the staging output whose files this one takes over; nil is none

	Variant   map[string]any // the variant keys that this output uses, e.g. target_platform: linux-64
	Hash      string         // seven hex digits, "" when there is none
	HashInput []byte         // the JSON text that was hashed; becomes info/hash_input.json
	Reads     []Read         // why each key of Variant is in it
	Naming    *Naming        // of a meta.yaml, whose build string a build finishes; nil for a recipe.yaml

	Format   Format         // the format that the recipe was written in
	File     string         // the recipe's file name in its folder, e.g. recipe.yaml
	Pos      tree.Pos       // of the output in the recipe
	Rendered []byte         // the evaluated meta.yaml; nil for a recipe.yaml, see YAML
	Warnings []tree.Problem // what its author should look at; none of them stops a build
	// Blockers are mistakes that only a build meets, such as a script's template
	// that cannot be evaluated: the output can be looked at, and not built.
	Blockers []tree.Problem
}

// Read is one reason for a variant key to count as used.
type Read struct {
	Key string   // e.g. python
	Pos tree.Pos // of the text that needs the key; Line 0 when there is none
	Why string   // e.g. read by ${{ python }}
}

// Skipped is an output that is not built for a variant, and the reason.
type Skipped struct {
	Name    string         // of the output; "" when the whole recipe is skipped before it has a name
	Variant map[string]any // the values that the decision was made with
	Pos     tree.Pos       // of the condition that holds
	Reason  string         // e.g. build.skip: win holds
}

// Format is the format of a recipe.
type Format string

const (
	V0 Format = "meta.yaml"   // conda-build's
	V1 Format = "recipe.yaml" // CEP 13 and 14
)

// Staging is an output that is built and not packed: outputs that inherit from
// it begin with the files that its script made.
type Staging struct {
	Name         string // e.g. blender-build
	Sources      []Source
	Script       Script
	Requirements Requirements // Build, Host and IgnoreRunExports alone
	RunExports   bool         // what its requirements export reaches the outputs that inherit
	Pos          tree.Pos
}

// Source is one thing to place in the work folder before the script runs.
// Exactly one of URLs, Path, Git and Other is set.
type Source struct {
	URLs  []string // mirrors, tried in order, e.g. https://…/blender-4.2.5-linux-x64.tar.xz
	Path  string   // relative to the recipe folder, or absolute
	Git   *Git
	Other *OtherSource

	SHA256   string            // lower-case hex; "" when the recipe gives none
	MD5      string            // lower-case hex; "" when the recipe gives none
	Hashes   map[string]string // further ones by algorithm, e.g. sha512; content_sha256 is of the unpacked tree
	Folder   string            // below the work folder, e.g. blender; "" is the work folder itself
	FileName string            // keeps the download as this file, not unpacked; "" unpacks archives
	Patches  []string          // relative to the recipe folder
	NoHoist  bool              // keep a single top-level folder instead of lifting its contents

	NoGitignore bool     // of Path: take files that .gitignore names, too
	Filter      []string // globs of the files to take; empty takes all
	HashSkip    []string // paths that content hashes leave out
	Symlink     bool     // of Path: link to it instead of copying it
	Attestation map[string]any
	Pos         tree.Pos
}

// Git is a git repository to check out.
type Git struct {
	URL               string // or a path
	Rev, Tag, Branch  string // at most one is set; none is the default branch
	Depth             int    // of the clone; 0 is all of it
	LFS, NoSubmodules bool
	ExpectedCommit    string // full hash that the checkout must have; "" does not check
}

// OtherSource is a checkout of another version control system.
type OtherSource struct {
	System  string            // hg or svn
	URL     string            // of the repository
	Rev     string            // tag or revision; "" is the newest
	Options map[string]string // further keys of meta.yaml, e.g. svn_ignore_externals
}

// Script is what builds the package. Lines is for the shell; Written is what
// the recipe says, with templates in it that only a running build can fill.
type Script struct {
	Lines       []string          // commands; nil when File is set or there is none
	Written     []string          // the same as the recipe has them; nil: as Lines
	File        string            // a script in the recipe folder, e.g. build.sh
	Implied     bool              // the recipe does not name File: it is there
	Long        bool              // the recipe writes the script as a mapping
	Interpreter string            // e.g. bash, python; "" is the platform's shell
	Env         map[string]string // extra variables
	PassEnv     []string          // names of variables to take from the caller's environment
	Secrets     []string          // names as in PassEnv whose values are masked in logs
	Dir         string            // working folder relative to the work folder
	Steps       []Step            // in place of all the above; each is a script of its own
}

// Step is one part of a build that is written as steps.
type Step struct {
	Script
	Name string // e.g. configure; may be ""
}

// Empty tells whether there is nothing to run.
func (s Script) Empty() bool { return len(s.Lines) == 0 && s.File == "" && len(s.Steps) == 0 }

// Requirements are what a package needs, by when it needs it. A meta.yaml's Host is not
// nil where there is the section, even an empty one.
type Requirements struct {
	Build, Host, Run, RunConstraints []Dependency

	RunExports       RunExports
	IgnoreRunExports IgnoreRunExports
	Extras           map[string][]Dependency // optional groups of run requirements
	RunPins          map[string]Pin          // meta.yaml's pin_run_as_build, by the name of what is required
}

// RunExports are requirements that a package hands to those built with it.
type RunExports struct {
	Weak, Strong, Noarch, WeakConstraints, StrongConstraints []Dependency
}

// Empty tells whether nothing is exported.
func (r RunExports) Empty() bool {
	return len(r.Weak)+len(r.Strong)+len(r.Noarch)+len(r.WeakConstraints)+len(r.StrongConstraints) == 0
}

// IgnoreRunExports are exports that do not reach this package.
type IgnoreRunExports struct {
	ByName      []string // package names that are exported
	FromPackage []string // package names that export
}

// Build is how the prefix becomes a package.
type Build struct {
	IgnorePrefixFiles bool     // no prefix replacement records at all
	IgnoreBinaryFiles bool     // no prefix replacement records for binary files
	IgnorePrefixGlobs []string // no records for these files
	ForceText         []string // globs of files whose prefix is replaced as in text
	ForceBinary       []string // globs of files whose prefix is replaced as in binaries

	NoBinaryRelocation bool     // rpaths stay as they are
	RelocationGlobs    []string // the files whose rpaths are made relative; empty is all
	Rpaths             []string // relative to the prefix; nil is lib/
	RpathAllowlist     []string // globs of rpaths outside the prefix that may stay
	MissingDSOAllow    []string // globs of libraries that need not be found
	OverlinkingError   *bool    // linking to a package that is not required is an error; nil leaves it open
	OverdependError    *bool    // a required package that nothing links to is an error; nil leaves it open

	FilesInclude       []string // globs; empty takes all new files
	FilesExclude       []string // globs
	NoFiles            bool     // the package has no files at all
	AlwaysIncludeFiles []string // globs of files that were in the prefix before
	AlwaysCopyFiles    []string // globs of files that installers copy and never link
	PostProcess        []PostProcess

	EntryPoints         []string          // name = module:function
	SkipPycGlobs        []string          // globs of Python files that are not compiled
	UsePythonApp        bool              // macOS: entry points run in python.app
	VersionIndependent  bool              // runs with every Python 3 from the one built with (CEP 20)
	SitePackagesPath    string            // of a python package (CEP 17)
	MergeBuildHost      bool              // build and host requirements share one prefix
	UseKeys, IgnoreKeys []string          // variant keys that count as used, or do not
	DownPrioritize      *int              // nil is none; solvers prefer outputs with less
	TrackFeatures       []string          // names that make solvers avoid the package
	Flags               []string          // labels for repodata revision 3
	LinkScripts         map[string]string // pre-link, post-link, pre-unlink: file in the recipe folder
	OmitRecipe          bool              // the recipe is not packed
	Other               map[string]any    // further keys of the format that mean something to its own tool alone
}

// PostProcess is a replacement in finished files.
type PostProcess struct {
	Files       []string // globs
	Regex       string   // RE2 syntax
	Replacement string   // $1 is the first group
}

// Test is one test of the finished package. Its kind is told by what is set.
type Test struct {
	Script   Script       // of a script test, run in a fresh prefix with the package
	Requires []string     // match specs added to the test's prefix
	Pins     []Dependency // pins that are added as well
	Build    []string     // match specs of programs for the platform that tests
	Files    []string     // globs in the recipe folder, copied to the test's folder
	Source   []string     // globs in the work folder, copied to the test's folder

	Python     *PythonTest
	Perl       []string // modules to use
	R          []string // libraries to load
	Ruby       []string // modules to require
	Lua        []string // modules to require
	Downstream string   // a package whose own tests are run with this one installed
	Contents   *ContentsTest
}

// PythonTest imports modules.
type PythonTest struct {
	Imports  []string
	NoPip    bool     // "pip check" is not run after the imports
	Versions []string // version specs of the Pythons to test with, one after the other; empty is the solver's choice
}

// ContentsTest looks for files in the finished package.
type ContentsTest struct {
	Files, SitePackages, Bin, Lib, Include Contents
	Strict                                 bool // every file of the package must be named
}

// Contents are globs of files that must, or must not, be there.
type Contents struct{ Exists, NotExists []string }

// Empty tells whether nothing is looked for.
func (c Contents) Empty() bool { return len(c.Exists)+len(c.NotExists) == 0 }

// About describes the package to people.
type About struct {
	Home, Repository, Documentation string
	License, LicenseFamily          string
	LicenseFiles                    []string // globs, in the recipe folder or the work folder
	Summary, Description            string
	Other                           map[string]any // further keys that the format knows, as given
}
