// Package virtual finds what a system itself offers to a solve: the virtual
// packages of CEP 30, such as __glibc 2.36.
package virtual

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/conda"
)

// System is where to look.
type System struct {
	Platform string            // of the machine, e.g. linux-64
	Root     fs.FS             // its file system
	Env      map[string]string // CONDA_OVERRIDE_GLIBC and the like replace what is found; "" hides it

	// Run returns what a command prints; nil runs none. Only nvidia-smi is asked.
	Run func(ctx context.Context, name string) ([]byte, error)
}

// oldestGlibc is what a package for another machine may count on: that of
// conda-forge's oldest systems.
const oldestGlibc = "2.17"

// Packages are the virtual packages of an environment for platform, e.g.
// linux-64. For another platform than the system's they are the least that every
// machine of that kind has.
func Packages(ctx context.Context, s System, platform string) []conda.Record {
	family, arch, _ := strings.Cut(platform, "-")
	here := platform == s.Platform
	var all []conda.Record
	add := func(name, version, build string) {
		if version != "" {
			all = append(all, conda.Record{Name: name, Version: version, Build: build})
		}
	}
	if family != "win" {
		add("__unix", "0", "0")
	}
	switch family {
	case "linux":
		add("__linux", s.override("LINUX", "0", here, s.kernel), "0")
		add("__glibc", s.override("GLIBC", oldestGlibc, here, s.glibc), "0")
	case "osx":
		add("__osx", s.override("OSX", oldestMac(arch), here, s.macOS), "0")
	case "win":
		add("__win", s.override("WIN", "0", false, nil), "0")
	}
	if build := s.override("ARCHSPEC", oldestArch(arch), here, func() string { return s.arch(arch) }); build != "" {
		add("__archspec", "1", build)
	}
	add("__cuda", s.override("CUDA", "", here, func() string { return s.cuda(ctx) }), "0")
	return all
}

// override is the user's value, or else what is found here, or the least there is.
func (s System) override(name, least string, here bool, find func() string) string {
	if v, ok := s.Env["CONDA_OVERRIDE_"+name]; ok {
		return strings.TrimSpace(v)
	}
	if !here || find == nil {
		return least
	}
	return find()
}

var (
	kernelVersion = regexp.MustCompile(`^\d+\.\d+(?:\.\d+){0,2}`)
	glibcVersion  = regexp.MustCompile(`GNU C Library[^\n\x00]* version (\d+\.\d+)`)
	macVersion    = regexp.MustCompile(`<key>ProductVersion</key>\s*<string>([\d.]+)</string>`)
	cudaVersion   = regexp.MustCompile(`CUDA Version:\s*(\d+\.\d+)`)
	cpuFlags      = regexp.MustCompile(`(?m)^flags\s*:(.*)$`)
)

// kernel is Linux's version, e.g. 6.1.0 of 6.1.0-18-amd64.
func (s System) kernel() string {
	text, err := fs.ReadFile(s.Root, "proc/sys/kernel/osrelease")
	if v := kernelVersion.Find(text); err == nil && v != nil {
		return string(v)
	}
	return "0"
}

// glibc is the C library's version as it says in its own file; "" on a system
// that has another one.
func (s System) glibc() string {
	for _, pattern := range []string{"lib64/libc.so.6", "lib/*-linux-gnu*/libc.so.6", "usr/lib64/libc.so.6", "usr/lib/*-linux-gnu*/libc.so.6", "lib/libc.so.6", "usr/lib/libc.so.6"} {
		files, err := fs.Glob(s.Root, pattern)
		if err != nil {
			continue
		}
		for _, file := range files {
			if v := s.find(file, glibcVersion); v != "" {
				return v
			}
		}
	}
	return ""
}

// find is the first group of rule in a file of no more than a few megabytes, of which
// it holds a part at a time: what rule fits is shorter than half of that.
func (s System) find(file string, rule *regexp.Regexp) string {
	f, err := s.Root.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // it was only read
	const part = 64 << 10
	text, r := make([]byte, 0, 2*part), io.LimitReader(f, 16<<20)
	for {
		n, err := io.ReadFull(r, text[len(text):len(text)+part])
		text = text[:len(text)+n]
		if m := rule.FindSubmatch(text); m != nil {
			return string(m[1])
		}
		if err != nil {
			return ""
		}
		text = text[:copy(text, text[max(0, len(text)-part):])]
	}
}

func (s System) macOS() string {
	return s.find("System/Library/CoreServices/SystemVersion.plist", macVersion)
}

// cuda is the newest CUDA that the graphics driver can run, "" without one.
func (s System) cuda(ctx context.Context) string {
	if s.Run == nil {
		return ""
	}
	text, err := s.Run(ctx, "nvidia-smi")
	if m := cudaVersion.FindSubmatch(text); err == nil && m != nil {
		return string(m[1])
	}
	return ""
}

// oldestMac is conda-forge's oldest macOS.
func oldestMac(arch string) string {
	if arch == "arm64" {
		return "11.0"
	}
	return "10.13"
}

// oldestArch is archspec's name of what every machine of an architecture is.
func oldestArch(arch string) string {
	names := map[string]string{"64": "x86_64", "32": "x86", "arm64": "m1"}
	if name, ok := names[arch]; ok {
		return name
	}
	return arch
}

// levels of x86-64, highest first, with the processor flags that each adds (the
// psABI's table, in Linux's spelling).
var levels = []struct {
	name  string
	flags []string
}{
	{"x86_64_v4", []string{"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}},
	{"x86_64_v3", []string{"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}},
	{"x86_64_v2", []string{"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"}},
}

// arch is archspec's name of the processor's level.
func (s System) arch(arch string) string {
	least := oldestArch(arch)
	text, err := fs.ReadFile(s.Root, "proc/cpuinfo")
	m := cpuFlags.FindSubmatch(text)
	if arch != "64" || err != nil || m == nil {
		return least
	}
	var flags []string
	for flag := range bytes.FieldsSeq(m[1]) {
		flags = append(flags, string(flag))
	}
	for i := range levels {
		if slices.IndexFunc(levels[i:], func(l struct {
			name  string
			flags []string
		},
		) bool {
			return slices.ContainsFunc(l.flags, func(f string) bool { return !slices.Contains(flags, f) })
		}) < 0 {
			return levels[i].name
		}
	}
	return least
}
