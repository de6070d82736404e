package conda_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda"
)

func scan(r io.Reader) (map[string]string, string, error) {
	records := map[string]string{}
	info, err := conda.ScanRepoData(r, func(file string, record []byte) error {
		records[file] = string(record)
		return nil
	})
	return records, string(info), err
}

const scanned = ` {"info": {"subdir":"linux-64","n":[1,{"}":"]"}]} , "n":-1.5e3,"t":true,
"packages":{"a-1-0.tar.bz2": {"name":"a","x":"\"}\\"},"\u0062-1-0.tar.bz2":{}},"packages.conda":{"a-1-0.conda":{"depends":["b [x]",{"\\\"":{}}]}},
"v3":{"conda":{"c-1-0":{"name":"c"}},"whl":{"d":{}},"tar.bz2":[]},"removed":["x"], "repodata_version":1} ` + "\n"

func TestScanRepoData(t *testing.T) {
	want := map[string]string{
		"a-1-0.tar.bz2": `{"name":"a","x":"\"}\\"}`, "b-1-0.tar.bz2": "{}", "a-1-0.conda": `{"depends":["b [x]",{"\\\"":{}}]}`,
		"c-1-0.conda": `{"name":"c"}`,
	}
	for _, r := range []io.Reader{strings.NewReader(scanned), iotest.OneByteReader(strings.NewReader(scanned)), iotest.DataErrReader(strings.NewReader(scanned))} {
		records, info, err := scan(r)
		if err != nil || cmp.Diff(want, records) != "" || info != `{"subdir":"linux-64","n":[1,{"}":"]"}]}` {
			t.Error(records, info, err)
		}
	}
	text := strings.TrimSpace(scanned)
	for i := range len(text) { // cut anywhere
		if i == 0 {
			continue
		}
		if records, _, err := scan(strings.NewReader(text[:i])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the first %d of %d bytes give %v, %v", i, len(text), records, err)
		}
	}
	for _, text := range []string{"null", "[]", "{}x", "{} {}", `{"packages":[]}`, `{"packages":{"a" 1}}`, `{"packages":{1:2}}`, `{"a":1 "b":2}`, `{,}`, `"x"`, " "} {
		if records, _, err := scan(strings.NewReader(text)); err == nil {
			t.Errorf("%s gives %v", text, records)
		}
	}
	for _, text := range []string{"", "{}", `{"packages":{}}`, `{"packages":null,"packages.conda":{}}`} {
		if records, _, err := scan(strings.NewReader(text)); err != nil || len(records) > 0 {
			t.Errorf("%s gives %v, %v", text, records, err)
		}
	}
	lost := errors.New("lost")
	if _, _, err := scan(io.MultiReader(strings.NewReader(scanned[:99]), iotest.ErrReader(lost))); !errors.Is(err, lost) {
		t.Error(err)
	}
	enough := errors.New("enough")
	if _, err := conda.ScanRepoData(strings.NewReader(scanned), func(string, []byte) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
}

// A record that is larger than what is read at a time.
func TestScanLargeRecord(t *testing.T) {
	long := strings.Repeat(`x\\\"`, 1<<18)
	text := fmt.Sprintf(`{"packages":{"a-1-0.tar.bz2":{"x":"%s"},"b-1-0.tar.bz2":{"y":1}}}`, long)
	records, _, err := scan(strings.NewReader(text))
	if err != nil || len(records["a-1-0.tar.bz2"]) != len(long)+8 || records["b-1-0.tar.bz2"] != `{"y":1}` {
		t.Error(len(records), err)
	}
}

// What is scanned is what ParseRepoData reads, in real indexes.
func TestScanRealRepoData(t *testing.T) {
	files, err := filepath.Glob("../../shared/conformance/repodata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("../../shared/conformance/repodata is missing: there is nothing to compare with")
	}
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // test data
		if err != nil {
			t.Fatal(err)
		}
		data, err := conda.ParseRepoData(text)
		records, _, scanErr := scan(bytes.NewReader(text))
		if err != nil || scanErr != nil {
			t.Fatal(file, err, scanErr)
		}
		for name, record := range data.All() {
			if records[name] != string(record) {
				t.Errorf("%s: %s is %s, want %s", file, name, records[name], record)
			}
			delete(records, name)
		}
		if len(records) > 0 {
			t.Errorf("%s: too many: %v", file, slices.Sorted(maps.Keys(records)))
		}
	}
}

func FuzzScanRepoData(f *testing.F) {
	f.Add([]byte(scanned))
	f.Add([]byte(`{"packages":{"a":1,"b":"c"},"info":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		records, _, err := scan(bytes.NewReader(text))
		if again, _, other := scan(iotest.OneByteReader(bytes.NewReader(text))); (err == nil) != (other == nil) || cmp.Diff(records, again) != "" {
			t.Errorf("%v and %v, %v and %v", records, again, err, other)
		}
		if !json.Valid(text) {
			return
		}
		data, parseErr := conda.ParseRepoData(text)
		if parseErr != nil || err != nil {
			return
		}
		for name, record := range data.All() {
			if got, found := records[name]; len(data.V3) == 0 && (!found || got == "" && len(record) > 0) {
				t.Errorf("%q was not found", name)
			}
		}
	})
}
