package recipe

import (
	"index/suffixarray"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// Which variant keys a meta.yaml uses decides its hash and how often it is
// built. Conda-build looks for them in the text, line by line.

// usage finds keys in texts. It remembers what it found: most combinations have
// the same text.
type usage struct{ found map[string]uses }

// uses are the keys that a text uses, and the offset of a use.
type uses map[string]int

func newUsage() *usage { return &usage{found: map[string]uses{}} }

// place is what must stand before and behind a key where a line uses it.
type place struct {
	before, behind *regexp.Regexp
	dashed         bool // the key's _ may be written -
	word           bool // the key must be a word of its own
}

var (
	inSelector = []place{{
		before: regexp.MustCompile(`^[^#\[]*?#?\s\[(?:[^\]]*[^\]\w])?$`), behind: regexp.MustCompile(`^[=\s<>!\]]`),
	}}
	inLine = []place{
		{ // a template, or a pin to it
			before: regexp.MustCompile(`\{\s*(?:pin_[a-z]+\(\s*?['"])?$`), behind: regexp.MustCompile(`^(?:\W.*?)?\}\}`),
		},
		{ // a requirement without a version
			before: regexp.MustCompile(`^\s+-\s+$`), behind: regexp.MustCompile(`^\s*(?:\s[\[#]|$)`), dashed: true,
		},
		{ // a condition
			before: regexp.MustCompile(`(?:^|[^{])\{%\s*(?:el)?if\s*.*$`), behind: tagEnd,
		},
		{ // a loop
			before: regexp.MustCompile(`(?:^|[^{])\{%\s*for\s*.*\s*in\s*$`), behind: tagEnd, word: true,
		},
		{ // an assignment
			before: regexp.MustCompile(`(?:^|[^{])\{%\s*set\s*.*\s*=\s*.*$`), behind: tagEnd, word: true,
		},
	}
	tagEnd = regexp.MustCompile(`^[^%]*?%\}`)

	toolCall = regexp.MustCompile(`\{\s*(compiler|stdlib)\(['"]([^'"\n]*)["'][^{\n]*?\}`)
	cdtCall  = regexp.MustCompile(`\{\s*cdt\([^{\n]*?\}`)
)

// at tells whether line uses the key that stands from begin to end.
func (p place) at(line string, begin, end int, key string) bool {
	if !p.dashed && line[begin:end] != key {
		return false
	}
	if p.word && (isWord(line, begin-1) == isWord(line, begin) || isWord(line, end-1) == isWord(line, end)) {
		return false
	}
	return p.behind.MatchString(line[end:]) && p.before.MatchString(line[:begin])
}

// isWord tells whether a byte of s is a letter, digit or underscore.
func isWord(s string, i int) bool {
	if i < 0 || i >= len(s) {
		return false
	}
	c := s[i]
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// in returns the keys that text uses, in selectors alone or in everything else.
// Looking costs fuel; ok is false when there is none left.
func (u *usage) in(text string, keys []string, selectors bool, fuel *jinja.Budget) (found uses, ok bool) {
	id := text
	if selectors {
		id = "#" + text
	}
	if found, ok := u.found[id]; ok {
		return found, true
	}
	found = uses{}
	places := inLine
	if selectors {
		places = inSelector
	} else {
		found = inCalls(text, keys)
	}
	plain := strings.ReplaceAll(text, "-", "_")
	index := suffixarray.New([]byte(plain))
	for _, key := range keys {
		for _, offset := range index.Lookup([]byte(key), -1) {
			begin := strings.LastIndexByte(text[:offset], '\n') + 1
			line, _, _ := strings.Cut(text[begin:], "\n")
			if !fuel.Spend(1 + len(line)/scannedPerStep) {
				return nil, false
			}
			if slices.ContainsFunc(places, func(p place) bool { return p.at(line, offset-begin, offset-begin+len(key), key) }) {
				found[key] = offset
				break
			}
		}
		if offset, used := found[key]; used && slices.Contains([]string{"c_compiler", "cxx_compiler", "c_stdlib"}, key) && slices.Contains(keys, "CONDA_BUILD_SYSROOT") {
			found["CONDA_BUILD_SYSROOT"] = offset
		}
	}
	u.found[id] = found
	return found, true
}

// markIn adds the keys to a set.
func (u uses) markIn(set map[string]bool) {
	for key := range u {
		set[key] = true
	}
}

// scannedPerStep is how many bytes of a line are looked through for one step.
const scannedPerStep = 64

// inCalls are the keys that calls of compiler(), stdlib() and cdt() look for.
func inCalls(text string, keys []string) uses {
	called := uses{}
	for _, m := range toolCall.FindAllStringSubmatchIndex(text, -1) {
		called[text[m[4]:m[5]]+"_"+text[m[2]:m[3]]] = m[0]
	}
	if at := cdtCall.FindStringIndex(text); at != nil {
		called["cdt_name"], called["cdt_arch"] = at[0], at[0]
	}
	found := uses{}
	for _, key := range keys {
		if offset, ok := called[strings.TrimSuffix(key, "_version")]; ok {
			found[key] = offset
		}
	}
	return found
}

var shellWord = regexp.MustCompile(`^\{?\s*([^\s|}$]+)\s*[\s|}]`)

// inShell finds keys as variables of a shell script. As in conda-build, only a
// line's first dollar counts.
func inShell(text string, keys []string) map[string]bool {
	words := map[string]bool{}
	newLine := true
	for {
		before, behind, ok := strings.Cut(text, "$")
		if !ok {
			return among(keys, words)
		}
		newLine = newLine || strings.Contains(before, "\n")
		if m := shellWord.FindStringSubmatch(behind); m != nil && newLine {
			words[m[1]] = true
		}
		text, newLine = behind, false
	}
}

// inBatch finds keys as variables of a batch file.
func inBatch(text string, keys []string) map[string]bool {
	words := map[string]bool{}
	if parts := strings.Split(text, "%"); len(parts) > 2 {
		for _, word := range parts[1 : len(parts)-1] {
			words[word] = true
		}
	}
	return among(keys, words)
}

// among are the keys that are words.
func among(keys []string, words map[string]bool) map[string]bool {
	found := map[string]bool{}
	for _, key := range keys {
		if words[key] {
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
		r.usesIn(s.chosen(r.text, false), keys, true).markIn(used)
		r.usesIn(s.chosen(r.text, true), keys, false).markIn(used)
	} else {
		all := map[string]bool{}
		r.usesIn(s.searched(false), keys, true).markIn(all)
		r.usesIn(s.searched(true), keys, false).markIn(all)
		counts := r.counting(meta)
		required := r.usesIn(s.requirements(true), keys, false)
		for key := range all {
			if _, named := required[key]; !named || counts(key) {
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

// usesIn is usage.in; a text that takes too long is an error.
func (r *v0Recipe) usesIn(text string, keys []string, selectors bool) uses {
	found, ok := r.usage.in(text, keys, selectors, r.budget())
	if !ok {
		r.report.Fail(tree.Pos{File: r.file}, "write shorter lines, or give fewer variant keys", "it takes too long to find out which variant keys the recipe uses")
	}
	return found
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

// counting tells whether a key that only requirements name matters: not when
// only run has it, and for tools that leave no trace not when only build has it.
func (r *v0Recipe) counting(meta *tree.Node) func(key string) bool {
	lists := requirementLists(meta.Get("requirements"))
	names := func(section string) map[string]bool {
		all := map[string]bool{}
		for _, spec := range r.words(lists.Get(section)) {
			all[strings.ReplaceAll(firstWord(spec), "-", "_")] = true
		}
		return all
	}
	build, host, run := names("build"), names("host"), map[string]bool{}
	for _, spec := range r.words(lists.Get("run")) {
		run[spec] = true
	}
	return func(key string) bool {
		if run[key] {
			return build[key] || host[key]
		}
		return !build[key] || host[key] || !slices.Contains(r.space.IgnoreBuildOnlyDeps, key)
	}
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
