package conda

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sort"
)

// Records are records by file name, in the order of the names. Those that were
// read stay in their text, and only where they are is remembered: a text with one
// more is made of the pieces around it. The zero value has none.
type Records struct {
	text    []byte                     // that was read, or nil
	places  []place                    // of the records in text, names rising
	compact bool                       // text has no blanks between its words
	edits   map[string]json.RawMessage // what was set since; nil: taken out
	n       int
}

// place is where a name begins, where its record does and where that ends.
type place struct{ name, record, end uint32 }

// maxText bounds a text in bytes, so that a place is small.
const maxText = 1<<32 - 1

// records reads the object that begins here, or null.
func (s *scanner) records() (r Records, isObject, ok bool) {
	if c := s.next(); c != '{' {
		return r, c == 'n', s.value(2)
	}
	outer := s.blanks
	s.blanks = false
	r.text = s.text
	sorted, last := len(s.text) <= maxText, []byte(nil)
	r.places = make([]place, 0, (len(s.text)-s.at)/recordSize)
	ok = s.object(2, func(from, to int) bool {
		name, plain := s.name(from, to)
		sorted = sorted && plain && (last == nil || bytes.Compare(last, name) < 0)
		last = name
		begin := s.at
		if !s.value(3) {
			return false
		}
		if sorted {
			r.places = append(r.places, place{uint32(from), uint32(begin), uint32(s.at)}) //nolint:gosec // within maxText
			return true
		}
		r.unsort()
		r.Set(string(name), s.text[begin:s.at:s.at])
		return true
	})
	r.compact = !s.blanks
	s.blanks = s.blanks || outer
	r.n = max(r.n, len(r.places))
	return r, true, ok
}

// recordsOf reads records into to. It is not ok if they are not JSON; what names
// them in errors.
func (s *scanner) recordsOf(what string, to *Records) (ok bool, err error) {
	records, is, ok := s.records()
	if *to = records; ok && !is {
		err = fmt.Errorf("read %s: it is no JSON object", what)
	}
	return ok, err
}

// unsort keeps the records read so far as if they had been set: their text cannot
// be used piece by piece.
func (r *Records) unsort() {
	places := r.places
	r.places = nil
	for _, p := range places {
		r.Set(string(r.nameAt(p)), r.text[p.record:p.end:p.end])
	}
}

func (r *Records) nameAt(p place) []byte {
	from := p.name + 1
	if r.compact {
		return r.text[from : p.record-uint32(len(`":`))]
	}
	return r.text[from : from+uint32(bytes.IndexByte(r.text[from:], '"'))] //nolint:gosec // within maxText
}

// find returns the place of file, or where it would be.
func (r *Records) find(file string) (int, bool) {
	return sort.Find(len(r.places), func(i int) int { return bytes.Compare([]byte(file), r.nameAt(r.places[i])) })
}

// Get returns the record of a file.
func (r *Records) Get(file string) (json.RawMessage, bool) {
	if record, edited := r.edits[file]; edited {
		return record, record != nil
	}
	i, found := r.find(file)
	if !found {
		return nil, false
	}
	return r.at(i), true
}

func (r *Records) at(i int) json.RawMessage {
	p := r.places[i]
	return r.text[p.record:p.end:p.end]
}

// Set puts the record of a file in the place of any that is there.
func (r *Records) Set(file string, record json.RawMessage) {
	if _, found := r.Get(file); !found {
		r.n++
	}
	if r.edits == nil {
		r.edits = map[string]json.RawMessage{}
	}
	r.edits[file] = record
}

// Delete takes a record out.
func (r *Records) Delete(file string) {
	if _, found := r.Get(file); !found {
		return
	}
	r.n--
	delete(r.edits, file)
	if _, listed := r.find(file); listed {
		if r.edits == nil {
			r.edits = map[string]json.RawMessage{}
		}
		r.edits[file] = nil
	}
}

// Len is the number of records.
func (r *Records) Len() int { return r.n }

// All yields them by file name, in the order of the names. They must not be
// changed meanwhile.
func (r *Records) All() iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		r.each(func(from, to int) bool {
			for i := from; i < to; i++ {
				if !yield(string(r.nameAt(r.places[i])), r.at(i)) {
					return false
				}
			}
			return true
		}, yield)
	}
}

// each goes through the records in order: those that stay as they were read in
// runs from one change to the next, others one by one, until one answers no.
func (r *Records) each(run func(from, to int) bool, one func(file string, record json.RawMessage) bool) {
	from := 0
	for _, file := range slices.Sorted(maps.Keys(r.edits)) {
		to, listed := r.find(file)
		if from < to && !run(from, to) {
			return
		}
		if from = to; listed {
			from++
		}
		if record := r.edits[file]; record != nil && !one(file, record) {
			return
		}
	}
	if from < len(r.places) {
		run(from, len(r.places))
	}
}

// clone returns records that may be changed apart.
func (r *Records) clone() Records {
	c := *r
	c.edits = maps.Clone(r.edits)
	return c
}

// records writes them. Runs of those that stay as they were read are shared.
func (e *encoder) records(r *Records) {
	if r.places != nil && !r.compact {
		e.members(r.All())
		return
	}
	separator := byte('{')
	r.each(func(from, to int) bool {
		e.text.add([]byte{separator})
		e.text.share(r.text[r.places[from].name:r.places[to-1].end])
		separator = ','
		return true
	}, func(file string, record json.RawMessage) bool {
		e.name(separator, file)
		e.value(record)
		separator = ','
		return true
	})
	e.end(separator)
}

// NameIn is the package name that the file name of a package begins with, told
// sooner than ParseFileName does, which also checks it. Of other names it is "".
func NameIn(file string) string {
	rest, _, _ := cutLast(file)
	name, _, _ := cutLast(rest)
	return name
}
