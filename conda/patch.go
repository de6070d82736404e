package conda

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Patch is a subdir's patch_instructions.json: what a channel's keepers change
// in records after their packages were built ("hotfixes", as conda-index
// applies them). Versions 1 and 2 are known; the second may change run_exports
// (CEP 21).
type Patch struct {
	Packages      map[string]map[string]json.RawMessage // by .tar.bz2 name; for its .conda twin as well
	PackagesConda map[string]map[string]json.RawMessage // by .conda name
	Remove        []string                              // file names to take out; a .tar.bz2 means its .conda twin too
	Revoke        []string                              // file names to make uninstallable; likewise
}

// ParsePatch reads patch_instructions.json. {} are instructions that change
// nothing. Another object without a key of theirs is not taken for those: what
// earlier ones withdrew would come back.
func ParsePatch(text []byte) (*Patch, error) {
	if !json.Valid(text) {
		return nil, fmt.Errorf("read patch instructions: %w", whyInvalid(text))
	}
	var p struct {
		Version       int                                   `json:"patch_instructions_version"`
		Packages      map[string]map[string]json.RawMessage `json:"packages"`
		PackagesConda map[string]map[string]json.RawMessage `json:"packages.conda"`
		Remove        []string                              `json:"remove"`
		Revoke        []string                              `json:"revoke"`
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("read patch instructions: %w", inWords(err))
	}
	if err := checkPatchKeys(text); err != nil {
		return nil, fmt.Errorf("read patch instructions: %w", err)
	}
	if p.Version > 2 {
		return nil, fmt.Errorf("read patch instructions: their version is %d; 1 and 2 are known", p.Version)
	}
	for _, all := range []map[string]map[string]json.RawMessage{p.Packages, p.PackagesConda} {
		for file, changes := range all {
			if err := checkChanges(changes); err != nil {
				return nil, fmt.Errorf("read patch instructions: of %s: %w", file, err)
			}
		}
	}
	return &Patch{Packages: p.Packages, PackagesConda: p.PackagesConda, Remove: p.Remove, Revoke: p.Revoke}, nil
}

// checkPatchKeys refuses an object of something else, e.g. records by file name.
func checkPatchKeys(text []byte) error {
	known := []string{"patch_instructions_version", "packages", "packages.conda", "remove", "revoke"}
	keys, err := readObject(text, "them")
	has := func(key string) bool { _, found := keys[key]; return found }
	if err != nil || len(keys) == 0 || slices.ContainsFunc(known, has) {
		return err
	}
	return fmt.Errorf("they are an object with none of the keys %s", strings.Join(known, ", "))
}

// checkChanges refuses what would leave a record that clients cannot read: some
// of them then read nothing of the whole index, others no record of its name.
func checkChanges(changes map[string]json.RawMessage) error {
	for _, key := range neededFields() {
		if value, found := changes[key]; found && string(value) == "null" {
			return fmt.Errorf("a record cannot be without its %s", key)
		}
	}
	text := encodeObject(changes)
	var r Record
	if err := cmp.Or(json.Unmarshal(text, &r), r.CheckHashes(), CheckJSON(text)); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		if err := checkChange(key, changes[key]); err != nil {
			return err
		}
	}
	return nil
}

// checkChange takes null for any key but run_exports, for it takes the key out: of
// run_exports it would be what a shard has.
func checkChange(key string, value json.RawMessage) error {
	switch {
	case string(value) != "null":
		return checkField(key, value)
	case key == "run_exports":
		return fmt.Errorf("%s is null, not %s", key, kindOfField(key).is)
	}
	return nil
}

// Apply returns r as clients shall see it; r itself stays. Instructions for
// files that r does not have are passed over.
func (p *Patch) Apply(r *RepoData) (*RepoData, error) {
	out := &RepoData{
		Packages: r.Packages.clone(), PackagesConda: r.PackagesConda.clone(), V3: map[string]map[string]json.RawMessage{}, V3Other: r.V3Other,
		Removed: slices.Clone(r.Removed), Other: maps.Clone(r.Other),
	}
	for kind, records := range r.V3 {
		out.V3[kind] = maps.Clone(records)
	}
	var errs []error
	edit := func(file string, change func(fields map[string]json.RawMessage)) {
		record, found := out.Record(file)
		if !found {
			return
		}
		fields, err := readObject(record, "record of "+file)
		if err != nil {
			errs = append(errs, fmt.Errorf("patch: %w", err))
			return
		}
		change(fields)
		out.Set(file, encodeObject(fields))
	}
	for file, changes := range p.changes() {
		edit(file, func(fields map[string]json.RawMessage) { patchFields(fields, changes) })
	}
	for _, file := range twins(p.Revoke) {
		edit(file, revoke)
	}
	for _, file := range twins(p.Remove) {
		if _, found := out.Record(file); found {
			out.Delete(file)
			out.Removed = append(out.Removed, file)
		}
	}
	return out, errors.Join(errs...)
}

// changes are those of each file. Those for a .tar.bz2 hold for its .conda
// twin, where the twin's own come last.
func (p *Patch) changes() map[string]map[string]json.RawMessage {
	all := maps.Clone(p.Packages)
	if all == nil {
		all = map[string]map[string]json.RawMessage{}
	}
	for file, changes := range p.Packages {
		if stem, ok := strings.CutSuffix(file, ".tar.bz2"); ok {
			all[stem+".conda"] = maps.Clone(changes)
		}
	}
	for file, changes := range p.PackagesConda {
		if all[file] == nil {
			all[file] = map[string]json.RawMessage{}
		}
		maps.Copy(all[file], changes)
	}
	return all
}

// Removes tells whether the instructions take file out.
func (p *Patch) Removes(file string) bool {
	return p != nil && slices.Contains(twins(p.Remove), file)
}

// RunExports is what the instructions say of a file's run_exports.
func (p *Patch) RunExports(file string) (json.RawMessage, bool) {
	if p == nil {
		return nil, false
	}
	stem, conda := strings.CutSuffix(file, ".conda")
	if changes, found := p.PackagesConda[file]["run_exports"]; found && conda {
		return changes, true
	}
	if conda {
		file = stem + ".tar.bz2"
	}
	changes, found := p.Packages[file]["run_exports"]
	return changes, found
}

// ChangesRunExports tells whether the instructions say anything of run_exports.
func (p *Patch) ChangesRunExports() bool {
	if p == nil {
		return false
	}
	for _, all := range []map[string]map[string]json.RawMessage{p.Packages, p.PackagesConda} {
		for _, changes := range all {
			if _, found := changes["run_exports"]; found {
				return true
			}
		}
	}
	return false
}

// patchFields sets keys, and deletes those that are null. run_exports are no
// part of the index.
func patchFields(fields, changes map[string]json.RawMessage) {
	for key, value := range changes {
		switch {
		case key == "run_exports":
		case string(value) == "null":
			delete(fields, key)
		default:
			fields[key] = value
		}
	}
}

// revokedMark is a dependency that nothing provides.
const revokedMark = "package_has_been_revoked"

func revoke(fields map[string]json.RawMessage) {
	fields["revoked"] = json.RawMessage("true")
	var depends []string
	if json.Unmarshal(fields["depends"], &depends) != nil {
		depends = nil // there are none, or such as no client understands
	}
	if !slices.Contains(depends, revokedMark) {
		fields["depends"] = appendStrings(nil, append(depends, revokedMark))
	}
}

// twins adds the .conda of each .tar.bz2.
func twins(files []string) []string {
	var all []string
	for _, file := range files {
		all = append(all, file)
		if stem, ok := strings.CutSuffix(file, ".tar.bz2"); ok {
			all = append(all, stem+".conda")
		}
	}
	return all
}
