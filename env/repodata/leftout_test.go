package repodata_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/shards"
	"github.com/condaworker/condaworker/env/repodata"
)

// Records that are no offer are named once, of the names that were looked at; in a whole
// index also those that are of no package. Those of repodata's version 3 are an offer like
// others.
func TestWhatIsLeftOutIsNamed(t *testing.T) {
	broken := map[string]string{
		"tool-2.0-0.conda": `{"name":"tool","version":2}`, "tool-3.0-0.conda": `{"name":"tool","version":"3..$","build":"0"}`,
	}
	rec := record("tool", "1.0")
	text := []byte(`{"packages.conda":{` + rec + `,"other-1-0.conda":1`)
	entries := map[string]shards.Entry{"tool-1.0-0.conda": {Record: []byte(rec[strings.Index(rec, ":")+1:])}}
	for file, r := range broken {
		text = append(text, `,"`+file+`":`+r...)
		entries[file] = shards.Entry{Record: []byte(r)}
	}
	newer := `{"name":"tool","version":"4.0","build":"0","flags":["cuda"],"extra_depends":{"gui":["qt"]}}`
	text = append(text, `},"v3":{"conda":{"tool-4.0-0":`+newer+`,"tool-5.0-0":{}},"tar.bz2":{"tool-4.0-0":{},"tool-3.5-0":`+strings.Replace(newer, "4.0", "3.5", 1)+`},"whl":{"tool-9-0":{}}}}`...)
	shard := shards.Shard{
		PackagesConda: entries,
		V3: map[string]map[string]shards.Entry{
			"conda":   {"tool-4.0-0": {Record: []byte(newer)}, "tool-5.0-0": {Record: []byte("{}")}},
			"tar.bz2": {"tool-4.0-0": {Record: []byte("{}")}, "tool-3.5-0": {Record: []byte(strings.Replace(newer, "4.0", "3.5", 1))}},
			"whl":     {"tool-9-0": {Record: []byte("{}")}},
		},
	}
	for _, sharded := range []bool{false, true} {
		c := plain(text)
		if sharded {
			c.addShard(t, shard, noon.Add(time.Hour))
		}
		var told []string
		s, err := repodata.Open(t.Context(), c, "linux-64", repodata.Options{Channel: "https://conda.example/x", Warn: func(text string) { told = append(told, text) }})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			records, err := s.Records("tool")
			if err != nil || len(records) != 3 || records[2].FileName != "tool-4.0-0.conda" || records[1].FileName != "tool-3.5-0.tar.bz2" ||
				!slices.Equal(records[2].Flags, []string{"cuda"}) || !slices.Equal(records[2].ExtraDepends["gui"], []string{"qt"}) {
				t.Error(records, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		slices.Sort(told)
		want := []string{"tool-2.0-0.conda", "tool-3.0-0.conda", "tool-5.0-0.conda"}
		if !sharded {
			want = []string{"other-1-0.conda", "tool-2.0-0.conda", "tool-3.0-0.conda", "tool-4.0-0.tar.bz2", "tool-5.0-0.conda"}
		}
		if len(told) != len(want) {
			t.Fatalf("sharded %v: %q", sharded, told)
		}
		for i, part := range want {
			if !strings.HasPrefix(told[i], "channel https://conda.example/x: left out of linux-64: ") || !strings.Contains(told[i], part) {
				t.Errorf("sharded %v: %s does not say %s", sharded, told[i], part)
			}
		}
	}
}

// What has no package's name is named, whatever is looked for: as it is read, and when
// what was kept is read again.
func TestWhatIsNoPackageIsNamed(t *testing.T) {
	c := plain([]byte(`{"packages":{"strange":{"name":"tool"},"a b-1-0.tar.bz2":{},"other-1-0.tar.bz2":{"name":5,"version":"1"},` +
		`"odd-1-0.tar.bz2":{"name"  :  "odd","version":"1","build":"0"},"odd-2-0.tar.bz2":{"extra":{"name":"x"},"name":"\u006fdd","version":"2","build":"0"},` +
		`"odd-3-0.tar.bz2":{"name": "even","version":"3"}},"packages.conda":{` + record("tool", "1.0") + `}}`))
	cache := t.TempDir()
	for range 2 {
		var told []string
		s, err := repodata.Open(t.Context(), c, "linux-64", repodata.Options{Channel: "https://conda.example/x", Cache: cache, Warn: func(text string) { told = append(told, text) }})
		if err != nil {
			t.Fatal(err)
		}
		if records, err := s.Records("tool"); err != nil || len(records) != 1 {
			t.Error(records, err)
		}
		if records, err := s.Records(""); err != nil || len(records) != 0 || !slices.Equal(slices.Sorted(slices.Values(s.Names())), []string{"odd", "tool"}) {
			t.Error(records, err, s.Names())
		}
		if records, err := s.Records("odd"); err != nil || len(records) != 2 {
			t.Error(records, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		want := []string{
			`read file name "strange": `, `"a b-1-0.tar.bz2"`, `read the record of other-1-0.tar.bz2: its name cannot be a JSON number: build or index it anew`,
			`read the record of odd-3-0.tar.bz2: it is of a package "even"`,
		}
		if len(told) != len(want) {
			t.Fatalf("%q", told)
		}
		for i, text := range told {
			if !strings.HasPrefix(text, "channel https://conda.example/x: left out of linux-64: ") || !strings.Contains(text, want[i]) {
				t.Errorf("%q, want %s", text, want[i])
			}
		}
	}
}

// A shard has only what the whole index has of its name.
func TestWhatLiesInAnotherShardIsNamed(t *testing.T) {
	rec := record("tool", "1.0")
	text := []byte(rec[strings.Index(rec, ":")+1:])
	c := plain([]byte("{}"))
	c.addShard(t, shards.Shard{PackagesConda: map[string]shards.Entry{"Tool-1.0-0.conda": {Record: text}, "tool-1.0-0.conda": {Record: text}}}, noon.Add(time.Hour))
	var told []string
	s, err := repodata.Open(t.Context(), c, "linux-64", repodata.Options{Channel: "https://conda.example/x", Warn: func(text string) { told = append(told, text) }})
	if err != nil {
		t.Fatal(err)
	}
	records, err := s.Records("tool")
	if err != nil || len(records) != 1 || records[0].FileName != "tool-1.0-0.conda" {
		t.Error(records, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if len(told) != 1 || !strings.Contains(told[0], `Tool-1.0-0.conda: it is in the shard of the package "tool"`) {
		t.Errorf("%q", told)
	}
}

// A compressed index without a byte is one that was not written to its end, and a shard
// that is not there makes the index wrong.
func TestWhatWasNotWrittenIsNoIndex(t *testing.T) {
	c := plain([]byte(`{"packages.conda":{` + record("tool", "1.0") + `}}`))
	c.objects["linux-64/repodata.json.zst"] = object{version: "9", modified: noon.Add(time.Hour)}
	var told []string
	s, err := repodata.Open(t.Context(), c, "linux-64", repodata.Options{Channel: "https://conda.example/x", Warn: func(text string) { told = append(told, text) }})
	if err != nil {
		t.Fatal(err)
	}
	records, err := s.Records("tool")
	if err = errors.Join(err, s.Close()); err != nil || len(records) != 1 || len(told) != 1 || !strings.Contains(told[0], "linux-64/repodata.json.zst: it is broken: it has no bytes") {
		t.Error(records, err, told)
	}
	c.objects["linux-64/repodata.json.zst"] = object{text: archive.Zstd(nil), version: "10", modified: noon.Add(time.Hour)}
	if s, err = repodata.Open(t.Context(), c, "linux-64", repodata.Options{Channel: "https://conda.example/x"}); err != nil {
		t.Fatal(err)
	}
	if records, err := s.Records("tool"); err != nil || len(records) != 0 {
		t.Error("of an empty index", records, err)
	}
	x := shards.Index{Subdir: "linux-64", ShardsBaseURL: "./shards/", Shards: map[string]shards.Sum{"tool": {1}}}
	c.objects["linux-64/"+shards.IndexName] = object{text: archive.Zstd(x.Encode()), version: "11", modified: noon.Add(time.Hour)}
	next, err := repodata.Open(t.Context(), c, "linux-64", repodata.Options{Channel: "https://conda.example/x"})
	if err != nil {
		t.Fatal(err)
	}
	delete(c.objects, "linux-64/repodata.json")
	delete(c.objects, "linux-64/repodata.json.zst")
	if _, err := next.Records("tool"); err == nil || !strings.Contains(err.Error(), "though the index of shards names it: reindex the channel") {
		t.Error(err)
	}
	if err := errors.Join(s.Close(), next.Close()); err != nil {
		t.Error(err)
	}
	c = plain([]byte(`{"packages.conda":{`))
	if _, err := repodata.Open(t.Context(), c, "linux-64", repodata.Options{Channel: "https://conda.example/x"}); err == nil || !strings.HasSuffix(err.Error(), ": reindex the channel") {
		t.Error(err)
	}
}

func TestHashesThatNoArchiveHasAreNoOffer(t *testing.T) {
	sha256, md5 := strings.Repeat("0a", 32), strings.Repeat("b9", 16)
	for text, want := range map[string]string{
		`"sha256":"` + sha256 + `","md5":"` + md5 + `"`:         "",
		`"sha256":"` + strings.ToUpper(sha256) + `","md5":null`: "",
		`"md5":"` + strings.ToUpper(md5) + `","sha256":""`:      "",
		`"sha256":"abc"`:                   `left out of linux-64: read the record of a-1-0.conda: its sha256 "abc" is none: that has 64 hexadecimal digits`,
		`"sha256":"` + sha256[:62] + `"`:   "has 64 hexadecimal digits",
		`"sha256":"` + sha256[:62] + `zz"`: "has 64 hexadecimal digits",
		`"md5":"` + sha256 + `"`:           "has 32 hexadecimal digits",
	} {
		told := ""
		c := plain([]byte(`{"packages":{},"packages.conda":{"a-1-0.conda":{"name":"a","version":"1","build":"0",` + text + `}}}`))
		s, err := repodata.Open(t.Context(), c, "linux-64", repodata.Options{Warn: func(text string) { told += text }})
		if err != nil {
			t.Fatal(err)
		}
		records, err := s.Records("a")
		if err = errors.Join(err, s.Close()); err != nil || (len(records) == 0) == (want == "") || !strings.Contains(told, want) || want == "" && told != "" {
			t.Errorf("%s: %v %v %q, want %q", text, records, err, told, want)
		}
		for _, r := range records {
			if r.SHA256 != strings.ToLower(r.SHA256) || r.MD5 != strings.ToLower(r.MD5) {
				t.Error(r)
			}
		}
	}
}
