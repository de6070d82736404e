package conda

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

const patched = `{
	"packages": {"a-1-0.tar.bz2": {"name":"a","depends":["b"],"license":"X"}, "c-1-0.tar.bz2": {"name":"c","depends":[]}},
	"packages.conda": {"a-1-0.conda": {"name":"a","depends":["b"],"license":"X"}, "c-1-0.conda": {"name":"c","depends":[]}, "d-1-0.conda": {"name":"d","depends":[]}}
}`

func TestPatch(t *testing.T) {
	r, err := ParseRepoData([]byte(patched))
	if err != nil {
		t.Fatal(err)
	}
	before := string(r.Encode().Bytes())
	p, err := ParsePatch([]byte(`{
		"patch_instructions_version": 2,
		"packages": {"a-1-0.tar.bz2": {"depends": ["b >=2"], "license": null, "run_exports": {"weak": ["a"]}}, "nobody-1-0.tar.bz2": {"depends": []}},
		"packages.conda": {"a-1-0.conda": {"depends": ["b >=3"]}},
		"remove": ["c-1-0.tar.bz2"], "revoke": ["d-1-0.conda", "nobody-1-0.conda"]
	}`))
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Apply(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"info":{},"packages":{"a-1-0.tar.bz2":{"depends":["b >=2"],"name":"a"}},` +
		`"packages.conda":{"a-1-0.conda":{"depends":["b >=3"],"name":"a"},"d-1-0.conda":{"depends":["package_has_been_revoked"],"name":"d","revoked":true}},` +
		`"removed":["c-1-0.conda","c-1-0.tar.bz2"],"repodata_version":1}`
	if got := string(out.Encode().Bytes()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if string(r.Encode().Bytes()) != before {
		t.Error("Apply changed what it was given")
	}
	again, err := p.Apply(out)
	if err != nil || string(again.Encode().Bytes()) != want {
		t.Errorf("the second time: %s, %v", again.Encode().Bytes(), err)
	}
	for file, want := range map[string]string{"a-1-0.conda": `{"weak": ["a"]}`, "a-1-0.tar.bz2": `{"weak": ["a"]}`, "d-1-0.conda": ""} {
		if got, _ := p.RunExports(file); string(got) != want {
			t.Errorf("run_exports of %s: %s", file, got)
		}
	}
	if !p.Removes("c-1-0.conda") || p.Removes("a-1-0.conda") {
		t.Error("Removes")
	}
}

// Whatever a record says of what it depends on, nobody installs what is revoked.
func TestRevokedWithoutDepends(t *testing.T) {
	for depends, want := range map[string]string{"": "", `,"depends":null`: "", `,"depends":[]`: "", `,"depends":"b"`: "", `,"depends":[1,"b"]`: "", `,"depends":["b"]`: `"b",`} {
		r, err := ParseRepoData([]byte(`{"packages":{},"packages.conda":{"a-1-0.conda":{"name":"a"` + depends + `}}}`))
		if err != nil {
			t.Fatal(err)
		}
		out, err := (&Patch{Revoke: []string{"a-1-0.conda"}}).Apply(r)
		if err != nil {
			t.Fatal(err)
		}
		want = `{"depends":[` + want + `"package_has_been_revoked"],"name":"a","revoked":true}`
		if got, _ := out.Record("a-1-0.conda"); string(got) != want {
			t.Errorf("%s: %s, want %s", depends, got, want)
		}
	}
}

func TestPatchesThatAreNone(t *testing.T) {
	for text, says := range map[string]string{
		"": "end of JSON", `{"packages"`: "byte", `[]`: "it cannot be a JSON array", `{"remove":"a"}`: "its remove cannot be a JSON string", `{"patch_instructions_version": 3}`: "version is 3",
		`{"packages":{"a-1-0.tar.bz2":{"depends":"b"}}}`:                  "a-1-0.tar.bz2: its depends cannot be a JSON string",
		`{"packages.conda":{"a-1-0.conda":{"name":null}}}`:                "a-1-0.conda: a record cannot be without its name",
		`{"packages.conda":{"a-1-0.conda":{"mine":[1e400]}}}`:             "a-1-0.conda: its number 1e400 is beyond",
		`{"packages.conda":{"a-1-0.conda":{"sha256":"00"}}}`:              "a-1-0.conda: its sha256",
		`{"packages.conda":{"a-1-0.conda":{"build_number":"1"}}}`:         "a-1-0.conda: its build_number",
		`{"packages":{"a-1-0.tar.bz2":{"build_number":null}}}`:            "a-1-0.tar.bz2: a record cannot be without its build_number",
		`{"packages":{"a-1-0.tar.bz2":{"timestamp":1.5}}}`:                "a-1-0.tar.bz2: timestamp is 1.5, not a time",
		`{"packages":{"a-1-0.tar.bz2":{"depends":[null]}}}`:               "a-1-0.tar.bz2: depends is [null], not a list of texts",
		`{"packages":{"a-1-0.tar.bz2":{"purls":"x","z":1}}}`:              `a-1-0.tar.bz2: purls is "x", not a list`,
		`{"packages":{"a-1-0.tar.bz2":{"features":["a"]}}}`:               `a-1-0.tar.bz2: features is ["a"], not a text`,
		`{"packages":{"a-1-0.tar.bz2":{"version":"1__2"}}}`:               `a-1-0.tar.bz2: version is "1__2", not a version`,
		`{"packages.conda":{"a-1-0.conda":{"sha256":""}}}`:                `a-1-0.conda: sha256 is "", not 64`,
		`{"packages.conda":{"a-1-0.conda":{"run_exports":"x"}}}`:          `a-1-0.conda: run_exports is "x", not an object of lists of texts`,
		`{"packages.conda":{"a-1-0.conda":{"run_exports":null}}}`:         `a-1-0.conda: run_exports is null, not an object of lists of texts`,
		`{"packages.conda":{"a-1-0.conda":{"run_exports":["a"]}}}`:        `a-1-0.conda: run_exports is ["a"], not an object of lists of texts`,
		`{"packages.conda":{"a-1-0.conda":{"run_exports":{"weak":"a"}}}}`: `a-1-0.conda: run_exports is {"weak":"a"}, not an object`,
	} {
		if _, err := ParsePatch([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{`{"aa":{}}`, `{"a-1-0.conda":{"depends":[]}}`, `{"Packages":{}}`} {
		if _, err := ParsePatch([]byte(text)); err == nil || !strings.Contains(err.Error(), "none of the keys patch_instructions_version, packages, packages.conda, remove, revoke") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{`{}`, ` { } `, `{"remove":[],"mine":1}`, `{"patch_instructions_version":1}`} {
		if p, err := ParsePatch([]byte(text)); err != nil || len(p.changes()) != 0 {
			t.Errorf("%q: %v", text, err)
		}
	}
	r := NewRepoData("noarch")
	r.Set("a-1-0.conda", json.RawMessage(`7`))
	p := &Patch{Revoke: []string{"a-1-0.conda"}}
	if _, err := p.Apply(r); err == nil {
		t.Error("a record that is no object was patched")
	}
}

// What leaves a record that clients can read is taken: null takes a key out.
func TestPatchesThatAreSome(t *testing.T) {
	for _, changes := range []string{
		`{"depends":null,"constrains":null,"track_features":null,"timestamp":null,"purls":null,"size":null,"mine":null}`,
		`{"track_features":"a b","features":"c","timestamp":1500000000,"purls":["pkg:pypi/a"],"noarch":"python","mine":[null],"run_exports":{}}`,
	} {
		if _, err := ParsePatch([]byte(`{"packages.conda":{"a-1-0.conda":` + changes + `}}`)); err != nil {
			t.Errorf("%s: %v", changes, err)
		}
	}
}

func TestNormalRunExports(t *testing.T) {
	for text, want := range map[string]string{
		"": "{}", " \n": "{}", "null": "{}", "{}": "{}", `["a", "b"]`: `{"weak":["a","b"]}`, `{"weak": ["a"], "strong": []}`: `{"strong":[],"weak":["a"]}`,
		`{"weak": null, "later": {"a": 1}}`: `{"later":{"a":1}}`,
	} {
		if got, err := NormalRunExports([]byte(text)); err != nil || string(got) != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"{", "7", `"a"`, `{"weak": "a"}`, `[1]`, `{"strong": [["a"]]}`, `{"noarch": {}}`} {
		if got, err := NormalRunExports([]byte(text)); err == nil {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestPatchedRunExports(t *testing.T) {
	var r RunExports
	r.SetPatched("a-1-0.conda", json.RawMessage(`{"weak":["a"]}`))
	back, err := ParseRunExports(r.Encode("linux-64", "").Bytes())
	if err != nil || string(back.Get("a-1-0.conda")) != `{"weak":["a"]}` || !back.Patched("a-1-0.conda") || back.Patched("b-1-0.conda") || back.Patched("a.txt") {
		t.Errorf("%v, %v", back, err)
	}
	back.Set("a-1-0.conda", json.RawMessage(`{"weak":["a"]}`))
	if !back.Patched("a-1-0.conda") {
		t.Error("the same, and not known as patched any more")
	}
	back.Set("a-1-0.conda", json.RawMessage(`{}`))
	if back.Patched("a-1-0.conda") || string(back.Get("a-1-0.conda")) != "{}" {
		t.Errorf("%s", back.Get("a-1-0.conda"))
	}
}

func TestRunExportsThereAndBack(t *testing.T) {
	var r RunExports
	r.Set("a-1-0.conda", json.RawMessage(`{}`))
	r.Set("b-1-0.tar.bz2", json.RawMessage(`{"weak":["b"]}`))
	text := r.Encode("linux-64", "").Bytes()
	want := `{"info":{"arch":"64","platform":"linux","subdir":"linux-64","version":1},"packages":{"b-1-0.tar.bz2":{"run_exports":{"weak":["b"]}}},"packages.conda":{"a-1-0.conda":{"run_exports":{}}}}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	back, err := ParseRunExports(text)
	if err != nil || len(slices.Collect(back.Files())) != 2 || string(back.Get("b-1-0.tar.bz2")) != `{"weak":["b"]}` {
		t.Errorf("%s, %v", text, err)
	}
	back.Set("a-1-0.conda", nil)
	back.Set("b-1-0.tar.bz2", json.RawMessage(`{"weak":["b"]}`))
	if got := string(back.Encode("linux-64", "").Bytes()); got != strings.Replace(want, `"a-1-0.conda":{"run_exports":{}}`, "", 1) {
		t.Error(got)
	}
	if !json.Valid(r.Encode("noarch", "").Bytes()) {
		t.Error("noarch")
	}
	if _, err := ParseRunExports([]byte(`{"packages`)); err == nil {
		t.Error("a cut file was read")
	}
}

// What only newer clients understand is kept from the others (CEP 43, 48).
func TestV3(t *testing.T) {
	r := NewRepoData("linux-64")
	for i, record := range []string{
		`{"schema_version":3}`, `{"repodata_revision":3}`, `{"extra_depends":{"gui":["qt"]}}`, `{"flags":["cuda"]}`, `{"depends":["a[when=\"python >=3\"]"]}`,
	} {
		r.Set(string(rune('a'+i))+"-1-0.conda", json.RawMessage(record))
	}
	r.Set("old-1-0.conda", json.RawMessage(`{"schema_version":2,"flags":[],"extra_depends":{},"depends":["when=1"]}`))
	r.Set("old-1-0.tar.bz2", json.RawMessage(`{"schema_version":3}`))
	if r.PackagesConda.Len() != 1 || r.Packages.Len() != 0 || len(r.V3["conda"]) != 5 || len(r.V3["tar.bz2"]) != 1 || r.Len() != 7 {
		t.Errorf("%s", r.Encode().Bytes())
	}
	back, err := ParseRepoData(r.Encode().Bytes())
	if err != nil || string(back.Encode().Bytes()) != string(r.Encode().Bytes()) || len(back.V3) != 2 {
		t.Errorf("%s, %v", back.Encode().Bytes(), err)
	}
	var all []string
	for file := range back.All() {
		all = append(all, file)
		if _, found := back.Record(file); !found {
			t.Errorf("%s is not found", file)
		}
	}
	for _, file := range all {
		back.Delete(file)
	}
	if slices.Sort(all); len(all) != 7 || all[0] != "a-1-0.conda" || back.Len() != 0 || len(back.V3) != 0 {
		t.Errorf("%q, then %s", all, back.Encode().Bytes())
	}
	foreign, err := ParseRepoData([]byte(`{"v3":{"whl":{"x-1-0":{}}}}`))
	if err != nil || foreign.Len() != 0 || !strings.Contains(string(foreign.Encode().Bytes()), `"v3":{"whl":{"x-1-0":{}}}`) {
		t.Errorf("%s, %v", foreign.Encode().Bytes(), err)
	}
}
