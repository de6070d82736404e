package shards_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"github.com/condaworker/condaworker/conda/shards"
)

// unsorted is an index whose names are in the order that they are given in.
func unsorted(names []string, sums map[string]shards.Sum) []byte {
	b := msgp.AppendString(msgp.AppendMapHeader(nil, 2), "shards")
	b = msgp.AppendMapHeader(b, uint32(len(names))) //nolint:gosec // some hundreds
	for _, name := range names {
		sum := sums[name]
		b = msgp.AppendBytes(msgp.AppendString(b, name), sum[:])
	}
	b = msgp.AppendMapHeader(msgp.AppendString(b, "info"), 1)
	return msgp.AppendString(msgp.AppendString(b, "subdir"), "linux-64")
}

// A table finds what ParseIndex reads, whatever order an index is in.
func TestTable(t *testing.T) {
	sums := map[string]shards.Sum{"": {1}}
	for i := range 300 {
		sums[fmt.Sprintf("name-%d", i)] = shards.Sum{byte(i), byte(i / 256), 7}
	}
	shuffled := slices.Collect(maps.Keys(sums))
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] }) //nolint:gosec // repeatable
	for _, text := range [][]byte{shards.Index{Subdir: "linux-64", Shards: sums}.Encode(), unsorted(shuffled, sums)} {
		table, err := shards.OpenIndex(text)
		if err != nil || table.Subdir != "linux-64" || !slices.Equal(table.Names(), slices.Sorted(maps.Keys(sums))) {
			t.Fatal(table.Names(), err)
		}
		for name, want := range sums {
			if got, found := table.Find(name); !found || got != want {
				t.Errorf("%s is %v, %v", name, got, found)
			}
		}
		if _, found := table.Find("name-300"); found {
			t.Error("found what is not there")
		}
		for i := range text { // cut anywhere
			if _, err := shards.OpenIndex(text[:i]); err == nil {
				t.Fatalf("the first %d of %d bytes were read", i, len(text))
			}
		}
	}
}

// Both readers of an index agree about any text.
func FuzzOpenIndex(f *testing.F) {
	f.Add(unsorted([]string{"b", "a"}, nil))
	f.Add([]byte("\x81\xa6shards\xdf\xff\xff\xff\xff"))
	f.Add([]byte("\x82\xa6shards\x80\xa6shards\x80"))
	f.Fuzz(func(t *testing.T, text []byte) {
		table, err := shards.OpenIndex(text)
		x, other := shards.ParseIndex(text)
		if (err == nil) != (other == nil) {
			t.Fatalf("%v and %v", err, other)
		}
		for _, name := range table.Names() {
			if _, found := x.Shards[name]; !found {
				t.Errorf("%q is in no map", name)
			}
		}
	})
}
