package conda

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// RepoData is a subdir's index, repodata.json (CEP 36). Records stay raw JSON:
// of hundreds of thousands a solve looks at a few, and what no rule here reads
// must survive a rewrite.
type RepoData struct {
	Packages      map[string]json.RawMessage // .tar.bz2 file name to record
	PackagesConda map[string]json.RawMessage // .conda file name to record
	Removed       []string                   // file names that were taken out
	Other         map[string]json.RawMessage // all other top-level keys, e.g. info

	once   sync.Once
	byName map[string][]string // package name to file names
}

// NewRepoData returns the index of an empty subdir, e.g. of linux-64.
func NewRepoData(subdir string) *RepoData {
	return &RepoData{
		Packages: map[string]json.RawMessage{}, PackagesConda: map[string]json.RawMessage{},
		Other: map[string]json.RawMessage{
			"info":             appendObject(nil, map[string]json.RawMessage{"subdir": appendString(nil, subdir)}),
			"repodata_version": json.RawMessage("1"),
		},
	}
}

// ParseRepoData reads repodata.json. A text that was cut, has something behind
// its end or is no object is an error, never taken for an empty index; only a
// text without any character is an empty index, as CEP 36 says. The result
// keeps text, which must not be changed any more.
func ParseRepoData(text []byte) (*RepoData, error) {
	if len(bytes.TrimSpace(text)) > 0 && !json.Valid(text) {
		return nil, fmt.Errorf("read repodata.json: %w", whyInvalid(text))
	}
	if string(bytes.TrimSpace(text)) == "null" {
		return nil, errors.New("read repodata.json: it is null, not an object")
	}
	top, err := readObject(text, "repodata.json")
	if err != nil {
		return nil, err
	}
	r := &RepoData{Other: top}
	if r.Packages, err = readObject(top["packages"], "packages of repodata.json"); err != nil {
		return nil, err
	}
	if r.PackagesConda, err = readObject(top["packages.conda"], "packages.conda of repodata.json"); err != nil {
		return nil, err
	}
	if removed := top["removed"]; removed != nil {
		if err := json.Unmarshal(removed, &r.Removed); err != nil {
			return nil, fmt.Errorf("read removed of repodata.json: %w", err)
		}
	}
	for _, key := range []string{"packages", "packages.conda", "removed"} {
		delete(top, key)
	}
	return r, nil
}

// whyInvalid says where the text stops being JSON.
func whyInvalid(text []byte) error {
	var raw json.RawMessage
	err := json.Unmarshal(text, &raw)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("at byte %d of %d: %w", syntax.Offset, len(text), err)
	}
	return err
}

// Encode returns repodata.json: keys sorted, no blanks, no line end. The same
// contents give the same bytes. Its top-level keys info, packages,
// packages.conda, removed and repodata_version are always there.
func (r *RepoData) Encode() []byte {
	removed := slices.Sorted(slices.Values(r.Removed))
	top := map[string]json.RawMessage{"info": json.RawMessage("{}"), "repodata_version": json.RawMessage("1")}
	size := 0
	for key, value := range r.Other {
		top[key] = value
		size += len(value)
	}
	for _, records := range []map[string]json.RawMessage{r.Packages, r.PackagesConda} {
		for file, record := range records {
			size += len(file) + len(record) + len(`"":,`)
		}
	}
	out := append(make([]byte, 0, size+1024), '{')
	for _, key := range slices.Sorted(keysAnd(top, "packages", "packages.conda", "removed")) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(appendString(out, key), ':')
		switch key {
		case "packages":
			out = appendObject(out, r.Packages)
		case "packages.conda":
			out = appendObject(out, r.PackagesConda)
		case "removed":
			out = appendStrings(out, slices.Compact(removed))
		default:
			out = appendCompact(out, top[key])
		}
	}
	return append(out, '}')
}

// keysAnd yields the given keys and all others of m.
func keysAnd(m map[string]json.RawMessage, more ...string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, key := range more {
			if !yield(key) {
				return
			}
		}
		for key := range m {
			if !slices.Contains(more, key) && !yield(key) {
				return
			}
		}
	}
}

func appendStrings(out []byte, list []string) []byte {
	out = append(out, '[')
	for i, s := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendString(out, s)
	}
	return append(out, ']')
}

// Names returns the names of all packages in the index, in no order.
func (r *RepoData) Names() []string {
	r.once.Do(r.group)
	names := make([]string, 0, len(r.byName))
	for name := range r.byName {
		names = append(names, name)
	}
	return names
}

// Records decodes the records of one package, in the order of their file
// names. What cannot be read is returned as errors that name the file. A
// .conda hides the .tar.bz2 of the same build. The packages are grouped at the
// first call of Records or Names; later changes of the maps are not seen.
func (r *RepoData) Records(name string) ([]Record, []error) {
	r.once.Do(r.group)
	files := r.byName[name]
	slices.Sort(files)
	var records []Record
	var broken []error
	for _, file := range files {
		record, err := r.decode(file, name)
		if err != nil {
			broken = append(broken, fmt.Errorf("read the record of %s: %w", file, err))
			continue
		}
		records = append(records, record)
	}
	return records, broken
}

// group sorts the file names by package. What is no file name of a package
// belongs to none.
func (r *RepoData) group() {
	r.byName = map[string][]string{}
	add := func(file string) {
		if f, err := ParseFileName(file); err == nil {
			r.byName[f.Name] = append(r.byName[f.Name], file)
		}
	}
	for file := range r.PackagesConda {
		add(file)
	}
	for file := range r.Packages {
		if _, twin := r.PackagesConda[strings.TrimSuffix(file, ".tar.bz2")+".conda"]; !twin {
			add(file)
		}
	}
}

func (r *RepoData) decode(file, name string) (Record, error) {
	raw, found := r.PackagesConda[file]
	if !found {
		raw = r.Packages[file]
	}
	var record Record
	if err := json.Unmarshal(raw, &record); err != nil {
		return Record{}, err
	}
	if record.Name != name {
		return Record{}, fmt.Errorf("it is of a package %q", record.Name)
	}
	if record.Subdir == "" { // before conda 4.5 only info had it
		record.Subdir = r.subdir()
	}
	record.FileName = file
	return record, nil
}

// subdir returns what info says, "" if it says nothing.
func (r *RepoData) subdir() string {
	var info struct{ Subdir string }
	if json.Unmarshal(r.Other["info"], &info) != nil {
		return ""
	}
	return info.Subdir
}

// notIndexed are keys of index.json that no index carries (conda-index's list).
var notIndexed = []string{
	"arch", "has_prefix", "mtime", "platform", "ucs", "requires_features", "binstar",
	"target-triplet", "machine", "operatingsystem",
}

// RecordFromIndex returns the index record of a package: its info/index.json,
// all keys as they are there but those that no index carries, with the
// archive's hashes (lower-case hex) and size (bytes). Keys are sorted.
func RecordFromIndex(index []byte, md5, sha256 string, size int64) (json.RawMessage, error) {
	if !json.Valid(index) {
		return nil, fmt.Errorf("read index.json: %w", whyInvalid(index))
	}
	keys, err := readObject(index, "index.json")
	if err != nil {
		return nil, err
	}
	var record Record
	if err := json.Unmarshal(index, &record); err != nil {
		return nil, fmt.Errorf("read index.json: %w", err)
	}
	if record.Name == "" || record.Version == "" || record.Build == "" {
		return nil, errors.New("read index.json: name, version or build is missing")
	}
	for _, key := range notIndexed {
		delete(keys, key)
	}
	keys["md5"], keys["sha256"] = appendString(nil, md5), appendString(nil, sha256)
	keys["size"] = fmt.Appendf(nil, "%d", size)
	return appendObject(nil, keys), nil
}
