package shards

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/tinylib/msgp/msgp"
)

// Table is an index of shards for a reader that asks for some names of many: it
// keeps the text, and only where each name is.
type Table struct {
	Index // without Shards

	text []byte
	at   []uint32 // where the names begin, names rising
}

// OpenIndex is ParseIndex for a Table. It keeps text, which must not be changed any
// more. A text of 4 GiB or more is an error.
func OpenIndex(text []byte) (Table, error) {
	t := Table{text: text}
	if uint64(len(text)) > 1<<32-1 {
		return t, fmt.Errorf("read the index of shards: it has %d bytes", len(text))
	}
	rest, err := eachKey(text, func(key string, rest []byte) ([]byte, error) {
		switch key {
		case "info":
			return eachKey(rest, t.info)
		case "shards":
			return t.names(rest)
		}
		return msgp.Skip(rest)
	})
	if err == nil && len(rest) > 0 {
		err = errors.New("bytes follow its end")
	}
	if err != nil {
		return Table{}, fmt.Errorf("read the index of shards: %w", err)
	}
	return t, nil
}

// names notes where the names are. Few writers leave them unsorted.
func (t *Table) names(rest []byte) ([]byte, error) {
	n, rest, err := msgp.ReadMapHeaderBytes(rest)
	if err != nil {
		return nil, err
	}
	t.at = make([]uint32, 0, min(int(n), len(rest)/len(Sum{})))
	for range n {
		at := len(t.text) - len(rest)
		name, more, err := msgp.ReadStringZC(rest)
		if err != nil {
			return nil, err
		}
		sum, more, err := msgp.ReadBytesZC(more)
		if err != nil {
			return nil, err
		}
		if len(sum) != len(Sum{}) {
			return nil, fmt.Errorf("the hash of %s has %d bytes", name, len(sum))
		}
		t.at, rest = append(t.at, uint32(at)), more //nolint:gosec // OpenIndex has looked
	}
	byName := func(a, b uint32) int { return bytes.Compare(t.name(a), t.name(b)) }
	if !slices.IsSortedFunc(t.at, byName) {
		slices.SortStableFunc(t.at, byName)
	}
	return rest, nil
}

// name is the name at a place that was read before.
func (t *Table) name(at uint32) []byte {
	name, _, _ := msgp.ReadStringZC(t.text[at:])
	return name
}

// Find returns the hash of a name's shard.
func (t *Table) Find(name string) (sum Sum, found bool) {
	i, found := sort.Find(len(t.at), func(i int) int { return bytes.Compare([]byte(name), t.name(t.at[i])) })
	if found {
		_, rest, _ := msgp.ReadStringZC(t.text[t.at[i]:])
		b, _, _ := msgp.ReadBytesZC(rest)
		copy(sum[:], b)
	}
	return sum, found
}

// Names returns all names, sorted.
func (t *Table) Names() []string {
	names := make([]string, len(t.at))
	for i, at := range t.at {
		names[i] = string(t.name(at))
	}
	return names
}
