package recipe

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// hashPlaceholder stands for PKG_HASH until the hash is known.
const hashPlaceholder = "\ue000PKG_HASH\ue000"

// A variable of the script is a mark until the text has been read as YAML,
// which does not take %PYTHON% at the beginning of a value.
var lateRule = regexp.MustCompile("\ue001(\\w+)\ue002")

func lateMark(name string) jinja.Late { return jinja.Late(lateMarkText(name)) }

func lateMarkText(name string) string { return "\ue001" + name + "\ue002" }

// late is the value of a script's variable.
func (r *v0Recipe) late(name string) (any, bool) {
	return lateMark(name), slices.Contains(lateNames, name)
}

// shellText replaces the marks in s.
func (r *v0Recipe) shellText(s string) string {
	return lateRule.ReplaceAllStringFunc(s, func(mark string) string {
		return r.platform.ShellVariable(lateRule.FindStringSubmatch(mark)[1])
	})
}

// languageVersion is the variant's version of a language.
func (r *v0Recipe) languageVersion(language string) string {
	return tree.ScalarText(r.variant[language])
}

// selectorNames are the names of selectors, which templates see too.
func (r *v0Recipe) selectorNames() map[string]any {
	if r.selectors != nil {
		return r.selectors
	}
	names := maps.Clone(r.platform.Flags())
	names["x86"] = strings.HasPrefix(r.platform.Arch, "x86") // of both sizes
	names["arm"] = strings.HasPrefix(r.platform.Arch, "arm")
	names["build_platform"] = r.BuildPlatform
	names["target_platform"] = r.TargetPlatform
	names["nomkl"] = r.Env["FEATURE_NOMKL"] == "1"
	py := versionNumber(r.languageVersion("python"))
	names["py"], names["py3k"], names["py2k"] = py, py >= 30, py < 30
	for _, old := range []int64{26, 27, 33, 34, 35, 36} {
		names["py"+strconv.FormatInt(old, 10)] = py == old
	}
	names["np"] = versionNumber(r.languageVersion("numpy"))
	names["pl"], names["lua"] = r.languageVersion("perl"), r.languageVersion("lua")
	names["luajit"] = strings.HasPrefix(r.languageVersion("lua"), "2")
	r.selectors = names
	return names
}

// languageName is a variable of build scripts that tells a language's version,
// which the variant knows.
func (r *v0Recipe) languageName(name string) (any, bool) {
	language, compact := languageVariables[name], strings.HasPrefix(name, "CONDA_")
	if language == "" {
		return nil, false
	}
	version := firstWord(r.languageVersion(language))
	version = strings.TrimSuffix(version, ".*")
	switch parts := strings.Split(version, "."); {
	case name == "PY3K":
		return map[bool]string{true: "1", false: "0"}[parts[0] == "3"], true
	case compact && (language == "python" || language == "numpy"):
		return strings.Join(parts[:min(2, len(parts))], ""), true
	case language == "python" || language == "numpy":
		return strings.Join(parts[:min(2, len(parts))], "."), true
	}
	return version, true
}

// languageVariables are those variables, with their variant keys.
var languageVariables = map[string]string{
	"PY_VER": "python", "CONDA_PY": "python", "PY3K": "python", "NPY_VER": "numpy", "CONDA_NPY": "numpy",
	"PERL_VER": "perl", "CONDA_PERL": "perl", "LUA_VER": "lua", "CONDA_LUA": "lua", "R_VER": "r_base", "CONDA_R": "r_base",
}

// versionNumber is 3.11 to 311.
func versionNumber(v string) int64 {
	n, err := strconv.ParseInt(compactVersion(v, 2), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// environ is what the caller lets a recipe see. Templates may also print the
// script's variables; a selector decides now and cannot.
func (r *v0Recipe) environ(script bool) *jinja.Dict {
	d := jinja.NewDict()
	if script {
		for _, name := range lateNames {
			v, _ := r.late(name)
			d.Set(name, v)
		}
		for _, name := range slices.Sorted(maps.Keys(r.pkg)) {
			d.Set(name, r.pkg[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Env)) {
		if _, taken := d.Get(name); !taken {
			d.Set(name, r.Env[name])
		}
	}
	return d
}

// system objects of both, by name.
func (r *v0Recipe) systemName(name string, script bool) (any, bool) {
	switch name {
	case "environ":
		return r.environ(script), true
	case "os":
		return jinja.OSOf(r.environ(script), r.platform.Windows()), true
	}
	return nil, false
}

// lookupSelector finds a name of a selector. One that nothing defines is false
// there: recipes select by names of other tools.
func (r *v0Recipe) lookupSelector(name string) (any, bool) {
	if v, ok := r.systemName(name, false); ok {
		return v, true
	}
	if v, ok := r.selectorNames()[name]; ok {
		return v, true
	}
	if v, ok := r.Env[name]; ok {
		return v, true
	}
	v, ok := r.use(name)
	if !ok {
		return false, true
	}
	text := tree.ScalarText(v)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	if strings.EqualFold(text, "true") || strings.EqualFold(text, "false") {
		return strings.EqualFold(text, "true"), true
	}
	return v, true
}

// lookup finds a name of a template: the recipe's own facts first, the caller's
// environment last.
func (r *v0Recipe) lookup(name string) (any, bool) {
	if v, ok := r.pkg[name]; ok {
		return v, true
	}
	if v, ok := r.languageName(name); ok {
		return v, true
	}
	if v, ok := r.systemName(name, true); ok {
		return v, true
	}
	if v, ok := r.selectorNames()[name]; ok {
		return v, true
	}
	if v, ok := r.use(name); ok {
		return v, true
	}
	if fn, ok := r.functions()[name]; ok {
		return fn, true
	}
	if name == "CONDA_BUILD_STATE" {
		return "RENDER", true
	}
	if v, ok := r.late(name); ok {
		return v, ok
	}
	v, ok := r.Env[name]
	return v, ok
}

func (r *v0Recipe) scope(missed func(*jinja.Error)) jinja.Scope {
	return jinja.Scope{
		Lookup: r.lookup, Lenient: true, Missed: missed, Load: r.loadInclude, Budget: r.budget(),
		Known: func() []string {
			return slices.Concat(slices.Sorted(maps.Keys(r.variant)), slices.Sorted(maps.Keys(r.selectorNames())),
				lateNames, packageVariables, []string{"compiler", "stdlib", "environ"})
		},
	}
}

// packageVariables are known only when the recipe has been read once.
var packageVariables = []string{"PKG_NAME", "PKG_VERSION", "PKG_BUILDNUM", "PKG_BUILD_STRING", "PKG_HASH"}

// v0Typed is conda-build's reading of a plain scalar: numbers stay text,
// booleans are YAML 1.1's.
func v0Typed(_, text string) any {
	switch strings.ToLower(text) {
	case "true", "yes", "on":
		return true
	case "false", "no", "off":
		return false
	case "", "~", "null":
		return nil
	}
	return text
}
