package recipe

import (
	"fmt"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// stagingOutput is a staging output that has been read, with the variant keys
// that it reads: they count for whoever inherits from it.
type stagingOutput struct {
	Staging
	reads map[string]Read
}

// staging is the output for one that inherits from it.
func (s *stagingOutput) staging(exports bool) *Staging {
	one := s.Staging
	one.RunExports = exports
	return &one
}

// readStaging reads an output that is built and not packed. The recipe's own
// sources are its as well.
func (r *v1Recipe) readStaging(n *tree.Node) {
	if !r.known(n, "a staging output", v1Staging) {
		return
	}
	outer := r.reads
	r.reads = map[string]Read{}
	defer func() { r.reads = outer }()
	names := r.evaluate(n.Get("staging"), scopeFields)
	if !r.known(names, "staging", v1StagingNames) {
		return
	}
	s := &stagingOutput{Staging: Staging{Name: r.str(names.Get("name"), "staging.name"), Pos: n.Pos}}
	if s.Name == "" {
		r.report.Fail(n.Pos, "add name: below staging:", "the staging output has no name")
		return
	}
	var out Output
	r.readSources(&out, r.root.Get("source"))
	r.readSources(&out, n.Get("source"))
	if b := n.Get("build"); r.known(b, "the build of a staging output", v1StagingBuild) {
		out.Script = r.plan(b, false)
	}
	if q := n.Get("requirements"); r.known(q, "the requirements of a staging output", v1StagingRequirements) {
		r.requirements(&out, q)
	}
	for _, d := range bare(out.Requirements) {
		r.useAt(d.Pos, variantKey(d.Spec), "a requirement without a version")
	}
	s.Sources, s.Script, s.Requirements, s.reads = out.Sources, out.Script, out.Requirements, r.reads
	r.staging = append(r.staging, s)
}

// inherited is the staging output that an output inherits from; fromTop tells
// that it inherits from the recipe's top level instead.
func (r *v1Recipe) inherited(n *tree.Node) (s *stagingOutput, fromTop bool) {
	if n.IsNull() {
		return nil, true
	}
	name := n
	if n.Kind == tree.Map {
		if !r.known(n, "inherit", v1Inherit) {
			return nil, true
		}
		name = n.Get("from")
	}
	if name == nil {
		r.report.Fail(n.Pos, "add from: with the staging output's name", "inherit names no staging output")
		return nil, true
	}
	wanted := r.str(r.evaluate(name, scopeFields), "inherit")
	var known []string
	for _, s := range r.staging {
		if s.Name == wanted {
			return s, false
		}
		known = append(known, s.Name)
	}
	hint := "add an output with staging: and this name"
	if len(known) > 0 {
		hint = "there is " + strings.Join(known, ", ")
	}
	r.report.Fail(name.Pos, hint, "%s", fmt.Sprintf("inherit: there is no staging output %q", wanted))
	return nil, false
}

// exports tells whether what the staging output's requirements export reaches
// the output as well.
func (r *v1Recipe) exports(n *tree.Node) bool {
	if n == nil || n.Kind != tree.Map {
		return true
	}
	return r.boolean(r.evaluate(n, scopeFields).Get("run_exports"), "inherit.run_exports", true)
}
