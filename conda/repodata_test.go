package conda

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const oldIndex = ` {
  "info": {"subdir": "linux-64", "base_url": "https://a.example/x?a&b"},
  "packages": {
    "a-1.0-0.tar.bz2": {"name": "a", "version": "1.0", "build": "0", "build_number": 0, "depends": ["b >=1,<2"], "noarch": true, "timestamp": 1500000000},
    "a-2.0-0.tar.bz2": {"name": "a", "version": "2.0", "build": "0", "build_number": 0, "depends": [], "size": 7},
    "a-b-1.0-0.tar.bz2": {"name": "a-b", "version": "1.0", "build": "0", "build_number": 0, "depends": null},
    "c-1.0-0.tar.bz2": {"name": "d", "version": "1.0", "build": "0", "build_number": 0, "depends": []},
    "e-1.0-0.tar.bz2": {"name": "e", "version": 1.0}
  },
  "packages.conda": {
    "a-2.0-0.conda": {"name": "a", "version": "2.0", "build": "0", "build_number": 3, "depends": [], "subdir": "noarch",
      "track_features": "x, y", "timestamp": 1600000000123, "unknown \u00e9": {"deep": ["]}\"", 1e5]}}
  },
  "removed": ["z-1-0.conda", "b-1-0.conda"],
  "repodata_version": 2,
  "v3": {"conda": {}},
  "signatures": {}
}
`

func parse(t testing.TB, text string) *RepoData {
	t.Helper()
	r, err := ParseRepoData([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRepoDataRecords(t *testing.T) {
	r := parse(t, oldIndex)
	got, broken := r.Records("a")
	want := []Record{
		{
			Name: "a", Version: "1.0", Build: "0", Depends: []string{"b >=1,<2"}, Subdir: "linux-64", Noarch: "generic",
			Timestamp: 1500000000000, FileName: "a-1.0-0.tar.bz2",
		},
		{
			Name: "a", Version: "2.0", Build: "0", BuildNumber: 3, Depends: []string{}, Subdir: "noarch",
			TrackFeatures: Features{"x", "y"}, Timestamp: 1600000000123, FileName: "a-2.0-0.conda",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" || broken != nil {
		t.Errorf("(-want +got):\n%s\nbroken: %v", diff, broken)
	}
	twins := parse(t, `{"packages":{"a-1-0.tar.bz2":{"name":"a","version":"1","build":"0"},"a-2-0.tar.bz2":{"name":"a","version":2}},`+
		`"packages.conda":{"a-1-0.conda":{"name":5},"a-2-0.conda":{"name":"a","version":2},"a-3-0.conda":5}}`)
	if got, broken := twins.Records("a"); len(got) != 1 || got[0].FileName != "a-1-0.tar.bz2" || len(broken) != 4 {
		t.Errorf("of a .conda that is broken: %v %v", got, broken)
	}
	if got, broken := r.Records("a-b"); len(got) != 1 || broken != nil {
		t.Errorf("a-b: %v %v", got, broken)
	}
	for _, name := range []string{"c", "e"} {
		got, broken := r.Records(name)
		if len(got) != 0 || len(broken) != 1 || !strings.Contains(broken[0].Error(), name+"-1.0-0.tar.bz2") {
			t.Errorf("%s: %v, errors %v: want one error that names the file", name, got, broken)
		}
	}
	if diff := cmp.Diff([]string{"a", "a-b", "c", "e"}, slices.Sorted(slices.Values(r.Names()))); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestRepoDataEncode(t *testing.T) {
	got := string(parse(t, oldIndex).Encode().Bytes())
	want := `{"info":{"subdir":"linux-64","base_url":"https://a.example/x?a&b"},` +
		`"packages":{` +
		`"a-1.0-0.tar.bz2":{"name":"a","version":"1.0","build":"0","build_number":0,"depends":["b >=1,<2"],"noarch":true,"timestamp":1500000000},` +
		`"a-2.0-0.tar.bz2":{"name":"a","version":"2.0","build":"0","build_number":0,"depends":[],"size":7},` +
		`"a-b-1.0-0.tar.bz2":{"name":"a-b","version":"1.0","build":"0","build_number":0,"depends":null},` +
		`"c-1.0-0.tar.bz2":{"name":"d","version":"1.0","build":"0","build_number":0,"depends":[]},` +
		`"e-1.0-0.tar.bz2":{"name":"e","version":1.0}},` +
		`"packages.conda":{"a-2.0-0.conda":{"name":"a","version":"2.0","build":"0","build_number":3,"depends":[],"subdir":"noarch",` +
		`"track_features":"x, y","timestamp":1600000000123,"unknown \u00e9":{"deep":["]}\"",1e5]}}},` +
		`"removed":["b-1-0.conda","z-1-0.conda"],"repodata_version":2,"signatures":{},"v3":{"conda":{}}}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if again := string(parse(t, got).Encode().Bytes()); again != got {
		t.Errorf("read and written again it is %s", again)
	}
}

func TestEmptyRepoData(t *testing.T) {
	const body = `"packages":{},"packages.conda":{},"removed":[],"repodata_version":1}`
	for _, test := range []struct {
		name string
		r    *RepoData
		want string
	}{
		{"new", NewRepoData("win-64"), `{"info":{"subdir":"win-64"},` + body},
		{"empty object", parse(t, "{}"), `{"info":{},` + body},
		{"no text at all", parse(t, "\n"), `{"info":{},` + body},
		{"zero value", &RepoData{}, `{"info":{},` + body},
		{"null maps", parse(t, `{"packages":null,"removed":null}`), `{"info":{},` + body},
	} {
		if diff := cmp.Diff(test.want, string(test.r.Encode().Bytes())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// What a later version of the format may put beside the records of v3 is kept.
func TestUnknownMembersOfV3(t *testing.T) {
	const text = `{"info":{},"packages":{},"packages.conda":{},"removed":[],"repodata_version":1,"v3":{"conda":{"a-1-0":{"name":"a"}},"revision":4,"tar.bz2":[1]}}`
	r := parse(t, text)
	if got := string(r.Encode().Bytes()); got != text || r.Len() != 1 {
		t.Errorf("%s, %d packages", got, r.Len())
	}
	patched, err := (&Patch{Remove: []string{"a-1-0.conda"}}).Apply(r)
	if err != nil || !strings.Contains(string(patched.Encode().Bytes()), `"v3":{"revision":4,"tar.bz2":[1]}`) && !strings.Contains(string(patched.Encode().Bytes()), `"revision":4`) {
		t.Errorf("%s, %v", patched.Encode().Bytes(), err)
	}
}

func TestSetSubdir(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: `{"subdir":"noarch"}`, `{"info":{"subdir":"win-64","x":1}}`: `{"subdir":"noarch","x":1}`, `{"info":5}`: `{"subdir":"noarch"}`, `{"info":{"x":1, "subdir":"noarch"}}`: `{"x":1, "subdir":"noarch"}`,
	} {
		r := parse(t, text)
		if r.SetSubdir("noarch"); string(r.Other["info"]) != want {
			t.Errorf("%s: %s", text, r.Other["info"])
		}
	}
}

func TestParseRepoDataRefuses(t *testing.T) {
	for _, text := range []string{
		"null", "[]", `"packages"`, "3", `{"packages":{}`, `{"packages":{}}x`, `{"packages":{}}{}`, `{"packages":[]}`,
		`{"packages.conda":3}`, `{"removed":{}}`, `{"removed":[1]}`, `{"packages":{"a":}}`, "\x00", oldIndex[:len(oldIndex)/2],
	} {
		if _, err := ParseRepoData([]byte(text)); err == nil {
			t.Errorf("%.40q was read", text)
		}
	}
}

func TestARecordOfOtherTypesIsToldInWords(t *testing.T) {
	for text, want := range map[string]string{
		`{"build_number":"3"}`: "its build_number cannot be a JSON string", `{"depends":"a"}`: "its depends cannot be a JSON string", `[1]`: "it cannot be a JSON array",
		`{"timestamp":"now"}`: "its timestamp cannot be a JSON string", `{"noarch":7}`: "noarch is 7, not generic or python", `{"depends":[1]}`: "its depends cannot be a JSON number",
	} {
		var r Record
		if err := json.Unmarshal([]byte(text), &r); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestRecordFromIndex(t *testing.T) {
	index := `{"version": "1.0", "name": "a", "build": "h1_0", "build_number": 0, "depends": ["b >=1,<2"], "constrains": [],
		"arch": "x86_64", "platform": "linux", "has_prefix": true, "mtime": 1, "ucs": 4, "requires_features": {}, "binstar": {},
		"target-triplet": "x", "machine": "x", "operatingsystem": "x", "size": 1, "md5": "old", "mine": {"b": 1, "a": "\u00fc<&>"}}`
	got, err := RecordFromIndex([]byte(index), "m", "s", 12)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"build":"h1_0","build_number":0,"constrains":[],"depends":["b >=1,<2"],"md5":"m","mine":{"b":1,"a":"\u00fc<&>"},` +
		`"name":"a","sha256":"s","size":12,"version":"1.0"}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "null", "[]", "{}", `{"name":"a"`, `{"name":"a","version":"1","build":"0","depends":"b"}`} {
		if got, err := RecordFromIndex([]byte(bad), "", "", 0); err == nil {
			t.Errorf("%q became %s", bad, got)
		}
	}
}

// largeIndex has n records of 540 bytes, twelve for each name.
func largeIndex(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"info":{"subdir":"linux-64"},"packages":{},"packages.conda":{`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		name, version := fmt.Sprintf("package-%06d", i/12), fmt.Sprintf("1.%02d.0", i%12)
		fmt.Fprintf(&b, `"%s-%s-h0123456_0.conda":{"build":"h0123456_0","build_number":0,"depends":["python >=3.11,<3.12.0a0","libstdcxx >=13",`+
			`"numpy >=1.26,<3","openssl >=3.3.2,<4.0a0","zlib"],"license":"GPL-3.0-or-later","license_family":"GPL","md5":"%032d","name":"%s",`+
			`"sha256":"%064d","size":%d,"subdir":"linux-64","timestamp":1700000000000,"version":"%s","constrains":["foo-bar-baz-qux >=1.2.3.4"]}`,
			name, version, i, name, i, i, version)
	}
	b.WriteString(`},"removed":[],"repodata_version":1}`)
	return b.Bytes()
}

func BenchmarkRepoData(b *testing.B) {
	text := largeIndex(100_000)
	b.Run("Parse", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, err := ParseRepoData(text); err != nil {
				b.Fatal(err)
			}
		}
	})
	r := parse(b, string(text))
	b.Run("Encode", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			r.Encode().Bytes()
		}
	})
	b.Run("Refile", func(b *testing.B) {
		for b.Loop() {
			if moved := r.Refile(); moved != nil {
				b.Fatal(moved)
			}
		}
	})
	b.Run("FirstRecords", func(b *testing.B) {
		for b.Loop() {
			fresh := RepoData{Packages: r.Packages, PackagesConda: r.PackagesConda, Other: r.Other}
			if got, _ := fresh.Records("package-004711"); len(got) != 12 {
				b.Fatal(len(got))
			}
		}
	})
}

func FuzzParseRepoData(f *testing.F) {
	f.Add([]byte(oldIndex))
	f.Add([]byte(`{"packages":{"a\"b-1-0.conda":{}},"a":[{},"\\",-1.5e3,true]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if valid(text) != json.Valid(text) {
			t.Fatalf("valid %v, json.Valid %v", valid(text), json.Valid(text))
		}
		r, err := ParseRepoData(bytes.Clone(text))
		if err != nil {
			return
		}
		for _, name := range r.Names() {
			r.Records(name)
		}
		out := r.Encode().Bytes()
		if !json.Valid(out) {
			t.Fatalf("%q is no JSON", out)
		}
		again, err := ParseRepoData(out)
		if err != nil {
			t.Fatal(err)
		}
		if second := again.Encode().Bytes(); !bytes.Equal(out, second) {
			t.Errorf("the first time %s, the second %s", out, second)
		}
	})
}

// What another indexer left in an older map, or in both, is filed anew; of two
// records that of v3 stays.
func TestRefile(t *testing.T) {
	record := func(more string) string {
		return `{"name":"a","version":"1","build":"0","build_number":0,"license_family":"a_vote","tags":["flags"]` + more + `}`
	}
	for more, want := range map[string]bool{
		``:                                       false,
		`,"depends":["python >=3.8","b[md5=0]"]`: false,
		`,"schema_version":1`:                    false,
		`,"schema_version":3`:                    true,
		`,"repodata_revision": 3`:                true,
		`,"extra_depends":{"g":["x"]}`:           true,
		`,"flags":["gpu"]`:                       true,
		`,"depends":["b[when=\"python>3\"]"]`:    true,
		`,"depends":["b[extras=[c]]"]`:           true,
		`,"constrains":["b[flags=[c]]"]`:         true,
	} {
		for _, file := range []string{"a-1-0.conda", "a-1-0.tar.bz2"} {
			r := NewRepoData("noarch")
			if kindOf(file) == "conda" {
				r.PackagesConda.Set(file, json.RawMessage(record(more)))
			} else {
				r.Packages.Set(file, json.RawMessage(record(more)))
			}
			moved := r.Refile()
			if _, is := r.inV3(file); is != want || (len(moved) == 1) != want || r.Len() != 1 {
				t.Errorf("%s %s: in v3: %t, moved %q, %d records", file, more, is, moved, r.Len())
			}
		}
	}
	r := parse(t, `{"packages.conda":{"a-1-0.conda":`+record("")+`,"b-1-0.conda":`+record("")+`},
		"v3":{"conda":{"a-1-0":`+record(`,"schema_version":3`)+`,"b-1-0":`+record(`,"license":"MIT"`)+`}}}`)
	moved := r.Refile()
	_, is := r.inV3("a-1-0.conda")
	b, _ := r.PackagesConda.Get("b-1-0.conda")
	if !slices.Equal(moved, []string{"a-1-0.conda", "b-1-0.conda"}) || !is || r.Len() != 2 || !strings.Contains(string(b), "MIT") {
		t.Errorf("moved %q, left %s", moved, r.Encode().Bytes())
	}
}

// Another indexer's numbers of revisions are made right (CEP 48).
func TestRepodataRevisions(t *testing.T) {
	const v3 = `"v3":{"conda":{"a-1-0":{"indexed_timestamp":7},"b-1-0":{"indexed_timestamp":5}}}`
	for text, want := range map[string]string{
		`{"info":{"repodata_revisions":{"v3":{"message":"x","n_packages":9,"newest":1,"oldest":1}}},` + v3 + `}`:   `{"v3":{"message":"x","n_packages":2,"newest":7,"oldest":5}}`,
		`{"info":{"repodata_revisions":{"v3":{"n_packages":9,"newest":1}}},"v3":{"whl":{"a":{}},"tar.bz2":{}}}`:    `{"v3":{"n_packages":1}}`,
		`{"info":{"repodata_revisions":{"v3":null}}}`:                                                              `{"v3":{"n_packages":0}}`,
		`{"info":{"repodata_revisions":{"v0":{"n_packages":1},"v4":{"n_packages":3},"v5":{}}},"v4":{},` + v3 + `}`: `{"v4":{"n_packages":3}}`,
		`{"info":{"repodata_revisions":[{"revision":3,"n_packages":9}]},` + v3 + `}`:                               ``,
		`{"info":{"subdir":"noarch"},` + v3 + `}`:                                                                  ``,
		`{"info":7,` + v3 + `}`:                               ``,
		`{"info":{"subdir":"repodata_revisions"},` + v3 + `}`: ``,
	} {
		once := parse(t, text).Encode().Bytes()
		var got struct {
			Info struct {
				Revisions json.RawMessage `json:"repodata_revisions"`
			} `json:"info"`
		}
		_ = json.Unmarshal(once, &got) // info may be anything
		if string(got.Info.Revisions) != want {
			t.Errorf("%s: %s, want %s", text, got.Info.Revisions, want)
		}
		if again := parse(t, string(once)).Encode().Bytes(); !bytes.Equal(again, once) {
			t.Errorf("%s, then %s", once, again)
		}
	}
}
