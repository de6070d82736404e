// Package site makes the pages on which people look at a channel: bytes from
// records, nothing else. A page is static text that loads packages.js of each
// subdir from beside itself, so that it works from a folder, from a bucket and
// below any prefix, and stays as it is when a package is added. Start with Page
// and Data.
package site

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/condaworker/condaworker/conda"
)

// The names of a page and of what it loads.
const (
	PageName = "index.html"
	DataName = "packages.js"
)

//go:embed page.html
var pageText string

// ChannelPage is index.html of a channel with these subdirs.
func ChannelPage(subdirs []string) ([]byte, error) { return page(subdirs, "", false) }

// SubdirPage is index.html in a subdir.
func SubdirPage(subdir string) ([]byte, error) { return page([]string{subdir}, "../", true) }

// parsed is the page's template, escaped once however many pages it makes.
var parsed = sync.OnceValues(func() (*template.Template, error) { return template.New(PageName).Parse(pageText) })

// page fills in where the subdirs lie as seen from it: behind up.
func page(subdirs []string, up string, inside bool) ([]byte, error) {
	t, err := parsed()
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", PageName, err)
	}
	var out bytes.Buffer
	err = t.Execute(&out, struct {
		Subdirs []string
		Up      string
		Inside  bool
	}{slices.Sorted(slices.Values(subdirs)), up, inside})
	return out.Bytes(), err
}

// Data is packages.js, the packages of a subdir as one call with one JSON
// argument. Packages are in the order of their names; builds of one have the
// newest version first, in conda's order, and of a version the highest build
// number. A record that cannot be read is left out.
//
// old is an earlier text that is right but for the packages called changed;
// nil if there is none. It saves the reading of all other records.
//
// source, the sha256 of the index, stands in a comment at the end, so that no
// two editions have the same bytes; "": not said.
func Data(subdir string, r *conda.RepoData, source string, old []byte, changed map[string]bool) *conda.Text {
	begin := slices.Concat([]byte(call), []byte(`{"subdir":`), encode(subdir), []byte(`,"packages":[`))
	rows, ok := cut(old, begin)
	if !ok || changed == nil {
		rows, changed = nil, nil
	}
	fresh := map[string][]byte{}
	for name := range changed {
		fresh[name] = nil
	}
	for name, files := range byName(r, changed) {
		if builds := read(r, files); len(builds) > 0 {
			fresh[name] = encode(newestFirst(builds).row(name))
		}
	}
	last := "]}" + end
	if source != "" {
		last += comment + source + "\n"
	}
	return conda.TextOf(slices.Concat([][]byte{begin}, merge(rows, fresh), [][]byte{[]byte(last)})...)
}

// merge puts fresh rows by name, nil for none, in the place of those that were
// there. It returns the pieces of the list, commas included.
func merge(rows []row, fresh map[string][]byte) [][]byte {
	var pieces [][]byte
	add := func(text []byte) {
		if len(pieces) > 0 {
			pieces = append(pieces, []byte{','})
		}
		pieces = append(pieces, text)
	}
	for _, name := range slices.Sorted(maps.Keys(fresh)) {
		at, found := slices.BinarySearchFunc(rows, name, func(r row, name string) int { return strings.Compare(r.name, name) })
		if at > 0 {
			add(span(rows[:at]))
		}
		if rows = rows[at:]; found {
			rows = rows[1:]
		}
		if fresh[name] != nil {
			add(fresh[name])
		}
	}
	if len(rows) > 0 {
		add(span(rows))
	}
	return pieces
}

// row is a package as it stands in a text, and all that follows it there.
type row struct {
	name string
	from []byte
	size int
}

// span is the text from the first to the last of rows that follow one another.
func span(rows []row) []byte {
	last := rows[len(rows)-1]
	return rows[0].from[:len(rows[0].from)-len(last.from)+last.size]
}

// between stands between two rows and nowhere else: within a text a quote has a
// backslash before it, and a build is not followed by three brackets.
const between = `]]],["`

// cut takes apart a text that Data made. It is not ok if it is another.
func cut(text, begin []byte) (rows []row, ok bool) {
	text, begins := bytes.CutPrefix(text, begin)
	text, ends := bytes.CutSuffix(uncommented(text), []byte("]}"+end))
	if !begins || !ends {
		return nil, false
	}
	for len(text) > 0 {
		r := row{from: text, size: len(text)}
		if i := bytes.Index(text, []byte(between)); i >= 0 {
			r.size = i + len("]]]")
		}
		name, begins := bytes.CutPrefix(text[:r.size], []byte(`["`))
		length := bytes.IndexAny(name, `"\\`)
		if !begins || length < 0 || name[length] != '"' || !bytes.HasSuffix(name, []byte("]]]")) {
			return nil, false
		}
		r.name = string(name[:length])
		rows = append(rows, r)
		text = text[min(r.size+1, len(text)):]
	}
	return rows, slices.IsSortedFunc(rows, func(a, b row) int { return strings.Compare(a.name, b.name) })
}

// encode never fails: strings and numbers always have a form. It escapes < and
// U+2028, which end a script or a line of one.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return []byte("[]")
	}
	return text
}

// byName are the files of these packages, nil for all, by the name that they
// have.
func byName(r *conda.RepoData, names map[string]bool) map[string][]conda.FileName {
	all := map[string][]conda.FileName{}
	for file := range r.All() {
		if names != nil && !names[conda.NameIn(file)] {
			continue // most of a large index
		}
		if f, err := conda.ParseFileName(file); err == nil {
			all[f.Name] = append(all[f.Name], f)
		}
	}
	return all
}

// read reads the records of these files: of one package at a time, since those
// of a large channel would take more memory than its index.
func read(r *conda.RepoData, files []conda.FileName) builds {
	var all builds
	for _, f := range files {
		var b build
		if raw, _ := r.Record(f.String()); json.Unmarshal(raw, &b) == nil {
			b.file = f
			all = append(all, b)
		}
	}
	return all
}

// The call that wraps the data.
const (
	call = "channelPackages("
	end  = ");\n"

	comment = "// of repodata.json "
)

// uncommented is text without the comment at its end. Within a text no line
// begins so: Data writes the rest on one.
func uncommented(text []byte) []byte {
	if i := bytes.LastIndex(text, []byte("\n"+comment)); i >= 0 {
		return text[:i+1]
	}
	return text
}

// Builds reads packages.js back: how many builds of each package it has.
func Builds(text []byte) (map[string]int, error) {
	packages, err := parse(text)
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for name, raw := range packages {
		var row []json.RawMessage
		var rows []any
		if err := json.Unmarshal(raw, &row); err != nil || len(row) != 3 {
			return nil, fmt.Errorf("read %s: %s has no builds", DataName, name)
		}
		if err := json.Unmarshal(row[2], &rows); err != nil {
			return nil, fmt.Errorf("read %s: %s: %w", DataName, name, err)
		}
		count[name] = len(rows)
	}
	return count, nil
}

// parse takes packages.js apart: each package by its name.
func parse(text []byte) (map[string]json.RawMessage, error) {
	text, begins := bytes.CutPrefix(text, []byte(call))
	text, ends := bytes.CutSuffix(uncommented(text), []byte(end))
	var all contents
	if !begins || !ends {
		return nil, fmt.Errorf("read %s: it is not one call with the packages", DataName)
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("read %s: %w", DataName, err)
	}
	packages := map[string]json.RawMessage{}
	for _, raw := range all.Packages {
		d := json.NewDecoder(bytes.NewReader(raw))
		_, _ = d.Token() // the bracket; what is no array has no name either
		token, _ := d.Token()
		name, ok := token.(string)
		if !ok {
			return nil, fmt.Errorf("read %s: a package has no name", DataName)
		}
		packages[name] = raw
	}
	return packages, nil
}

// contents is the argument: for each package its name, its licence and its
// builds.
type contents struct {
	Subdir   string            `json:"subdir"`
	Packages []json.RawMessage `json:"packages"`
}

// build is what of a record is shown.
type build struct {
	Version     string  `json:"version"`
	Build       string  `json:"build"`
	BuildNumber int     `json:"build_number"`
	Size        int64   `json:"size"`
	License     string  `json:"license"`
	Timestamp   float64 `json:"timestamp"`         // of the build, in ms since 1970, or in seconds when old
	Indexed     int64   `json:"indexed_timestamp"` // when it came into the channel, in ms
	file        conda.FileName
}

// builds are those of one package.
type builds []build

// lastSecond is the largest timestamp that means seconds; it is conda's.
const lastSecond = 253402300799

// seconds is when it came into the channel, or else was built.
func (b build) seconds() int64 {
	switch {
	case b.Indexed != 0:
		return b.Indexed / 1000
	case b.Timestamp > lastSecond:
		return int64(b.Timestamp / 1000)
	}
	return int64(b.Timestamp)
}

// row is a package: its name, licence and builds. A build is its version, build
// string, build number, bytes, seconds since 1970, the end of its file name,
// and the whole file name if that is not made of these.
func (all builds) row(name string) []any {
	rows := make([][]any, len(all))
	for i, b := range all {
		rows[i] = []any{b.Version, b.Build, b.BuildNumber, b.Size, b.seconds(), b.file.Ext}
		if b.file.Version != b.Version || b.file.Build != b.Build {
			rows[i] = append(rows[i], b.file.String())
		}
	}
	return []any{name, all[0].License, rows}
}

// newestFirst sorts the builds of one package. Versions that are none come last.
func newestFirst(all builds) builds {
	versions := map[string]conda.Version{}
	for _, b := range all {
		if v, err := conda.ParseVersion(b.Version); err == nil {
			versions[b.Version] = v
		}
	}
	slices.SortFunc(all, func(a, b build) int {
		x, isA := versions[a.Version]
		y, isB := versions[b.Version]
		switch {
		case isA && isB && x.Compare(y) != 0:
			return y.Compare(x)
		case isA != isB && isA:
			return -1
		case isA != isB:
			return 1
		}
		return cmp.Or(cmp.Compare(b.BuildNumber, a.BuildNumber), cmp.Compare(b.seconds(), a.seconds()), strings.Compare(a.file.String(), b.file.String()))
	})
	return all
}
