package builder

import (
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe"
	"github.com/condaworker/condaworker/conda"
)

// systemPath is the PATH behind the prefixes' own folders. The caller's is not
// used: in a render job it begins with the job's own environment.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// passed are the caller's variables that reach a script unasked: what a
// download behind a proxy needs.
var passed = []string{
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
}

// environ is the complete environment of the build script, as conda-build and
// recipe.yaml builders set it up; README.md lists it. It is built from this
// table, never filtered from the caller's.
func (b *build) environ() (map[string]string, error) {
	vars := b.commonEnviron(b.dirs.prefix, b.dirs.work)
	maps.Copy(vars, map[string]string{
		"BUILD_PREFIX":      b.dirs.buildPrefix,
		"BUILD_DIR":         filepath.Dir(b.dirs.work),
		"CONDA_BUILD_STATE": "BUILD",
		"RECIPE_DIR":        b.Dir,
		"SOURCE_DATE_EPOCH": strconv.FormatInt(b.packageTime().Unix(), 10),
		"PATH":              searchPath(b.dirs.buildPrefix, b.dirs.prefix),
		"LD_RUN_PATH":       filepath.Join(b.dirs.prefix, "lib"),
		"PKG_CONFIG_PATH":   filepath.Join(b.dirs.prefix, "lib", "pkgconfig"),
		"CMAKE_GENERATOR":   "Unix Makefiles",

		// A script that runs pip gets the packages of the recipe, not of the net.
		"PIP_NO_BUILD_ISOLATION": "False",
		"PIP_NO_DEPENDENCIES":    "True",
		"PIP_IGNORE_INSTALLED":   "True",
		"PIP_NO_INDEX":           "True",
		"PIP_CACHE_DIR":          b.dirs.pipCache,
	})
	return vars, b.addScriptEnv(vars, b.out.Script)
}

// testEnviron is the complete environment of a test.
func (b *build) testEnviron(t recipe.Test) (map[string]string, error) {
	vars := b.commonEnviron(b.dirs.testPrefix, b.dirs.testWork)
	maps.Copy(vars, map[string]string{
		"CONDA_BUILD_STATE": "TEST",
		"RECIPE_DIR":        b.dirs.testWork, // a test sees its own files only
		"PATH":              searchPath(b.dirs.testPrefix),
		"HOME":              b.dirs.testHome,
		"TMPDIR":            b.dirs.testTmp,
	})
	if len(t.Build) > 0 {
		vars["BUILD_PREFIX"], vars["PATH"] = b.dirs.testTools, searchPath(b.dirs.testTools, b.dirs.testPrefix)
	}
	return vars, b.addScriptEnv(vars, t.Script)
}

// commonEnviron is what scripts and tests have in common. A variant's key
// becomes a variable, but for the names of languages, which are programs to a
// shell.
func (b *build) commonEnviron(prefix, src string) map[string]string {
	family, arch, _ := strings.Cut(b.Platform, "-")
	vars := map[string]string{
		"PREFIX": prefix, "CONDA_PREFIX": prefix, "CONDA_DEFAULT_ENV": prefix,
		"SRC_DIR": src, "HOME": b.dirs.home, "TMPDIR": b.dirs.tmp,

		"PKG_NAME": b.out.Name, "PKG_VERSION": b.out.Version,
		"PKG_BUILDNUM": strconv.Itoa(b.out.BuildNumber), "PKG_BUILD_STRING": b.out.BuildString,
		"PKG_HASH": b.out.Hash,

		"CONDA_BUILD": "1", "CONDA_BUILD_CROSS_COMPILATION": "0", "CONDA_SHLVL": "1",
		"ARCH": arch, "SUBDIR": b.out.Subdir, "SHLIB_EXT": sharedLibraryExt(family),
		"target_platform": b.Platform, "build_platform": b.Platform, "host_platform": b.Platform,
		"CPU_COUNT": strconv.Itoa(runtime.GOMAXPROCS(0)), // knows affinity and the cgroup's quota

		"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TERM": "dumb", "USER": "condaworker", "SHELL": "/bin/bash",
		"PYTHONNOUSERSITE": "1",
	}
	for key, value := range b.out.Variant {
		if _, taken := vars[key]; !taken && !slices.Contains([]string{"perl", "lua", "r", "numpy", "python"}, strings.ToLower(key)) {
			vars[key] = fmt.Sprint(value)
		}
	}
	for _, key := range passed {
		if value := b.CallerEnv[key]; value != "" {
			vars[key] = value
		}
	}
	return vars
}

// addScriptEnv adds what the recipe itself sets, and the caller's variables
// that it names. A variable that could carry the farm's credentials is never
// handed on, whatever the recipe asks.
func (b *build) addScriptEnv(vars map[string]string, s recipe.Script) error {
	own := slices.Sorted(maps.Keys(s.Env))
	for _, name := range slices.Concat(s.PassEnv, s.Secrets, own) {
		if private(name) {
			return fmt.Errorf("the recipe asks for the variable %s: AWS_* and DEADLINE_* are not handed to scripts; remove it from the recipe", name)
		}
	}
	for _, name := range slices.Concat(s.PassEnv, s.Secrets) {
		value, set := b.CallerEnv[name]
		if !set {
			b.Warn(fmt.Sprintf("the recipe asks for the variable %s, which is not set", name))
			continue
		}
		vars[name] = value
		if slices.Contains(s.Secrets, name) {
			b.Redact(value)
		}
	}
	maps.Copy(vars, s.Env)
	return nil
}

// private tells whether a variable may carry the farm's credentials.
func private(name string) bool {
	return strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "DEADLINE_")
}

// public is the part of the caller's environment that templates may read: what
// they print ends up in the script and in the package.
func public(env map[string]string) map[string]string {
	env = maps.Clone(env)
	maps.DeleteFunc(env, func(name, _ string) bool { return private(name) })
	return env
}

// searchPath puts the prefixes' programs before the system's. Merged prefixes
// count once.
func searchPath(prefixes ...string) string {
	var dirs []string
	for _, p := range slices.Compact(prefixes) {
		dirs = append(dirs, filepath.Join(p, "bin"))
	}
	return strings.Join(append(dirs, systemPath), ":")
}

// sharedLibraryExt is SHLIB_EXT for a platform's family, e.g. linux.
func sharedLibraryExt(family string) string {
	switch family {
	case "osx":
		return ".dylib"
	case "win":
		return ".dll"
	}
	return ".so"
}

// environList is vars as a process takes them, sorted.
func environList(vars map[string]string) []string {
	list := make([]string, 0, len(vars))
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		list = append(list, name+"="+vars[name])
	}
	return list
}

// HostPlatform is the platform that this program runs on, e.g. linux-64.
func HostPlatform() (string, error) { return conda.SubdirOf(runtime.GOOS, runtime.GOARCH) }
