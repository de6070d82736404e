package conda

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// What py-rattler 0.28 reads of a field, in an index and in a shard, is taken; of what it
// does not the field is named, and what it has to be.
func TestCheckRecord(t *testing.T) {
	digest := strings.Repeat("0aF", 32)
	const (
		text, texts, whole, instant = "not a text", "not a list of texts", "not a whole number from 0 on", "not a time"
		lists, purls, md5           = "not an object of lists of texts", "not a list of package URLs", "not 32 hexadecimal digits"
	)
	quoted := func(list ...string) (all []string) {
		for _, s := range list {
			all = append(all, `["`+s+`"]`)
		}
		return all
	}
	for _, c := range []struct {
		keys  string
		good  []string
		wrong string // what is said of the bad
		bad   []string
	}{
		{"build_number", []string{"0", "9223372036854775807"}, whole, []string{"null", "-1", "-0"}},
		{"depends constrains flags", []string{"[]", `["a >=1"]`}, texts, []string{"null", "[null]"}},
		{"track_features", []string{`""`, `"a b"`, "[]", `["a"]`}, "not a text or a list of texts", []string{"null", "[null]"}},
		{"features license license_family python_site_packages_path", []string{"null", `""`, `"a"`}, "", nil},
		{"features arch platform", nil, text, []string{"[]", `["a"]`, "5", "false"}},
		{"timestamp indexed_timestamp", []string{"null", "0", "1500000000", "253402207200", "1500000000000", "253402207200000"}, instant, []string{
			"253402207201", "253402300799", "253402207200001", "253402300799999", "999999999999999",
		}},
		{"timestamp", nil, instant, []string{"-1", "1.0", "1e12", "1600000000000.5"}},
		{"purls", append(quoted("pkg:pypi/x", "pkg:pypi/x@1.0?a=b#c", "pkg://a.b+c-1//x/y", "pkg:a/b?a=b&C_.-=d", "pkg:a/b?checksum=sha1:ab,md5:00", "pkg:a/%2f"), "null", "[]"), purls, append(
			quoted("x", "pkg:", "pkg:x", "pkg:pypi/", "pkg:pypi/x/", "pkg:pypi/@1", "PKG:pypi/x", "pkg:py_pi/x", "pkg:1/x", "pkg:a/x?", "pkg:a/x?a", "pkg:a/x?=b", "pkg:a/x?a b=c",
				"pkg:a/x?a=b&A=c", "pkg:a/x?a=b?", "pkg:a/%ff", "pkg:a/a%2Fb/c", "pkg:a/b?checksum=q", "pkg:a/b?checksum=sha1:", ""), `"pkg:pypi/x"`, "[1]", "[null]", "{}",
		)},
		{"md5 legacy_bz2_md5", []string{"null", `"` + digest[:32] + `"`}, md5, []string{`""`, `"` + digest[:30] + `"`, `"` + strings.Repeat("g", 32) + `"`}},
		{"legacy_bz2_md5", nil, md5, []string{"5"}},
		{"sha256", []string{"null", `"` + digest[:64] + `"`}, "not 64 hexadecimal digits", []string{`""`, `"` + digest[:32] + `"`}},
		{"size legacy_bz2_size", []string{"null", "0", "5"}, whole, []string{"-1"}},
		{"legacy_bz2_size", nil, whole, []string{`"5"`, "5.0", "18446744073709551616"}},
		{"run_exports", []string{"null", "{}", `{"weak":["a"],"strong":[],"later":5}`}, lists, []string{
			"5", `"a"`, "[]", `["a"]`, `{"weak":null}`, `{"strong":"a"}`, `{"noarch":[1]}`, `{"weak_constrains":[null]}`, `{"strong_constrains":{}}`,
		}},
		{"extra_depends", []string{"{}", `{"a":["b"]}`}, lists, []string{"null", `{"a":null}`, `{"a":[null]}`}},
		{"noarch", []string{"null", "true", "false", `""`, `"generic"`, `"python"`}, "not generic or python", []string{`"other"`}},
		{"version", []string{`"1.0_"`, `"18446744073709551616"`, `"0!00000000000000000000000001+x"`}, "not a version", []string{
			`" 1"`, `"1 "`, `"_"`, `"0!_"`, `"1.*"`, `"1__2"`, `""`, "null",
		}},
		{"name build subdir", []string{`"a"`}, text, []string{"null"}},
		{"fn url revoked mine schema_version", []string{"null", "5", `"x"`, "[]", "{}"}, "", nil},
	} {
		for key := range strings.FieldsSeq(c.keys) {
			for _, value := range c.good {
				if err := CheckRecord(recordWith(key, value)); err != nil {
					t.Errorf("%s %s: %v", key, value, err)
				}
			}
			for _, value := range c.bad {
				err := CheckRecord(recordWith(key, value))
				if want := fmt.Sprintf("%s is %.60s, %s", key, value, c.wrong); err == nil || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("%s %s: %v", key, value, err)
				}
			}
		}
	}
}

// recordWith is a good record but for one field; "": without it.
func recordWith(key, value string) []byte {
	fields := map[string]json.RawMessage{"name": []byte(`"a"`), "version": []byte(`"1.0"`), "build": []byte(`"0"`), "build_number": []byte("0")}
	fields[key] = json.RawMessage(value)
	if value == "" {
		delete(fields, key)
	}
	return encodeObject(fields)
}

func TestCheckRecordAsAWhole(t *testing.T) {
	for text, want := range map[string]string{
		"null": "it has no name", "7": "number", "{}": "it has no name", `{"`: "JSON", "": "JSON",
		string(recordWith("build_number", "")):                               "it has no build_number, which is a whole number from 0 on",
		string(recordWith("build", "")):                                      "it has no build",
		string(recordWith("depends", `"a"`)):                                 "its depends cannot be a JSON string",
		string(recordWith("build_number", "1e2")):                            "its build_number cannot be a JSON number 1e2",
		string(recordWith("license", `"\ud800"`)):                            "half a character",
		string(recordWith("mine", "[1e400]")):                                "beyond",
		string(recordWith("depends", "")):                                    "",
		strings.ReplaceAll(string(recordWith("depends", "[]")), ":", " :\n"): "",
	} {
		err := CheckRecord([]byte(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Of an index.json an index does not take what it has itself, or has not at all.
func TestCheckIndex(t *testing.T) {
	for _, key := range []string{"arch", "platform", "md5", "sha256", "size", "subdir", "indexed_timestamp"} {
		if err := CheckIndex(recordWith(key, "[]")); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	for text, want := range map[string]string{
		string(recordWith("build_number", "")): "it has no build_number", string(recordWith("depends", "null")): "depends is null", "7": "no JSON object",
	} {
		if err := CheckIndex([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
