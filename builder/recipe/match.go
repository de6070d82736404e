package recipe

import (
	"fmt"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/conda"
)

// matchFunc is match(version, spec): whether a version, often the variant's
// value of a language, fulfils a spec such as ">=3.11,<3.13". A version that is
// not known fulfils all.
func matchFunc(c jinja.Call) (any, error) {
	v, ok := c.Arg(0, "version")
	if _, undefined := v.(jinja.Undefined); !ok || v == nil || undefined {
		return true, nil
	}
	spec, err := c.String(1, "spec")
	if err != nil {
		return nil, err
	}
	version, _, _ := strings.Cut(tree.ScalarText(v), " ")
	return matches(strings.TrimRight(version, ".*"), strings.ReplaceAll(spec, " ", ""))
}

// matches is conda's own comparison, under a name that stands for all.
func matches(version, spec string) (bool, error) {
	const name = "v"
	if strings.ContainsAny(spec, "'[]") || strings.TrimSpace(spec) == "" {
		return false, fmt.Errorf("%q is not a version test, such as >=3.11,<3.13", spec)
	}
	m, err := conda.ParseMatchSpec(name + "[version='" + spec + "']")
	if err != nil {
		return false, fmt.Errorf("%q is not a version test, such as >=3.11,<3.13", spec)
	}
	return m.Match(&conda.Record{Name: name, Version: version}), nil
}
