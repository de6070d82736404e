package recipe

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
)

// use is what becomes of a key.
type use int

const (
	honoured use = iota
	harmless     // has no effect here, and none is missed
	later        // known to the format, without effect in this version: a warning
	refused      // as later, but without it the package would be another one: an error
)

// keys is the vocabulary of a mapping.
type keys map[string]use

// names are what a misspelt key is compared with, in alphabetical order.
func (k keys) names() []string {
	names := make([]string, 0, len(k))
	for name := range k {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// known checks a mapping's keys. Unknown ones are errors in recipe.yaml, where
// they always were, and in meta.yaml if another key was meant; conda-build
// ignores them. It tells whether n is a mapping.
func (j *job) known(n *node, where string, k keys) bool {
	if n.isNull() {
		return false
	}
	if n.kind != mapNode {
		j.report.fail(n.pos, "", "%s must be a mapping, this is %s", where, n.describe())
		return false
	}
	for _, f := range n.fields {
		switch u, ok := k[f.key]; {
		case !ok:
			j.unknownKey(f, where, k)
		case u == later && !f.value.isNull():
			j.report.warn(f.pos, "", "%s.%s has no effect in this version", where, f.key)
		case u == refused && !f.value.idle():
			j.report.fail(f.pos, remedy(f.key), "%s.%s is not supported in this version", where, f.key)
		}
	}
	return true
}

// idle holds for a value that asks for nothing, such as false or an empty list.
func (n *node) idle() bool {
	if n.isNull() || n.kind != scalarNode {
		return n.isNull() || len(n.items)+len(n.fields) == 0
	}
	return n.value == false || n.value == ""
}

// remedy is what to do about a refused key.
func remedy(key string) string {
	switch {
	case strings.Contains(key, "run_exports"):
		return "remove it, and write what it exports below run: of the recipes that depend on this one"
	case strings.HasPrefix(key, "sha") || strings.HasPrefix(key, "content_sha"):
		return "write the archive's sha256 instead"
	case strings.HasSuffix(key, "-link"):
		return "remove it, and do its work in an etc/conda/activate.d script"
	case key == "steps" || key == "post_process":
		return "remove it, and do its work in the script"
	}
	return "remove it"
}

// unknownKey knows the other format's word for a key: recipes are often
// translated by hand.
func (j *job) unknownKey(f field, where string, k keys) {
	hint := ""
	if near := jinja.Near(f.key, k.names()); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	if other := otherFormat[f.key]; other != "" && k[other] == honoured && hasKey(k, other) {
		hint = fmt.Sprintf("here it is called %q", other)
	}
	// A misspelt source or requirement would be missing in the package; what is
	// missing in about hurts nobody.
	if j.format() == V0 && (hint == "" || where == "about") {
		j.report.warn(f.pos, hint, "unknown key %q in %s, ignored", f.key, where)
		return
	}
	if hint == "" {
		hint = "known are " + strings.Join(k.names(), ", ")
	}
	j.report.fail(f.pos, hint, "unknown key %q in %s", f.key, where)
}

// hasKey tells a key that is honoured, which is the zero use, from one that is
// not there.
func hasKey(k keys, name string) bool {
	_, ok := k[name]
	return ok
}

// otherFormat is what the keys of one format are called in the other.
var otherFormat = map[string]string{
	"home": "homepage", "homepage": "home", "dev_url": "repository", "repository": "dev_url",
	"doc_url": "documentation", "documentation": "doc_url", "test": "tests", "tests": "test",
	"folder": "target_directory", "target_directory": "folder", "fn": "file_name", "file_name": "fn",
	"git_url": "git", "git": "git_url", "git_rev": "rev", "rev": "git_rev",
	"run_constrained": "run_constraints", "run_constraints": "run_constrained",
}

// str is a scalar's text; "" when it is missing or not a scalar, which is
// reported.
func (j *job) str(n *node, where string) string {
	if n.isNull() {
		return ""
	}
	if n.kind != scalarNode {
		j.report.fail(n.pos, "", "%s must be text, this is %s", where, n.describe())
		return ""
	}
	return scalarText(n.value)
}

// scalarText is a scalar as its author wrote it: the formats' readings keep
// 1.10 text.
func scalarText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

// fixed refuses the script's variables in a value that no shell reads.
func (j *job) fixed(n *node, where, value string) {
	for _, name := range slices.Concat(lateNames, packageVariables) {
		if v := j.platform.shellVariable(name); strings.Contains(value, v) {
			j.report.fail(n.pos, "set the variable in the script", "%s holds %s, which is known only when the script runs", where, v)
			return
		}
	}
}

// list is the items of a list; a single value is a list of one.
func (n *node) list() []*node {
	switch {
	case n.isNull():
		return nil
	case n.kind == listNode:
		return n.items
	}
	return []*node{n}
}

// strs is a list of texts; empty ones are left out.
func (j *job) strs(n *node, where string) []string {
	var all []string
	for _, item := range n.list() {
		if s := j.str(item, where); s != "" {
			all = append(all, s)
		}
	}
	return all
}

// boolean is n as a boolean, and fallback when it is missing.
func (j *job) boolean(n *node, where string, fallback bool) bool {
	if n.isNull() {
		return fallback
	}
	if b, ok := n.value.(bool); ok {
		return b
	}
	switch s := scalarText(n.value); {
	case n.kind != scalarNode:
	case strings.EqualFold(s, "true"):
		return true
	case strings.EqualFold(s, "false"):
		return false
	case j.format() == V0 && slices.Contains([]string{"y", "yes", "on", "1"}, strings.ToLower(s)):
		return true
	case j.format() == V0 && slices.Contains([]string{"n", "no", "off", "0", ""}, strings.ToLower(s)):
		return false
	}
	j.report.fail(n.pos, "", "%s must be true or false, this is %s", where, n.quoted())
	return fallback
}

// natural is n as a number of at least 0, and 0 when it is missing or empty.
func (j *job) natural(n *node, where string) int {
	if n.isNull() || n.value == "" {
		return 0
	}
	s := strings.TrimSpace(scalarText(n.value))
	number, err := strconv.ParseInt(s, 10, 64)
	if n.kind != scalarNode || err != nil || number < 0 || number > math.MaxInt32 {
		j.report.fail(n.pos, "", "%s must be an integer from 0, this is %s", where, n.quoted())
		return 0
	}
	return int(number)
}

// quoted shows a value in an error.
func (n *node) quoted() string {
	if n.kind != scalarNode || n.value == nil {
		return n.describe()
	}
	return strconv.Quote(scalarText(n.value))
}

// boolOrGlobs is for keys that take true, false or a list of globs.
func (j *job) boolOrGlobs(n *node, where string, fallback bool) (bool, []string) {
	if n != nil && n.kind == listNode {
		return len(n.items) > 0, j.strs(n, where)
	}
	if s, ok := n.text(); ok && !strings.EqualFold(s, "true") && !strings.EqualFold(s, "false") {
		return true, []string{s}
	}
	return j.boolean(n, where, fallback), nil
}

// value is n as plain Go data, for keys that are free.
func (n *node) free() any {
	switch {
	case n.isNull():
		return nil
	case n.kind == listNode:
		all := make([]any, len(n.items))
		for i, item := range n.items {
			all[i] = item.free()
		}
		return all
	case n.kind == mapNode:
		all := map[string]any{}
		for _, f := range n.fields {
			all[f.key] = f.value.free()
		}
		return all
	}
	return n.value
}

// freeMap is a free mapping such as extra.
func (j *job) freeMap(n *node, where string) map[string]any {
	if n.isNull() {
		return nil
	}
	m, ok := n.free().(map[string]any)
	if !ok {
		j.report.fail(n.pos, "", "%s must be a mapping, this is %s", where, n.describe())
	}
	return m
}
