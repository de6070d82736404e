package recipe

import (
	"errors"
	"maps"
	"slices"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
	"github.com/condaworker/condaworker/builder/recipe/variant"
)

// Step two of a recipe.yaml: which variant keys it could use, and the
// combinations of their values that it is evaluated for.

// maxRounds of finding keys that only evaluated requirements name.
const maxRounds = 10

// maxWork is how many steps all combinations may take together: twice what one
// may. The widest recipe of conda-forge takes a quarter.
const maxWork = 2_000_000

// evaluation is a recipe evaluated for one combination.
type evaluation struct {
	combination map[string]any
	outputs     []*unnamed // that are not skipped, in the recipe's order
	skipped     []Skipped
	report      *tree.Report
	work        int // steps that it took
}

// expand evaluates the recipe for each combination of the keys that it
// mentions. Requirements without a version that only an evaluation shows may
// name further keys: those combinations are expanded and evaluated again.
func (j *job) expand(root *tree.Node, cache *templates, evaluate func(map[string]any) *evaluation) []*evaluation {
	todo, err := j.Variants.Combinations(j.mentioned(root, cache))
	if err != nil {
		j.fail(err)
		return nil
	}
	var done []*evaluation
	work := 0
	for round := 0; len(todo) > 0; round++ {
		var next []map[string]any
		for _, combination := range todo {
			e := evaluate(combination)
			if work += e.work; work > maxWork {
				j.report.Merge(e.report)
				j.report.Fail(root.Pos, "give fewer values for the keys that it uses", "the recipe takes more than %d steps for its %d variants", maxWork, len(todo))
				return nil
			}
			fresh := j.freshKeys(e)
			if len(fresh) == 0 || round == maxRounds {
				j.report.Merge(e.report)
				done = append(done, e)
				continue
			}
			more, err := j.Variants.Expand(combination, fresh)
			if err != nil {
				j.fail(err)
				return nil
			}
			next = append(next, more...)
		}
		todo = next
	}
	return done
}

// fail reports problems in files of variants beside the recipe's own.
func (j *job) fail(err error) {
	list, ok := errors.AsType[tree.Problems](err)
	if !ok {
		j.report.Fail(tree.Pos{File: j.file}, "", "%v", err)
	}
	for _, p := range list {
		j.report.Add(p)
	}
}

// freshKeys are variant keys that evaluated requirements name and that have no
// value in the combination.
func (j *job) freshKeys(e *evaluation) []string {
	var fresh []string
	for _, out := range e.outputs {
		all := bare(out.Requirements)
		if out.Staging != nil {
			all = append(all, bare(out.Staging.Requirements)...)
		}
		for _, d := range all {
			key := variantKey(d.Spec)
			if _, chosen := e.combination[key]; chosen || slices.Contains(fresh, key) {
				continue
			}
			if _, known := j.Variants.Get(key); known {
				fresh = append(fresh, key)
			}
		}
	}
	return fresh
}

// variantKey is the key that gives a package its version.
func variantKey(name string) string { return variant.Normalize(name) }

// mentioned are the variant keys that any template, condition or requirement of
// the recipe names, whether it comes to be evaluated or not.
func (j *job) mentioned(root *tree.Node, cache *templates) []string {
	w := &mentions{cache: cache, names: map[string]bool{}}
	w.walk(root, "")
	for _, key := range slices.Concat(alwaysUsed, j.platformKeys()) {
		w.names[key] = true
	}
	keys := map[string]bool{}
	for name := range w.names {
		key := variantKey(name)
		if _, ok := j.Variants.Get(key); ok {
			keys[key] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// mentions collects names from a recipe's text.
type mentions struct {
	cache *templates
	names map[string]bool
}

// walk goes through all branches of all conditions.
func (w *mentions) walk(n *tree.Node, key string) {
	if n == nil {
		return
	}
	for _, item := range n.Items {
		w.walk(item, key)
	}
	for _, f := range n.Fields {
		inner := f.Key
		if inner == "then" || inner == "else" {
			inner = key
		}
		w.walk(f.Value, inner)
	}
	text, ok := n.Text()
	switch {
	case !ok:
	case isTemplate(text):
		if t, err := w.cache.template(text); err == nil {
			w.add(t.Names(), t.Calls())
		}
	case key == "if" || key == "skip":
		if x, err := w.cache.expression(text); err == nil {
			w.add(x.Names(), x.Calls())
		}
	case slices.Contains([]string{"build", "host", "use_keys"}, key):
		w.names[text] = true
	}
}

// add counts names, and the keys that functions look for.
func (w *mentions) add(names []string, calls []jinja.Mention) {
	for _, name := range names {
		w.names[name] = true
	}
	for _, c := range calls {
		for _, key := range toolKeys(c.Function, c.Argument) {
			w.names[key] = true
		}
	}
}
