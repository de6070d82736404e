package conda

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// RepoData is a subdir's index, repodata.json (CEP 36). Records stay raw JSON:
// of hundreds of thousands a solve looks at a few, and what no rule here reads
// must survive a rewrite.
type RepoData struct {
	Packages      Records                               // by .tar.bz2 file name
	PackagesConda Records                               // by .conda file name
	V3            map[string]map[string]json.RawMessage // CEP 48: kind (conda, tar.bz2, …) to file name without it to record
	V3Other       map[string]json.RawMessage            // what else v3 has
	Removed       []string                              // file names that were taken out
	Other         map[string]json.RawMessage            // all other top-level keys, e.g. info

	once   sync.Once
	byName map[string][]string // package name to file names
}

// NewRepoData returns the index of an empty subdir, e.g. of linux-64.
func NewRepoData(subdir string) *RepoData {
	return &RepoData{
		V3: map[string]map[string]json.RawMessage{},
		Other: map[string]json.RawMessage{
			"info":             encodeObject(map[string]json.RawMessage{"subdir": appendString(nil, subdir)}),
			"repodata_version": json.RawMessage("1"),
		},
	}
}

// ParseRepoData reads repodata.json. A text that was cut, has something behind
// its end or is no object is an error, never taken for an empty index; only a
// text without any character is an empty index, as CEP 36 says. The result
// keeps text, which must not be changed any more.
func ParseRepoData(text []byte) (*RepoData, error) {
	r := &RepoData{Other: map[string]json.RawMessage{}, V3: map[string]map[string]json.RawMessage{}}
	if len(bytes.TrimSpace(text)) == 0 {
		return r, nil
	}
	s := scanner{text: text}
	var wrong error
	whole := s.wholeObject(func(from, to int) bool {
		key, _ := s.name(from, to)
		ok, err := r.member(string(key), &s)
		wrong = errors.Join(wrong, err)
		return ok
	})
	switch {
	case whole:
		return r, wrong
	case valid(text):
		return nil, errors.New("read repodata.json: it is no JSON object")
	}
	return nil, fmt.Errorf("read repodata.json: %w", whyInvalid(text))
}

// member reads one member of the index. It is not ok if it is not JSON.
func (r *RepoData) member(key string, s *scanner) (ok bool, err error) {
	begin := s.at
	switch key {
	case "packages":
		return s.recordsOf(key+" of repodata.json", &r.Packages)
	case "packages.conda":
		return s.recordsOf(key+" of repodata.json", &r.PackagesConda)
	}
	if !s.value(2) {
		return false, nil
	}
	value := s.text[begin:s.at:s.at]
	switch key {
	case "v3":
		err = r.readV3(value)
	case "removed":
		r.Removed = nil
		if err := json.Unmarshal(value, &r.Removed); err != nil {
			return true, fmt.Errorf("read removed of repodata.json: %w", inWords(err))
		}
	default:
		r.Other[key] = value
	}
	return true, err
}

func (r *RepoData) readV3(text []byte) error {
	kinds, err := readObject(text, "v3 of repodata.json")
	if err != nil {
		return err
	}
	r.V3, r.V3Other = map[string]map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for kind, records := range kinds {
		if r.V3[kind], err = readObject(records, "v3."+kind); err != nil { // as a later version may have it
			delete(r.V3, kind)
			r.V3Other[kind] = records
		}
	}
	return nil
}

// whyInvalid says where the text stops being JSON.
func whyInvalid(text []byte) error {
	var raw json.RawMessage
	err := json.Unmarshal(text, &raw)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		before := text[:max(0, syntax.Offset-1)]
		line, column := 1+bytes.Count(before, []byte("\n")), len(before)-bytes.LastIndexByte(before, '\n')
		return fmt.Errorf("at byte %d of %d (line %d, column %d): %w", syntax.Offset, len(text), line, column, err)
	}
	return err
}

// Encode returns repodata.json: keys sorted, no blanks, no line end. The same
// contents give the same bytes. Its top-level keys info, packages,
// packages.conda, removed and repodata_version are always there. Records that
// need no change share their memory with the result. What info says of the records
// in v3, if it says anything, is made right (CEP 48).
func (r *RepoData) Encode() *Text {
	top := map[string]json.RawMessage{"info": json.RawMessage("{}"), "repodata_version": json.RawMessage("1")}
	maps.Copy(top, r.Other)
	top["info"] = r.recounted(top["info"])
	v3 := maps.Clone(r.V3Other)
	if v3 == nil {
		v3 = map[string]json.RawMessage{}
	}
	for kind, records := range r.V3 {
		v3[kind] = encodeObject(records)
	}
	if len(v3) > 0 {
		top["v3"] = encodeObject(v3)
	}
	e := encoder{text: &Text{}}
	e.object(slices.Sorted(keysAnd(top, "packages", "packages.conda", "removed")), func(key string) {
		switch key {
		case "packages":
			e.records(&r.Packages)
		case "packages.conda":
			e.records(&r.PackagesConda)
		case "removed":
			e.text.add(appendStrings(nil, slices.Compact(slices.Sorted(slices.Values(r.Removed)))))
		default:
			e.value(top[key])
		}
	})
	return e.text
}

const revisionsKey = "repodata_revisions"

// recounted is info with the numbers of another indexer made right; a message stays.
// What the index has no map of its own for goes, and so does a list, which only
// drafts of CEP 48 had.
func (r *RepoData) recounted(info json.RawMessage) json.RawMessage {
	if !bytes.Contains(info, []byte(revisionsKey)) {
		return info
	}
	keys, err := readObject(info, "info of repodata.json")
	if err != nil || keys[revisionsKey] == nil {
		return info
	}
	revisions, err := readObject(keys[revisionsKey], revisionsKey)
	if err != nil {
		delete(keys, revisionsKey)
		return encodeObject(keys)
	}
	for name := range revisions {
		if _, has := r.Other[name]; !has && name != "v3" {
			delete(revisions, name)
		}
	}
	if revisions["v3"] != nil {
		revisions["v3"] = r.countV3(revisions["v3"])
	}
	keys[revisionsKey] = encodeObject(revisions)
	return encodeObject(keys)
}

// countV3 is a revision with the number of records in v3 and, if all of them say
// it, when the first and the last were indexed.
func (r *RepoData) countV3(revision json.RawMessage) json.RawMessage {
	keys, err := readObject(revision, "v3 of "+revisionsKey)
	if err != nil {
		keys = map[string]json.RawMessage{}
	}
	var stamps []int64
	n := 0
	for _, records := range r.V3 {
		for _, record := range records {
			n++
			if at := Stamped(record); at != 0 {
				stamps = append(stamps, at)
			}
		}
	}
	delete(keys, "oldest")
	delete(keys, "newest")
	keys["n_packages"] = fmt.Appendf(nil, "%d", n)
	if n > 0 && len(stamps) == n {
		keys["oldest"] = fmt.Appendf(nil, "%d", slices.Min(stamps))
		keys["newest"] = fmt.Appendf(nil, "%d", slices.Max(stamps))
	}
	return encodeObject(keys)
}

// encoder writes JSON to a text.
type encoder struct {
	text    *Text
	scratch []byte
}

// object writes the keys, each with what value writes.
func (e *encoder) object(keys []string, value func(key string)) {
	separator := byte('{')
	for _, key := range keys {
		e.name(separator, key)
		value(key)
		separator = ','
	}
	e.end(separator)
}

// members writes an object.
func (e *encoder) members(all iter.Seq2[string, json.RawMessage]) {
	separator := byte('{')
	for key, value := range all {
		e.name(separator, key)
		e.value(value)
		separator = ','
	}
	e.end(separator)
}

// name writes a member's name behind what separates it from the one before.
func (e *encoder) name(separator byte, key string) {
	e.scratch = append(appendString(append(e.scratch[:0], separator), key), ':')
	e.text.add(e.scratch)
}

// end ends an object; separator is what would come before another member.
func (e *encoder) end(separator byte) {
	if separator == '{' {
		e.text.add([]byte{'{'})
	}
	e.text.add([]byte{'}'})
}

// value writes valid JSON without the blanks between its words.
func (e *encoder) value(raw json.RawMessage) {
	e.scratch = appendCompact(e.scratch[:0], raw)
	if len(e.scratch) == len(raw) { // there were none
		e.text.share(raw)
		return
	}
	e.text.add(e.scratch)
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

// kindOf is a package file's kind, as CEP 48 calls it: what follows the dot
// that ends its name; "" for what is no package.
func kindOf(file string) string {
	for _, kind := range []string{"conda", "tar.bz2"} {
		if strings.HasSuffix(file, "."+kind) {
			return kind
		}
	}
	return ""
}

// Record returns the record of a package file as it is in the index.
func (r *RepoData) Record(file string) (json.RawMessage, bool) {
	if record, found := r.PackagesConda.Get(file); found {
		return record, true
	}
	if record, found := r.Packages.Get(file); found {
		return record, true
	}
	return r.inV3(file)
}

func (r *RepoData) inV3(file string) (json.RawMessage, bool) {
	kind := kindOf(file)
	record, found := r.V3[kind][strings.TrimSuffix(file, "."+kind)]
	return record, found
}

// Set puts the record of a package file into the map that clients look for it
// in, in place of any that is there. A package which older clients would
// misunderstand goes to v3 alone (CEP 43, 48).
func (r *RepoData) Set(file string, record json.RawMessage) {
	r.Delete(file)
	kind := kindOf(file)
	switch {
	case needsV3(record):
		if r.V3[kind] == nil {
			r.V3[kind] = map[string]json.RawMessage{}
		}
		r.V3[kind][strings.TrimSuffix(file, "."+kind)] = record
	case kind == "conda":
		r.PackagesConda.Set(file, record)
	default:
		r.Packages.Set(file, record)
	}
}

// Refile moves the records of the older maps that belong into v3, and leaves a
// file that is in both in one map only: another indexer may have filed them
// otherwise. Of two records that of v3 stays, which newer clients go by. It
// returns the files.
func (r *RepoData) Refile() (moved []string) {
	for _, records := range []*Records{&r.Packages, &r.PackagesConda} {
		for file, record := range records.All() {
			both := false
			if len(r.V3) > 0 {
				_, both = r.inV3(file)
			}
			if both || needsV3(record) && kindOf(file) != "" {
				moved = append(moved, file)
			}
		}
	}
	for _, file := range moved {
		record, found := r.inV3(file)
		if !found {
			record, _ = r.Record(file)
		}
		r.Set(file, record)
	}
	return moved
}

// Delete takes the record of a package file out.
func (r *RepoData) Delete(file string) {
	r.PackagesConda.Delete(file)
	r.Packages.Delete(file)
	kind := kindOf(file)
	if v3 := r.V3[kind]; v3 != nil {
		delete(v3, strings.TrimSuffix(file, "."+kind))
		if len(v3) == 0 {
			delete(r.V3, kind)
		}
	}
}

// All yields every package file and its record, in no order. Kinds of v3 that
// are neither .conda nor .tar.bz2 are not files of a subdir and are left out.
func (r *RepoData) All() iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for _, all := range []*Records{&r.Packages, &r.PackagesConda} {
			for file, record := range all.All() {
				if !yield(file, record) {
					return
				}
			}
		}
		for _, kind := range []string{"conda", "tar.bz2"} {
			for stem, record := range r.V3[kind] {
				if !yield(stem+"."+kind, record) {
					return
				}
			}
		}
	}
}

// Len is the number of package files that All yields.
func (r *RepoData) Len() int {
	return r.Packages.Len() + r.PackagesConda.Len() + len(r.V3["conda"]) + len(r.V3["tar.bz2"])
}

// needsV3 tells whether a record says something that clients of the older maps
// would ignore and so resolve wrongly.
func needsV3(record json.RawMessage) bool {
	if !mayNeedV3(record) {
		return false
	}
	var v struct {
		Schema       int                 `json:"schema_version"`
		Revision     int                 `json:"repodata_revision"`
		ExtraDepends map[string][]string `json:"extra_depends"`
		Flags        []string            `json:"flags"`
		Depends      []string            `json:"depends"`
		Constrains   []string            `json:"constrains"`
	}
	if json.Unmarshal(record, &v) != nil {
		return false
	}
	conditional := func(spec string) bool {
		return strings.Contains(spec, "[") && (strings.Contains(spec, "when=") || strings.Contains(spec, "extras=") || strings.Contains(spec, "flags="))
	}
	return v.Schema >= 3 || v.Revision >= 3 || len(v.ExtraDepends) > 0 || len(v.Flags) > 0 ||
		slices.ContainsFunc(v.Depends, conditional) || slices.ContainsFunc(v.Constrains, conditional)
}

// mayNeedV3 spares decoding hundreds of thousands, and most of them a search for
// each word: it looks first where characters are that no record has many of.
func mayNeedV3(record []byte) bool {
	has := func(word string) bool { return bytes.Contains(record, []byte(word)) }
	switch {
	case comesAfter(record, '_', "a", true) && (has("schema_version") || has("repodata_revision") || has("extra_depends")):
	case has(`gs"`) && has(`"flags"`):
	case comesAfter(record, '[', ":,[ \t\r\n", false): // no array begins there: it is inside a match spec
	default:
		return false
	}
	return true
}

// comesAfter tells whether some c in text comes after one of others, or, if not
// in, after a byte that is none of them.
func comesAfter(text []byte, c byte, others string, in bool) bool {
	for i := 1; i < len(text); i++ {
		n := bytes.IndexByte(text[i:], c)
		if n < 0 {
			return false
		}
		if i += n; strings.IndexByte(others, text[i-1]) >= 0 == in {
			return true
		}
	}
	return false
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
// .conda that can be read hides the .tar.bz2 of the same build. The packages are grouped at the
// first call of Records or Names; later changes of the maps are not seen.
func (r *RepoData) Records(name string) ([]Record, []error) {
	r.once.Do(r.group)
	files := slices.Sorted(slices.Values(r.byName[name])) // several may ask at a time
	var records []Record
	var broken []error
	for _, file := range files {
		for ; file != ""; file = r.twin(file) {
			record, err := r.decode(file, name)
			if err == nil {
				records = append(records, record)
				break
			}
			broken = append(broken, fmt.Errorf("read the record of %s: %w", file, err))
		}
	}
	return records, broken
}

// twin is the .tar.bz2 of the same build as a .conda, "" without one.
func (r *RepoData) twin(file string) string {
	stem, is := strings.CutSuffix(file, ".conda")
	if _, found := r.Packages.Get(stem + ".tar.bz2"); is && found {
		return stem + ".tar.bz2"
	}
	return ""
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
	for file := range r.PackagesConda.All() {
		add(file)
	}
	for file := range r.Packages.All() {
		if _, twin := r.PackagesConda.Get(strings.TrimSuffix(file, ".tar.bz2") + ".conda"); !twin {
			add(file)
		}
	}
}

func (r *RepoData) decode(file, name string) (Record, error) {
	raw, found := r.PackagesConda.Get(file)
	if !found {
		raw, _ = r.Packages.Get(file)
	}
	var record Record
	if err := json.Unmarshal(raw, &record); err != nil {
		return Record{}, err
	}
	if record.Name == "" {
		return Record{}, errors.New("it has no name")
	}
	if record.Name != name {
		return Record{}, fmt.Errorf("it is of a package %q", record.Name)
	}
	if _, err := ParseVersion(record.Version); err != nil {
		return Record{}, err
	}
	if record.Build == "" {
		return Record{}, errors.New("it has no build")
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

// editionKey is the member of info that SetEdition writes.
const editionKey = "condaworker_edition"

// anothers begins the edition that SetName writes.
const anothers = "of another indexer: "

// SetEdition notes in info which edition of the index this is: a text that no
// other edition has. Clients pass over it, as over all of info that they do not
// know. An info that is no object is replaced.
func (r *RepoData) SetEdition(edition string) { r.setInfo(editionKey, edition) }

// SetName makes the index of another indexer such a text, too. It stays the other's:
// HasEdition is false.
func (r *RepoData) SetName(name string) { r.setInfo(editionKey, anothers+name) }

// HasName tells whether the index has the note of SetEdition or of SetName.
func (r *RepoData) HasName() bool { return r.edition() != "" }

// HasEdition tells whether the index has the note of SetEdition: other indexers
// leave it out of what they write.
func (r *RepoData) HasEdition() bool {
	edition := r.edition()
	return edition != "" && !strings.HasPrefix(edition, anothers)
}

// edition is the note, "" if there is none.
func (r *RepoData) edition() string {
	info, err := readObject(r.Other["info"], "info of repodata.json")
	if err != nil || info[editionKey] == nil {
		return ""
	}
	if !isText(info[editionKey]) {
		return string(info[editionKey])
	}
	return unquote(info[editionKey])
}

// SetSubdir makes info name the subdir, as clients expect, where it does not.
func (r *RepoData) SetSubdir(subdir string) {
	if r.subdir() != subdir {
		r.setInfo("subdir", subdir)
	}
}

func (r *RepoData) setInfo(key, value string) {
	info, err := readObject(r.Other["info"], "info of repodata.json")
	if err != nil {
		info = map[string]json.RawMessage{}
	}
	info[key] = appendString(nil, value)
	r.Other = maps.Clone(r.Other) // others may share it
	r.Other["info"] = encodeObject(info)
}

// BaseURL is where the packages lie, absolute or relative to the index (CEP
// 15); "" beside it.
func (r *RepoData) BaseURL() string {
	var info struct {
		BaseURL string `json:"base_url"`
	}
	if json.Unmarshal(r.Other["info"], &info) != nil {
		return ""
	}
	return info.BaseURL
}

// notIndexed are keys of index.json that no index carries (conda-index's list).
var notIndexed = []string{
	"arch", "has_prefix", "mtime", "platform", "ucs", "requires_features", "binstar",
	"target-triplet", "machine", "operatingsystem",
	stampKey, // an index's to give (CEP 47)
}

// RecordFromIndex returns the index record of a package: its info/index.json,
// all keys as they are there but those that no index carries, with the
// archive's hashes (lower-case hex) and size (bytes). Keys are sorted.
func RecordFromIndex(index []byte, md5, sha256 string, size int64) (json.RawMessage, error) {
	if !valid(index) {
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
	return encodeObject(keys), nil
}

// WithSubdir returns index, the text of an index.json, with subdir, if it names
// none: clients find no package of a record without one.
func WithSubdir(index json.RawMessage, subdir string) (json.RawMessage, error) {
	keys, err := readObject(index, "index.json")
	if err != nil {
		return nil, err
	}
	switch string(keys["subdir"]) {
	case "", "null", `""`:
		keys["subdir"] = appendString(nil, subdir)
		return encodeObject(keys), nil
	}
	return index, nil
}

// WithHashes returns record with what own, another one of the same archive, says of
// its hashes and its size.
func WithHashes(record, own json.RawMessage) json.RawMessage {
	fields, err := readObject(record, "record")
	right, err2 := readObject(own, "record")
	if err != nil || err2 != nil {
		return record
	}
	changed := false
	for _, key := range []string{"md5", "sha256", "size"} {
		changed = changed || !bytes.Equal(fields[key], right[key])
		fields[key] = right[key]
	}
	if !changed {
		return record
	}
	return encodeObject(fields)
}

const stampKey = "indexed_timestamp"

// Stamp returns record with the time in ms since 1970 at which it was first
// indexed (CEP 47).
func Stamp(record json.RawMessage, ms int64) json.RawMessage {
	keys, err := readObject(record, "record")
	if err != nil {
		return record
	}
	keys[stampKey] = fmt.Appendf(nil, "%d", ms)
	return encodeObject(keys)
}

// Stamped is the time in ms since 1970 at which record, an object of valid JSON,
// was first indexed, 0 if it does not say.
func Stamped(record json.RawMessage) int64 {
	if !bytes.Contains(record, []byte(stampKey)) || record[0] != '{' {
		return 0
	}
	for key, value := range named(record) {
		if string(key) == stampKey {
			at, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil {
				return 0
			}
			return at
		}
	}
	return 0
}

// Hashes are what a record says of its archive.
type Hashes struct {
	Name   string // of the package
	Size   int64  // in bytes
	SHA256 string // lower-case hex
	MD5    string // lower-case hex
}

// HashesOf reads the name and the hashes of record, nil or valid JSON. It is not ok
// if one has a value of another kind, null or an empty text; one that is missing is empty.
func HashesOf(record json.RawMessage) (h Hashes, ok bool) {
	if len(record) == 0 || record[0] != '{' {
		return h, false
	}
	for key, value := range named(record) {
		var err error
		switch string(key) {
		case "name":
			h.Name, err = textOf(value)
		case "size":
			h.Size, err = strconv.ParseInt(string(value), 10, 64)
		case "sha256":
			h.SHA256, err = textOf(value)
		case "md5":
			h.MD5, err = textOf(value)
		}
		if err != nil {
			return h, false
		}
	}
	return h, true
}

func textOf(value json.RawMessage) (text string, err error) {
	if value[0] != '"' || value[1] == '"' {
		return "", errors.New("it is no text, or an empty one")
	}
	return unquote(value), nil
}
