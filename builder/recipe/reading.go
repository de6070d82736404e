package recipe

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// use is what becomes of a key.
type use int

const (
	honoured use = iota
	harmless     // has no effect here, and none is missed
	later        // known to the format, without effect in this version: a warning
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
func (j *job) known(n *tree.Node, where string, k keys) bool {
	if n.IsNull() {
		return false
	}
	if n.Kind != tree.Map {
		j.report.Fail(n.Pos, "", "%s must be a mapping, this is %s", where, n.Describe())
		return false
	}
	for _, f := range n.Fields {
		switch u, ok := k[f.Key]; {
		case !ok:
			j.unknownKey(f, where, k)
		case u == later && !f.Value.IsNull():
			j.report.Warn(f.Pos, "", "%s.%s has no effect in this version", where, f.Key)
		}
	}
	return true
}

// unknownKey knows the other format's word for a Key: recipes are often
// translated by hand.
func (j *job) unknownKey(f tree.Field, where string, k keys) {
	hint := ""
	if near := jinja.Near(f.Key, k.names()); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	if other := otherFormat[f.Key]; other != "" && k[other] == honoured && hasKey(k, other) {
		hint = fmt.Sprintf("here it is called %q", other)
	}
	// A misspelt source or requirement would be missing in the package; what is
	// missing in about hurts nobody.
	if j.format() == V0 && (hint == "" || where == "about") {
		j.report.Warn(f.Pos, hint, "unknown key %q in %s, ignored", f.Key, where)
		return
	}
	if hint == "" {
		hint = "known are " + strings.Join(k.names(), ", ")
	}
	j.report.Fail(f.Pos, hint, "unknown key %q in %s", f.Key, where)
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
func (j *job) str(n *tree.Node, where string) string {
	if n.IsNull() {
		return ""
	}
	if n.Kind != tree.Scalar {
		j.report.Fail(n.Pos, "", "%s must be text, this is %s", where, n.Describe())
		return ""
	}
	return tree.ScalarText(n.Value)
}

// fixed refuses the script's variables in a value that no shell reads.
func (j *job) fixed(n *tree.Node, where, value string) {
	for _, name := range slices.Concat(lateNames, packageVariables) {
		if v := j.platform.ShellVariable(name); strings.Contains(value, v) {
			j.report.Fail(n.Pos, "set the variable in the script", "%s holds %s, which is known only when the script runs", where, v)
			return
		}
	}
}

// strs is a list of texts; empty ones are left out.
func (j *job) strs(n *tree.Node, where string) []string {
	var all []string
	for _, item := range n.All() {
		if s := j.str(item, where); s != "" {
			all = append(all, s)
		}
	}
	return all
}

// boolean is n as a boolean, and fallback when it is missing.
func (j *job) boolean(n *tree.Node, where string, fallback bool) bool {
	if n.IsNull() {
		return fallback
	}
	if b, ok := n.Value.(bool); ok {
		return b
	}
	switch s := tree.ScalarText(n.Value); {
	case n.Kind != tree.Scalar:
	case s == "" && j.format() == V1:
		return fallback // an inline if without else
	case strings.EqualFold(s, "true"):
		return true
	case strings.EqualFold(s, "false"):
		return false
	case j.format() == V0 && slices.Contains([]string{"y", "yes", "on", "1"}, strings.ToLower(s)):
		return true
	case j.format() == V0 && slices.Contains([]string{"n", "no", "off", "0", ""}, strings.ToLower(s)):
		return false
	}
	j.report.Fail(n.Pos, "", "%s must be true or false, this is %s", where, n.Quoted())
	return fallback
}

// natural is n as a number of at least 0, and 0 when it is missing or empty.
func (j *job) natural(n *tree.Node, where string) int {
	if n.IsNull() || n.Value == "" {
		return 0
	}
	s := strings.TrimSpace(tree.ScalarText(n.Value))
	number, err := strconv.ParseInt(s, 10, 64)
	if n.Kind != tree.Scalar || err != nil || number < 0 || number > math.MaxInt32 {
		j.report.Fail(n.Pos, "", "%s must be an integer from 0, this is %s", where, n.Quoted())
		return 0
	}
	return int(number)
}

// boolOrGlobs is for keys that take true, false or a list of globs.
func (j *job) boolOrGlobs(n *tree.Node, where string, fallback bool) (bool, []string) {
	if n != nil && n.Kind == tree.List {
		return len(n.Items) > 0, j.strs(n, where)
	}
	if s, ok := n.Text(); ok && !strings.EqualFold(s, "true") && !strings.EqualFold(s, "false") {
		return true, []string{s}
	}
	return j.boolean(n, where, fallback), nil
}

// freeMap is a free mapping such as extra.
func (j *job) freeMap(n *tree.Node, where string) map[string]any {
	if n.IsNull() {
		return nil
	}
	m, ok := n.Free().(map[string]any)
	if !ok {
		j.report.Fail(n.Pos, "", "%s must be a mapping, this is %s", where, n.Describe())
	}
	return m
}
