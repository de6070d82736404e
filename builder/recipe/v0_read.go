package recipe

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/jinja"
	"github.com/condaworker/condaworker/builder/recipe/tree"
)

// Step two of a meta.yaml: its text becomes a tree. A name that nothing defines
// is empty there, as in conda-build's own rendering; it stops a build.

// read evaluates and parses the text into r.root. Recipes that mention what only
// the recipe itself tells, such as PKG_VERSION, are read twice.
func (r *v0Recipe) read() bool {
	r.firstPass()
	text, ok := r.evaluate()
	if !ok {
		return false
	}
	r.root = r.reader(v0Typed, false).Parse(text)
	if r.root == nil {
		return false
	}
	r.complete(r.root, "")
	r.append("recipe_append.yaml", r.merge)
	r.append("recipe_clobber.yaml", r.clobber)
	r.checkSections()
	return !r.report.Failed()
}

// firstPass fills r.pkg if a template needs it. What is wrong is said by the
// second pass.
func (r *v0Recipe) firstPass() {
	quiet := *r.job
	quiet.report, quiet.blockers = &tree.Report{}, nil
	first := *r
	first.job = &quiet
	text, ok := first.evaluate()
	if !ok || !slices.ContainsFunc(first.mentioned, fromRecipe) {
		return
	}
	root := first.reader(v0Typed, false).Parse(text)
	if root == nil {
		return
	}
	number := root.Get("build").Get("number").Scalar()
	if r.BuildNumber != nil {
		number = strconv.Itoa(*r.BuildNumber)
	}
	r.pkg = map[string]any{
		"PKG_NAME":    cmp.Or(r.PackageName, root.Get("package").Get("name").Scalar()),
		"PKG_VERSION": root.Get("package").Get("version").Scalar(), "PKG_BUILDNUM": cmp.Or(number, "0"),
		"PKG_HASH": hashPlaceholder, "PKG_BUILD_STRING": lateMark("PKG_BUILD_STRING"),
	}
	if !strings.Contains(r.text, "GIT_") {
		return
	}
	facts, err := r.checkout(root.Get("source"))
	maps.Copy(r.pkg, facts)
	r.unasked = err
}

// fromRecipe tells whether a template's name says something of the recipe itself.
func fromRecipe(name string) bool {
	return slices.Contains(packageVariables, name) || name == "environ" || strings.HasPrefix(name, "GIT_")
}

// complete puts the shell's variables where a template printed what only a
// running script knows, and takes pins out of the text. The hash in build.string
// is left to nameBuild.
func (r *v0Recipe) complete(n *tree.Node, key string) {
	if s, ok := n.Text(); ok {
		if key != "string" {
			s = strings.ReplaceAll(s, hashPlaceholder, r.platform.ShellVariable("PKG_HASH"))
		}
		s = pinRule.ReplaceAllStringFunc(s, func(mark string) string {
			if i, err := strconv.Atoi(pinRule.FindStringSubmatch(mark)[1]); err == nil && i < len(r.marks) {
				r.pins[n] = r.marks[i]
			}
			return ""
		})
		n.Value = r.shellText(s)
	}
	for _, item := range n.Items {
		r.complete(item, key)
	}
	for _, f := range n.Fields {
		r.complete(f.Value, f.Key)
	}
}

var (
	// checkoutName is a variable that tells of a source's checkout.
	checkoutName = regexp.MustCompile(`^(?:GIT|HG|SVN)_`)
	// checkoutDefault finds one that has a default.
	checkoutDefault = regexp.MustCompile(`environ(?:\.get\(|\[)\s*['"]((?:GIT|HG|SVN)_\w+)`)
	// unknownFact finds in a problem of missed what is not known, and why.
	unknownFact    = regexp.MustCompile(`^(\w+) is (known only when the source was fetched|not known: .*)$`)
	checkoutSource = regexp.MustCompile(`(?m)^\s*-?\s*(?:git_url|hg_url|svn_url|path):`)
)

// missed keeps a use of an undefined name from a build.
func (r *v0Recipe) missed(at tree.Pos, e *jinja.Error) {
	if len(r.blockers) >= tree.MaxProblems {
		return
	}
	p := tree.Problem{Pos: at, Text: e.Text, Hint: e.Hint}
	switch name := e.Name; {
	case checkoutName.MatchString(name) && r.unasked != nil:
		p.Text, p.Hint = fmt.Sprintf("%s is not known: %v", name, r.unasked), "mend the source, or write the version out"
	case checkoutName.MatchString(name):
		p.Text, p.Hint = name+" is known only when the source was fetched", "write the version out, or give it as a variant"
	case name == "resolved_packages" || name == "installed":
		p.Text, p.Hint = name+" is known only when the environments are there", "write the packages out"
	case name == "time" || name == "datetime":
		p.Text, p.Hint = name+" is not to be had: a package must not depend on when it is built", "write the time out"
	}
	// What is made of it is not defined either: once in a line is enough.
	said := func(q tree.Problem) bool { return q.Text == p.Text && q.Pos.File == at.File && q.Pos.Line == at.Line }
	if !slices.ContainsFunc(r.blockers, said) {
		r.blockers = append(r.blockers, p)
	}
}

// checkCheckout refuses a recipe whose facts come from a checkout that could not
// be asked and that its variants choose: each would need facts of its own.
func (r *v0Recipe) checkCheckout() {
	source := r.selectedText(cut(r.text, sourceBegin, sourceEnd))
	m := checkoutDefault.FindStringSubmatchIndex(r.text)
	if m != nil && r.pkg[r.text[m[2]:m[3]]] == nil && checkoutSource.MatchString(source) {
		line, column := tree.NewLines(r.text).Place(m[2])
		why := "known only when the source was fetched"
		if r.unasked != nil {
			why = fmt.Sprintf("not known: %v", r.unasked)
		}
		r.report.Warn(r.here(line, column), "write the version out, or give it as a variant",
			"%s is %s: its default counts here", r.text[m[2]:m[3]], why)
	}
	for _, p := range r.blockers {
		m := unknownFact.FindStringSubmatch(p.Text)
		if m == nil {
			continue
		}
		for _, key := range variantKeys(r.variant) {
			if regexp.MustCompile(`\{\{\s*` + regexp.QuoteMeta(key) + `\s*(?:.*?)?\}\}`).MatchString(source) {
				r.report.Fail(p.Pos, "write the version out, or give it as a variant", "%s is %s, of a source that the variant's %s chooses", m[1], m[2], key)
				return
			}
		}
	}
}

// append reads a file beside the recipe that changes it, if there is one. Its
// lines are selected, and its templates are not evaluated.
func (r *v0Recipe) append(name string, apply func(to, from *tree.Node) *tree.Node) {
	text, err := tree.ReadFile(r.fsys, name, name)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		r.report.Fail(tree.Pos{File: name}, "", "%v", err)
		return
	}
	other := *r
	job := *r.job
	job.file = name
	other.job = &job
	selected := other.choose(text, other.here)
	if strings.TrimSpace(selected.text) == "" {
		return
	}
	reader := &tree.Reader{
		File: name, What: name, Begin: "a section", Report: r.report, Typed: v0Typed,
		At: func(line, column int) tree.Pos {
			return other.here(selected.lines[min(max(line, 1), len(selected.lines))-1], column)
		},
	}
	if root := reader.Parse(selected.text); root != nil {
		r.root = apply(r.root, root)
	}
}

// merge adds what from has: mappings key by key, lists behind one another. A key
// with no value removes the recipe's.
func (r *v0Recipe) merge(to, from *tree.Node) *tree.Node {
	switch {
	case to == nil:
		return from
	case to.Kind == tree.List && from.Kind != tree.Map:
		to.Items = append(to.Items, from.All()...)
		return to
	case to.Kind != tree.Map || from.Kind != tree.Map:
		return from
	}
	return r.each(to, from, r.merge)
}

// clobber is merge with lists replaced.
func (r *v0Recipe) clobber(to, from *tree.Node) *tree.Node {
	if to == nil || to.Kind != tree.Map || from.Kind != tree.Map {
		return from
	}
	return r.each(to, from, r.clobber)
}

// each applies a rule to the keys of a mapping.
func (r *v0Recipe) each(to, from *tree.Node, rule func(to, from *tree.Node) *tree.Node) *tree.Node {
	for _, f := range from.Fields {
		if f.Value.IsNull() {
			to.Fields = slices.DeleteFunc(to.Fields, func(g tree.Field) bool { return g.Key == f.Key })
			continue
		}
		replaceField(to, f.Key, rule(to.Get(f.Key), f.Value))
	}
	return to
}

// checkSections refuses what conda-build refuses at once: a section that is no
// mapping, a license family that it does not know.
func (r *v0Recipe) checkSections() {
	if !r.known(r.root, "the recipe", v0Top) {
		return
	}
	for _, f := range r.root.Fields {
		n := f.Value
		list := f.Key == "source" || f.Key == "outputs"
		if n.IsNull() || n.Kind == tree.Map || list && n.Kind == tree.List || f.Key == "extra" {
			continue
		}
		if _, section := v0Top[f.Key]; section {
			hint := "write keys below it"
			if f.Key == "requirements" {
				hint = "put them below run: or host:"
			}
			r.report.Fail(n.Pos, hint, "%s must be a mapping, this is %s", f.Key, n.Describe())
		}
	}
	if n := r.root.Get("outputs"); n != nil && n.Kind == tree.Map {
		r.report.Fail(n.Pos, "begin each output with - name:", "outputs must be a list, this is a mapping")
	}
	for _, o := range r.root.Get("outputs").All() {
		if o.Kind != tree.Map {
			r.report.Fail(o.Pos, "write - name: with the output's name", "an output must be a mapping, this is %s", o.Describe())
		}
	}
}
