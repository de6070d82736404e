package conda

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// RunExports is a subdir's run_exports.json (CEP 12): for each package file the
// requirements that it adds to those which are built with it. Of a file that it
// lacks they are not known; an empty object says that there are none. The zero
// value knows of none.
type RunExports struct{ packages, conda Records }

// of is the map that a file belongs to; nil: it is no package.
func (r *RunExports) of(file string) *Records {
	switch kindOf(file) {
	case "conda":
		return &r.conda
	case "tar.bz2":
		return &r.packages
	}
	return nil
}

// Get returns the run_exports of a file, nil if they are not known.
func (r *RunExports) Get(file string) json.RawMessage {
	of := r.of(file)
	if of == nil {
		return nil
	}
	entry, found := of.Get(file)
	if !found {
		return nil
	}
	if exports, ok := bytes.CutPrefix(entry, []byte(exportsBegin)); ok && exports[0] == '{' {
		if end := endOfValue(exports, 0); end == len(exports)-1 {
			return exports[:end:end]
		}
	}
	keys, err := readObject(entry, file+" in run_exports.json")
	if err != nil {
		return nil
	}
	return keys["run_exports"]
}

const (
	exportsBegin = `{"run_exports":`
	patchedBegin = `{"patched":true,"run_exports":`
)

// Set notes what a file exports; nil: it is not known. What patch instructions
// say of it already stays known as theirs.
func (r *RunExports) Set(file string, exports json.RawMessage) {
	if exports == nil || !r.Patched(file) || !bytes.Equal(r.Get(file), exports) {
		r.set(file, exportsBegin, exports)
	}
}

// SetPatched notes what patch instructions say that a file exports.
func (r *RunExports) SetPatched(file string, exports json.RawMessage) {
	r.set(file, patchedBegin, exports)
}

// Patched tells whether what a file exports was said by patch instructions, and
// need not be what its package says.
func (r *RunExports) Patched(file string) bool {
	of := r.of(file)
	if of == nil {
		return false
	}
	entry, _ := of.Get(file)
	return bytes.HasPrefix(entry, []byte(patchedBegin))
}

func (r *RunExports) set(file, begin string, exports json.RawMessage) {
	of := r.of(file)
	if of == nil {
		return
	}
	if exports == nil {
		of.Delete(file)
		return
	}
	entry := slices.Concat([]byte(begin), exports, []byte{'}'})
	if was, _ := of.Get(file); !bytes.Equal(was, entry) {
		of.Set(file, entry)
	}
}

// Files yields the files of which it is known.
func (r *RunExports) Files() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, all := range []*Records{&r.packages, &r.conda} {
			for file := range all.All() {
				if !yield(file) {
					return
				}
			}
		}
	}
}

// NormalRunExports returns a package's info/run_exports.json as an index has
// it: an object by strength. A list is weak run_exports (CEP 34), and a package
// without the file has none. What is no list of texts is an error: a client that
// meets it in an index reads nothing of what stands beside it.
func NormalRunExports(text []byte) (json.RawMessage, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return json.RawMessage("{}"), nil
	}
	if !json.Valid(text) {
		return nil, fmt.Errorf("read run_exports.json: %w", whyInvalid(text))
	}
	switch text = appendCompact(nil, text); {
	case string(text) == "null":
		return json.RawMessage("{}"), nil
	case text[0] == '[':
		text = fmt.Appendf(nil, `{"weak":%s}`, text)
	case text[0] != '{':
		return nil, errors.New("read run_exports.json: it is neither a list nor an object")
	}
	if err := json.Unmarshal(text, &Exports{}); err != nil {
		return nil, fmt.Errorf("read run_exports.json: %w", inWords(err))
	}
	keys, err := readObject(text, "run_exports.json")
	maps.DeleteFunc(keys, func(_ string, value json.RawMessage) bool { return string(value) == "null" })
	return encodeObject(keys), err
}

// ParseRunExports reads run_exports.json.
func ParseRunExports(text []byte) (*RunExports, error) {
	s, r := scanner{text: text}, &RunExports{}
	var wrong error
	whole := s.wholeObject(func(from, to int) bool {
		of := &r.packages
		switch key, _ := s.name(from, to); string(key) {
		case "packages.conda":
			of = &r.conda
		case "packages":
		default:
			return s.value(2)
		}
		ok, err := s.recordsOf("packages of run_exports.json", of)
		wrong = errors.Join(wrong, err)
		return ok
	})
	switch {
	case whole && wrong == nil:
		return r, nil
	case wrong != nil:
		return nil, wrong
	case valid(text):
		return nil, errors.New("read run_exports.json: it is no JSON object")
	}
	return nil, fmt.Errorf("read run_exports.json: %w", whyInvalid(text))
}

// Encode returns run_exports.json of subdir: keys sorted, no blanks. source, the
// sha256 of the repodata.json that it belongs to in lower-case hex, is noted in
// info, so that no two editions have the same bytes; "": not said.
func (r *RunExports) Encode(subdir, source string) *Text {
	platform, arch, _ := strings.Cut(subdir, "-")
	info := map[string]json.RawMessage{
		"arch": appendString(nil, arch), "platform": appendString(nil, platform),
		"subdir": appendString(nil, subdir), "version": json.RawMessage("1"),
	}
	if source != "" {
		info["repodata_sha256"] = appendString(nil, source)
	}
	if arch == "" {
		info["arch"] = json.RawMessage("null")
	}
	e := encoder{text: &Text{}}
	e.object([]string{"info", "packages", "packages.conda"}, func(key string) {
		switch key {
		case "info":
			e.value(encodeObject(info))
		case "packages":
			e.records(&r.packages)
		default:
			e.records(&r.conda)
		}
	})
	return e.text
}

// Exports are the run_exports of one package: match specs that it adds to the
// packages which are built with it.
type Exports struct {
	Weak             []string `json:"weak,omitempty"`   // from host to run
	Strong           []string `json:"strong,omitempty"` // from build to host and run, from host to run
	Noarch           []string `json:"noarch,omitempty"` // from host to run of noarch packages, which get no other ones
	WeakConstrains   []string `json:"weak_constrains,omitempty"`
	StrongConstrains []string `json:"strong_constrains,omitempty"`
}

// ParseExports reads run_exports as a package or an index has them: nothing, a
// list, which is weak, or an object by strength. Unknown kinds are left out. A
// match spec that cannot be read is an error.
func ParseExports(text []byte) (Exports, error) {
	var e Exports
	normal, err := NormalRunExports(text)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(normal, &e); err != nil {
		return e, fmt.Errorf("read run_exports: %w", err)
	}
	for _, list := range [][]string{e.Weak, e.Strong, e.Noarch, e.WeakConstrains, e.StrongConstrains} {
		for _, spec := range list {
			if _, err := ParsePlainSpec(spec); err != nil {
				return e, err
			}
		}
	}
	return e, nil
}

// Empty tells whether nothing is exported.
func (e Exports) Empty() bool {
	return len(e.Weak)+len(e.Strong)+len(e.Noarch)+len(e.WeakConstrains)+len(e.StrongConstrains) == 0
}

// RunExportsOf is what an index record itself says: some indexers keep
// run_exports there. nil: it says nothing.
func RunExportsOf(record json.RawMessage) json.RawMessage {
	if !bytes.Contains(record, []byte(`"run_exports"`)) {
		return nil
	}
	keys, err := readObject(record, "record")
	if err != nil || keys["run_exports"] == nil {
		return nil
	}
	exports, err := NormalRunExports(keys["run_exports"])
	if err != nil {
		return nil
	}
	return exports
}
