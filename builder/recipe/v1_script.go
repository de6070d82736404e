package recipe

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

var (
	v1Script = keys{
		"interpreter": honoured, "env": honoured, "secrets": honoured, "content": honoured, "file": honoured, "cwd": honoured,
	}
	v1Step = keys{
		"name": honoured, "run": honoured, "if": honoured, "interpreter": honoured, "cwd": honoured, "env": honoured,
	}
)

// scriptRules is how a script is read.
type scriptRules struct {
	where    string
	fallback string // the file that is run when there is no script; "" is none
	files    bool   // a single text may name a file of the recipe's folder
}

// exists tells whether the recipe's folder has a file.
func (j *job) exists(name string) bool {
	if !fs.ValidPath(name) {
		return false
	}
	info, err := fs.Stat(j.fsys, name)
	return err == nil && !info.IsDir()
}

// defaultScript is the script that is run when the recipe names none.
func (j *job) defaultScript(unix, windows string) string {
	name := unix
	if j.platform.Windows() {
		name = windows
	}
	if j.exists(name) {
		return name
	}
	return ""
}

// script is a mapping, a list of commands, or a text that is a command or names
// a file.
func (r *v1Recipe) script(n *tree.Node, rules scriptRules) Script {
	switch {
	case n.IsNull():
		return Script{File: rules.fallback, Implied: rules.fallback != "", Interpreter: ""}
	case n.Kind == tree.Map && n.Get("if") == nil:
		return r.scriptMap(n, rules)
	case n.Kind == tree.Scalar:
		text := r.str(n, rules.where)
		if file := r.scriptFile(text); file != "" && rules.files {
			return Script{File: file, Written: []string{text}, Interpreter: interpreterOf(file)}
		}
	}
	var s Script
	r.commands(&s, n, rules)
	return s
}

// commands reads the lines of a script. Their templates are evaluated for the
// shell, and kept as they are for whoever looks at the recipe: some have a value
// only when the script runs. All names in them count as read, those of the
// branches that are not taken as well.
func (r *v1Recipe) commands(s *Script, n *tree.Node, rules scriptRules) {
	r.countScript(n)
	items := r.flatten(n)
	if n.Kind == tree.List {
		r.warnOfFileNames(items, rules)
	}
	for _, item := range items {
		text := r.str(item, rules.where)
		if text == "" {
			continue
		}
		s.Written = append(s.Written, text)
		if line, ok := r.shellText(item, text); ok && line != "" {
			s.Lines = append(s.Lines, line)
		}
	}
}

// shellText evaluates a command. A mistake in it stops a build and no rendering.
func (r *v1Recipe) shellText(n *tree.Node, text string) (string, bool) {
	if !isTemplate(text) {
		return text, true
	}
	t, err := r.templates.template(text)
	if err == nil {
		kept := r.reads
		r.reads = map[string]Read{} // counted by countScript
		var out string
		out, _, err = t.Render(r.scope(scopeScript))
		r.reads = kept
		if err == nil {
			return out, true
		}
	}
	if p, ok := r.cause(n, err); ok {
		r.blockers = append(r.blockers, p)
	}
	return "", false
}

// countScript counts the names in a script's lines and in its conditions. The
// oldest rule counts conditions when they are evaluated, and chosen lines alone.
func (r *v1Recipe) countScript(n *tree.Node) {
	if r.HashCompat == Oldest {
		for _, item := range r.flatten(n) {
			r.countNames(item)
		}
		return
	}
	for _, item := range n.All() {
		if cond := item.Get("if"); cond != nil && item.Kind == tree.Map {
			if x, err := r.templates.expression(cond.Scalar()); err == nil {
				r.useAll(x.Names(), cond, cond.Scalar())
			}
			for _, key := range []string{"then", "else"} {
				if branch := item.Get(key); branch != nil {
					r.countScript(branch)
				}
			}
			continue
		}
		r.countNames(item)
	}
}

// countNames counts the names in one line, and the keys that its functions look
// for.
func (r *v1Recipe) countNames(n *tree.Node) {
	text, ok := n.Text()
	if !ok || !isTemplate(text) {
		return
	}
	t, err := r.templates.template(text)
	if err != nil {
		return // said when the line is evaluated
	}
	names := t.Names()
	for _, c := range t.Calls() {
		names = append(names, toolKeys(c.Function, c.Argument)...)
	}
	r.useAll(names, n, text)
}

// useAll counts names as read that the context does not hide.
func (r *v1Recipe) useAll(names []string, n *tree.Node, text string) {
	defer r.reading(n, text)()
	for _, name := range names {
		if _, hidden := r.context[name]; !hidden {
			r.use(name)
		}
	}
}

// scriptFile is the file that a one-line script names, "" when it is a
// command.
func (r *v1Recipe) scriptFile(text string) string {
	if strings.ContainsAny(text, "\n ") {
		return ""
	}
	suffix := ".sh"
	if r.platform.Windows() {
		suffix = ".bat"
	}
	for _, name := range []string{text, text + suffix} {
		if r.exists(name) {
			return name
		}
	}
	return ""
}

// warnOfFileNames: in a list a file's name is a command, which is looked for
// on PATH and in the work folder.
func (r *v1Recipe) warnOfFileNames(items []*tree.Node, rules scriptRules) {
	for _, item := range items {
		s, ok := item.Text()
		if ok && slices.Contains([]string{".sh", ".bat"}, path.Ext(s)) && !strings.ContainsAny(s, " /\\\n") && rules.files {
			r.report.Warn(item.Pos, "write script: "+s+", without the list",
				"%q in a list is a command, not the file in the recipe's folder", s)
		}
	}
}

// interpreterOf is what runs a file, by its extension; "" is not known.
func interpreterOf(file string) string {
	switch path.Ext(file) {
	case ".sh":
		return "bash"
	case ".bat", ".cmd":
		return "cmd"
	case ".py":
		return "python"
	case ".pl":
		return "perl"
	case ".r", ".R":
		return "rscript"
	case ".rb":
		return "ruby"
	case ".js":
		return "node"
	case ".nu":
		return "nushell"
	case ".ps1":
		return "powershell"
	}
	return ""
}

// scriptMap reads the long form.
func (r *v1Recipe) scriptMap(n *tree.Node, rules scriptRules) Script {
	if !r.known(n, rules.where, v1Script) {
		return Script{}
	}
	s := Script{Long: true}
	field := func(key string) *tree.Node { return r.evaluate(n.Get(key), scopeFields) }
	content, file := n.Get("content"), n.Get("file")
	switch {
	case content != nil && file != nil:
		r.report.Fail(file.Pos, "keep one of them", "%s has both content and file", rules.where)
	case content != nil:
		r.commands(&s, content, rules)
	case file != nil:
		r.namedFile(&s, field("file"), rules)
	default:
		s.File, s.Implied = rules.fallback, rules.fallback != ""
	}
	if i := r.str(field("interpreter"), rules.where+".interpreter"); i != "" {
		s.Interpreter = i
	}
	s.Dir = r.below(field("cwd"), rules.where+".cwd", "the work folder")
	s.Secrets = r.variables(field("secrets"), rules.where+".secrets")
	s.Env = r.scriptEnv(n.Get("env"), rules.where+".env")
	return s
}

// namedFile is the file of the recipe's folder that the key file names.
func (r *v1Recipe) namedFile(s *Script, n *tree.Node, rules scriptRules) {
	s.File = r.below(n, rules.where+".file", "the recipe's folder")
	s.Written = []string{s.File}
	s.Interpreter = interpreterOf(s.File)
	if found := r.scriptFile(s.File); found != "" {
		s.File = found
	} else if s.File != "" {
		r.blockers = append(r.blockers, tree.Problem{Pos: n.Pos, Text: rules.where + ".file: there is no " + s.File + " in the recipe's folder"})
	}
}

// variables are names of environment variables.
func (j *job) variables(n *tree.Node, where string) []string {
	names := j.strs(n, where)
	for i, item := range n.All() {
		if i < len(names) && !variableRule.MatchString(names[i]) {
			j.report.Fail(item.Pos, "use letters, digits and _", "%s: %q is not a variable's name", where, names[i])
		}
	}
	return names
}

// scriptEnv leaves empty values out: a condition may have made them empty.
func (r *v1Recipe) scriptEnv(raw *tree.Node, where string) map[string]string {
	n := r.evaluate(raw, scopeScript)
	if n.IsNull() {
		return nil
	}
	if n.Kind != tree.Map {
		r.report.Fail(n.Pos, "", "%s must be a mapping, this is %s", where, n.Describe())
		return nil
	}
	env := map[string]string{}
	for _, f := range n.Fields {
		value := r.str(f.Value, where+"."+f.Key)
		switch {
		case !variableRule.MatchString(f.Key):
			r.report.Fail(f.Pos, "use letters, digits and _", "%s: %q is not a variable's name", where, f.Key)
		case strings.Contains(value, "\n"):
			r.report.Fail(f.Value.Pos, "", "%s.%s has more than one line", where, f.Key)
		case value != "":
			env[f.Key] = value
			r.fixed(f.Value, where+"."+f.Key, value)
		}
	}
	return env
}

// steps reads a build in parts. A step that its condition leaves out is none.
func (r *v1Recipe) steps(n *tree.Node) Script {
	var s Script
	for _, item := range n.All() {
		if !r.known(item, "build.steps", v1Step) {
			continue
		}
		if cond := item.Get("if"); cond != nil {
			if yes, _ := r.decide(cond); !yes {
				r.countScript(item.Get("run"))
				continue
			}
		}
		step := Step{Name: r.str(item.Get("name"), "build.steps.name")}
		rules := scriptRules{where: "build.steps.run"}
		if run := item.Get("run"); run != nil {
			r.commands(&step.Script, run, rules)
		}
		step.Interpreter = r.str(r.evaluate(item.Get("interpreter"), scopeFields), "build.steps.interpreter")
		step.Dir = r.below(r.evaluate(item.Get("cwd"), scopeFields), "build.steps.cwd", "the work folder")
		step.Env = r.scriptEnv(item.Get("env"), "build.steps.env")
		if len(step.Written) > 0 {
			s.Steps = append(s.Steps, step)
		}
	}
	return s
}
