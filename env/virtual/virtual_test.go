package virtual

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	v2 = "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3"
	v3 = v2 + " avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"
	v4 = v3 + " avx512f avx512bw avx512cd avx512dq avx512vl"
)

func linux(flags string) fstest.MapFS {
	return fstest.MapFS{
		"proc/sys/kernel/osrelease":       {Data: []byte("6.1.0-18-amd64\n")},
		"proc/cpuinfo":                    {Data: []byte("processor\t: 0\nflags\t\t: fpu " + flags + "\n\nprocessor\t: 1\n")},
		"lib/x86_64-linux-gnu/libc.so.6":  {Data: []byte("\x7fELF\x00GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\nCopyright\x00")},
		"lib/aarch64-linux-gnu/libc.so.6": {Data: []byte("\x7fELF")},
	}
}

func TestPackages(t *testing.T) {
	smi := func(_ context.Context, name string) ([]byte, error) {
		return []byte("| NVIDIA-SMI 550.54   Driver Version: 550.54   CUDA Version: 12.4 |"), nil
	}
	none := func(context.Context, string) ([]byte, error) { return nil, errors.New("not found") }
	mac := fstest.MapFS{"System/Library/CoreServices/SystemVersion.plist": {Data: []byte("<key>ProductVersion</key>\n\t<string>14.5</string>")}}
	for _, tt := range []struct {
		name     string
		s        System
		platform string
		want     string
	}{
		{"linux", System{Platform: "linux-64", Root: linux(v3), Run: smi}, "linux-64", "__unix=0=0 __linux=6.1.0=0 __glibc=2.36=0 __archspec=1=x86_64_v3 __cuda=12.4=0"},
		{"newer processor", System{Platform: "linux-64", Root: linux(v4), Run: none}, "linux-64", "__unix=0=0 __linux=6.1.0=0 __glibc=2.36=0 __archspec=1=x86_64_v4"},
		{"older processor", System{Platform: "linux-64", Root: linux(v2)}, "linux-64", "__unix=0=0 __linux=6.1.0=0 __glibc=2.36=0 __archspec=1=x86_64_v2"},
		{"oldest processor", System{Platform: "linux-64", Root: linux("avx2")}, "linux-64", "__unix=0=0 __linux=6.1.0=0 __glibc=2.36=0 __archspec=1=x86_64"},
		{"no glibc, no /proc", System{Platform: "linux-64", Root: fstest.MapFS{}}, "linux-64", "__unix=0=0 __linux=0=0 __archspec=1=x86_64"},
		{"another machine", System{Platform: "linux-64", Root: linux(v3), Run: smi}, "linux-aarch64", "__unix=0=0 __linux=0=0 __glibc=2.17=0 __archspec=1=aarch64"},
		{"mac", System{Platform: "osx-arm64", Root: mac}, "osx-arm64", "__unix=0=0 __osx=14.5=0 __archspec=1=m1"},
		{"another mac", System{Platform: "linux-64", Root: linux(v3)}, "osx-64", "__unix=0=0 __osx=10.13=0 __archspec=1=x86_64"},
		{"windows", System{Platform: "linux-64", Root: linux(v3)}, "win-64", "__win=0=0 __archspec=1=x86_64"},
		{
			"overridden",
			System{Platform: "linux-64", Root: linux(v3), Run: smi, Env: map[string]string{
				"CONDA_OVERRIDE_GLIBC": "2.28", "CONDA_OVERRIDE_CUDA": "", "CONDA_OVERRIDE_LINUX": "5.4", "CONDA_OVERRIDE_ARCHSPEC": "zen3",
			}},
			"linux-64", "__unix=0=0 __linux=5.4=0 __glibc=2.28=0 __archspec=1=zen3",
		},
		{"hidden", System{Platform: "linux-64", Root: linux(v3), Env: map[string]string{"CONDA_OVERRIDE_GLIBC": "", "CONDA_OVERRIDE_ARCHSPEC": ""}}, "linux-64", "__unix=0=0 __linux=6.1.0=0"},
		{"cuda of another machine", System{Platform: "osx-64", Root: mac, Env: map[string]string{"CONDA_OVERRIDE_CUDA": "12.1"}}, "linux-64", "__unix=0=0 __linux=0=0 __glibc=2.17=0 __archspec=1=x86_64 __cuda=12.1=0"},
	} {
		var got []string
		for _, r := range Packages(t.Context(), tt.s, tt.platform) {
			got = append(got, fmt.Sprintf("%s=%s=%s", r.Name, r.Version, r.Build))
		}
		if all := strings.Join(got, " "); all != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, all, tt.want)
		}
	}
}

// On a real Linux with glibc its version is found in its own file.
func TestThisSystem(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the files are Linux's")
	}
	found := map[string]string{}
	for _, r := range Packages(t.Context(), System{Platform: "linux-64", Root: os.DirFS("/")}, "linux-64") {
		found[r.Name] = r.Version
	}
	if !strings.Contains(found["__linux"], ".") {
		t.Errorf("no kernel: %v", found)
	}
	if _, err := os.Stat("/lib64/ld-linux-x86-64.so.2"); err == nil && !strings.HasPrefix(found["__glibc"], "2.") {
		t.Errorf("no glibc: %v", found)
	}
}

// A version is found wherever it lies in a large file.
func TestFindInALargeFile(t *testing.T) {
	const text = "GNU C Library (GNU libc) stable release version 2.99."
	for _, before := range []int{0, 64<<10 - 20, 64 << 10, 128<<10 - 1, 1 << 20} {
		file := fstest.MapFS{"lib64/libc.so.6": {Data: []byte(strings.Repeat("x", before) + text + strings.Repeat("y", 1<<20))}}
		if got := (System{Root: file}).glibc(); got != "2.99" {
			t.Errorf("behind %d bytes: %q", before, got)
		}
	}
}
