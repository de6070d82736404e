package repodata_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/condaworker/condaworker/conda"
	"github.com/condaworker/condaworker/conda/archive"
	"github.com/condaworker/condaworker/conda/shards"
	"github.com/condaworker/condaworker/env/repodata"
	"github.com/condaworker/condaworker/store"
)

// object is what a channel has under a key.
type object struct {
	text     []byte
	version  string
	modified time.Time
	fresh    time.Duration
	err      error
	cut      error // after half of the text
	cuts     int   // how often
}

// channel is a Reader that counts what is read.
type channel struct {
	mu      sync.Mutex
	objects map[string]object
	asked   int      // requests that transfer no bytes
	read    []string // keys of those that do
	down    error
}

func (c *channel) Get(_ context.Context, key string, _, n int64) (io.ReadCloser, store.Info, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n == 0 {
		c.asked++
	} else {
		c.read = append(c.read, key)
	}
	o, found := c.objects[key]
	if err := errors.Join(c.down, o.err); err != nil {
		return nil, store.Info{}, err
	}
	if !found {
		return nil, store.Info{}, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	info := store.Info{Key: key, Size: int64(len(o.text)), Version: o.version, Modified: o.modified, Fresh: o.fresh}
	if o.cuts > 0 && n != 0 {
		o.cuts--
		c.objects[key] = o
		return io.NopCloser(io.MultiReader(bytes.NewReader(o.text[:len(o.text)/2]), iotest.ErrReader(o.cut))), info, nil
	}
	return io.NopCloser(bytes.NewReader(o.text)), info, nil
}

// counts returns what was asked and read since the last call.
func (c *channel) counts() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.read)
	text := fmt.Sprintf("%d asked, read %s", c.asked, strings.Join(c.read, " "))
	c.asked, c.read = 0, nil
	return text
}

func record(name, version string) string {
	return fmt.Sprintf(`"%s-%s-0.conda":{"name":%q,"version":%q,"build":"0","build_number":0,"depends":[]}`, name, version, name, version)
}

func index(records ...string) []byte {
	return []byte(`{"info":{"subdir":"linux-64"},"packages":{},"packages.conda":{` + strings.Join(records, ",") + `}}`)
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// plain is a channel with repodata.json and its compressed form.
func plain(text []byte) *channel {
	return &channel{objects: map[string]object{
		"linux-64/repodata.json":     {text: text, version: "1", modified: noon},
		"linux-64/repodata.json.zst": {text: archive.Zstd(text), version: "2", modified: noon},
	}}
}

// addShards adds shards of one version of tool, and of more records.
func (c *channel) addShards(t *testing.T, version string, modified time.Time, more ...string) {
	t.Helper()
	entries := map[string]shards.Entry{}
	for _, text := range append(more, record("tool", version)) {
		file, rec, _ := strings.Cut(text, ":")
		entries[strings.Trim(file, `"`)] = shards.Entry{Record: []byte(rec)}
	}
	c.addShard(t, shards.Shard{PackagesConda: entries}, modified)
}

// addShard adds an index of one shard: tool's.
func (c *channel) addShard(t *testing.T, tool shards.Shard, modified time.Time) {
	t.Helper()
	text, err := tool.Encode()
	if err != nil {
		t.Fatal(err)
	}
	text = archive.Zstd(text)
	x := shards.Index{Subdir: "linux-64", ShardsBaseURL: "./shards/", Shards: map[string]shards.Sum{"tool": sum(text)}}
	c.objects["linux-64/"+x.Shards["tool"].Key()] = object{text: text, version: "3"}
	c.objects["linux-64/"+shards.IndexName] = object{text: archive.Zstd(x.Encode()), version: "4", modified: modified}
}

// versions opens the subdir and returns what it has of tool.
func versions(t *testing.T, c *channel, o repodata.Options) (string, error) {
	t.Helper()
	o.Channel = "https://conda.example/x"
	s, err := repodata.Open(t.Context(), c, "linux-64", o)
	if err != nil {
		return "", err
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	records, err := s.Records("tool")
	var all []string
	for _, r := range records {
		all = append(all, r.Version)
	}
	return strings.Join(all, " "), err
}

func expect(t *testing.T, c *channel, o repodata.Options, want, counts string) {
	t.Helper()
	got, err := versions(t, c, o)
	if n := c.counts(); err != nil || got != want || n != counts {
		t.Errorf("%q, %v, %s; want %q, %s", got, err, n, want, counts)
	}
}

func TestACopyIsReadAsLongAsTheChannelHasThisVersion(t *testing.T) {
	c := plain(index(record("tool", "1.0"), record("other", "1.0"), record("tool", "2.0")))
	o := repodata.Options{Cache: t.TempDir()}
	expect(t, c, o, "1.0 2.0", "3 asked, read linux-64/repodata.json.zst")
	expect(t, c, o, "1.0 2.0", "3 asked, read ")

	text := index(record("tool", "3.0"))
	c.objects["linux-64/repodata.json.zst"] = object{text: archive.Zstd(text), version: "5", modified: noon.Add(time.Hour)}
	expect(t, c, o, "3.0", "3 asked, read linux-64/repodata.json.zst")
	if files, _ := filepath.Glob(filepath.Join(o.Cache, "*", "*", "part-*")); len(files) != 1 {
		t.Errorf("%q are kept", files)
	}
	expect(t, c, repodata.Options{}, "3.0", "3 asked, read linux-64/repodata.json.zst") // without a cache
}

// freshForAnHour is a channel whose server says that its index may be kept so long.
func freshForAnHour() *channel {
	c := plain(index(record("tool", "1.0")))
	zst := c.objects["linux-64/repodata.json.zst"]
	zst.fresh = time.Hour
	c.objects["linux-64/repodata.json.zst"] = zst
	return c
}

func TestACopyThatIsFreshIsReadUnasked(t *testing.T) {
	c := freshForAnHour()
	o := repodata.Options{Cache: t.TempDir()}
	expect(t, c, o, "1.0", "3 asked, read linux-64/repodata.json.zst")
	expect(t, c, o, "1.0", "0 asked, read ")
}

// A clock that was ahead when the copy was made says nothing about its age.
func TestACopyOfTomorrowIsNotFresh(t *testing.T) {
	c := freshForAnHour()
	o := repodata.Options{Cache: t.TempDir()}
	expect(t, c, o, "1.0", "3 asked, read linux-64/repodata.json.zst")
	notes, err := filepath.Glob(filepath.Join(o.Cache, "*", "*", "note.json"))
	if err != nil || len(notes) != 1 {
		t.Fatal(notes, err)
	}
	text, err := os.ReadFile(notes[0])
	today, tomorrow := time.Now().Format(time.DateOnly), time.Now().AddDate(0, 0, 1).Format(time.DateOnly)
	if err = errors.Join(err, os.WriteFile(notes[0], bytes.Replace(text, []byte(`"checked":"`+today), []byte(`"checked":"`+tomorrow), 1), 0o600)); err != nil {
		t.Fatal(err)
	}
	expect(t, c, o, "1.0", "3 asked, read ")
	expect(t, c, o, "1.0", "0 asked, read ")
}

func TestNewerShardsAreReadAndOlderOnesAreNot(t *testing.T) {
	for _, tt := range []struct {
		after time.Duration
		want  string
	}{{0, "2.0"}, {time.Minute, "2.0"}, {-time.Second, "1.0"}} {
		c := plain(index(record("tool", "1.0")))
		c.addShards(t, "2.0", noon.Add(tt.after))
		if got, err := versions(t, c, repodata.Options{Cache: t.TempDir()}); err != nil || got != tt.want {
			t.Errorf("shards written %s later: %q, %v", tt.after, got, err)
		}
	}
	c := plain(index(record("tool", "1.0")))
	c.objects["linux-64/repodata.json.zst"] = object{text: archive.Zstd(index()), version: "9", modified: noon.Add(-time.Hour)}
	expect(t, c, repodata.Options{}, "1.0", "3 asked, read linux-64/repodata.json")
}

func TestABrokenFormIsPassedOverAndNamed(t *testing.T) {
	c := plain(index(record("tool", "1.0")))
	c.objects["linux-64/"+shards.IndexName] = object{text: []byte("broken"), version: "7", modified: noon}
	c.objects["linux-64/repodata.json.zst"] = object{text: []byte("broken"), version: "8", modified: noon}
	var warned []string
	o := repodata.Options{Cache: t.TempDir(), Warn: func(text string) { warned = append(warned, text) }}
	expect(t, c, o, "1.0", "3 asked, read linux-64/repodata.json linux-64/repodata.json.zst linux-64/repodata_shards.msgpack.zst")
	expect(t, c, o, "1.0", "3 asked, read ") // what is broken is not read again
	if len(warned) != 4 {
		t.Fatalf("%q", warned)
	}
	for i, key := range []string{shards.IndexName, "repodata.json.zst", shards.IndexName, "repodata.json.zst"} {
		if !strings.Contains(warned[i], "linux-64/"+key) || !strings.Contains(warned[i], "https://conda.example/x") {
			t.Errorf("%q does not say %s", warned[i], key)
		}
	}
	c = plain([]byte(`{"packages":{`))
	if _, err := versions(t, c, repodata.Options{}); err == nil || !strings.Contains(err.Error(), "linux-64/repodata.json") {
		t.Error(err)
	}
}

func TestWhatIsForbiddenIsNotThere(t *testing.T) {
	c := plain(index(record("tool", "1.0")))
	c.objects["linux-64/"+shards.IndexName] = object{err: fs.ErrPermission} // S3 without ListBucket
	expect(t, c, repodata.Options{}, "1.0", "3 asked, read linux-64/repodata.json.zst")
	c = &channel{objects: map[string]object{"linux-64/repodata.json": {err: fs.ErrPermission}}}
	if _, err := versions(t, c, repodata.Options{}); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	if _, err := versions(t, &channel{}, repodata.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestWithoutANetwork(t *testing.T) {
	c := plain(index(record("tool", "1.0")))
	o := repodata.Options{Cache: t.TempDir(), Offline: true}
	if _, err := versions(t, c, o); err == nil || !strings.Contains(err.Error(), "run once without --offline") || c.counts() != "0 asked, read " {
		t.Error(err)
	}
	o.Offline = false
	expect(t, c, o, "1.0", "3 asked, read linux-64/repodata.json.zst")
	c.down = errors.New("no route to host")
	if _, err := versions(t, c, o); err == nil || !strings.Contains(err.Error(), "no route to host; with --offline the copy of ") {
		t.Error(err)
	}
	c.counts()
	o.Offline = true
	expect(t, c, o, "1.0", "0 asked, read ")
}

func TestADamagedCacheIsReadAnew(t *testing.T) {
	var records []string
	for i := range 100 {
		records = append(records, record("tool", fmt.Sprint(i)), record("other", fmt.Sprint(i)))
	}
	c := plain(index(records...))
	o := repodata.Options{Cache: t.TempDir()}
	want, err := versions(t, c, o)
	if err != nil || strings.Count(want, " ") != 99 {
		t.Fatal(want, err)
	}
	for _, damage := range []func(text []byte) []byte{
		func(text []byte) []byte { return nil },
		func(text []byte) []byte { return text[:len(text)/2] },
		func(text []byte) []byte { return make([]byte, len(text)) },
		func(text []byte) []byte { clear(text[:len(text)/2]); return text },
		func(text []byte) []byte { text[len(text)-40] ^= 1; return text },
	} {
		files, err := filepath.Glob(filepath.Join(o.Cache, "*", "*", "part-*"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		text, err := os.ReadFile(files[0])
		if err = errors.Join(err, os.WriteFile(files[0], damage(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		got, err := versions(t, c, o)
		if err != nil && strings.Contains(err.Error(), "run again") {
			got, err = versions(t, c, o)
		}
		if err != nil || got != want {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// Who may read a cache and not write to it can use it.
func TestACacheIsForAllToRead(t *testing.T) {
	c := plain(index(record("tool", "1.0")))
	o := repodata.Options{Cache: t.TempDir()}
	expect(t, c, o, "1.0", "3 asked, read linux-64/repodata.json.zst")
	c.addShards(t, "2.0", noon)
	if got, err := versions(t, c, o); err != nil || got != "2.0" {
		t.Error(got, err)
	}
	for _, pattern := range []string{"repodata-*/*/note.json", "repodata-*/*/part-*", "shards/*"} {
		files, err := filepath.Glob(filepath.Join(o.Cache, pattern))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: %q, %v", pattern, files, err)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o644 && runtime.GOOS != "windows" {
				t.Errorf("%s: %v, %v", file, info.Mode(), err)
			}
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	c := plain(index(record("tool", "1.0")))
	o := repodata.Options{Cache: t.TempDir()}
	var work sync.WaitGroup
	for range 20 {
		work.Go(func() {
			if got, err := versions(t, c, o); err != nil || got != "1.0" {
				t.Error(got, err)
			}
		})
	}
	work.Wait()
	if n := c.counts(); n != "60 asked, read linux-64/repodata.json.zst" {
		t.Error(n)
	}
}

func TestRecordsOfOneName(t *testing.T) {
	text := []byte(`{"packages":{"tool-1.0-0.tar.bz2":{"name":"tool","version":"1.0","build":"0"},` +
		`"tool-0.5-0.tar.bz2":{"name":"tool","version":"0.5","build":"0"},"tool-0.1-0.tar.bz2":{"name":7},"no package":{}},` +
		`"packages.conda":{` + record("tool", "1.0") + `,` + record("tool-kit", "4.0") + `}}`)
	o := repodata.Options{Channel: "x"}
	s, err := repodata.Open(t.Context(), plain(text), "linux-64", o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	records, err := s.Records("tool")
	if err != nil || len(records) != 2 || records[0].FileName != "tool-0.5-0.tar.bz2" || records[1].FileName != "tool-1.0-0.conda" {
		t.Error(records, err)
	}
	if names := slices.Sorted(slices.Values(s.Names())); !slices.Equal(names, []string{"tool", "tool-kit"}) {
		t.Error(names)
	}
}

// A record that cannot be read is no offer, and is named once.
func TestBrokenRecordsAreNamed(t *testing.T) {
	const broken = `"tool-9.0-0.conda":{"name":"tool","version":9,"build":"0","build_number":0,"depends":[]}`
	sharded := plain(index(record("tool", "1.0")))
	sharded.addShards(t, "1.0", noon, broken)
	for name, c := range map[string]*channel{"shelf": plain(index(record("tool", "1.0"), broken)), "shards": sharded} {
		var warned []string
		o := repodata.Options{Channel: "https://conda.example/x", Warn: func(text string) { warned = append(warned, text) }}
		s, err := repodata.Open(t.Context(), c, "linux-64", o)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if records, err := s.Records("tool"); err != nil || len(records) != 1 || records[0].Version != "1.0" {
				t.Errorf("%s: %+v %v", name, records, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if len(warned) != 1 || !strings.Contains(warned[0], "channel https://conda.example/x: left out of linux-64: read the record of tool-9.0-0.conda: ") {
			t.Errorf("%s: %q", name, warned)
		}
	}
}

// Whatever a record has that it should not: it is skipped and named, in each form of an
// index, and the others are read.
func TestRecordsOfAnotherType(t *testing.T) {
	for text, want := range map[string]string{
		`5`: "it cannot be ", `"x"`: "it cannot be ", `[]`: "it cannot be ", `null`: "it ", `{}`: "it has no name", `{"version":"9"}`: "it has no name",
		`{"name":"tool","version":"9"}`: "it has no build", `{"name":"tool","version":"9","build":null}`: "it has no build",
		`{"name":5}`: "its name cannot be a JSON number", `{"name":"other","version":"9","build":"0"}`: `it is of a package "other"`,
		`{"name":"tool","version":[]}`: "its version cannot be a JSON array", `{"name":"tool","version":"9","build":0}`: "its build cannot be a JSON number",
		`{"name":"tool","version":"9","build":"0","build_number":"0"}`:        "its build_number cannot be a JSON string",
		`{"name":"tool","version":"9","build":"0","depends":"python"}`:        "its depends cannot be a JSON string",
		`{"name":"tool","version":"9","build":"0","depends":[5]}`:             "its depends cannot be a JSON number",
		`{"name":"tool","version":"9","build":"0","constrains":{}}`:           "its constrains cannot be a JSON object",
		`{"name":"tool","version":"9","build":"0","size":"7"}`:                "its size cannot be a JSON string",
		`{"name":"tool","version":"9","build":"0","track_features":5}`:        "its track_features cannot be a JSON number",
		`{"name":"tool","version":"9","build":"0","noarch":5}`:                "noarch is 5",
		`{"name":"tool","version":"9","build":"0","timestamp":"noon"}`:        "its timestamp cannot be a JSON string",
		`{"name":"tool","version":"9","build":"0","subdir":false}`:            "its subdir cannot be a JSON bool",
		`{"name":"tool","version":"9","build":"0","sha256":[1]}`:              "its sha256 cannot be a JSON array",
		`{"name":"tool","version":"9","build":"0","extra_depends":["x"]}`:     "its extra_depends cannot be a JSON array",
		`{"name":"tool","version":"9","build":"0","license":{"id":"x"}}`:      "its license cannot be a JSON object",
		`{"name":"tool","version":"9","build":"0","run_exports":{"weak":[]}}`: "",
	} {
		broken := `"tool-9-0.conda":` + text
		sharded := plain(index(record("tool", "1.0")))
		if text[0] == '{' {
			sharded.addShards(t, "1.0", noon, broken)
		}
		for form, c := range map[string]*channel{"shelf": plain(index(record("tool", "1.0"), broken)), "shards": sharded} {
			told := ""
			got, err := versions(t, c, repodata.Options{Warn: func(text string) { told += text + "\n" }})
			named := strings.Contains(told, "channel https://conda.example/x: left out of linux-64: read the record of tool-9-0.conda: "+want) && strings.Count(told, "\n") == 1
			if form == "shards" && text[0] != '{' {
				named = true // see conda/shards
			}
			if err != nil || want != "" && (got != "1.0" || !named) || want == "" && (got != "1.0 9" || told != "") {
				t.Errorf("%s, %s: %q, %v, told %q, want %s", text, form, got, err, told, want)
			}
		}
	}
}

// shardless takes all shards away.
func (c *channel) shardless() {
	for key := range c.objects {
		if strings.HasPrefix(key, "linux-64/shards/") {
			delete(c.objects, key)
		}
	}
}

// Where shards are not as their index says another form of the index is read, with a
// warning, and the next time at once, until there is a newer index of shards.
func TestAShardThatIsNotThere(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(c *channel, key string)
		want   string
	}{
		"gone":        {func(c *channel, key string) { delete(c.objects, key) }, "though the index of shards names it: reindex the channel"},
		"refused":     {func(c *channel, key string) { c.objects[key] = object{err: fs.ErrPermission} }, "permission denied"},
		"other bytes": {func(c *channel, key string) { c.objects[key] = object{text: []byte("x")} }, "are not those that the index of shards names: reindex the channel"},
	} {
		t.Run(name, func(t *testing.T) {
			c := plain(index(record("tool", "1.0")))
			c.addShards(t, "2.0", noon)
			for key := range c.objects {
				if strings.HasPrefix(key, "linux-64/shards/") {
					tt.change(c, key)
				}
			}
			told := ""
			o := repodata.Options{Cache: t.TempDir(), Warn: func(text string) { told += text + "\n" }}
			for _, read := range []string{"6 asked, read linux-64/repodata.json.zst linux-64/repodata_shards.msgpack.zst linux-64/shards/", "3 asked, read "} {
				told = ""
				got, err := versions(t, c, o)
				if n := c.counts(); got != "1.0" || err != nil || !strings.HasPrefix(n, read) || strings.HasPrefix(read, "3") && n != read {
					t.Errorf("%q, %v, %s", got, err, n)
				}
				if !strings.Contains(told, "channel https://conda.example/x: read the shard of linux-64/tool: ") || !strings.Contains(told, tt.want) || strings.Count(told, "\n") != 1 {
					t.Errorf("told %q", told)
				}
			}
			told = ""
			c.shardless()
			c.addShards(t, "3.0", noon)
			x := c.objects["linux-64/"+shards.IndexName]
			x.version = "new"
			c.objects["linux-64/"+shards.IndexName] = x
			if got, err := versions(t, c, o); got != "3.0" || err != nil || told != "" {
				t.Errorf("%q, %v, told %q", got, err, told)
			}
			c.shardless()
			for _, form := range []string{"repodata.json", "repodata.json.zst"} {
				delete(c.objects, "linux-64/"+form)
			}
			o.Cache = t.TempDir()
			if got, err := versions(t, c, o); err == nil || !strings.Contains(err.Error(), "read the shard of linux-64/tool: ") || !strings.HasSuffix(err.Error(), ": reindex the channel") {
				t.Errorf("without another form: %q, %v", got, err)
			}
		})
	}
}

// The channel has been indexed anew since its index of shards was kept, which nobody
// asked about: then that is what is wrong.
func TestShardsOfAnIndexThatIsOutOfDate(t *testing.T) {
	c := plain(index(record("tool", "1.0")))
	fresh := func(version string) {
		c.shardless()
		c.addShards(t, version, noon)
		x := c.objects["linux-64/"+shards.IndexName]
		x.version, x.fresh = version, time.Hour
		c.objects["linux-64/"+shards.IndexName] = x
	}
	fresh("2.0")
	o := repodata.Options{Cache: t.TempDir(), Warn: func(text string) { t.Error(text) }}
	if s, err := repodata.Open(t.Context(), c, "linux-64", repodata.Options{Channel: "https://conda.example/x", Cache: o.Cache}); err != nil || s.Close() != nil {
		t.Fatal(err)
	}
	c.counts()
	fresh("3.0")
	got, err := versions(t, c, o)
	if n := c.counts(); got != "3.0" || err != nil || !strings.HasPrefix(n, "3 asked, read linux-64/repodata_shards.msgpack.zst linux-64/shards/") {
		t.Errorf("%q, %v, %s", got, err, n)
	}
	expect(t, c, o, "3.0", "0 asked, read ")
}

func sum(text []byte) shards.Sum { return sha256.Sum256(text) }

// An index says where its packages and shards lie: in full, or relative to itself. A
// place outside of the channel is opened by who can.
func TestBaseURLs(t *testing.T) {
	const refused, elsewhere = "refused", "elsewhere "
	for base, want := range map[string]string{
		"": "", "./": "", "https://conda.example/x/linux-64/": "", "https://conda.example/x/linux-64": "", "../linux-64/": "", "/x/linux-64": "",
		"../noarch": "https://conda.example/x/noarch", "https://conda.example/x": "https://conda.example/x", "a%20b": "https://conda.example/x/linux-64/a b",
		"https://other.example/x/linux-64/": elsewhere + "https://other.example/x/linux-64", "../../../linux-64": elsewhere + "https://conda.example/linux-64",
		"http://conda.example:8080/x/linux-64": elsewhere + "http://conda.example:8080/x/linux-64",
		"?x":                                   refused, "s3://bucket/x": refused, "file:///etc": refused, "ftp://h/x": refused, "https:///x": refused,
	} {
		folder, outside := strings.CutPrefix(want, elsewhere)
		for _, able := range []bool{false, true} {
			o := repodata.Options{Channel: "https://conda.example/x"}
			if able {
				o.Elsewhere = func(context.Context, string) (store.Reader, error) { return nil, errors.New("not for packages") }
			}
			ok := want != refused && (able || !outside)
			text := []byte(fmt.Sprintf(`{"info":{"base_url":%q},"packages.conda":{%s}}`, base, record("tool", "1.0")))
			got, err := first(t, plain(text), o)
			if ok && (err != nil || got.Folder != folder) || !ok && (err == nil || !strings.Contains(err.Error(), "name the channel there")) {
				t.Errorf("%q: %+v, %v", base, got, err)
			}
			c := withShardIndex(t, func(x *shards.Index) { x.BaseURL, x.ShardsBaseURL = base, "https://conda.example/x/linux-64/shards" })
			got, err = first(t, c, o)
			if err != nil || ok && (got.Version != "2.0" || got.Folder != folder) || !ok && got.Version != "1.0" {
				t.Errorf("shards, %q: %+v, %v", base, got, err)
			}
		}
	}
}

// Shards that lie elsewhere are read there.
func TestShardsElsewhere(t *testing.T) {
	c := withShardIndex(t, func(x *shards.Index) { x.ShardsBaseURL = "https://shards.example/t/TOKEN/all" })
	other := &channel{objects: map[string]object{}}
	for key, o := range c.objects {
		if name, is := strings.CutPrefix(key, "linux-64/shards/"); is {
			other.objects[name] = o
			delete(c.objects, key)
		}
	}
	var asked []string
	o := repodata.Options{Channel: "https://conda.example/x", Elsewhere: func(_ context.Context, url string) (store.Reader, error) {
		asked = append(asked, url)
		return other, nil
	}}
	got, err := first(t, c, o)
	if err != nil || got.Version != "2.0" || got.Folder != "" || !slices.Equal(asked, []string{"https://shards.example/t/TOKEN/all"}) {
		t.Errorf("%+v %v, opened %q", got, err, asked)
	}
	o.Elsewhere = func(context.Context, string) (store.Reader, error) { return nil, errors.New("no credentials") }
	if _, err := first(t, c, o); err == nil || !strings.Contains(err.Error(), "open https://shards.example/all, where the shards of linux-64 lie: no credentials") {
		t.Error(err)
	}
}

// withShardIndex is a channel whose repodata.json has version 1.0, and whose shards 2.0.
func withShardIndex(t *testing.T, change func(*shards.Index)) *channel {
	t.Helper()
	c := plain(index(record("tool", "1.0")))
	c.addShards(t, "2.0", noon)
	o := c.objects["linux-64/"+shards.IndexName]
	text, err := archive.Unzstd(o.text, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	x, err := shards.ParseIndex(text)
	if err != nil {
		t.Fatal(err)
	}
	change(&x)
	o.text = archive.Zstd(x.Encode())
	c.objects["linux-64/"+shards.IndexName] = o
	return c
}

// first is the first record of tool.
func first(t *testing.T, c *channel, o repodata.Options) (conda.Record, error) {
	t.Helper()
	s, err := repodata.Open(t.Context(), c, "linux-64", o)
	if err != nil {
		return conda.Record{}, err
	}
	records, err := s.Records("tool")
	if err = errors.Join(err, s.Close()); err != nil || len(records) != 1 {
		return conda.Record{}, errors.Join(err, fmt.Errorf("%d records", len(records)))
	}
	return records[0], nil
}

func TestACacheThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := plain(index(record("tool", "1.0")))
	expect(t, c, repodata.Options{Cache: file}, "1.0", "3 asked, read linux-64/repodata.json.zst")

	o := repodata.Options{Cache: t.TempDir()}
	expect(t, c, o, "1.0", "3 asked, read linux-64/repodata.json.zst")
	locks, err := filepath.Glob(filepath.Join(o.Cache, "*", "*", "lock"))
	if err != nil || len(locks) != 1 {
		t.Fatal(locks, err)
	}
	if err := errors.Join(os.Remove(locks[0]), os.Symlink("/nowhere/lock", locks[0])); err != nil {
		t.Fatal(err)
	}
	expect(t, c, o, "1.0", "3 asked, read ") // what is there is used
	c.objects["linux-64/repodata.json.zst"] = object{text: archive.Zstd(index(record("tool", "2.0"))), version: "9", modified: noon}
	expect(t, c, o, "2.0", "3 asked, read linux-64/repodata.json.zst")
}

// A connection that is lost says nothing about the index, which is read again.
func TestALostConnection(t *testing.T) {
	lost := errors.New("lost")
	c := plain(index(record("tool", "1.0")))
	zst := c.objects["linux-64/repodata.json.zst"]
	zst.cut, zst.cuts = lost, 3
	c.objects["linux-64/repodata.json.zst"] = zst
	o := repodata.Options{Cache: t.TempDir(), Warn: func(text string) { t.Error(text) }}
	if _, err := versions(t, c, o); !errors.Is(err, lost) || strings.Contains(err.Error(), "broken") {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(o.Cache, "*", "*", ".part-*")); len(left) > 0 {
		t.Error(left)
	}
	zst.cuts = 2
	c.objects["linux-64/repodata.json.zst"] = zst
	if got, err := versions(t, c, o); got != "1.0" || err != nil {
		t.Error(got, err)
	}
	c.addShards(t, "2.0", noon)
	for key, o := range c.objects {
		if strings.Contains(key, "shards") {
			o.cut, o.cuts = lost, 2
			c.objects[key] = o
		}
	}
	if got, err := versions(t, c, o); got != "2.0" || err != nil {
		t.Error(got, err)
	}
}

// A server that fails to tell of a form that a channel can do without is no reason to
// do without the channel.
func TestAServerThatKnowsNotAllForms(t *testing.T) {
	refusal := errors.New("501 Not Implemented")
	c := plain(index(record("tool", "1.0")))
	c.objects["linux-64/"+shards.IndexName] = object{err: refusal}
	c.objects["linux-64/repodata.json.zst"] = object{err: refusal}
	var warned []string
	o := repodata.Options{Warn: func(text string) { warned = append(warned, text) }}
	expect(t, c, o, "1.0", "3 asked, read linux-64/repodata.json")
	if len(warned) != 2 || !strings.Contains(warned[0], "channel https://conda.example/x: 501 Not Implemented") {
		t.Errorf("%q", warned)
	}
	c = plain(index(record("tool", "1.0")))
	c.objects["linux-64/repodata.json"] = object{err: refusal} // shards and others may be older
	if _, err := versions(t, c, o); !errors.Is(err, refusal) {
		t.Error(err)
	}
}
