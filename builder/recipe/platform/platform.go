// Package platform knows conda's platforms (subdirs such as linux-64) and what
// recipes and variant files may ask about them.
package platform

import (
	"fmt"
	"slices"
	"strings"
)

// Platform is a conda subdir, e.g. linux-64.
type Platform struct {
	Subdir string // e.g. linux-64
	Family string // linux, osx, win, …
	Arch   string // x86_64, aarch64, …: what recipes call it
}

// The platforms of conda, and what recipes may ask about them. Every name is
// always defined, and true for its own platform only.
var (
	families = []string{"linux", "osx", "win", "freebsd", "zos", "emscripten", "wasi", "ios", "android"}
	arches   = []string{
		"x86", "x86_64", "aarch64", "arm64", "armv6l", "armv7l", "ppc64", "ppc64le",
		"s390x", "riscv32", "riscv64", "loongarch64", "wasm32", "z",
	}
	wordSizes = []string{"linux32", "linux64", "osx64", "win32", "win64"}
)

// Parse reads a subdir. 32 and 64 are conda's names for x86.
func Parse(subdir string) (Platform, error) {
	family, arch, found := strings.Cut(subdir, "-")
	switch arch {
	case "64":
		arch = "x86_64"
	case "32":
		arch = "x86"
	}
	if !found || !slices.Contains(families, family) || !slices.Contains(arches, arch) {
		return Platform{}, fmt.Errorf("the platform %q is not one of conda's, such as linux-64, linux-aarch64 or win-64", subdir)
	}
	return Platform{subdir, family, arch}, nil
}

// Windows tells which shell, script names and suffixes apply.
func (p Platform) Windows() bool { return p.Family == "win" }

// Apple holds for macOS.
func (p Platform) Apple() bool { return p.Family == "osx" }

// Unix is what recipes mean by it: emscripten counts, wasi does not.
func (p Platform) Unix() bool {
	return slices.Contains([]string{"linux", "osx", "emscripten", "ios", "android", "freebsd"}, p.Family)
}

// Flags are the booleans that conditions ask for.
func (p Platform) Flags() map[string]any {
	flags := map[string]any{"unix": p.Unix()}
	for _, f := range families {
		flags[f] = f == p.Family
	}
	for _, a := range arches {
		flags[a] = a == p.Arch
	}
	for _, w := range wordSizes {
		size := "32"
		if p.Arch != "x86" {
			size = "64"
		}
		// linux64 means x86: conda-build has it for linux-64 alone.
		flags[w] = w == p.Family+size && strings.HasPrefix(p.Arch, "x86")
	}
	return flags
}

// SharedLibraryExt is SHLIB_EXT of build scripts.
func (p Platform) SharedLibraryExt() string {
	switch {
	case p.Windows():
		return ".dll"
	case p.Apple():
		return ".dylib"
	}
	return ".so"
}

// ShellVariable writes a variable as the platform's shell names it. Values
// that exist only when a script runs reach it in this form.
func (p Platform) ShellVariable(name string) string {
	if p.Windows() {
		return "%" + name + "%"
	}
	return "${" + name + "}"
}
