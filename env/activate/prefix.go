package activate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Activation is what it takes to work in a prefix.
type Activation struct {
	Scripts           []string          // absolute, to be sourced in this order, e.g. <prefix>/etc/conda/activate.d/libxml2.sh
	DeactivateScripts []string          // absolute, to be sourced in this order on leaving
	Vars              map[string]string // to be set before the scripts run; never nil
	Unset             []string          // variables to be removed before that, sorted
	Path              []string          // absolute, to be put in front of PATH
}

// Read reads what the packages in prefix want done on activation, by
// the rules of conda: scripts of etc/conda/activate.d, variables of
// etc/conda/env_vars.d/*.json and over them those of conda-meta/state. It runs
// nothing. A prefix without any of this, or none at all, is no error.
func Read(prefix string) (Activation, error) {
	a := Activation{Vars: map[string]string{}, Path: searchPath(prefix)}
	var err error
	if a.Scripts, err = scripts(prefix, "activate.d"); err != nil {
		return a, err
	}
	if a.DeactivateScripts, err = scripts(prefix, "deactivate.d"); err != nil {
		return a, err
	}
	slices.Reverse(a.DeactivateScripts)
	return a, a.readVars(prefix)
}

// scripts lists the shell's scripts in a folder of etc/conda, sorted.
func scripts(prefix, folder string) ([]string, error) {
	suffix := ".sh"
	if runtime.GOOS == "windows" {
		suffix = ".bat"
	}
	return listed(filepath.Join(prefix, "etc", "conda", folder), suffix)
}

func listed(dir, suffix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && strings.HasSuffix(e.Name(), suffix) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	return names, err
}

// readVars takes the packages' variables, and over them the user's own, whose names are
// in upper case for every client. A null removes a variable.
func (a *Activation) readVars(prefix string) error {
	files, err := listed(filepath.Join(prefix, "etc", "conda", "env_vars.d"), ".json")
	if err != nil {
		return err
	}
	all := map[string]*value{}
	for _, file := range files {
		var vars map[string]*value
		if err := readJSON(file, &vars); err != nil {
			return err
		}
		maps.Copy(all, vars)
	}
	var state struct {
		Vars map[string]*value `json:"env_vars"`
	}
	if err := readJSON(filepath.Join(prefix, "conda-meta", "state"), &state); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(state.Vars)) {
		all[strings.ToUpper(name)] = state.Vars[name]
	}
	const unset = "***unset***" // conda's mark of a variable that the user took out
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch v := all[name]; {
		case v == nil:
			a.Unset = append(a.Unset, name)
		case *v != unset:
			a.Vars[name] = string(*v)
		}
	}
	return nil
}

// value is a variable's text. A number or a truth, which environment files have unquoted
// and conda records as they are, is the text that conda makes of it.
type value string

// UnmarshalJSON refuses lists, mappings and what no process can be given.
func (v *value) UnmarshalJSON(text []byte) error {
	switch text[0] {
	case '"':
		err := json.Unmarshal(text, (*string)(v))
		if strings.Contains(string(*v), "\x00") {
			err = fmt.Errorf("%.40s has a NUL, which no variable can have", text)
		}
		return err
	case '[', '{':
		return fmt.Errorf("%.40s is no text of a variable", text)
	case 't': // Python's words
		*v = "True"
	case 'f':
		*v = "False"
	default:
		*v = value(text)
	}
	return nil
}

// readJSON adds what file has to what v points to; a missing file has nothing.
func readJSON(file string, v any) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = json.Unmarshal(text, v)
	if _, other := errors.AsType[*json.UnmarshalTypeError](err); other {
		err = errors.New("it is no JSON object of names and texts")
	}
	if err != nil {
		return fmt.Errorf("read %s: %w; correct it, or leave out the package that has it", file, err)
	}
	return nil
}

// searchPath is where a prefix keeps its programs.
func searchPath(prefix string) []string {
	if runtime.GOOS != "windows" {
		return []string{filepath.Join(prefix, "bin")}
	}
	return []string{
		prefix,
		filepath.Join(prefix, "Library", "mingw-w64", "bin"),
		filepath.Join(prefix, "Library", "usr", "bin"),
		filepath.Join(prefix, "Library", "bin"),
		filepath.Join(prefix, "Scripts"),
		filepath.Join(prefix, "bin"),
	}
}
