package conda

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// RunExports is a subdir's run_exports.json (CEP 12): for each package file the
// requirements that it adds to those which are built with it. Of a file that it
// lacks they are not known; an empty object says that there are none.
type RunExports map[string]json.RawMessage

// NormalRunExports returns a package's info/run_exports.json as an index has
// it: an object by strength. A list is weak run_exports (CEP 34), and a package
// without the file has none.
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
		return fmt.Appendf(nil, `{"weak":%s}`, text), nil
	case text[0] != '{':
		return nil, errors.New("read run_exports.json: it is neither a list nor an object")
	}
	keys, err := readObject(text, "run_exports.json")
	return encodeObject(keys), err
}

// ParseRunExports reads run_exports.json.
func ParseRunExports(text []byte) (RunExports, error) {
	if !json.Valid(text) {
		return nil, fmt.Errorf("read run_exports.json: %w", whyInvalid(text))
	}
	top, err := readObject(text, "run_exports.json")
	if err != nil {
		return nil, err
	}
	all := RunExports{}
	for _, key := range []string{"packages", "packages.conda"} {
		packages, err := readObject(top[key], key+" of run_exports.json")
		if err != nil {
			return nil, err
		}
		for file, raw := range packages {
			entry, err := readObject(raw, file+" in run_exports.json")
			if err == nil && entry["run_exports"] != nil {
				all[file] = entry["run_exports"]
			}
		}
	}
	return all, nil
}

// Encode returns run_exports.json of subdir: keys sorted, no blanks.
func (r RunExports) Encode(subdir string) []byte {
	platform, arch, _ := strings.Cut(subdir, "-")
	info := map[string]json.RawMessage{
		"arch": appendString(nil, arch), "platform": appendString(nil, platform),
		"subdir": appendString(nil, subdir), "version": json.RawMessage("1"),
	}
	if arch == "" {
		info["arch"] = json.RawMessage("null")
	}
	maps := map[string]map[string]json.RawMessage{"conda": {}, "tar.bz2": {}}
	for file, exports := range r {
		if packages := maps[kindOf(file)]; packages != nil {
			packages[file] = append(append([]byte(`{"run_exports":`), exports...), '}')
		}
	}
	return encodeObject(map[string]json.RawMessage{
		"info": encodeObject(info), "packages": encodeObject(maps["tar.bz2"]), "packages.conda": encodeObject(maps["conda"]),
	})
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
			if _, err := ParseMatchSpec(spec); err != nil {
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
