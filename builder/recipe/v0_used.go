package recipe

import (
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// Which variant keys a meta.yaml uses decides its hash and how often it is
// built. Conda-build looks for them in the text, line by line.

// usage finds keys in texts. It remembers what it found: most combinations have
// the same text.
type usage struct {
	rules map[string]keyRules
	found map[string]map[string]bool
}

// keyRules are the patterns of one key's uses in a line.
type keyRules struct{ selector, any *regexp.Regexp }

func newUsage() *usage {
	return &usage{rules: map[string]keyRules{}, found: map[string]map[string]bool{}}
}

// toolKey is a key of compiler() or stdlib().
var toolKey = regexp.MustCompile(`^(.*?)_(compiler|stdlib)(?:_version)?$`)

// of returns the patterns of a key.
func (u *usage) of(key string) keyRules {
	if rules, ok := u.rules[key]; ok {
		return rules
	}
	quoted := regexp.QuoteMeta(key)
	dashed := strings.ReplaceAll(quoted, "_", "[-_]")
	word := `\b` + quoted + `\b`
	patterns := []string{
		`\{\s*(?:pin_[a-z]+\(\s*?['"])?` + quoted + `(?:\W.*?)?\}\}`, // a template, or a pin to it
		`^\s+-\s+` + dashed + `\s*(?:\s[\[#]|$)`,                     // a requirement without a version
		`(?:^|[^{])\{%\s*(?:el)?if\s*.*` + quoted + `[^%]*?%\}`,      // a condition
		`(?:^|[^{])\{%\s*for\s*.*\s*in\s*` + word + `[^%]*?%\}`,      // a loop
		`(?:^|[^{])\{%\s*set\s*.*\s*=\s*.*` + word + `[^%]*?%\}`,     // an assignment
	}
	if m := toolKey.FindStringSubmatch(key); m != nil {
		patterns = append(patterns, `\{\s*`+m[2]+`\(['"]`+regexp.QuoteMeta(m[1])+`["'][^{]*?\}`)
	}
	if key == "cdt_name" || key == "cdt_arch" {
		patterns = append(patterns, `\{\s*cdt\([^{]*?\}`)
	}
	rules := keyRules{
		selector: regexp.MustCompile(`^[^#\[]*?#?\s\[(?:[^\]]*[^\]\w])?` + quoted + `[=\s<>!\]]`),
		any:      regexp.MustCompile(strings.Join(patterns, "|")),
	}
	u.rules[key] = rules
	return rules
}

// words are texts without which a line cannot use a key.
func (u *usage) words(key string, selectors bool) []string {
	words := []string{key}
	if m := toolKey.FindStringSubmatch(key); m != nil && !selectors {
		words = append(words, m[1])
	}
	if strings.HasPrefix(key, "cdt_") && !selectors {
		words = append(words, "cdt")
	}
	return words
}

// in returns the keys that text uses, in selectors alone or in everything else.
func (u *usage) in(text string, keys []string, selectors bool) map[string]bool {
	id := text
	if selectors {
		id = "#" + text
	}
	if found, ok := u.found[id]; ok {
		return found
	}
	found := map[string]bool{}
	plain := strings.ReplaceAll(text, "-", "_")
	lines := strings.Split(text, "\n")
	for _, key := range keys {
		words := u.words(key, selectors)
		if !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(plain, w) }) || !u.used(key, lines, words, selectors) {
			continue
		}
		found[key] = true
		if slices.Contains([]string{"c_compiler", "cxx_compiler", "c_stdlib"}, key) && slices.Contains(keys, "CONDA_BUILD_SYSROOT") {
			found["CONDA_BUILD_SYSROOT"] = true
		}
	}
	u.found[id] = found
	return found
}

// used tells whether a line uses a key.
func (u *usage) used(key string, lines, words []string, selectors bool) bool {
	rules := u.of(key)
	for _, line := range lines {
		plain := strings.ReplaceAll(line, "-", "_")
		if !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(plain, w) }) {
			continue
		}
		if selectors && rules.selector.MatchString(line) || !selectors && rules.any.MatchString(line) {
			return true
		}
	}
	return false
}

// inShell finds keys as variables of a shell script. As in conda-build, only what
// stands before a text's second dollar can be found at each of its places.
func inShell(text string, keys []string) map[string]bool {
	found := map[string]bool{}
	for _, key := range keys {
		if !strings.Contains(text, key) {
			continue
		}
		rule := regexp.MustCompile(`(?ms)^[^$]*?\$\{?\s*` + regexp.QuoteMeta(key) + `\s*[\s|}]`)
		if rule.MatchString(text) {
			found[key] = true
		}
	}
	return found
}

// inBatch finds keys as variables of a batch file.
func inBatch(text string, keys []string) map[string]bool {
	found := map[string]bool{}
	for _, key := range keys {
		if strings.Contains(text, "%"+key+"%") {
			found[key] = true
		}
	}
	return found
}

// usedKeys are the variant keys that an output uses. anywhere looks in the whole
// recipe, as conda-build does to find out how often outputs are to be built.
func (r *v0Recipe) usedKeys(s v0Slices, meta *tree.Node, script string, anywhere bool) map[string]bool {
	keys := variantKeys(r.variant)
	used := map[string]bool{}
	if anywhere {
		maps.Copy(used, r.usage.in(s.chosen(r.text, false), keys, true))
		maps.Copy(used, r.usage.in(s.chosen(r.text, true), keys, false))
	} else {
		all := map[string]bool{}
		maps.Copy(all, r.usage.in(s.searched(false), keys, true))
		maps.Copy(all, r.usage.in(s.searched(true), keys, false))
		required := r.usage.in(s.requirements(true), keys, false)
		for key := range all {
			if !required[key] || r.counts(key, meta) {
				used[key] = true
			}
		}
	}
	maps.Copy(used, r.inScripts(s, script, keys))
	build := meta.Get("build")
	if !v0Noarch(build) {
		used["target_platform"] = true
	}
	if _, ok := r.variant["channel_targets"]; ok {
		used["channel_targets"] = true
	}
	for _, key := range r.words(build.Get("force_ignore_keys")) {
		delete(used, key)
	}
	for _, key := range r.words(build.Get("force_use_keys")) {
		if _, ok := r.variant[key]; ok {
			used[key] = true
		}
	}
	return used
}

// v0Noarch tells whether the package is for all platforms.
func v0Noarch(build *tree.Node) bool {
	for _, key := range []string{"noarch", "noarch_python"} {
		if v := build.Get(key); v != nil && !v.Idle() {
			return true
		}
	}
	return false
}

// counts tells whether a key that only requirements name matters: not when only
// run has it, and for tools that leave no trace not when only build has it.
func (r *v0Recipe) counts(key string, meta *tree.Node) bool {
	names := func(section string) []string {
		var all []string
		for _, spec := range r.words(requirementLists(meta.Get("requirements")).Get(section)) {
			all = append(all, strings.ReplaceAll(firstWord(spec), "-", "_"))
		}
		return all
	}
	build, host := slices.Contains(names("build"), key), slices.Contains(names("host"), key)
	if slices.Contains(r.words(requirementLists(meta.Get("requirements")).Get("run")), key) {
		return build || host
	}
	return !build || host || !slices.Contains(r.space.IgnoreBuildOnlyDeps, key)
}

// inScripts are the keys that scripts in the recipe's folder use.
func (r *v0Recipe) inScripts(s v0Slices, script string, keys []string) map[string]bool {
	used := map[string]bool{}
	files := []string{"build.sh"}
	if r.platform.Windows() {
		files = append(files, "bld.bat")
	}
	if s.isOutput() {
		files = nil
		if script != "" {
			files = []string{script}
		}
	}
	for _, file := range files {
		text, err := fs.ReadFile(r.fsys, path.Clean(file))
		if err != nil {
			continue
		}
		if path.Ext(file) == ".bat" {
			maps.Copy(used, inBatch(string(text), keys))
		} else if path.Ext(file) == ".sh" {
			maps.Copy(used, inShell(string(text), keys))
		}
	}
	return used
}

// words are the texts of a list, unchecked.
func (r *v0Recipe) words(n *tree.Node) []string {
	var all []string
	for _, item := range n.All() {
		if s := item.Scalar(); s != "" {
			all = append(all, s)
		}
	}
	return all
}
