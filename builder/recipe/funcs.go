package recipe

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/platform"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

var plainVersion = regexp.MustCompile(`^[A-Za-z0-9.]+$`)

// nativeCompilers are the compilers of a platform when no variant names one.
func nativeCompiler(p platform.Platform, language string) string {
	table := map[string]string{"c": "gcc", "cxx": "gxx", "fortran": "gfortran"}
	switch {
	case p.Windows():
		table = map[string]string{"c": "vs2022", "cxx": "vs2022", "fortran": "flang"}
	case p.Apple():
		table = map[string]string{"c": "clang", "cxx": "clangxx", "fortran": "gfortran"}
	case p.Family == "emscripten":
		table = map[string]string{"c": "emscripten", "cxx": "emscripten", "fortran": "emscripten"}
	}
	if name, ok := table[language]; ok {
		return name
	}
	return language
}

// tool is compiler() and stdlib(): the match spec of a language's tool.
func (j *job) tool(kind string) jinja.Func {
	return func(c jinja.Call) (any, error) {
		language, err := c.String(0, "language")
		if err != nil {
			return nil, err
		}
		j.use("CONDA_BUILD_SYSROOT")
		key := language + "_" + kind
		name, ok := j.use(key)
		switch {
		case ok:
		case kind == "compiler":
			name = nativeCompiler(j.platform, language)
		case j.format() == V0:
			name = language
		default:
			return nil, &jinja.Error{
				Text: fmt.Sprintf("stdlib(%q) needs the variant key %s, which is not set", language, key),
				Hint: fmt.Sprintf("set it in variants.yaml, e.g. %s: [sysroot]", key),
			}
		}
		spec := tree.ScalarText(name) + "_" + j.TargetPlatform
		version, ok := j.use(key + "_version")
		switch v := tree.ScalarText(version); {
		case !ok || v == "":
			return spec, nil
		case plainVersion.MatchString(v) && j.format() == V1:
			return spec + " =" + v, nil
		case j.format() == V0:
			return starred(spec + " " + v), nil
		default:
			return spec + " " + v, nil
		}
	}
}

// toolKeys are the variant keys that a function looks for.
func toolKeys(function, argument string) []string {
	switch function {
	case "compiler", "stdlib":
		key := argument + "_" + function
		return []string{key, key + "_version", "CONDA_BUILD_SYSROOT"}
	case "cdt":
		return []string{"cdt_name", "cdt_arch"}
	}
	return nil
}

// cdt is the name of a core dependency tree's package: system libraries of an
// old Linux, e.g. mesa-libgl-cos7-x86_64.
func (j *job) cdt() jinja.Func {
	return func(c jinja.Call) (any, error) {
		text, err := c.String(0, "package")
		if err != nil {
			return nil, err
		}
		arch := j.platform.Arch
		if arch == "x86" {
			arch = "i686"
		}
		distribution := "cos6"
		if slices.Contains([]string{"s390x", "aarch64", "ppc64le", "ppc64"}, arch) {
			distribution = "cos7"
		}
		if v, ok := j.use("cdt_name"); ok {
			distribution = tree.ScalarText(v)
		}
		if v, ok := j.use("cdt_arch"); ok {
			arch = tree.ScalarText(v)
		}
		name, version, _ := strings.Cut(strings.TrimSpace(text), " ")
		return strings.TrimSpace(name + "-" + distribution + "-" + arch + " " + strings.TrimSpace(version)), nil
	}
}

// lateNames are variables of a running script that templates may print.
var lateNames = []string{
	"PREFIX", "BUILD_PREFIX", "SRC_DIR", "RECIPE_DIR", "BUILD_DIR", "PYTHON", "PY_VER", "PY3K", "SP_DIR", "STDLIB_DIR",
	"PERL", "R", "LUA", "SCRIPTS", "LIBRARY_PREFIX", "LIBRARY_BIN", "LIBRARY_INC", "LIBRARY_LIB", "CPU_COUNT", "ARCH",
	"SUBDIR", "HOME", "CONDA_PREFIX", "STDLIB_DIR", "NPY_VER", "PIP_NO_BUILD_ISOLATION", "LD_RUN_PATH", "PKG_CONFIG_PATH",
}
