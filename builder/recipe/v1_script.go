package recipe

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/condaworker/condaworker/builder/recipe/tree"
)

var v1Script = keys{
	"interpreter": honoured, "env": honoured, "secrets": honoured, "content": honoured, "file": honoured, "cwd": honoured,
}

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
		return Script{File: rules.fallback, Interpreter: interpreterOf(rules.fallback)}
	case n.Kind == tree.Map:
		return r.scriptMap(n, rules)
	case n.Kind == tree.List:
		r.warnOfFileNames(n, rules)
		return Script{Lines: r.strs(n, rules.where)}
	}
	text := r.str(n, rules.where)
	if file := r.scriptFile(text); file != "" && rules.files {
		return Script{File: file, Interpreter: interpreterOf(file)}
	}
	return Script{Lines: []string{text}}
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
func (r *v1Recipe) warnOfFileNames(n *tree.Node, rules scriptRules) {
	for _, item := range n.Items {
		s, ok := item.Text()
		if ok && slices.Contains([]string{".sh", ".bat"}, path.Ext(s)) && !strings.ContainsAny(s, " /\\\n") && rules.files {
			r.report.Warn(item.Pos, "write script: "+s+", without the list",
				"%q in a list is a command, not the file in the recipe's folder", s)
		}
	}
}

// interpreterOf is what runs a file, by its extension; "" is the shell.
func interpreterOf(file string) string {
	switch path.Ext(file) {
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
	s := Script{File: rules.fallback}
	if !r.known(n, rules.where, v1Script) {
		return s
	}
	content, file := n.Get("content"), n.Get("file")
	switch {
	case content != nil && file != nil:
		r.report.Fail(file.Pos, "keep one of them", "%s has both content and file", rules.where)
	case content != nil:
		s.File, s.Lines = "", r.strs(content, rules.where+".content")
	case file != nil:
		s.File = r.below(file, rules.where+".file", "the recipe's folder")
		if found := r.scriptFile(s.File); found != "" {
			s.File = found
		} else if s.File != "" {
			r.report.Warn(file.Pos, "", "%s.file: there is no %s in the recipe's folder", rules.where, s.File)
		}
	}
	s.Interpreter = r.str(n.Get("interpreter"), rules.where+".interpreter")
	if s.Interpreter == "" {
		s.Interpreter = interpreterOf(s.File)
	}
	s.Dir = r.below(n.Get("cwd"), rules.where+".cwd", "the work folder")
	s.Secrets = r.variables(n.Get("secrets"), rules.where+".secrets")
	s.Env = r.scriptEnv(n.Get("env"), rules.where+".env")
	return s
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
func (r *v1Recipe) scriptEnv(n *tree.Node, where string) map[string]string {
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
