package variant

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// commentRule finds a selector in a line's comment.
var commentRule = regexp.MustCompile(`\[([^\[\]]+)\]`)

// selected keeps the lines of a conda_build_config.yaml whose selector holds. A
// line that is dropped leaves an empty one, so that places stay what they are. A
// selector that cannot be evaluated drops its line: such files are shared by
// many tools, each with names of its own.
func (r *reader) selected() string {
	lines := strings.Split(r.text, "\n")
	known := map[string]bool{}
	for i, line := range lines {
		text, comment, found := strings.Cut(line, "#")
		if !found || strings.Count(text, `"`)%2 == 1 || strings.Count(text, `'`)%2 == 1 {
			continue
		}
		m := commentRule.FindStringSubmatch(comment)
		if m == nil || strings.TrimSpace(text) == "" {
			continue
		}
		if _, done := known[m[1]]; !done {
			known[m[1]] = r.selects(m[1])
		}
		lines[i] = ""
		if known[m[1]] {
			lines[i] = strings.TrimRight(text, " \t")
		}
	}
	return strings.Join(lines, "\n")
}

// selects evaluates a selector, which is Python.
func (r *reader) selects(source string) bool {
	x, err := jinja.ParseExpression(source, jinja.Meta)
	if err != nil {
		return false
	}
	yes, err := x.Truth(jinja.Scope{Budget: r.budget, Lenient: true, Lookup: func(name string) (any, bool) {
		switch name {
		case "os":
			return jinja.OSObject(r.Env, r.Platform.Windows()), true
		case "environ":
			return jinja.EnvDict(r.Env), true
		case "x86":
			return strings.HasPrefix(r.Platform.Arch, "x86"), true
		case "arm":
			return strings.HasPrefix(r.Platform.Arch, "arm"), true
		}
		if v, ok := r.lookup(name); ok {
			return number(v), true
		}
		if v, ok := r.Env[name]; ok {
			return v, true
		}
		return false, true
	}})
	return err == nil && yes
}

// number gives text that is an integer or a boolean its type, as selectors
// compare it.
func number(v any) any {
	s, ok := v.(string)
	if !ok {
		return v
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	return tree.Typed("", s)
}
