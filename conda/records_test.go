package conda

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whatever is done to records that were read, the text is that of an index which
// has been made of the same records one by one.
func TestRecordsAreSplicedAsTheyWouldBeMade(t *testing.T) {
	file := func(i int) string { return fmt.Sprintf("p%02d-1-0.conda", i) }
	record := func(i, edition int) json.RawMessage {
		return fmt.Appendf(nil, `{"depends":[],"license":"%s","n":%d}`, strings.Repeat("x", i*10), edition)
	}
	forms := map[string]func(string) string{
		"compact": func(text string) string { return text },
		"blanks":  func(text string) string { return strings.ReplaceAll(text, ":", " : ") },
		"a line":  func(text string) string { return text + "\n" },
		"escaped": func(text string) string { return strings.ReplaceAll(text, `"p05-`, `"\u007005-`) },
		"unsorted": func(text string) string {
			return strings.Replace(text, `"packages.conda":{`, `"packages.conda":{"p99-1-0.conda":{},`, 1)
		},
		"twice": func(text string) string {
			return strings.Replace(text, `"packages.conda":{`, `"packages.conda":{"p00-1-0.conda":{},`, 1)
		},
	}
	seeds := 300
	if testing.Short() {
		seeds = 30
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(uint64(seed), 1))
		first, want := NewRepoData("linux-64"), map[string]json.RawMessage{}
		for i := range 20 {
			if rnd.IntN(3) > 0 {
				first.Set(file(i), record(i, 0))
				want[file(i)] = record(i, 0)
			}
		}
		for name, form := range forms {
			r, err := ParseRepoData([]byte(form(string(first.Encode().Bytes()))))
			if err != nil {
				t.Fatal(name, err)
			}
			wanted := maps.Clone(want)
			for n := range rnd.IntN(6) {
				switch i := rnd.IntN(20); rnd.IntN(3) {
				case 0:
					r.Delete(file(i))
					delete(wanted, file(i))
				default:
					r.Set(file(i), record(i, n+1))
					wanted[file(i)] = record(i, n+1)
				}
			}
			r.Delete("p99-1-0.conda")
			if _, deleted := wanted[file(0)]; name == "twice" && !deleted {
				r.Delete(file(0))
			}
			anew := NewRepoData("linux-64")
			for file, record := range wanted {
				anew.Set(file, record)
			}
			if diff := cmp.Diff(string(anew.Encode().Bytes()), string(r.Encode().Bytes())); diff != "" {
				t.Fatal(name, seed, diff)
			}
			got := map[string]json.RawMessage{}
			for file, record := range r.All() {
				got[file] = appendCompact(nil, record)
			}
			if diff := cmp.Diff(wanted, got); diff != "" || r.Len() != len(got) {
				t.Fatal(name, seed, r.Len(), diff)
			}
			if files := slices.Collect(keysOf(r.PackagesConda.All())); !slices.IsSorted(files) {
				t.Fatal(name, files)
			}
		}
	}
}

func keysOf[V any](all func(func(string, V) bool)) func(func(string) bool) {
	return func(yield func(string) bool) {
		all(func(key string, _ V) bool { return yield(key) })
	}
}

// A text with one more record shares all others, however many they are.
func TestOneMoreRecordSharesTheOthers(t *testing.T) {
	r := NewRepoData("linux-64")
	for i := range 1000 {
		r.Set(fmt.Sprintf("p%04d-1-0.conda", i), []byte(`{"license":"`+strings.Repeat("x", 500)+`"}`))
	}
	again, err := ParseRepoData(r.Encode().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	again.Set("p0500-2-0.conda", []byte(`{}`))
	if text := again.Encode(); len(text.pieces) > 7 {
		t.Errorf("%d pieces", len(text.pieces))
	}
}

func FuzzScanner(f *testing.F) {
	for _, text := range []string{
		`{"a":[1,-0.5e+3,"\u00e9\n",true,false,null,{}]}`, `[]`, ` { } `, `1.`, `01`, `-`, `"\x"`, "\"\x01\"", `{"a":1,}`, `[1 2]`, `tru`, `1e`, `"abcdefgh\"ijklmnop"`,
		strings.Repeat("[", 10001), strings.Repeat("[", 10000) + strings.Repeat("]", 10000), `{"a"}`, `{"a":}`, "", "\ufeff1", "\"\x7f\xff\"", `[1,`, `{"a":1]`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if valid(text) != json.Valid(text) {
			t.Errorf("%q: %v, json.Valid says %v", text, valid(text), json.Valid(text))
		}
	})
}
