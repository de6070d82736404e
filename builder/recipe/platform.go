package recipe

import (
	"fmt"
	"slices"
	"strings"
)

// platform is a conda subdir, e.g. linux-64.
type platform struct {
	subdir string
	family string // linux, osx, win, …
	arch   string // x86_64, aarch64, …: what recipes call it
}

// The platforms of conda, and what recipes may ask about them. Every name is
// always defined, and true for its own platform only.
var (
	families = []string{"linux", "osx", "win", "freebsd", "zos", "emscripten", "wasi"}
	arches   = []string{
		"x86", "x86_64", "aarch64", "arm64", "armv6l", "armv7l", "ppc64", "ppc64le",
		"s390x", "riscv32", "riscv64", "loongarch64", "wasm32", "z",
	}
	wordSizes = []string{"linux32", "linux64", "osx64", "win32", "win64"}
)

// parsePlatform reads a subdir. 32 and 64 are conda's names for x86.
func parsePlatform(subdir string) (platform, error) {
	family, arch, found := strings.Cut(subdir, "-")
	switch arch {
	case "64":
		arch = "x86_64"
	case "32":
		arch = "x86"
	}
	if !found || !slices.Contains(families, family) || !slices.Contains(arches, arch) {
		return platform{}, fmt.Errorf("render for the platform %q: it is not one of conda's, such as linux-64, linux-aarch64 or win-64", subdir)
	}
	return platform{subdir, family, arch}, nil
}

// windows tells which shell, script names and suffixes apply.
func (p platform) windows() bool { return p.family == "win" }

// apple holds for macOS.
func (p platform) apple() bool { return p.family == "osx" }

// unix is what recipes mean by it: emscripten counts, wasi does not.
func (p platform) unix() bool {
	return slices.Contains([]string{"linux", "osx", "emscripten"}, p.family)
}

// flags are the booleans that conditions ask for.
func (p platform) flags() map[string]any {
	flags := map[string]any{"unix": p.unix()}
	for _, f := range families {
		flags[f] = f == p.family
	}
	for _, a := range arches {
		flags[a] = a == p.arch
	}
	for _, w := range wordSizes {
		size := "32"
		if p.arch != "x86" {
			size = "64"
		}
		// linux64 means x86: conda-build has it for linux-64 alone.
		flags[w] = w == p.family+size && strings.HasPrefix(p.arch, "x86")
	}
	return flags
}

// sharedLibraryExt is SHLIB_EXT of build scripts.
func (p platform) sharedLibraryExt() string {
	switch {
	case p.windows():
		return ".dll"
	case p.apple():
		return ".dylib"
	}
	return ".so"
}

// shellVariable writes a variable as the platform's shell names it. Values
// that exist only when a script runs reach it in this form.
func (p platform) shellVariable(name string) string {
	if p.windows() {
		return "%" + name + "%"
	}
	return "${" + name + "}"
}
