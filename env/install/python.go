package install

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// entryPoint is the path_type of a program that is made from info/link.json.
const entryPoint = "unix_python_entry_point"

// python is the interpreter that a noarch: python package is laid out for.
type python struct {
	sitePackages string // in the prefix, e.g. lib/python3.12/site-packages
	program      string // in the prefix, e.g. bin/python3.12
	tag          string // in the names of compiled modules, e.g. cpython-312; "" where they lie elsewhere
}

// pythonVersion is the beginning of a version that names python's folder.
var pythonVersion = regexp.MustCompile(`^\d+\.\d+`)

// newPython finds where a python keeps its modules: where its record says
// (CEP 17), or by its version.
func newPython(version, sitePackages string) (*python, error) {
	series := pythonVersion.FindString(version)
	if series == "" {
		return nil, fmt.Errorf("python has the version %q, of which its folder cannot be told", version)
	}
	sitePackages = cmp.Or(sitePackages, "lib/python"+series+"/site-packages")
	if err := checkPath(sitePackages); err != nil {
		return nil, fmt.Errorf("python's python_site_packages_path: %w", err)
	}
	p := &python{sitePackages: sitePackages, program: "bin/python" + series}
	if !strings.HasPrefix(series, "2.") {
		p.tag = "cpython-" + strings.ReplaceAll(series, ".", "")
	}
	return p, nil
}

// layOut gives the files of a noarch: python package their places beside this
// python, and adds its programs.
func (p *python) layOut(u *unpacked) error {
	if p == nil {
		return errors.New("it is noarch: python, and the environment has no python: ask for python as well")
	}
	for i := range u.paths {
		e := &u.paths[i]
		e.source = e.Path
		if rest, ok := strings.CutPrefix(e.Path, "site-packages/"); ok {
			e.Path = p.sitePackages + "/" + rest
		} else if rest, ok := strings.CutPrefix(e.Path, "python-scripts/"); ok {
			e.Path = "bin/" + rest
		}
	}
	programs, err := readEntryPoints(u.dir)
	for _, e := range programs {
		at := "bin/" + e.name
		u.paths = slices.DeleteFunc(u.paths, func(e pathEntry) bool { return e.Path == at })
		u.paths = append(u.paths, pathEntry{Path: at, PathType: entryPoint, program: &e})
	}
	return err
}

// program is an entry point: a program that calls a function of a module.
type program struct{ name, module, function string }

var entryPointRule = regexp.MustCompile(`^\s*([^=\s/\\]+)\s*=\s*([\w.]+)\s*:\s*([\w.]+)\s*(?:\[.*\])?\s*$`)

// readEntryPoints reads info/link.json of the unpacked package in dir: a package
// without it has none.
func readEntryPoints(dir string) ([]program, error) {
	text, err := fs.ReadFile(os.DirFS(dir), "info/link.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var link struct {
		Noarch struct {
			EntryPoints []string `json:"entry_points"`
		} `json:"noarch"`
	}
	if err == nil {
		err = json.Unmarshal(text, &link)
	}
	if err != nil {
		return nil, fmt.Errorf("read info/link.json: %w", err)
	}
	var all []program
	for _, text := range link.Noarch.EntryPoints {
		m := entryPointRule.FindStringSubmatch(text)
		if m == nil || checkPath("bin/"+m[1]) != nil {
			return nil, fmt.Errorf("read info/link.json: entry point %q: it is NAME = MODULE:FUNCTION", text)
		}
		all = append(all, program{m[1], m[2], m[3]})
	}
	return all, nil
}

// source is the program's text, as conda and rattler write it.
func (e program) source(interpreter string) string {
	imported, _, _ := strings.Cut(e.function, ".")
	return pythonShebang(interpreter) + `
# -*- coding: utf-8 -*-
import re
import sys

from ` + e.module + ` import ` + imported + `

if __name__ == '__main__':
	sys.argv[0] = re.sub(r'(-script\.pyw?|\.exe)?$', '', sys.argv[0])
	sys.exit(` + e.function + `())
`
}

// pythonShebang runs the prefix's python.
func pythonShebang(interpreter string) string {
	line := "#!" + interpreter
	if len(line) <= maxShebang() && !strings.ContainsAny(interpreter, " \t") {
		return line
	}
	return throughShell(interpreter, "")
}

// writeProgram makes the new executable file to.
func (l *prefix) writeProgram(to string, p *pathEntry) error {
	text := p.program.source(path.Join(filepath.ToSlash(l.dir), l.python.program))
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755) //nolint:gosec // it is a program
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	sum := sha256.Sum256([]byte(text))
	p.SHA256, p.Size = hex.EncodeToString(sum[:]), int64(len(text))
	p.SHA256InPrefix = p.SHA256
	return errors.Join(err, f.Close())
}

// bytecode lists what python itself has compiled, as it does for modules that nobody
// compiled: of those that leave, for it is of no use without them and keeps their folder,
// which python would go on to import; and what is in the way of what packages bring.
func (p *plan) bytecode(l *prefix) []string {
	folders, modules, arriving := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, i := range p.leaving {
		for _, e := range i.paths {
			if stem, ok := strings.CutSuffix(e.Path, ".py"); ok {
				modules[stem] = true
				folders[path.Join(path.Dir(stem), bytecodeFolder)] = true
			}
		}
	}
	for _, u := range p.arriving {
		for _, e := range u.paths {
			if dir := path.Dir(e.Path); path.Base(dir) == bytecodeFolder {
				arriving[e.Path] = true
				folders[dir] = true
			}
		}
	}
	if len(folders) == 0 {
		return nil
	}
	owned := map[string]bool{}
	for _, i := range l.packages {
		for _, e := range i.paths {
			owned[e.Path] = true
		}
	}
	var all []string
	for _, dir := range slices.Sorted(maps.Keys(folders)) {
		entries, err := fs.ReadDir(l.root.FS(), dir)
		if err != nil { // there is none, or what is wrong shows when a package's file is put there
			continue
		}
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			stem, _, _ := strings.Cut(e.Name(), ".")
			module := path.Join(path.Dir(dir), stem)
			if bytecodeName.MatchString(name) && e.Type().IsRegular() && !owned[name] && (modules[module] || arriving[name]) {
				all = append(all, name)
			}
		}
	}
	return all
}

// bytecodeFolder is where python keeps the compiled modules of a folder.
const bytecodeFolder = "__pycache__"

// bytecodeName is a compiled module's path, and with a number behind it that of one that
// is being written.
var bytecodeName = regexp.MustCompile(`^(.*\.pyc)(\.\d+)?$`)

// halfWritten lists what a python that was ended in the middle left beside the compiled
// modules that it was to make.
func halfWritten(root *os.Root, made []string) (all []string) {
	making, folders := map[string]bool{}, map[string]bool{}
	for _, name := range made {
		if dir := path.Dir(name); path.Base(dir) == bytecodeFolder {
			making[name], folders[dir] = true, true
		}
	}
	for dir := range folders {
		entries, _ := fs.ReadDir(root.FS(), dir) // where it cannot be read nothing can be removed
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			if m := bytecodeName.FindStringSubmatch(name); m != nil && m[2] != "" && making[m[1]] {
				all = append(all, name)
			}
		}
	}
	return all
}
