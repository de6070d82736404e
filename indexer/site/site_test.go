package site_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/indexer/site"
)

func record(t testing.TB, r map[string]any) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// argument is what packages.js hands over.
func argument(t *testing.T, text []byte) any {
	t.Helper()
	text = bytes.TrimSuffix(bytes.TrimPrefix(text, []byte("channelPackages(")), []byte(");\n"))
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

func TestData(t *testing.T) {
	r := conda.NewRepoData("linux-64")
	for _, p := range []struct {
		file string
		r    map[string]any
	}{
		{"b-1.10-0.conda", map[string]any{"name": "b", "version": "1.10", "build": "0", "size": 5, "timestamp": 1700000000000, "license": "MIT"}},
		{"b-1.9-0.conda", map[string]any{"name": "b", "version": "1.9", "build": "0", "timestamp": 1700000000, "indexed_timestamp": 1800000000000}},
		{"b-1.10-h_1.tar.bz2", map[string]any{"name": "b", "version": "1.10", "build": "h_1", "build_number": 1, "license": "GPL"}},
		{"b-1.11rc1-0.conda", map[string]any{"name": "b", "version": "1.11rc1", "build": "0"}},
		{"b-dev!-0.conda", map[string]any{"name": "b", "version": "dev!", "build": "0"}},
		{"a-1-odd.conda", map[string]any{"name": "a", "version": "1", "build": "0"}},
		{"odd.conda", map[string]any{"name": "a", "version": "1", "build": "0"}},
		{"bad-1-0.conda", map[string]any{"version": 7}},
	} {
		r.Set(p.file, record(t, p.r))
	}
	got := argument(t, site.Data("linux-64", r, "", nil, nil).Bytes())
	want := map[string]any{"subdir": "linux-64", "packages": []any{
		[]any{"a", "", []any{[]any{"1", "0", 0.0, 0.0, 0.0, ".conda", "a-1-odd.conda"}}},
		[]any{"b", "", []any{
			[]any{"1.11rc1", "0", 0.0, 0.0, 0.0, ".conda"},
			[]any{"1.10", "h_1", 1.0, 0.0, 0.0, ".tar.bz2"},
			[]any{"1.10", "0", 0.0, 5.0, 1.7e9, ".conda"},
			[]any{"1.9", "0", 0.0, 0.0, 1.8e9, ".conda"},
			[]any{"dev!", "0", 0.0, 0.0, 0.0, ".conda"},
		}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	builds, err := site.Builds(site.Data("linux-64", r, "", nil, nil).Bytes())
	if diff := cmp.Diff(map[string]int{"a": 1, "b": 5}, builds); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestDataOfHostileNames(t *testing.T) {
	r := conda.NewRepoData("noarch")
	r.Set("x-1-0.conda", record(t, map[string]any{"version": "</script><b>\u2028", "build": "0", "license": "<!--"}))
	text := string(site.Data("noarch", r, "", nil, nil).Bytes())
	if strings.ContainsAny(text, "<>\u2028") || argument(t, []byte(text)) == nil {
		t.Error(text)
	}
}

func TestDataFromOlderData(t *testing.T) {
	r := thousands(t, 36)
	old := site.Data("linux-64", r, "", nil, nil).Bytes()
	r.Set("new-1-0.conda", record(t, map[string]any{"version": "1", "build": "0"}))
	r.Delete("package-1-1.3.0-h1234567_0.conda")
	for file := range r.All() {
		if strings.HasPrefix(file, "package-2-") {
			r.Delete(file)
		}
	}
	want := site.Data("linux-64", r, "", nil, nil).Bytes()
	changed := map[string]bool{"new": true, "package-1": true, "package-2": true}
	if diff := cmp.Diff(string(want), string(site.Data("linux-64", r, "", old, changed).Bytes())); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(string(want), string(site.Data("linux-64", r, "", old[:100], changed).Bytes())); diff != "" {
		t.Errorf("from a text that was cut: %s", diff)
	}
}

func TestBuildsRefuses(t *testing.T) {
	for _, text := range []string{"", "{}", "channelPackages(", "channelPackages(]);\n"} {
		if got, err := site.Builds([]byte(text)); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// thousands is an index of n packages, twelve builds of each.
func thousands(t testing.TB, n int) *conda.RepoData {
	t.Helper()
	r := conda.NewRepoData("linux-64")
	for i := range n {
		name, version := fmt.Sprintf("package-%d", i/12), fmt.Sprintf("1.%d.0", i%12)
		r.Set(fmt.Sprintf("%s-%s-h1234567_0.conda", name, version), record(t, map[string]any{
			"name": name, "version": version, "build": "h1234567_0", "size": 123456789, "timestamp": 1700000000000, "license": "GPL-3.0-or-later",
			"depends": []string{"python >=3.11", "libstdcxx >=13"}, "md5": strings.Repeat("0", 32), "sha256": strings.Repeat("0", 64),
		}))
	}
	return r
}

func TestDataIsSmallAndTheSame(t *testing.T) {
	r := thousands(t, 12_000)
	text := site.Data("linux-64", r, "", nil, nil).Bytes()
	if per := len(text) / 12_000; per > 120 {
		t.Errorf("%d bytes a package", per)
	}
	if !bytes.Equal(text, site.Data("linux-64", r, "", nil, nil).Bytes()) {
		t.Error("the same records give other bytes")
	}
}

func BenchmarkData(b *testing.B) {
	r := thousands(b, 100_000)
	for b.Loop() {
		site.Data("linux-64", r, "", nil, nil)
	}
}

func BenchmarkDataFromOlderData(b *testing.B) {
	r := thousands(b, 100_000)
	old := site.Data("linux-64", r, "", nil, nil).Bytes()
	for b.Loop() {
		site.Data("linux-64", r, "", old, map[string]bool{"package-7": true})
	}
}

func TestPages(t *testing.T) {
	channel, err := site.ChannelPage([]string{"noarch", "linux-64"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := site.ChannelPage([]string{"linux-64", "noarch"})
	if err != nil || !bytes.Equal(channel, again) {
		t.Error("the order of subdirs shows", err)
	}
	subdir, err := site.SubdirPage("linux-64")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		page []byte
		has  string
	}{
		{channel, `src="linux-64/packages.js"`},
		{channel, `src="noarch/packages.js"`},
		{channel, `const subdirs = ["linux-64","noarch"], up = "", inside =  false`},
		{channel, `href="noarch/repodata.json"`},
		{subdir, `src="../linux-64/packages.js"`},
		{subdir, `href="../linux-64/repodata.json"`},
	} {
		if !strings.Contains(string(tt.page), tt.has) {
			t.Errorf("a page lacks %s", tt.has)
		}
	}
	for _, foreign := range []string{"http://", "https://", "@import", "url("} {
		if strings.Contains(strings.ReplaceAll(string(channel), `https?:\/\/`, ""), foreign) {
			t.Errorf("the page has %s: it loads nothing from elsewhere", foreign)
		}
	}
	hostile, err := site.ChannelPage([]string{`"><script>alert(1)</script>`})
	if err != nil || strings.Contains(string(hostile), "<script>alert") {
		t.Error("a folder's name runs", err)
	}
}
