package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/condaworker/condaworker/env/activate"
)

// Command is a program of a prefix to be run.
type Command struct {
	Args []string // an absolute path, and arguments
	Dir  string   // the working folder: the prefix, all that the program may change
	Env  []string // NAME=value, for what the caller gives to every program
}

// Runner runs a command to its end. An error is one that exited with another code
// than 0, too.
type Runner func(context.Context, Command) error

// compiled is the path_type of what python makes of a module.
const compiled = "pyc_file"

// addCompiled lists what compiling the modules of noarch: python packages will make,
// unless they bring it.
func (p *python) addCompiled(all []*unpacked) {
	if p == nil || p.tag == "" {
		return
	}
	for _, u := range all {
		if u.index["noarch"] != "python" {
			continue
		}
		has := map[string]bool{}
		for _, e := range u.paths {
			has[e.Path] = true
		}
		for _, e := range u.paths {
			if name, ok := p.compiledName(e); ok && !has[name] {
				u.paths = append(u.paths, pathEntry{Path: name, PathType: compiled, source: e.Path})
			}
		}
	}
}

// compiledName is where python looks for the compiled module e.
func (p *python) compiledName(e pathEntry) (string, bool) {
	module, ok := strings.CutSuffix(path.Base(e.Path), ".py")
	if !ok || e.PathType == directory || e.Original != "" || !strings.HasPrefix(e.Path, p.sitePackages+"/") {
		return "", false
	}
	return path.Join(path.Dir(e.Path), bytecodeFolder, module+"."+p.tag+".pyc"), true
}

// compile has one process of the prefix's python compile all modules that arrive.
// One that it cannot compile is left as it is: packages bring templates, and code for
// other versions.
func (l *prefix) compile(ctx context.Context, all []*unpacked, o Options) error {
	var modules strings.Builder
	count := 0
	for _, u := range all {
		for _, e := range u.paths {
			if e.PathType == compiled {
				modules.WriteString(filepath.Join(l.dir, filepath.FromSlash(e.source)) + "\n")
				count++
			}
		}
	}
	if count == 0 {
		return nil
	}
	list := filepath.Join(changeDir, "modules")
	if err := l.root.WriteFile(list, []byte(modules.String()), 0o644); err != nil {
		return err
	}
	const worthwhile = 200 // modules for one more process of python
	err := o.Run(ctx, Command{
		Args: []string{
			filepath.Join(l.dir, filepath.FromSlash(l.python.program)), "-Wi", "-m", "compileall", "-q", "-l",
			"-j", strconv.Itoa(max(1, min(count/worthwhile, 8))), "-i", filepath.Join(l.dir, list),
		},
		Dir: l.dir,
		Env: l.vars(),
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	made, failed := l.keepCompiled(all)
	if made == 0 && err != nil {
		o.warn(fmt.Sprintf("%s compiled no module of %d (%v): each run compiles what it imports", l.python.program, count, err))
	}
	return failed
}

// keepCompiled notes what was compiled, and drops from the lists what was not.
func (l *prefix) keepCompiled(all []*unpacked) (made int, err error) {
	for _, u := range all {
		kept := u.paths[:0]
		for _, e := range u.paths {
			if e.PathType == compiled {
				info, failed := l.root.Lstat(filepath.FromSlash(e.Path))
				if errors.Is(failed, fs.ErrNotExist) {
					continue
				}
				if failed != nil {
					err = errors.Join(err, failed)
					continue
				}
				e.Size = info.Size()
				made++
			}
			kept = append(kept, e)
		}
		u.paths = kept
	}
	return made, err
}

// vars are the variables that conda gives to programs of a prefix.
func (l *prefix) vars() []string {
	return []string{
		"PREFIX=" + l.dir, "CONDA_PREFIX=" + l.dir,
		"PATH=" + strings.Join([]string{filepath.Join(l.dir, "bin"), "/usr/bin", "/bin"}, string(os.PathListSeparator)),
	}
}

// postLink runs the scripts of packages that have arrived. Those that were to run before
// that are named and not run, as with rattler; mamba refuses them, conda warns of them.
func (l *prefix) postLink(ctx context.Context, all []*unpacked, o Options) error {
	for _, u := range all {
		name, _ := u.index["name"].(string)
		version, _ := u.index["version"].(string)
		number, _ := u.index["build_number"].(float64)
		s := scriptOf{name, version, int(number), u.dist, u.paths}
		if s.has("pre-link") {
			o.warn(s.dist + " has a pre-link script, which is never run: it could change the package in the cache, and so in other prefixes")
		}
		if err := l.script(ctx, s, "post-link", o); err != nil {
			return err
		}
	}
	return nil
}

// preUnlink runs the scripts of packages that are about to leave, while all is there.
func (l *prefix) preUnlink(ctx context.Context, all []*installed, o Options) error {
	for _, i := range all {
		if err := l.script(ctx, scriptOf{i.name, i.version, i.number, i.dist(), i.paths}, "pre-unlink", o); err != nil {
			return err
		}
	}
	return nil
}

// scriptOf is the package that a script belongs to.
type scriptOf struct {
	name, version string
	number        int
	dist          string
	paths         []pathEntry
}

// file is where a package has a script, e.g. post-link.
func (s scriptOf) file(kind string) string { return "bin/." + s.name + "-" + kind + ".sh" }

func (s scriptOf) has(kind string) bool {
	return slices.ContainsFunc(s.paths, func(e pathEntry) bool { return e.Path == s.file(kind) })
}

// script runs the one of this kind, if the package has it.
func (l *prefix) script(ctx context.Context, s scriptOf, kind string, o Options) error {
	if !s.has(kind) {
		return nil
	}
	if o.Run == nil || !o.LinkScripts {
		o.warn(fmt.Sprintf("%s has a %s script, which is not run", s.dist, kind))
		return nil
	}
	c := Command{
		Args: []string{"/bin/bash", filepath.Join(l.dir, filepath.FromSlash(s.file(kind)))},
		Dir:  l.dir,
		Env:  append(l.vars(), "PKG_NAME="+s.name, "PKG_VERSION="+s.version, "PKG_BUILDNUM="+strconv.Itoa(s.number)),
	}
	if kind == "post-link" {
		if err := activated(&c); err != nil {
			return err
		}
	}
	failed := o.Run(ctx, c)
	err := l.messages(s, o)
	if failed != nil {
		err = errors.Join(fmt.Errorf("the %s script of %s: %w", kind, s.dist, failed), err)
	}
	return err
}

// activated has a script run in the activated prefix, as conda does after linking.
func activated(c *Command) error {
	a, err := activate.Read(c.Dir)
	if err != nil {
		return fmt.Errorf("read the activation of %s: %w", c.Dir, err)
	}
	for _, name := range slices.Sorted(maps.Keys(a.Vars)) {
		c.Env = append(c.Env, name+"="+a.Vars[name])
	}
	if len(a.Scripts) > 0 { // one may go elsewhere
		const text = `for script do . "$script"; done; cd -- "$PREFIX" && exec /bin/bash "$0"`
		c.Args = append([]string{"/bin/bash", "-c", text, c.Args[1]}, a.Scripts...)
	}
	return nil
}

// messages passes on what a script has for the user.
func (l *prefix) messages(s scriptOf, o Options) error {
	const file = ".messages.txt"
	text, err := l.root.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		o.warn(s.dist + " says: " + strings.TrimRight(line, "\r\n"))
	}
	return errors.Join(err, l.root.Remove(file))
}
