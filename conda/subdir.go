package conda

import (
	"fmt"
	"slices"
	"strings"
)

// subdirs are those that conda's tools know.
var subdirs = []string{
	"emscripten-wasm32", "freebsd-64",
	"linux-32", "linux-64", "linux-aarch64", "linux-armv6l", "linux-armv7l", "linux-ppc64", "linux-ppc64le",
	"linux-riscv64", "linux-s390x",
	"noarch", "osx-64", "osx-arm64", "wasi-wasm32", "win-32", "win-64", "win-arm64", "zos-z",
}

// Subdirs returns the subdirs that conda's tools know, e.g. linux-64 and noarch,
// in alphabetical order.
func Subdirs() []string { return slices.Clone(subdirs) }

// IsSubdir reports whether s is one of Subdirs.
func IsSubdir(s string) bool { return slices.Contains(subdirs, s) }

// CanBeSubdir reports whether s can be a subdir (CEP 26): noarch, or lower-case
// letters and digits on both sides of a hyphen, 32 characters at most. A studio
// may have one that is not among Subdirs.
func CanBeSubdir(s string) bool {
	system, machine, found := strings.Cut(s, "-")
	return s == "noarch" || found && len(s) <= 32 && isWord(system) && isWord(machine)
}

func isWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// subdirOf maps "GOOS/GOARCH".
var subdirOf = map[string]string{
	"linux/amd64": "linux-64", "linux/386": "linux-32", "linux/arm64": "linux-aarch64",
	"linux/ppc64": "linux-ppc64", "linux/ppc64le": "linux-ppc64le", "linux/riscv64": "linux-riscv64", "linux/s390x": "linux-s390x",
	"darwin/amd64": "osx-64", "darwin/arm64": "osx-arm64",
	"windows/amd64": "win-64", "windows/386": "win-32", "windows/arm64": "win-arm64",
	"freebsd/amd64": "freebsd-64",
}

// SubdirOf returns the subdir of a system in Go's words, e.g. linux-64 for
// linux and amd64.
func SubdirOf(goos, goarch string) (string, error) {
	if s, ok := subdirOf[goos+"/"+goarch]; ok {
		return s, nil
	}
	return "", fmt.Errorf("there are no conda packages for %s on %s: set the platform by hand, e.g. linux-64", goos, goarch)
}

// Platform returns index.json's "platform" of a subdir: linux, osx or win for
// the common ones. It is "" for noarch, where the key is null or absent.
func Platform(subdir string) string {
	platform, _, _ := strings.Cut(subdir, "-")
	if platform == "noarch" {
		return ""
	}
	return platform
}

// Arch returns index.json's "arch" of a subdir, e.g. x86_64 for linux-64, x86
// for win-32, aarch64 for linux-aarch64 and arm64 for osx-arm64. It is "" for
// noarch.
func Arch(subdir string) string {
	_, arch, _ := strings.Cut(subdir, "-")
	switch arch {
	case "64":
		return "x86_64"
	case "32":
		return "x86"
	}
	return arch
}
