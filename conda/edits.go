package conda

import (
	"bytes"
	"encoding/json"
	"reflect"
)

// WithEdits returns own, the record of a package, with what a hand changed in an index
// that shows it as seen, where patch instructions alone would make it patched. A key
// that only seen lacks was taken out if dropped says so; else whoever wrote the index
// does not know it, and it stays.
func WithEdits(own, patched, seen json.RawMessage, dropped bool) (json.RawMessage, error) {
	out, err := readObject(own, "record")
	if err != nil {
		return nil, err
	}
	was, err := readObject(patched, "record")
	if err != nil {
		return nil, err
	}
	is, err := readObject(seen, "record")
	if err != nil {
		return nil, err
	}
	for key, value := range is {
		if before, found := was[key]; !found || !sameValue(before, value) {
			out[key] = value
		}
	}
	for key := range was {
		if _, found := is[key]; !found && dropped && key != stampKey { // which no other indexer keeps
			delete(out, key)
		}
	}
	return encodeObject(out), nil
}

// sameValue tells whether two valid JSON texts say the same.
func sameValue(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
